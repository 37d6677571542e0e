"""A run with everything a report can show, made up so that every figure is known."""

import math

import numpy as np

from quantgate.gate.evidence import pair
from quantgate.gate.findings import DRIFT
from quantgate.items import items_of
from quantgate.results import (
    Comparability,
    Decision,
    Direction,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)
from quantgate.run_file import RunFile

REFERENCE = "tiny-fp32-ort-cpu"
CANDIDATE = "tiny-int4-ort-cpu"
SAME = Comparability(protocol="p", items=1, ids_digest="a", corpus="b", tokenizer="c", plan="d")
WINDOWS = 24
DRIFTED = "onnxruntime 1.30.0 -> 1.31.1"
REASON = "accuracy is 0.1 worse than the reference 0.9, which exceeds the allowed 0.03"
# By subject: gold letters, then what the reference and what the candidate chose.
ANSWERS = {
    "astronomy": ("ABCDABCDAB", "ABCDABCDAB", "ABCDABCDAC"),
    "virology": ("ABCDABCDAB", "ABCDABCDBA", "BACDABCDBA"),
}


def score(metric, value, unit="fraction", direction=Direction.HIGHER, n=20):
    return Score(metric=metric, value=value, n=n, unit=unit, direction=direction)


def mmlu(case, column, *, flips=None):
    chosen = {name: told[column] for name, told in ANSWERS.items()}
    right = {
        name: sum(a == b for a, b in zip(chosen[name], told[0], strict=True))
        for name, told in ANSWERS.items()
    }
    detail = {"answers": {n: {"chosen": chosen[n], "gold": ANSWERS[n][0]} for n in ANSWERS}}
    if flips is not None:
        detail["flips"] = flips
    scores = [score("accuracy", sum(right.values()) / 20)]
    scores += [score(f"subject.{name}", right[name] / 10, n=10) for name in ANSWERS]
    return Measurement(
        case_id=case,
        task="mmlu",
        scores=tuple(scores),
        comparability=SAME,
        identity={"backend": "ort", "package": "ab" * 32},
        detail=detail,
        cost={"tokens_requested": 12345.0, "tokens_computed": 2345.0, "seconds": 6.5, "rows": 7},
    )


def flip(question="astronomy/9", text="Which planet\nis nearest?", options=("Venus", "Mars")):
    told = {"question": question, "text": text, "options": list(options)}
    return told | {"gold": "B", "reference": "B", "candidate": "A"}


def flips(*listed):
    return {"right_to_wrong": 3, "wrong_to_right": 0, "changed": 4, "listed": list(listed)}


def nll(shift):
    return [1024 * (1.0 + 0.1 * math.sin(i) + shift * (1 + 0.2 * (i % 3))) for i in range(WINDOWS)]


def perplexity(case, shift):
    windows = [
        {"begin": 1024 * i, "end": 1024 * (i + 1), "n": 1024, "nll_nats": nats}
        for i, nats in enumerate(nll(shift))
    ]
    value = math.exp(sum(nll(shift)) / (1024 * WINDOWS))
    figure = score("perplexity", value, "perplexity", Direction.LOWER, 1024 * WINDOWS)
    return Measurement(
        case_id=case,
        task="perplexity.strided",
        scores=(figure,),
        comparability=SAME,
        identity={"backend": "ort"},
        detail={"windows": windows},
    )


def divergence(case):
    counts = [0] * 20 + [3, 10, 40, 30, 12, 4] + [0] * 24
    windows = [
        {
            "begin": 50 * i, "end": 50 * (i + 1), "n": 50, "n_next": 50, "kl_mean": 0.01 * (i + 1),
            "top1_agreement": 0.9, "log_perplexity_ratio": 0.02,
        }
        for i in range(2)
    ]  # fmt: skip
    curve = [[0.0, 1e-5], [50.0, 2.5e-4], [90.0, 1e-3], [99.0, 2e-3], [100.0, 4.321e-3]]
    histogram = {
        "edges": np.linspace(-8, 2, 51).round(6).tolist(),
        "counts": counts,
        "below": 1,
        "above": 0,
    }
    lower = Direction.LOWER
    return Measurement(
        case_id=case,
        task="kl_divergence",
        scores=(
            score("kl_mean", 0.015, "nats", lower, 100),
            score("kl_max", 4.321e-3, "nats", lower, 100),
            score("top1_agreement", 0.9375, n=100),
        ),
        comparability=SAME,
        identity={"backend": "ort"},
        detail={
            "windows": windows,
            "distribution": {"percentiles": curve, "histogram": histogram},
        },
    )


def decision(measurement, metric, verdict=Verdict.PASS, **more):
    value = measurement.score(metric).value
    told = {"reason": REASON} | more
    return Decision(
        case_id=measurement.case_id, task=measurement.task, metric=metric, verdict=verdict,
        value=value, **told,
    )  # fmt: skip


def case_facts(case, reference=None):
    names = ("model", "variant", "backend", "provider")
    told = dict(zip(names, case.split("-"), strict=True))
    held = None if reference is None else case_facts(reference)
    return {**told, "id": case, "is_reference": reference is None, "reference": held}


def facts(*cases):
    return {
        "started": "2026-01-02T03:04:05.000Z",
        "ended": "2026-01-02T03:05:05.000Z",
        "options": {"--gate-limit": 20},
        "configuration": {"cases": list(cases), "tasks": {"mmlu": {"shots": 5}}},
        "provenance": {"python": "3.11.7", "packages": {"onnxruntime": "1.31.1"}},
    }


def planted_run(question=None):
    """One regression, one inconclusive, one invalid figure, one without a baseline, and passes."""
    before, now = mmlu(REFERENCE, 1), mmlu(CANDIDATE, 2, flips=flips(question or flip()))
    texts = perplexity(REFERENCE, 0.0), perplexity(CANDIDATE, 0.02)
    kl = divergence(CANDIDATE)
    accuracy = now.score("accuracy")
    evidence = pair("accuracy", accuracy, items_of(now), items_of(before), "reference", 0.03)
    decisions = (
        decision(before, "accuracy", Verdict.NO_BASELINE),
        decision(
            now, "accuracy", Verdict.REGRESSION, against="reference", anchor=0.9,
            reference=0.9, delta=accuracy.value - 0.9, allowed=0.03, evidence=evidence,
            tolerance=Tolerance(kind="absolute", value=0.03),
        ),
        decision(
            texts[1], "perplexity", Verdict.INCONCLUSIVE, against="baseline", anchor=2.75,
            delta=0.1, allowed=0.01, notes=(f"{DRIFT}{DRIFTED}; python 3.11.6 -> 3.11.7", "odd"),
        ),
        decision(kl, "kl_mean", Verdict.INVALID),
        decision(kl, "top1_agreement"),
        *(decision(now, f"subject.{name}") for name in ANSWERS),
    )  # fmt: skip
    cases = case_facts(REFERENCE), case_facts(CANDIDATE, REFERENCE)
    return RunFile(
        facts=facts(*cases),
        measurements=(before, now, *texts, kl),
        decisions=decisions,
    )
