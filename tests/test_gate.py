"""The decision: every verdict, its edges, and what can never become PASS."""

import math
from dataclasses import replace

import pytest

from quantgate.baselines.schema import TaskBaseline
from quantgate.errors import InvalidMeasurement
from quantgate.gate.decision import TOO_GOOD, decide, decide_fault
from quantgate.results import (
    Comparability,
    Direction,
    Limits,
    Measurement,
    Score,
    Tolerance,
    Verdict,
)

COMPARABILITY = Comparability(
    protocol="strided 1024/512", items=570, ids_digest="a" * 64, corpus="b" * 64,
    tokenizer="c" * 64, plan="d" * 64,
)  # fmt: skip
DIRECTIONS = {"perplexity": Direction.LOWER, "kl_mean": Direction.LOWER}
UNITS = {"perplexity": "perplexity", "kl_mean": "nats"}


def measure(value, metric="accuracy", *, task="mmlu", case="tiny-int4-ort-cpu", **changes):
    score = Score(
        metric=metric, value=value, n=570, unit=UNITS.get(metric, "fraction"),
        direction=DIRECTIONS.get(metric, Direction.HIGHER),
    )  # fmt: skip
    facts = {"identity": {"package": case}, "comparability": COMPARABILITY}
    return Measurement(**{**facts, "case_id": case, "task": task, "scores": (score,), **changes})


def reference(value, metric="accuracy", **changes):
    return measure(value, metric, case="tiny-fp32-ort-cpu", **changes)


def stored(value, tolerance=0.01, *, kind="absolute", metric="accuracy", **changes):
    entry = {
        "value": value, "stderr": None, "n": 570, "unit": UNITS.get(metric, "fraction"),
        "tolerance": {"kind": kind, "value": tolerance},
    }  # fmt: skip
    fields = {name: getattr(COMPARABILITY, name) for name in Comparability.__slots__}
    facts = {
        "identity": {"package": "tiny-int4-ort-cpu"}, "provenance": {}, "reason": "first",
        "updated": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    document = {**facts, "comparability": fields, "metrics": {metric: entry}, **changes}
    return TaskBaseline.model_validate(document)


def absolute(value):
    return Tolerance(kind="absolute", value=value)


def relative(value):
    return Tolerance(kind="relative", value=value)


WANTED = Limits(baseline=absolute(0.01))


def judge(measurement, metric="accuracy", *, limits=WANTED, baseline=None, reference=None, **more):
    return decide(
        measurement, metric, limits=limits, baseline=baseline, reference=reference, **more
    )


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (0.82, Verdict.PASS),
        (0.81, Verdict.PASS),
        (0.80, Verdict.PASS),  # exactly the tolerance; in binary floats 0.81 - 0.80 > 0.01
        (0.7999999999, Verdict.REGRESSION),
    ],
)
def test_absolute_tolerance_is_inclusive_and_unrounded(value, verdict):
    decision = judge(measure(value), baseline=stored(0.81))
    assert decision.verdict is verdict
    assert decision.against == "baseline"
    assert (decision.value, decision.anchor, decision.allowed) == (value, 0.81, 0.01)
    assert decision.delta == pytest.approx(value - 0.81, abs=1e-15)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [
        (14.0, Verdict.PASS),
        (14.58555, Verdict.PASS),  # 14.37 * 1.015
        (14.58556, Verdict.REGRESSION),
    ],
)
def test_relative_tolerance_where_lower_is_better(value, verdict):
    baseline = stored(14.37, 0.015, kind="relative", metric="perplexity")
    decision = judge(measure(value, "perplexity"), "perplexity", baseline=baseline)
    assert decision.verdict is verdict
    assert decision.allowed == pytest.approx(0.21555, abs=1e-15)


def test_stored_tolerance_is_in_force_and_not_the_limits():
    wide = Limits(baseline=absolute(0.5))
    assert judge(measure(0.75), limits=wide, baseline=stored(0.8)).verdict is Verdict.REGRESSION
    tight = Limits(baseline=absolute(0.0))
    decision = judge(measure(0.75), limits=tight, baseline=stored(0.8, 0.1))
    assert decision.verdict is Verdict.PASS
    assert decision.tolerance == absolute(0.1)


