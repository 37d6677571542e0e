"""A run as JUnit XML, for the test views of CI services.

A `testsuite` is one task of one case, a `testcase` one decision. The form is the one that Jenkins
checks (`junit-10.xsd`): it knows properties of suites only, so each metric's stand there, named
`<metric>.<property>`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final
from xml.etree import ElementTree as ET

from quantgate.report.commands import accept_command, reproduce_command
from quantgate.report.digest import ORDER, Judged, judge
from quantgate.report.escape import xml_text
from quantgate.results import Decision, Measurement, Verdict
from quantgate.run_file import RunFile

_ELEMENTS: Final = {
    Verdict.REGRESSION: "failure",
    Verdict.INVALID: "error",
    Verdict.INCONCLUSIVE: "skipped",
    Verdict.NO_BASELINE: "skipped",
}
_COUNTED: Final = {"failures": "failure", "errors": "error", "skipped": "skipped"}


def render_junit(run: RunFile) -> bytes:
    """Return the run as an XML document in UTF-8."""
    suites: dict[tuple[str, str], list[Judged]] = {}
    for judged in judge(run):
        suites.setdefault((judged.decision.case_id, judged.decision.task), []).append(judged)
    counts = _counts([decision.verdict for decision in run.decisions])
    del counts["skipped"]  # the form has it for a suite only
    root = ET.Element("testsuites", {"name": "quantgate", **counts})
    measured = {(each.case_id, each.task): each for each in run.measurements}
    for key, found in suites.items():
        root.append(_suite(run, found, measured.get(key)))
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _suite(run: RunFile, found: Sequence[Judged], measurement: Measurement | None) -> ET.Element:
    first = found[0].decision
    name = xml_text(f"{first.case_id} {first.task}")
    counts = _counts([judged.decision.verdict for judged in found])
    suite = ET.Element("testsuite", {"name": name, **counts})
    if isinstance(started := run.facts.get("started"), str):
        suite.set("timestamp", xml_text(started))
    seconds = None if measurement is None else measurement.cost.get("seconds")
    if seconds is not None and 0 <= seconds < math.inf:
        suite.set("time", f"{seconds:.3f}")
    properties = ET.SubElement(suite, "properties")
    for judged in found:
        for each, value in _properties(judged):
            known = {"name": xml_text(f"{judged.decision.metric}.{each}"), "value": xml_text(value)}
            ET.SubElement(properties, "property", known)
    for judged in found:
        suite.append(_testcase(run, judged.decision))
    return suite


def _properties(judged: Judged) -> Iterator[tuple[str, str]]:
    """Names and values of a metric's properties; figures are unrounded, unknown ones left out."""
    decision, evidence, score = judged.decision, judged.decision.evidence, judged.score
    known: dict[str, object] = {
        "verdict": decision.verdict.value,
        "value": decision.value,
        "unit": judged.unit or None,
        "n": None if score is None else score.n,
        "against": decision.against or None,
        "anchor": decision.anchor,
        "reference": decision.reference,
        "delta": decision.delta,
        "allowed": decision.allowed,
        "at_risk": "true" if decision.at_risk else None,
    }
    if evidence is not None:
        known |= {
            "paired_scale": evidence.scale,
            "paired_delta": evidence.delta,
            "paired_low": evidence.low,
            "paired_high": evidence.high,
            "p_value": evidence.p_value,
            "detectable": evidence.detectable,
        }
    yield from ((name, str(value)) for name, value in known.items() if value is not None)


def _testcase(run: RunFile, decision: Decision) -> ET.Element:
    case = ET.Element(
        "testcase",
        classname=xml_text(decision.task),
        name=xml_text(f"{decision.case_id} {decision.metric}"),
    )
    if element := _ELEMENTS.get(decision.verdict):
        told = ET.SubElement(
            case, element, type=decision.verdict.value, message=xml_text(decision.reason)
        )
        told.text = xml_text("\n".join(_lines(run, decision)))
    return case


def _lines(run: RunFile, decision: Decision) -> Iterator[str]:
    yield decision.reason
    yield from decision.notes
    anchored = decision.verdict is Verdict.NO_BASELINE or decision.against == "baseline"
    if anchored and (command := accept_command(run, decision)):
        yield f"accept: {command}"
    if command := reproduce_command(run, decision):
        yield f"reproduce: {command}"


def _counts(verdicts: Sequence[Verdict]) -> dict[str, str]:
    elements = [_ELEMENTS.get(verdict) for verdict in ORDER for _ in range(verdicts.count(verdict))]
    return {
        "tests": str(len(verdicts)),
        **{name: str(elements.count(element)) for name, element in _COUNTED.items()},
    }
