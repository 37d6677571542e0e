"""The verdict over greedy answers: against the ideal, against a baseline, and with their items."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats as scipy_stats

from quantgate.baselines.entry import make_entry
from quantgate.baselines.items import describe, items_to_store, pack, unpack
from quantgate.baselines.store import BaselineStore
from quantgate.corpora import Corpora
from quantgate.errors import UsageFault
from quantgate.gate.decision import decide
from quantgate.gate.findings import IDENTICAL
from quantgate.items import items_of
from quantgate.manifest.manifest import load_manifest
from quantgate.measure import Measurer
from quantgate.results import Limits, Tolerance, Verdict
from quantgate.suites import require_known_metrics
from tests.running import evaluator_in


def limits(reference: float | None = None, baseline: float | None = None) -> Limits:
    sizes = {"reference": reference, "baseline": baseline}
    return Limits(
        **{
            side: Tolerance(kind="absolute", value=size)
            for side, size in sizes.items()
            if size is not None
        }
    )


def ruled(measurement, metric="matched_share", **sides):
    return decide(measurement, metric, **{"baseline": None, "reference": None, **sides})


def parted(measurement, matched):
    """The measurement with so many matching ids in each generation, each of 10."""
    rows = [
        {**row, "tokens": 10, "matched": count, "identical": count == 10}
        for row, count in zip(measurement.detail["generations"], matched, strict=True)
    ]
    score = replace(measurement.score("matched_share"), value=float(np.mean(matched)) / 10)
    return replace(measurement, scores=(score,), detail={"generations": rows})


def test_copy_of_the_reference_passes_and_is_called_one(generated):
    decision = ruled(generated["same"], limits=limits(0.0))
    assert decision.verdict is Verdict.PASS
    assert (decision.reference, decision.delta) == (1.0, 0.0)
    assert IDENTICAL in decision.notes


def test_answers_of_another_head_do_not_pass(generated):
    """Seven generations are few, so the verdict may be that they are too few."""
    for metric in ("matched_share", "identical"):
        decision = ruled(generated["other"], metric, limits=limits(0.01))
        assert decision.verdict in {Verdict.REGRESSION, Verdict.INCONCLUSIVE}
        assert decision.against == "reference"
        assert IDENTICAL not in decision.notes
    lost = parted(generated["other"], [0, 1, 2, 0, 1, 0, 1])
    assert ruled(lost, limits=limits(0.01)).verdict is Verdict.REGRESSION


@pytest.mark.parametrize("matched", [[10, 10, 10, 9, 5, 8, 10], [9, 9, 9, 8, 9, 9, 8]])
@pytest.mark.parametrize("allowed", [0.02, 0.1, 0.12, 0.2])
def test_verdict_is_that_of_students_bounds_over_generations(generated, matched, allowed):
    """By scipy, from the shares alone: a generation is one item, whatever its length."""
    harm = 1 - np.array(matched) / 10
    error = scipy_stats.sem(harm)
    half = scipy_stats.t.ppf(0.95, len(harm) - 1) * error
    decision = ruled(parted(generated["other"], matched), limits=limits(allowed))
    evidence = decision.evidence
    assert evidence.delta == pytest.approx(-harm.mean())
    assert evidence.stderr == pytest.approx(error)
    assert evidence.method == "Student's t, 6 degrees of freedom, 7 generations"
    if allowed >= evidence.detectable:
        expected = Verdict.PASS if harm.mean() <= allowed else Verdict.REGRESSION
    elif harm.mean() + half <= allowed:
        expected = Verdict.PASS
    else:
        above = harm.mean() - half > allowed
        expected = Verdict.REGRESSION if above else Verdict.INCONCLUSIVE
    assert decision.verdict is expected


def test_noise_above_the_tolerance_is_inconclusive(generated):
    (score,) = parted(generated["other"], [9] * 7).scores
    noisy = replace(parted(generated["other"], [9] * 7), scores=(replace(score, noise=0.3),))
    assert ruled(noisy, limits=limits(0.2)).verdict is Verdict.INCONCLUSIVE


def test_items_are_stored_and_paired_with(generated):
    before = parted(generated["other"], [9, 8, 9, 8, 9, 8, 9])
    now = parted(generated["other"], [9, 8, 9, 3, 2, 8, 9])
    kept = items_to_store(before)
    read = unpack(pack({"generation": kept}), "a file")["generation"]
    assert describe(read) == describe(items_of(before))
    policy = limits(baseline=0.05)
    stored = make_entry(before, lambda *_: policy, describe(kept), reason="first", provenance={})
    decision = ruled(now, limits=policy, baseline=stored, kept=read)
    assert decision.evidence.delta == pytest.approx(-(5 + 7) / 70)
    assert decision.evidence.against == "baseline"
    assert decision.verdict is Verdict.INCONCLUSIVE
    assert ruled(before, limits=policy, baseline=stored, kept=read).verdict is Verdict.PASS


def test_other_protocol_is_not_comparable(generated):
    policy = limits(baseline=0.05)
    stored = make_entry(generated["other"], lambda *_: policy, None, reason="a", provenance={})
    other = replace(
        generated["other"],
        comparability=replace(generated["other"].comparability, protocol="another"),
    )
    decision = ruled(other, limits=policy, baseline=stored)
    assert decision.verdict is Verdict.INVALID
    assert "not comparable with the baseline" in decision.reason


def test_sequential_run_generates_everything(
    generation_manifest, generation_cache, generated, tmp_path
):
    manifest = generation_manifest
    measurer = Measurer(
        manifest,
        Corpora(manifest),
        evaluator_in(generation_cache),
        sequential=BaselineStore(tmp_path),
    )
    found = measurer.measure(manifest.cases()[2], "generation")
    assert found.scores == generated["other"].scores
    assert found.warnings == ()


def test_repetitions_give_noise(generation_manifest, generation_cache):
    manifest, evaluator = generation_manifest, evaluator_in(generation_cache)
    measurer = Measurer(manifest, Corpora(manifest), evaluator, 2)
    found = measurer.measure(manifest.cases()[2], "generation")
    assert all(score.noise is not None and math.isfinite(score.noise) for score in found.scores)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("[tasks.generation]\ntexts = 0\nquestions = 0\ndialogs = 0\n", "generation-empty"),
        ('[tasks.generation]\nstop = [""]\n', "manifest-value"),
        ('[tasks.generation]\nstop = ["a", "a"]\n', "manifest-duplicate"),
        ("[tasks.generation]\nnew_tokens = 0\n", "manifest-value"),
        ("[policy.generation]\nmatch_length.reference = { absolute = 1 }\n", "policy-metric"),
    ],
)
def test_manifest_that_switches_the_gate_off_is_refused(tmp_path, line, code):
    """A length has no ideal to be held against, so no policy may name it."""
    file = tmp_path / "quantgate.toml"
    file.write_text(f"schema_version = 1\n{line}", "utf-8")
    with pytest.raises(UsageFault) as caught:
        require_known_metrics(load_manifest(file))
    assert caught.value.code == code
