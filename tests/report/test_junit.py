"""JUnit XML: valid in form, one test case a decision, the figures as properties."""

import xml.etree.ElementTree as ET

import pytest

from quantgate.report.junit import render_junit
from quantgate.results import Verdict
from tests.planted_runs import CASE, FAILING, decide, run_of

# The form of Jenkins' junit-10.xsd, in our words: required and optional attributes, children.
FORM = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, {"testsuite"}),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {
            "group",
            "time",
            "skipped",
            "timestamp",
            "hostname",
            "id",
            "package",
            "file",
            "log",
            "url",
        },
        {"testsuite", "properties", "testcase", "system-out", "system-err"},
    ),
    "properties": (set(), set(), {"property"}),
    "property": ({"name", "value"}, set(), set()),
    "testcase": (
        {"name"},
        {"time", "classname", "group"},
        {"skipped", "error", "failure", "system-out", "system-err"},
    ),
    "failure": (set(), {"type", "message"}, set()),
    "error": (set(), {"type", "message"}, set()),
    "skipped": (set(), {"type", "message"}, set()),
}


def assert_form(element):
    required, optional, children = FORM[element.tag]
    assert required <= element.attrib.keys() <= required | optional, element.tag
    for child in element:
        assert child.tag in children, f"{child.tag} in {element.tag}"
        assert_form(child)


@pytest.fixture(scope="module")
def root():
    return ET.fromstring(render_junit(FAILING))


def test_the_form_is_the_one_that_jenkins_checks(root):
    assert_form(root)


def test_every_decision_is_a_test_case(root):
    cases = {(each.get("classname"), each.get("name")): each for each in root.iter("testcase")}
    assert cases.keys() == {(d.task, f"{d.case_id} {d.metric}") for d in FAILING.decisions}
    kinds = {
        Verdict.REGRESSION: "failure", Verdict.INVALID: "error", Verdict.INCONCLUSIVE: "skipped",
        Verdict.NO_BASELINE: "skipped", Verdict.PASS: None,
    }  # fmt: skip
    for decision in FAILING.decisions:
        case = cases[decision.task, f"{decision.case_id} {decision.metric}"]
        assert [child.tag for child in case] == [k for k in [kinds[decision.verdict]] if k]
        for child in case:
            assert child.get("message") == decision.reason
            assert child.get("type") == decision.verdict


def test_counts_are_those_of_the_cases(root):
    assert {name: root.get(name) for name in ("tests", "failures", "errors")} == {
        "tests": "7", "failures": "2", "errors": "1",
    }  # fmt: skip
    for suite in root.iter("testsuite"):
        for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(suite.get(name)) == len(list(suite.iter(tag)))
        assert int(suite.get("tests")) == len(list(suite.iter("testcase")))


def test_properties_hold_the_figures_unrounded(root):
    (suite,) = (each for each in root if each.get("name") == f"{CASE} mmlu")
    properties = {each.get("name"): each.get("value") for each in suite.iter("property")}
    assert float(properties["accuracy.value"]) == 0.79
    assert float(properties["accuracy.delta"]) == -0.0234
    assert float(properties["accuracy.paired_delta"]) == -19 / 812
    assert float(properties["accuracy.p_value"]) == 0.0054
    assert float(properties["accuracy.detectable"]) == 0.0149
    assert properties["accuracy.n"] == "812"
    assert properties["accuracy.verdict"] == "REGRESSION"
    assert properties["accuracy_macro.at_risk"] == "true"
    assert suite.get("time") == "1.500"


def test_a_failure_names_the_way_out(root):
    (failure,) = (
        case.find("failure") for case in root.iter("testcase") if case.get("classname") == "mmlu"
        and case.find("failure") is not None
    )  # fmt: skip
    command = 'quantgate run -m mmlu -k "[tiny-int4-ort-cpu]" --gate-limit=5'
    assert f"accept: {command} --gate-update-baselines" in failure.text
    assert f"reproduce: {command}\n" in f"{failure.text}\n"
    assert "onnxruntime 1.30.0 -> 1.31.1" in failure.text


def test_a_run_without_decisions_is_a_document():
    empty = ET.fromstring(render_junit(run_of([])))
    assert_form(empty)
    assert empty.get("tests") == "0"


def test_figures_that_are_not_finite_are_told():
    root = ET.fromstring(render_junit(run_of([decide(Verdict.INVALID, value=float("nan"))])))
    assert {p.get("value") for p in root.iter("property") if p.get("name") == "accuracy.value"} == {
        "nan"
    }