def test_stored_tolerance_is_in_force_even_where_the_limit_is_gone():
    decision = judge(measure(0.75), limits=Limits(), baseline=stored(0.8))
    assert decision.verdict is Verdict.REGRESSION


def test_fault_45_no_baseline():
    decision = judge(measure(0.8))
    assert decision.verdict is Verdict.NO_BASELINE
    assert (decision.anchor, decision.against) == (None, "")


def test_fault_45_good_reference_is_no_baseline():
    limits = Limits(baseline=absolute(0.01), reference=absolute(0.05))
    decision = judge(measure(0.8), limits=limits, reference=reference(0.82))
    assert decision.verdict is Verdict.NO_BASELINE
    assert decision.reference == 0.82


def test_bad_reference_regresses_without_a_baseline():
    limits = Limits(baseline=absolute(0.01), reference=absolute(0.05))
    decision = judge(measure(0.8), limits=limits, reference=reference(0.86))
    assert decision.verdict is Verdict.REGRESSION
    assert (decision.against, decision.anchor) == ("reference", 0.86)


def test_reference_alone_decides_where_no_baseline_is_wanted():
    limits = Limits(reference=relative(0.01))
    assert judge(measure(0.8), limits=limits, reference=reference(0.805)).verdict is Verdict.PASS
    worse = judge(measure(0.8), limits=limits, reference=reference(0.81))
    assert worse.verdict is Verdict.REGRESSION


def test_nothing_to_hold_against_is_no_pass():
    decision = judge(measure(0.8), limits=Limits())
    assert decision.verdict is Verdict.NO_BASELINE
    assert "nothing" in decision.reason


def test_both_checks_are_made_and_named():
    limits = Limits(baseline=absolute(0.01), reference=absolute(0.02))
    slow_decay = judge(
        measure(0.795), limits=limits, baseline=stored(0.8), reference=reference(0.83)
    )
    assert slow_decay.verdict is Verdict.REGRESSION
    assert (slow_decay.against, slow_decay.anchor) == ("reference", 0.83)
    assert "baseline 0.8" in slow_decay.reason
    assert "reference 0.83" in slow_decay.reason
    both = judge(measure(0.7), limits=limits, baseline=stored(0.8), reference=reference(0.83))
    assert (both.against, both.anchor) == ("baseline", 0.8)
    assert "reference 0.83" in both.reason


def test_missing_reference_is_told():
    limits = Limits(baseline=absolute(0.01), reference=absolute(0.02))
    decision = judge(measure(0.8), limits=limits, baseline=stored(0.8))
    assert decision.verdict is Verdict.PASS
    assert any("reference" in note for note in decision.notes)


def test_reference_is_held_against_its_baseline_alone():
    limits = Limits(baseline=absolute(0.01), reference=absolute(0.0))
    own = reference(0.8)
    decision = judge(own, limits=limits, baseline=stored(0.8), reference=own)
    assert decision.verdict is Verdict.PASS
    assert (decision.against, decision.reference) == ("baseline", None)
    assert decision.notes == ()


def test_fault_48_too_good_passes_with_a_note():
    decision = judge(measure(0.83), baseline=stored(0.8))
    assert decision.verdict is Verdict.PASS
    assert decision.notes == (TOO_GOOD,)
    assert judge(measure(0.81), baseline=stored(0.8)).notes == ()


@pytest.mark.parametrize("field", Comparability.__slots__)
def test_fault_42_other_than_the_baseline_is_invalid(field):
    other = 571 if field == "items" else "z"
    measurement = measure(0.8, comparability=replace(COMPARABILITY, **{field: other}))
    decision = judge(measurement, baseline=stored(0.8))
    assert decision.verdict is Verdict.INVALID
    assert decision.against == "baseline"
    assert field.replace("_", " ") in decision.reason
    assert str(other) in decision.reason


def test_fault_42_other_unit_is_invalid():
    decision = judge(measure(0.8), baseline=stored(80.0, metric="accuracy").model_copy(
        update={"metrics": {"accuracy": stored(80.0).metrics["accuracy"].model_copy(
            update={"unit": "percent"})}}))  # fmt: skip
    assert decision.verdict is Verdict.INVALID
    assert "unit: baseline percent, now fraction" in decision.reason


