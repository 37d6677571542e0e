"""Verdicts of speed and memory: ratios, their bounds, what is never gated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t

from quantgate.baselines.items import describe, items_to_store, pack, unpack
from quantgate.baselines.schema import TaskBaseline
from quantgate.errors import InvalidMeasurement
from quantgate.gate.decision import BETTER_THAN_REFERENCE, decide
from quantgate.gate.pairing import figure
from quantgate.items import items_of
from quantgate.packages.sizes import Sizes
from quantgate.results import Comparability, Limits, Measurement, Tolerance, Verdict
from quantgate.tasks.memory import Footprint, memory_detail, memory_scores, unknown_device
from quantgate.tasks.prompt_ids import Prompts
from quantgate.tasks.speed import SpeedSamples, speed_detail, speed_scores
from quantgate.tasks.turns import Round

METRIC = "generation_speedup"
CASE, REFERENCE = "tiny-int4-ort-cpu", "tiny-fp32-ort-cpu"
COMPARABILITY = Comparability(
    protocol="128+256 tokens", items=9, ids_digest="a", corpus="b", tokenizer="c", plan="d"
)
QUIET = np.array([1.01, 0.99, 1.0, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0])
DISTURBED = np.array([1.3, 0.6, 1.0, 1.5, 0.7, 1.0, 1.4, 0.65, 1.0])


def speed(ratios, *, case=CASE, reference=REFERENCE):
    """A measurement whose rounds are so many times as fast as the reference's."""
    ours = tuple(Round(1 / r, 10 / r, 20, {64: 2 / r}) for r in ratios)
    samples = SpeedSamples(ours, tuple(Round(1.0, 10.0, 20, {64: 2.0}) for _ in ratios))
    detail = speed_detail(samples, Prompts((1, 2, 3)), reference)
    return Measurement(
        case_id=case,
        task="speed",
        scores=speed_scores(samples),
        comparability=COMPARABILITY,
        identity={"package": case},
        detail={**detail, "reference_identity": {"package": reference}},
    )


def judge(measurement, tolerance, metric=METRIC, **more):
    limits = Limits(reference=tolerance)
    return decide(measurement, metric, limits=limits, baseline=None, reference=None, **more)


def share(value):
    return Tolerance(kind="ratio_to_reference", value=value)


@pytest.mark.parametrize("metric", [METRIC, "first_token_speedup", "prefill_speedup.64"])
@pytest.mark.parametrize(
    ("factor", "verdict"),
    [(1.0, Verdict.PASS), (2.0, Verdict.PASS), (0.96, Verdict.PASS), (0.5, Verdict.REGRESSION)],
)
def test_quiet_rounds_are_decided(metric, factor, verdict):
    found = judge(speed(QUIET * factor), share(0.9), metric)
    assert found.verdict is verdict
    assert found.value == pytest.approx(factor)
    assert (found.against, found.anchor, found.reference) == ("reference", 1.0, 1.0)
    assert found.evidence.low <= factor - 1 <= found.evidence.high


def test_disturbed_rounds_are_inconclusive():
    found = judge(speed(DISTURBED), share(0.95))
    assert found.verdict is Verdict.INCONCLUSIVE
    evidence = found.evidence
    half = t.ppf(0.975, 8) * evidence.stderr
    assert 2 * half == pytest.approx(evidence.high - evidence.low)
    assert evidence.detectable > evidence.allowed == pytest.approx(0.05)
    assert evidence.method == "bootstrap of the median, 9 rounds"


@pytest.mark.parametrize(("factor", "verdict"), [(3.0, Verdict.PASS), (0.2, Verdict.REGRESSION)])
def test_disturbed_rounds_are_decided_where_they_leave_no_doubt(factor, verdict):
    assert judge(speed(DISTURBED * factor), share(0.95)).verdict is verdict


def test_being_faster_is_no_leak():
    found = judge(speed(QUIET * 2), share(0.9))
    assert found.evidence.p_value < 0.01
    assert BETTER_THAN_REFERENCE not in found.notes


def test_a_reference_is_held_against_itself_without_remark():
    found = judge(speed(QUIET, case=REFERENCE), share(0.9))
    assert (found.verdict, found.notes) == (Verdict.PASS, ())


def test_a_reference_on_another_engine_is_told():
    measurement = speed(QUIET)
    places = {"backend": "ort", "provider": "cpu"}, {"backend": "torch", "provider": "cpu"}
    across = replace(
        measurement,
        identity={**measurement.identity, **places[0]},
        detail={**measurement.detail, "reference_identity": {"package": REFERENCE, **places[1]}},
    )
    (note,) = judge(across, share(0.9)).notes
    assert note == "held across engines: this ran by ort on cpu, its reference by torch on cpu"


def test_items_survive_the_side_file_and_yield_the_figure():
    measurement = speed(DISTURBED)
    items = items_to_store(measurement)
    again = unpack(pack({"speed": items}), "file")["speed"]
    assert describe(again) == describe(items)
    for metric in (METRIC, "prefill_speedup.64"):
        assert figure(metric, again) == measurement.score(metric).value
        assert figure(metric, again) == pytest.approx(np.median(DISTURBED))


