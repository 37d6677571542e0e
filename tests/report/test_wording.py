"""The words of a failure: figures, units, drift, and the command that mends it."""

import shlex
import string
from dataclasses import replace

import pytest

from quantgate.gate.decision import NOISE
from quantgate.gate.rulings import MANY, UNDETECTABLE
from quantgate.report.wording import accept_command, reproduce_command, word
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

CASE = "tiny-int4-ort-cpu"
PAIRED = "paired delta to the baseline +0.0308 nats/token, 95 % CI +0.0226..+0.0390"
ALLOWED = "allowed -1.00 points"
FILE = "baselines/tiny/int4-ort-cpu.json"
PERPLEXITY = Score(
    metric="perplexity", value=14.82, n=65_000, unit="perplexity", direction=Direction.LOWER,
    clusters=64,
)  # fmt: skip
ACCURACY = Score(
    metric="accuracy", value=0.79, n=570, unit="fraction", direction=Direction.HIGHER,
    stderr=0.017, stderr_clustered=0.021, clusters=57,
)  # fmt: skip
BY_WINDOW = Evidence(
    against="baseline", scale="nats/token", delta=0.0308, stderr=0.00418, low=0.0226, high=0.039,
    detectable=0.0104, allowed=0.0149, p_value=3.1e-9, method="Student's t, 64 windows", n=65_000,
    clusters=7,
)  # fmt: skip
BY_QUESTION = Evidence(
    against="baseline", scale="fraction", delta=-0.0225, stderr=0.0055, low=-0.0333, high=-0.0117,
    detectable=0.0181, allowed=0.01, p_value=0.0004, method="exact McNemar, 570 questions", n=570,
    clusters=570, lost=30, won=12,
)  # fmt: skip
REPRODUCE = '-k "[tiny-int4-ort-cpu]"'
UPDATE = '--gate-update-baselines --gate-reason "..."'


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
    notes=("differs from the baseline: onnxruntime 1.30.0 -> 1.31.1",), evidence=BY_WINDOW,
)  # fmt: skip
WORSE_ACCURACY = decide(
    ACCURACY, "mmlu", anchor=0.8125, delta=-0.0225, allowed=0.01,
    tolerance=Tolerance(kind="absolute", value=0.01),
)  # fmt: skip


def told(decision, score):
    return word(decision, measure(score, decision.task), FILE)


def test_regression_of_perplexity():
    """All that a reader who has never seen the project needs, in one place."""
    smallest = "the smallest change for the worse this run detects is 0.0104 nats/token"
    assert told(WORSE_PERPLEXITY, PERPLEXITY).splitlines() == [
        f"perplexity 14.82 is 3.13 % above the baseline 14.37; allowed +1.50 %   [{CASE}]",
        f"  {PAIRED}; allowed +0.0149 -> REGRESSION",
        f"  isn't chance: p = 3.1e-09 (Student's t, 64 windows); {smallest}",
        "  differs from the baseline: onnxruntime 1.30.0 -> 1.31.1     file: " + FILE,
        f"  accept: quantgate run -m perplexity {REPRODUCE} {UPDATE}",
        f"  reproduce: quantgate run -m perplexity {REPRODUCE}",
    ]


def test_regression_of_accuracy_is_in_points():
    decision = replace(WORSE_ACCURACY, evidence=BY_QUESTION)
    interval = "-2.25 points, 95 % CI -3.33..-1.17"
    flips = "30 from right to wrong, 12 from wrong to right"
    smallest = "the smallest drop this run detects is 1.81 points"
    assert told(decision, ACCURACY).splitlines() == [
        f"accuracy 79.00 % is 2.25 points below the baseline 81.25 %; {ALLOWED}   [{CASE}]",
        f"  paired delta to the baseline {interval}; allowed -1.00 -> REGRESSION",
        f"  isn't chance: p = 0.0004 (exact McNemar, 570 questions: {flips}); {smallest}",
        "  in the environment nothing differs from the baseline's     file: " + FILE,
        f"  accept: quantgate run -m mmlu {REPRODUCE} {UPDATE}",
        f"  reproduce: quantgate run -m mmlu {REPRODUCE}",
    ]


def test_without_items_only_the_figures_error_is_known():
    first, second, third, *_ = told(WORSE_ACCURACY, ACCURACY).splitlines()
    assert first.endswith(f"{ALLOWED}   [{CASE}]")
    assert second == "  standard error 2.10 points (n 570) -> REGRESSION"
    assert third == "  whether it is chance can't be told: no items are paired with the baseline's"


def test_beyond_tenfold_so_many_times_is_said_with_figures_that_give_it():
    decision = replace(WORSE_PERPLEXITY, value=97.6961, anchor=2.507006, delta=95.1891)
    first = told(decision, PERPLEXITY).splitlines()[0]
    assert first.startswith("perplexity 97.70 is about 39 times the baseline 2.51; allowed +")
    assert f"{97.70 / 2.51:.2g}" == "39"
    absolute = replace(decision, tolerance=Tolerance(kind="absolute", value=0.2), allowed=0.2)
    assert "is 95.189 above" in told(absolute, PERPLEXITY)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"p_value": 0.05}, "could be chance: p = 0.05 ("),
        ({"p_value": 0.0499}, "isn't chance: p = 0.05 ("),
        ({"p_value": 0.0}, "isn't chance: p < 1e-12 ("),
        ({"delta": 0.0, "stderr": 0.0, "p_value": 1.0}, "nothing changed, item by item (exact"),
    ],
)
def test_chance_in_plain_words(changes, words):
    decision = replace(WORSE_ACCURACY, evidence=replace(BY_QUESTION, **changes))
    assert f"  {words}" in told(decision, ACCURACY)