@pytest.mark.parametrize("field", ["protocol", "items", "ids_digest", "corpus"])
def test_fault_41_other_than_the_reference_is_invalid(field):
    other = replace(COMPARABILITY, **{field: 571 if field == "items" else "z"})
    decision = judge(
        measure(0.8), baseline=stored(0.8), reference=reference(0.8, comparability=other)
    )
    assert decision.verdict is Verdict.INVALID
    assert "reference" in decision.reason


@pytest.mark.parametrize("field", ["plan", "tokenizer"])
def test_reference_may_have_another_plan_and_other_files_of_the_same_ids(field):
    other = replace(COMPARABILITY, **{field: "z"})
    decision = judge(
        measure(0.8), baseline=stored(0.8), reference=reference(0.8, comparability=other)
    )
    assert decision.verdict is Verdict.PASS


def test_reference_of_another_task_is_invalid():
    other = reference(0.8, task="mmlu.greedy")
    assert judge(measure(0.8), baseline=stored(0.8), reference=other).verdict is Verdict.INVALID


@pytest.mark.parametrize("value", [math.nan, math.inf, None])
def test_fault_20_value_that_is_no_number_is_invalid(value):
    decision = judge(measure(value), baseline=stored(0.8))
    assert decision.verdict is Verdict.INVALID
    assert decision.value is None


def test_reference_that_is_no_number_is_invalid():
    decision = judge(measure(0.8), baseline=stored(0.8), reference=reference(math.nan))
    assert decision.verdict is Verdict.INVALID


def test_missing_metric_is_invalid():
    decision = judge(measure(0.8), "macro_accuracy", baseline=stored(0.8))
    assert decision.verdict is Verdict.INVALID
    assert "its metrics: accuracy" in decision.reason


FAULT = InvalidMeasurement("logits-nan", need="finite logits", found="NaN in item 3", fix="mend")


def test_fault_is_invalid_whatever_the_figure():
    decision = judge(measure(0.8), baseline=stored(0.8), fault=FAULT)
    assert decision.verdict is Verdict.INVALID
    assert "logits-nan" in decision.reason
    alone = decide_fault("tiny-int4-ort-cpu", "mmlu", "accuracy", FAULT)
    assert (alone.verdict, alone.value) == (Verdict.INVALID, None)
    assert "NaN in item 3" in alone.reason


def test_every_fault_is_told():
    other = replace(COMPARABILITY, items=571)
    decision = judge(measure(math.nan, comparability=other), baseline=stored(0.8), fault=FAULT)
    for part in ("logits-nan", "nan", "items"):
        assert part in decision.reason


KL = {"metric": "kl_mean", "task": "kl_divergence"}
KL_LIMITS = Limits(reference=absolute(0.02))


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.0199, Verdict.PASS), (0.02, Verdict.PASS), (0.0201, Verdict.REGRESSION)],
)
@pytest.mark.parametrize("kind", ["absolute", "relative"])
def test_divergence_is_held_against_zero(value, verdict, kind):
    limits = Limits(reference=Tolerance(kind=kind, value=0.02))
    decision = judge(measure(value, **KL), "kl_mean", limits=limits)
    assert decision.verdict is verdict
    assert (decision.anchor, decision.against) == (0.0, "reference")


def test_agreement_is_held_against_one():
    measurement = measure(0.97, "top1_agreement", task="kl_divergence")
    limits = Limits(reference=absolute(0.02))
    decision = judge(measurement, "top1_agreement", limits=limits)
    assert decision.verdict is Verdict.REGRESSION
    assert decision.anchor == 1.0


def test_fault_65_zero_divergence_of_different_packages_is_invalid():
    other = reference(0.0, **KL)
    decision = judge(measure(0.0, **KL), "kl_mean", limits=KL_LIMITS, reference=other)
    assert decision.verdict is Verdict.INVALID
    assert "exactly 0" in decision.reason


def test_fault_65_zero_divergence_without_proof_is_invalid():
    decision = judge(measure(0.0, **KL), "kl_mean", limits=KL_LIMITS)
    assert decision.verdict is Verdict.INVALID