def stored(measurement, size):
    """A baseline made of a measurement."""
    fields = {name: getattr(COMPARABILITY, name) for name in Comparability.__slots__}
    entry = {
        "value": measurement.score(METRIC).value, "stderr": None, "n": 9, "unit": "ratio",
        "tolerance": {"kind": "relative", "value": size},
    }  # fmt: skip
    return TaskBaseline.model_validate(
        {
            "comparability": fields, "identity": {"package": CASE}, "provenance": {},
            "reason": "first", "updated": "2026-01-01T00:00:00Z", "metrics": {METRIC: entry},
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("ratios", "verdict"),
    [
        (QUIET * 2, Verdict.PASS),
        (QUIET * 1.5, Verdict.REGRESSION),
        (DISTURBED * 2, Verdict.INCONCLUSIVE),
    ],
)
def test_a_ratio_is_gated_on_its_baseline_by_the_rounds_of_both(ratios, verdict):
    before, now = speed(QUIET * 2), speed(ratios)
    found = decide(
        now,
        METRIC,
        limits=Limits(baseline=Tolerance(kind="relative", value=0.1)),
        baseline=stored(before, 0.1),
        reference=None,
        kept=items_of(before),
    )
    assert found.verdict is verdict
    assert (found.against, found.anchor) == ("baseline", pytest.approx(2.0))
    assert found.evidence is not None


def test_a_run_of_other_rounds_is_not_compared_with_the_baseline():
    other = replace(speed(QUIET), comparability=replace(COMPARABILITY, protocol="other"))
    found = decide(
        other, METRIC, limits=Limits(), baseline=stored(speed(QUIET), 0.1), reference=None
    )
    assert found.verdict is Verdict.INVALID


def footprint(scale):
    return Footprint(100 * scale, 90 * scale, 120 * scale, Sizes(1, 1000 * scale, 5, 0))


def memory(ours, theirs):
    detail = memory_detail(ours, theirs, REFERENCE)
    return Measurement(
        case_id=CASE,
        task="memory",
        scores=memory_scores(ours, theirs),
        comparability=COMPARABILITY,
        identity={"package": CASE},
        detail={**detail, "reference_identity": {"package": REFERENCE}},
    )


@pytest.mark.parametrize(
    ("ours", "verdict"), [(1, Verdict.PASS), (2, Verdict.PASS), (3, Verdict.REGRESSION)]
)
def test_memory_is_held_against_the_references(ours, verdict):
    measurement = memory(footprint(ours), footprint(2))
    for metric in ("peak_saving", "resident_saving", "loading_saving", "disk_saving"):
        found = judge(measurement, share(0.9), metric)
        assert found.verdict is verdict
        assert found.value == pytest.approx(2 / ours, rel=0.01)
    assert measurement.score("peak_mib").value == 120 * ours
    assert measurement.score("disk_mib").value == pytest.approx((1000 * ours + 6) / 2**20)


def on_device(scale, mib):
    return replace(footprint(scale), device_mib=mib)


@pytest.mark.parametrize(
    ("ours", "verdict"), [(500, Verdict.PASS), (1000, Verdict.PASS), (1500, Verdict.REGRESSION)]
)
def test_memory_on_a_device_is_held_against_the_references(ours, verdict):
    measurement = memory(on_device(1, ours), on_device(1, 1000))
    found = judge(measurement, share(0.9), "device_saving")
    assert (found.verdict, found.value) == (verdict, 1000 / ours)
    assert measurement.score("peak_device_mib").value == ours
    assert measurement.detail["candidate"]["mib"]["peak_device"] == ours


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (0, 1000), (500, 0)])
def test_without_both_there_is_no_saving_on_a_device(ours, theirs):
    measurement = memory(on_device(1, ours), on_device(1, theirs))
    metrics = {score.metric for score in measurement.scores}
    assert "device_saving" not in metrics
    assert ("peak_device_mib" in metrics) == bool(ours)
    assert ("peak_device" in measurement.detail["candidate"]["mib"]) == bool(ours)


PROVIDERS = {
    "CPUExecutionProvider": False, "cpu": False, "ROCMExecutionProvider": False,
    "CUDAExecutionProvider": True, "cuda:0": True, "nvtensorrtrtx": True,
    "TensorrtExecutionProvider": True,
}  # fmt: skip


@pytest.mark.parametrize(("provider", "nvidia"), PROVIDERS.items())
def test_a_device_that_does_not_tell_is_told(provider, nvidia):
    unknown, identity = footprint(1), {"provider": provider}
    told = unknown_device(unknown, unknown, identity, gated=False)
    assert len(told) == nvidia
    assert all("nvidia-ml-py" in line and provider in line for line in told)
    assert unknown_device(on_device(1, 5), unknown, identity, gated=False) == ()


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (0, 1000), (500, 0)])
def test_a_limit_on_a_device_that_does_not_tell_is_invalid(ours, theirs):
    sides = on_device(1, ours), on_device(1, theirs)
    with pytest.raises(InvalidMeasurement) as fault:
        unknown_device(*sides, {"provider": "cuda"}, gated=True)
    assert fault.value.code == "device-memory-unknown"
    assert ("its reference" if ours else "the model") in fault.value.need
    assert unknown_device(*sides, {"provider": "cpu"}, gated=True) == ()
    known = on_device(1, 5)
    assert unknown_device(known, known, {"provider": "cuda"}, gated=True) == ()
