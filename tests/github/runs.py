"""Small results files, good and hostile."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

from quantgate.report.results_json import RunFacts, build, serialize
from quantgate.results import Comparability, Decision, Direction, Measurement, Score, Verdict

CASE = "tiny-int4-ort-cpu"
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def decision(verdict: Verdict = Verdict.PASS, case: str = CASE, reason: str = "so") -> Decision:
    return Decision(
        case_id=case,
        task="mmlu",
        metric="accuracy",
        verdict=verdict,
        value=0.5,
        anchor=0.6,
        delta=-0.1,
        allowed=0.01,
        against="baseline",
        reason=reason,
    )


def measurement(case: str = CASE) -> Measurement:
    score = Score(
        metric="accuracy", value=0.5, n=24, unit="fraction", direction=Direction.HIGHER, stderr=0.1
    )
    comparability = Comparability(
        protocol="hendrycks 5 shots",
        items=24,
        ids_digest="1" * 64,
        corpus="2" * 64,
        tokenizer="3" * 64,
        plan="4" * 64,
    )
    return Measurement(
        case_id=case,
        task="mmlu",
        scores=(score,),
        comparability=comparability,
        identity={"backend": "ort", "provider": "cpu", "digest": "5" * 64},
    )


def results(*decisions: Decision, options: dict | None = None) -> bytes:
    """A results file with these decisions, one passing if none is given."""
    decisions = decisions or (decision(),)
    facts = RunFacts(
        started=MOMENT,
        ended=MOMENT,
        options=options or {},
        configuration={"cases": []},
        provenance={"quantgate": "0", "packages": {}, "git_commit": "a" * 40, "ci": {}},
    )
    cases = dict.fromkeys(each.case_id for each in decisions)
    return serialize(build(facts, [measurement(case) for case in cases], decisions))


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these members."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, content in members:
            made.writestr(name, content)
    return stream.getvalue()