def test_fault_65_zero_divergence_spoils_every_metric_of_its_task():
    agreement = Score(
        metric="top1_agreement", value=1.0, n=570, unit="fraction", direction=Direction.HIGHER
    )
    both = measure(0.0, **KL)
    both = replace(both, scores=(*both.scores, agreement))
    assert judge(both, "top1_agreement", limits=KL_LIMITS).verdict is Verdict.INVALID


@pytest.mark.parametrize("detail", [{}, {"reference_identity": {"package": "same"}}])
def test_fault_65_identical_packages_are_noted(detail):
    candidate = measure(0.0, **KL, identity={"package": "same"}, detail=detail)
    other = None if detail else reference(0.5, task="perplexity", identity={"package": "same"})
    decision = judge(candidate, "kl_mean", limits=KL_LIMITS, reference=other)
    assert decision.verdict is Verdict.PASS
    assert any("identical packages" in note for note in decision.notes)


def test_fault_65_unknown_digests_are_not_equal_digests():
    candidate, other = measure(0.0, **KL, identity={}), reference(0.0, **KL, identity={})
    decision = judge(candidate, "kl_mean", limits=KL_LIMITS, reference=other)
    assert decision.verdict is Verdict.INVALID


DEGENERATE = {"degenerate": "one letter (B) is 97 % of the answers"}


def test_fault_66_degenerate_answers_are_invalid():
    decision = judge(measure(0.8, detail=DEGENERATE), baseline=stored(0.8))
    assert decision.verdict is Verdict.INVALID
    assert "one letter (B)" in decision.reason


def test_fault_66_degenerate_answers_may_only_warn():
    decision = judge(measure(0.8, detail=DEGENERATE), baseline=stored(0.8), degenerate="warn")
    assert decision.verdict is Verdict.PASS
    assert any("one letter (B)" in note for note in decision.notes)
    with pytest.raises(ValueError, match="warn"):
        judge(measure(0.8), degenerate="ignore")


def test_fault_43_drift_is_noted_or_invalid():
    old = stored(
        0.8,
        identity={"package": "x", "threads": 2},
        provenance={"packages": {"onnxruntime": "1.30.0"}},
    )
    now = measure(0.8, identity={"package": "y", "threads": 4})
    facts = {"packages": {"onnxruntime": "1.31.1"}}
    decision = judge(now, baseline=old, provenance=facts)
    assert decision.verdict is Verdict.PASS
    (note,) = decision.notes
    assert "onnxruntime 1.30.0 -> 1.31.1" in note
    assert "threads 2 -> 4" in note
    strict = judge(now, baseline=old, provenance=facts, strict_env=True)
    assert strict.verdict is Verdict.INVALID
    assert "1.31.1" in strict.reason


ENGINE = {"package": "x", "backend": "ort", "provider": "CPUExecutionProvider"}


@pytest.mark.parametrize(
    ("field", "other"),
    [("backend", "ortgenai"), ("provider", "CUDAExecutionProvider"), ("provider", None)],
)
def test_fault_18_baseline_of_another_engine_is_invalid(field, other):
    old = stored(0.8, identity=ENGINE)
    assert judge(measure(0.8, identity=ENGINE), baseline=old).verdict is Verdict.PASS
    decision = judge(measure(0.8, identity={**ENGINE, field: other}), baseline=old)
    assert decision.verdict is Verdict.INVALID
    assert decision.against == "baseline"
    assert f"{field}: baseline {ENGINE[field]}, now {other}" in decision.reason


@pytest.mark.parametrize(
    ("field", "other"), [("backend", "torch"), ("provider", "CUDAExecutionProvider")]
)
def test_fault_18_reference_of_another_engine_is_a_comparison_that_is_named(field, other):
    elsewhere = {**ENGINE, "package": "y", field: other}
    decision = judge(
        measure(0.8, identity=ENGINE),
        baseline=stored(0.8, identity=ENGINE),
        reference=reference(0.8, identity=elsewhere),
    )
    assert decision.verdict is Verdict.PASS
    (note,) = decision.notes
    assert note.startswith("held across engines: this ran by ort on CPUExecutionProvider")
    assert f"{elsewhere['backend']} on {elsewhere['provider']}" in note
    same = reference(0.8, identity={**ENGINE, "package": "y"})
    assert judge(measure(0.8, identity=ENGINE), reference=same).notes == ()


