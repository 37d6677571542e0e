"""Finished runs made by hand, for the tests of reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantgate.report import results_json
from quantgate.results import (
    Comparability,
    Decision,
    Direction,
    Evidence,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)
from quantgate.run_file import RunFile

CASE = "tiny-int4-ort-cpu"
DRIFT = "differs from the baseline: onnxruntime 1.30.0 -> 1.31.1; threads 2 -> 4"
FACTS: dict[str, Any] = {
    "started": "2026-01-02T03:04:05.678Z",
    "ended": "2026-01-02T03:05:05.678Z",
    "options": {"--gate-limit": 5},
    "configuration": {"complete": True},
    "provenance": {
        "quantgate": "0.1.0", "python": "3.11.7", "git_commit": "0" * 40,
        "cpu": {"model": "Xeon", "cores": 2}, "packages": {"onnxruntime": "1.31.1"},
    },
}  # fmt: skip


def score(metric: str, value: float, *, unit: str = "fraction", **more: Any) -> Score:
    """A score; higher is better unless it is a perplexity or a divergence."""
    lower = unit in {"perplexity", "nats"}
    direction = Direction.LOWER if lower else Direction.HIGHER
    return Score(metric=metric, value=value, n=812, unit=unit, direction=direction, **more)


def measure(
    scores: Sequence[Score],
    *,
    case_id: str = CASE,
    task: str = "mmlu",
    protocol: str = "hendrycks 5-shot loglikelihood, overflow error",
    identity: Mapping[str, Any] | None = None,
    detail: Mapping[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
) -> Measurement:
    """A measurement of 812 items."""
    same = Comparability(
        protocol=protocol, items=812, ids_digest="a", corpus="b", tokenizer="c", plan="d"
    )
    return Measurement(
        case_id=case_id,
        task=task,
        scores=tuple(scores),
        comparability=same,
        identity=identity or {"backend": "ort", "provider": "CPUExecutionProvider"},
        detail=detail or {},
        cost={"seconds": 1.5},
        warnings=warnings,
    )


def evidence(**more: Any) -> Evidence:
    """31 answers lost and 12 won of 812."""
    known: dict[str, Any] = {
        "against": "baseline", "scale": "fraction", "delta": -19 / 812, "stderr": 0.008,
        "low": -0.0391, "high": -0.0077, "detectable": 0.0149, "allowed": 0.01,
        "p_value": 0.0054, "method": "exact McNemar, 812 questions", "n": 812, "clusters": 812,
        "lost": 31, "won": 12,
    }  # fmt: skip
    return Evidence(**{**known, **more})


def decide(verdict: Verdict, metric: str = "accuracy", **more: Any) -> Decision:
    """A decision on accuracy 0.79, held against a baseline of 0.8134."""
    known: dict[str, Any] = {
        "case_id": CASE, "task": "mmlu", "value": 0.79, "reason": f"{metric} in words",
        "anchor": 0.8134, "against": "baseline", "delta": -0.0234, "allowed": 0.01,
        "tolerance": Tolerance(kind="absolute", value=0.01), "evidence": evidence(),
    }  # fmt: skip
    return Decision(verdict=verdict, metric=metric, **{**known, **more})


def run_of(
    decisions: Sequence[Decision],
    measurements: Sequence[Measurement] = (),
    facts: Mapping[str, Any] | None = None,
) -> RunFile:
    """A run of these decisions."""
    return RunFile(
        facts=FACTS if facts is None else facts,
        measurements=tuple(measurements),
        decisions=tuple(decisions),
    )


def save(path: Path, run: RunFile) -> Path:
    """Write `run` as the `results.json` that a run of its own would leave."""
    document = {
        "schema_version": 1,
        "run": results_json._strict(run.facts, "run"),
        "measurements": [results_json._strict(each, "m") for each in run.measurements],
        "decisions": [results_json._strict(each, "d") for each in run.decisions],
    }
    path.write_bytes(results_json.serialize(document))
    return path


PERPLEXITY = decide(
    Verdict.REGRESSION, "perplexity", task="perplexity.strided", value=14.82, anchor=14.37,
    delta=0.45, allowed=0.21555, tolerance=Tolerance(kind="relative", value=0.015),
    evidence=evidence(
        scale="nats/token", delta=0.0308, low=0.0226, high=0.039, detectable=0.0103,
        allowed=0.0149, p_value=1.2e-9, method="Student's t, 64 windows", n=65_000, clusters=64,
        lost=None, won=None,
    ),
)  # fmt: skip
FAILING = run_of(
    [
        decide(Verdict.PASS, "accuracy_macro", delta=-0.001, at_risk=True),
        decide(Verdict.PASS, "accuracy", case_id="tiny-int8-ort-cpu", delta=0.0, notes=("calm",)),
        decide(Verdict.REGRESSION, notes=(DRIFT, "calm")),
        PERPLEXITY,
        decide(
            Verdict.INVALID, "kl_mean", task="kl_divergence", value=None, anchor=None, against="",
            delta=None, allowed=None, tolerance=None, evidence=None,
            reason="model-died: the model ended | code 9",
        ),
        decide(Verdict.INCONCLUSIVE, "subject.anatomy", delta=-0.02, reason="below what is seen"),
        decide(
            Verdict.NO_BASELINE, case_id="tiny-fp32-ort-cpu", anchor=None, against="", delta=None,
            allowed=None, tolerance=None, evidence=None,
        ),
    ],
    [
        measure(
            [score("accuracy", 0.79), score("accuracy_macro", 0.79), score("subject.anatomy", 0.5)],
            detail={"flips": {"right_to_wrong": 31, "wrong_to_right": 12, "changed": 57}},
        ),
        measure(
            [score("perplexity", 14.82, unit="perplexity")],
            task="perplexity.strided",
            protocol="strided 1024/512",
            warnings=("slow disk",),
        ),
    ],
)  # fmt: skip
