"""The words of a failure: figures, units, drift, and the command that mends it."""

from dataclasses import replace

import pytest

from quantgate.report.wording import accept_command, word
from quantgate.results import (
    Comparability,
    Decision,
    Direction,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)

CASE = "tiny-int4-ort-cpu"
PAIRED = "paired delta to the reference +0.0308 nats/token, 95 % CI +0.0226..+0.0390"
ALLOWED = "allowed -1.00 points"
FILE = "baselines/tiny/int4-ort-cpu.json"
PERPLEXITY = Score(
    metric="perplexity", value=14.82, n=65_000, unit="perplexity", direction=Direction.LOWER,
    paired_delta=0.0308, paired_stderr=0.00418, paired_unit="nats/token", clusters=64,
)  # fmt: skip
ACCURACY = Score(
    metric="accuracy", value=0.79, n=570, unit="fraction", direction=Direction.HIGHER,
    stderr=0.017, stderr_clustered=0.021, clusters=57,
)  # fmt: skip


def measure(score, task):
    same = Comparability(protocol="p", items=1, ids_digest="a", corpus="b", tokenizer="c", plan="d")
    return Measurement(
        case_id="tiny-int4-ort-cpu", task=task, scores=(score,), comparability=same, identity={}
    )


def decide(score, task, **changes):
    facts = {
        "verdict": Verdict.REGRESSION, "value": score.value, "reason": "in words",
        "against": "baseline", "case_id": "tiny-int4-ort-cpu", "metric": score.metric,
    }  # fmt: skip
    return Decision(**{**facts, "task": task, **changes})


WORSE_PERPLEXITY = decide(
    PERPLEXITY, "perplexity.strided", anchor=14.37, delta=0.45, allowed=0.21555,
    tolerance=Tolerance(kind="relative", value=0.015),
    notes=("differs from the baseline: onnxruntime 1.30.0 -> 1.31.1",),
)  # fmt: skip
WORSE_ACCURACY = decide(
    ACCURACY, "mmlu", anchor=0.8125, delta=-0.0225, allowed=0.01,
    tolerance=Tolerance(kind="absolute", value=0.01),
)  # fmt: skip


def told(decision, score):
    return word(decision, measure(score, decision.task), FILE)


def test_regression_of_perplexity():
    assert told(WORSE_PERPLEXITY, PERPLEXITY).splitlines() == [
        f"perplexity 14.82 is 3.13 % above the baseline 14.37; allowed +1.50 %   [{CASE}]",
        f"  {PAIRED} (64 windows) -> REGRESSION",
        "  differs from the baseline: onnxruntime 1.30.0 -> 1.31.1     file: " + FILE,
        '  accept: pytest -m perplexity --gate-update-baselines --gate-reason "..."',
    ]


def test_regression_of_accuracy_is_in_points():
    assert told(WORSE_ACCURACY, ACCURACY).splitlines() == [
        f"accuracy 79.00 % is 2.25 points below the baseline 81.25 %; {ALLOWED}   [{CASE}]",
        "  standard error 2.10 points (n 570) -> REGRESSION",
        "  file: " + FILE,
        '  accept: pytest -m mmlu --gate-update-baselines --gate-reason "..."',
    ]


def test_regression_of_divergence_is_in_nats():
    score = Score(
        metric="kl_mean", value=0.0512, n=4000, unit="nats", direction=Direction.LOWER,
        stderr=0.0021,
    )  # fmt: skip
    decision = decide(
        score, "kl_divergence", anchor=0.0, delta=0.0512, allowed=0.02, against="reference",
        tolerance=Tolerance(kind="absolute", value=0.02),
    )  # fmt: skip
    first, second, *_, last = told(decision, score).splitlines()
    assert first.startswith(
        "kl_mean 0.0512 nats is 0.0512 nats above the reference 0.0000 nats; allowed +0.0200 nats"
    )
    assert second == "  standard error 0.00210 nats (n 4,000) -> REGRESSION"
    assert "limit against the reference" in last
    assert "--gate-update-baselines" not in last


def test_regression_beside_a_reference_gives_the_whole_reason():
    decision = replace(WORSE_ACCURACY, reference=0.82, reason="worse than both")
    assert "  worse than both" in told(decision, ACCURACY).splitlines()


def test_reference_regression_allows_in_the_paired_unit():
    decision = replace(WORSE_PERPLEXITY, against="reference", anchor=14.37)
    line = told(decision, PERPLEXITY).splitlines()[1]
    # ln(1.015) = 0.014889 nats a token.
    assert line.endswith("(64 windows); allowed +0.0149 -> REGRESSION")


def test_paired_accuracy_is_over_subjects():
    score = replace(ACCURACY, paired_delta=-0.03, paired_stderr=0.01, paired_unit="fraction")
    decision = replace(WORSE_ACCURACY, against="reference", anchor=0.82, delta=-0.03, allowed=0.02)
    line = told(decision, score).splitlines()[1]
    assert line == (
        "  paired delta to the reference -3.00 points, 95 % CI -4.96..-1.04 (57 subjects);"
        " allowed -2.00 -> REGRESSION"
    )


def test_an_excess_too_small_to_see_is_shown():
    decision = replace(WORSE_ACCURACY, value=0.80249999, delta=-0.01000001)
    assert "is 1.000001 points below the baseline" in told(decision, ACCURACY)


def test_invalid_tells_why_and_offers_no_acceptance():
    decision = replace(
        WORSE_ACCURACY, verdict=Verdict.INVALID, reason="NaN in item 3", against="", anchor=None
    )
    text = told(decision, ACCURACY)
    assert text.startswith("accuracy of mmlu is INVALID   [tiny-int4-ort-cpu]\n  NaN in item 3")
    assert "accept" not in text


def test_invalid_for_another_protocol_can_be_accepted():
    decision = replace(WORSE_ACCURACY, verdict=Verdict.INVALID, reason="items", anchor=None)
    assert "accept: pytest -m mmlu" in told(decision, ACCURACY)


def test_invalid_without_a_measurement():
    decision = replace(WORSE_ACCURACY, verdict=Verdict.INVALID, value=None, anchor=None)
    assert "INVALID" in word(decision, None, FILE)


def test_fault_45_no_baseline_prints_the_command():
    decision = replace(
        WORSE_ACCURACY, verdict=Verdict.NO_BASELINE, anchor=None, delta=None, allowed=None,
        against="", tolerance=None,
    )  # fmt: skip
    text = told(decision, ACCURACY)
    assert text.startswith("accuracy 79.00 % has no baseline yet")
    assert f"store: {accept_command('mmlu')}" in text


@pytest.mark.parametrize("delta", [0.0, 0.005])
def test_pass_can_be_worded_too(delta):
    decision = replace(
        WORSE_ACCURACY, verdict=Verdict.PASS, value=0.8125 + delta, delta=delta, notes=("too good",)
    )
    text = told(decision, ACCURACY)
    assert "-> PASS" in text
    assert "note: too good" in text
    assert "accept" not in text


def test_fault_70_hostile_text_stays_in_its_line():
    decision = replace(
        WORSE_ACCURACY,
        verdict=Verdict.INVALID,
        reason="\x1b[2J\x1b]8;;http://x\x07cleared\n::error::forged\r\n  -> PASS",
        notes=("line\u2028break",),
    )
    text = word(decision, None, "base\nlines/\x1b[31mred.json")
    assert "\x1b" not in text
    assert not any(line.startswith("::error") or line == "  -> PASS" for line in text.splitlines())
    assert "  cleared ::error::forged -> PASS" in text.splitlines()
    assert "file: base lines/red.json" in text