@pytest.mark.parametrize(
    ("tolerance", "allowed", "words"),
    [
        (Tolerance(kind="ratio_to_reference", value=0.99), 0.008125, "2.77 % below the baseline"),
        (Tolerance(kind="ratio_to_reference", value=0.99), 0.008125, "allowed -1.00 %"),
        (Tolerance(kind="significant_drop", value=0.01), 0.01, "-1.00 points at the 95 % bound"),
        (
            Tolerance(kind="three_state", value=0.01, at_risk=0.02),
            0.01625,
            "allowed -2.00 %, at risk above 1.00 %",
        ),
    ],
)
def test_every_kind_of_tolerance_is_worded(tolerance, allowed, words):
    decision = replace(WORSE_ACCURACY, tolerance=tolerance, allowed=allowed)
    assert words in told(decision, ACCURACY).splitlines()[0]


def test_pass_at_risk_says_so():
    decision = replace(WORSE_ACCURACY, verdict=Verdict.PASS, at_risk=True, evidence=BY_QUESTION)
    assert "allowed -1.00 -> PASS (at risk)" in told(decision, ACCURACY)


@pytest.mark.parametrize(
    ("mark", "why", "way_out"),
    [
        (NOISE, "batching alone moves", "raise the tolerance above the noise"),
        (UNDETECTABLE, "too small to tell", "measure on more items"),
        (MANY, "one of many subjects", "the accuracy over all"),
    ],
)
def test_inconclusive_says_why_and_what_to_do(mark, why, way_out):
    decision = replace(
        WORSE_ACCURACY, verdict=Verdict.INCONCLUSIVE, reason=f"so: {mark}", evidence=BY_QUESTION
    )
    lines = told(decision, ACCURACY).splitlines()
    assert f"  so: {mark}" in lines
    (told_why,) = [line for line in lines if "-> INCONCLUSIVE" in line]
    assert why in told_why
    assert way_out in lines[-2]
    assert lines[-1] == f"  reproduce: quantgate run -m mmlu {REPRODUCE}"


@pytest.mark.parametrize("case", [CASE, 'x" ; rm -rf ~ #$(date)`'])
def test_fault_70_commands_hold_no_more_than_names(case):
    words = shlex.split(reproduce_command('mmlu" ; true', case))
    assert words[:5] == ["quantgate", "run", "-m", "mmlutrue", "-k"]
    assert len(words) == 6
    assert set(words[5]) <= set("[]-_." + string.ascii_letters + string.digits)
    accepting = shlex.split(accept_command('mmlu" ; true', case))
    assert accepting == [*words, "--gate-update-baselines", "--gate-reason", "..."]


def test_regression_of_divergence_is_in_nats():
    score = Score(
        metric="kl_mean", value=0.0512, n=4000, unit="nats", direction=Direction.LOWER,
        stderr=0.0021,
    )  # fmt: skip
    decision = decide(
        score, "kl_divergence", anchor=0.0, delta=0.0512, allowed=0.02, against="reference",
        tolerance=Tolerance(kind="absolute", value=0.02),
    )  # fmt: skip
    first, second, *_, mend, last = told(decision, score).splitlines()
    assert first.startswith(
        "kl_mean 0.0512 nats is 0.0512 nats above the reference 0.0000 nats; allowed +0.0200 nats"
    )
    assert second == "  standard error 0.00210 nats (n 4,000) -> REGRESSION"
    assert "limit against the reference" in mend
    assert last == f"  reproduce: quantgate run -m kl_divergence {REPRODUCE}"
    assert "--gate-update-baselines" not in told(decision, score)


def test_regression_beside_a_reference_gives_the_whole_reason():
    decision = replace(WORSE_ACCURACY, reference=0.82, reason="worse than both")
    assert "  worse than both" in told(decision, ACCURACY).splitlines()


def test_regression_against_the_reference_ran_in_one_environment():
    decision = replace(
        WORSE_PERPLEXITY, against="reference", notes=(),
        evidence=replace(BY_WINDOW, against="reference"),
    )  # fmt: skip
    lines = told(decision, PERPLEXITY).splitlines()
    assert lines[1].startswith("  paired delta to the reference +0.0308 nats/token")
    assert lines[3].startswith("  candidate and reference were measured in one environment")


def test_an_excess_too_small_to_see_is_shown():
    decision = replace(WORSE_ACCURACY, value=0.80249999, delta=-0.01000001)
    assert "is 1.000001 points below the baseline" in told(decision, ACCURACY)


def test_nearly_all_is_not_worded_as_all():
    decision = replace(WORSE_ACCURACY, value=63_999 / 64_000, anchor=1.0, delta=-1 / 64_000)
    head = told(decision, ACCURACY).partition("\n")[0]
    assert head.startswith("accuracy 99.998 % is 0.00156 points below the baseline 100.000 %")
    same = replace(decision, anchor=decision.value, delta=0.0)
    assert "accuracy 99.998 % equals the baseline 99.998 %" in told(same, ACCURACY)


def test_invalid_tells_why_and_offers_no_acceptance():
    decision = replace(
        WORSE_ACCURACY, verdict=Verdict.INVALID, reason="NaN in item 3", against="", anchor=None
    )
    text = told(decision, ACCURACY)
    assert text.startswith("accuracy of mmlu is INVALID   [tiny-int4-ort-cpu]\n  NaN in item 3")
    assert "accept" not in text


def test_invalid_for_another_protocol_can_be_accepted():
    decision = replace(WORSE_ACCURACY, verdict=Verdict.INVALID, reason="items", anchor=None)
    assert "accept: quantgate run -m mmlu" in told(decision, ACCURACY)


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
    assert f"store: quantgate run -m mmlu {REPRODUCE} {UPDATE}" in text


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