# --- noise --------------------------------------------------------------------------------------


def noisy(value, noise, metric="accuracy"):
    found = measure(value, metric)
    return replace(found, scores=(replace(found.scores[0], noise=noise),))


def stored_noise(value, noise, tolerance=0.01):
    found = stored(value, tolerance)
    entry = found.metrics["accuracy"].model_copy(update={"noise": noise})
    return found.model_copy(update={"metrics": {"accuracy": entry}})


@pytest.mark.parametrize("value", [0.8, 0.795, 0.5, 0.9])
@pytest.mark.parametrize(
    ("now", "then", "verdict"),
    [
        (None, None, None),
        (0.0, None, None),
        (0.01, 0.01, None),  # exactly the tolerance
        (0.0100001, None, Verdict.INCONCLUSIVE),
        (None, 0.02, Verdict.INCONCLUSIVE),
        (0.001, 0.02, Verdict.INCONCLUSIVE),
        (0.02, 0.001, Verdict.INCONCLUSIVE),
    ],
)
def test_fault_62_tolerance_below_the_noise_decides_nothing(value, now, then, verdict):
    decision = judge(noisy(value, now), baseline=stored_noise(0.8, then))
    usual = judge(measure(value), baseline=stored(0.8)).verdict
    assert decision.verdict is (verdict or usual)
    if verdict:
        assert "measured noise of" in decision.reason
        assert str(max(now or 0.0, then or 0.0)) in decision.reason
        assert "0.01" in decision.reason


def test_fault_62_finest_tolerance_counts():
    """The reference's is below the noise though the baseline's isn't."""
    limits = Limits(baseline=absolute(0.05), reference=absolute(0.005))
    decision = judge(
        noisy(0.8, 0.01), limits=limits, baseline=stored(0.8, 0.05), reference=reference(0.8)
    )
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert "against the reference, 0.005" in decision.reason


def test_fault_62_relative_tolerance_is_that_of_the_figure():
    baseline = stored(10.0, 0.01, kind="relative", metric="perplexity")
    quiet, loud = (
        judge(noisy(10.0, noise, "perplexity"), "perplexity", baseline=baseline)
        for noise in (0.099, 0.101)
    )
    assert (quiet.verdict, loud.verdict) == (Verdict.PASS, Verdict.INCONCLUSIVE)


def test_fault_62_noise_hides_no_fault():
    decision = judge(noisy(math.nan, 1.0), baseline=stored(0.8))
    assert decision.verdict is Verdict.INVALID


def test_fault_62_noise_without_anything_to_hold_against_changes_nothing():
    assert judge(noisy(0.8, 1.0)).verdict is Verdict.NO_BASELINE


@pytest.mark.parametrize("baseline", [None, stored(0.0), stored(0.8)])
@pytest.mark.parametrize("limits", [Limits(), WANTED, Limits(reference=absolute(1000.0))])
@pytest.mark.parametrize(
    "bad",
    [
        {"fault": FAULT},
        {"measurement": measure(math.nan)},
        {"measurement": measure(0.8, detail=DEGENERATE)},
        {"reference": reference(0.8, comparability=replace(COMPARABILITY, ids_digest="z"))},
    ],
)
def test_invalid_never_becomes_anything_else(baseline, limits, bad):
    measurement = bad.get("measurement", measure(0.8))
    others = {name: value for name, value in bad.items() if name != "measurement"}
    decision = judge(measurement, limits=limits, baseline=baseline, **others)
    assert decision.verdict is Verdict.INVALID


def test_tolerance_of_unknown_kind_is_refused():
    limits = Limits(reference=Tolerance(kind="generous", value=1.0))
    with pytest.raises(ValueError, match="generous"):
        judge(measure(0.8), limits=limits, reference=reference(0.8))


def test_fault_65_reference_may_diverge_from_itself_by_nothing():
    own = reference(0.0, **KL)
    decision = judge(own, "kl_mean", limits=WANTED, reference=own,
                     baseline=stored(0.0, 0.001, metric="kl_mean"))  # fmt: skip
    assert (decision.verdict, decision.notes) == (Verdict.PASS, ())
