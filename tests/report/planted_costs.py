"""Sizes, speeds and accuracies of several variants, made up so that every figure is known."""

from __future__ import annotations

from quantgate.results import Comparability, Direction, Measurement, Score
from quantgate.run_file import RunFile
from tests.report.planted_run import case_facts, facts

SAME = Comparability(protocol="p", items=1, ids_digest="a", corpus="b", tokenizer="c", plan="d")
FP32, INT4, INT8 = (f"tiny-{name}-ort-cpu" for name in ("fp32", "int4", "int8"))
GENAI = "tiny-int4-ortgenai-cpu"


def measurement(case, task, detail=None, **figures):
    scores = tuple(
        Score(metric=name, value=value, n=9, unit="", direction=Direction.HIGHER)
        for name, value in figures.items()
    )
    return Measurement(
        case_id=case,
        task=task,
        scores=scores,
        comparability=SAME,
        identity={},
        detail=detail or {},
    )


def memory(case, mib, saving=1.0):
    return measurement(case, "memory", disk_saving=saving, disk_mib=mib)


def speed(case, speedup, rate=100.0):
    return measurement(case, "speed", generation_speedup=speedup, generation_tokens_per_s=rate)


def accuracy(case, value):
    return measurement(case, "mmlu", accuracy=value)


def run_of(*measurements, references=None):
    """A run; all cases but the first are held against it unless `references` says otherwise."""
    cases = list(dict.fromkeys(each.case_id for each in measurements))
    held = references or dict.fromkeys(cases[1:], cases[0])
    told = [case_facts(case, held.get(case)) for case in cases]
    return RunFile(facts=facts(*told), measurements=measurements, decisions=())
