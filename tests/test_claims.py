"""What a sequential run must settle, from policy and baseline to one limit per item."""

from __future__ import annotations

import math

import numpy as np
import pytest

from quantgate.items import ChoiceItems, WindowItems
from quantgate.results import Direction, Limits, Tolerance
from quantgate.sequential.betting import BEYOND, OPEN, WITHIN, Limit
from quantgate.sequential.claims import BASELINE, REFERENCE, Claim, claims_of, settle
from tests.paired_items import REFERENCE as OTHER
from tests.paired_items import answered, divergence, questions, text
from tests.test_gate import stored


def kind(name, value, at_risk=None):
    return Tolerance(kind=name, value=value, at_risk=at_risk)


def limits_of(measurement, tolerance, *, reference=None, baseline=None):
    """The limits by what they are against, with the same tolerance for both."""
    metric = measurement.scores[0].metric
    policy = {metric: Limits(baseline=tolerance, reference=tolerance)}
    claims = claims_of(measurement, policy, baseline, reference)
    return {claim.against: claim.limit for claim in claims}


@pytest.mark.parametrize(
    ("tolerance", "limit"),
    [
        (kind("absolute", 0.01), Limit(0.01)),
        (kind("relative", 0.02), Limit(0.0, share=0.02)),
        (kind("ratio_to_reference", 0.99), Limit(0.0, share=0.01)),
        (kind("three_state", 0.05, 0.1), Limit(0.0, share=0.1)),
        (kind("significant_drop", 0.01), Limit(0.01, bounded=True)),
    ],
)
def test_accuracy(tolerance, limit):
    now = questions({"all": answered(60, 1, 2, 100)})
    before = questions({"all": answered(60, n=100)}, case=OTHER)
    assert limits_of(now, tolerance, reference=before) == {REFERENCE: limit}


@pytest.mark.parametrize(
    ("tolerance", "limit"),
    [
        (kind("relative", 0.02), Limit(math.log(1.02))),
        (kind("three_state", 0.05, 0.1), Limit(math.log(1.1))),
        (kind("ratio_to_reference", 0.8), Limit(math.log(1.25))),
        (kind("significant_drop", 0.01), Limit(0.01, bounded=True)),
        (kind("absolute", 0.5), None),  # depends on the reference's complete perplexity
    ],
)
def test_perplexity_against_the_reference(tolerance, limit):
    now, before = text([1300.0, 1310.0]), text([1290.0, 1300.0], case=OTHER)
    found = limits_of(now, tolerance, reference=before)[REFERENCE]
    assert (found is None) == (limit is None)
    if found and limit:
        assert found.allowed == pytest.approx(limit.allowed)
        assert found.bounded == limit.bounded


@pytest.mark.parametrize(
    ("tolerance", "allowed"),
    [(("absolute", 0.5), math.log(12.5 / 12)), (("relative", 0.02), math.log(1.02))],
)
def test_perplexity_against_a_baseline_whose_figure_is_known(tolerance, allowed):
    name, value = tolerance
    baseline = stored(12.0, value, kind=name, metric="perplexity")
    now = text([1300.0, 1310.0])
    found = limits_of(now, kind("absolute", 9.9), baseline=baseline)
    assert found[BASELINE].allowed == pytest.approx(allowed)  # the stored tolerance is in force


def test_divergence_against_a_baseline_may_grow_by_a_share_of_it():
    baseline = stored(0.02, 0.05, kind="relative", metric="kl_mean")
    found = limits_of(divergence([0.02, 0.02]), kind("absolute", 9.9), baseline=baseline)
    assert found == {BASELINE: Limit(0.001), REFERENCE: Limit(9.9)}


def test_divergence_against_its_ideal():
    now = divergence([0.1, 0.2])
    assert limits_of(now, kind("absolute", 0.05))[REFERENCE] == Limit(0.05)
    assert limits_of(now, kind("relative", 0.05))[REFERENCE] == Limit(0.05)


def test_only_whole_suite_figures_with_a_policy_are_claimed():
    now = questions({"all": answered(60, 1, 2, 100)})
    before = questions({"all": answered(60, n=100)}, case=OTHER)
    tolerance = Limits(reference=kind("absolute", 0.01))
    assert not claims_of(now, {}, None, before)
    named = {score.metric: tolerance for score in now.scores}
    found = claims_of(now, {**named, "subject.all": tolerance}, None, before)
    assert [claim.metric for claim in found] == ["accuracy"]


def test_without_any_policy_the_first_metric_is_claimed_against_its_stored_baseline():
    """The gate decides it all the same, with the tolerance stored."""
    now = divergence([0.02, 0.02])
    kept, other = (stored(0.02, 0.001, metric=name) for name in ("kl_mean", "top1_agreement"))
    expected = [Claim("kl_mean", BASELINE, Direction.LOWER, Limit(0.001))]
    unlimited = dict.fromkeys((score.metric for score in now.scores), Limits())
    for policy in ({}, unlimited):
        assert claims_of(now, policy, kept, None) == expected
        assert not claims_of(now, policy, other, None)
    for limited in ("top1_agreement", "elsewhere"):
        policy = {**unlimited, limited: Limits(baseline=kind("absolute", 0.1))}
        assert not claims_of(now, policy, kept, None)


def letters(kinds):
    """Items of two sides, of which each question is right before and now, as `kinds` say."""
    gold = np.zeros(len(kinds), dtype=np.int8)
    sides = [np.array([int(pair[side] == "-") for pair in kinds]) for side in (1, 0)]
    subjects = ("all",) * len(kinds)
    now, before = (ChoiceItems(subjects, side.astype(np.int8), gold) for side in sides)
    return now, before


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        (["++"] * 290 + ["--"] * 10, WITHIN),
        (["+-"] * 60 + ["++"] * 240, BEYOND),
        (["++"] * 9, OPEN),
    ],
)
def test_answers_are_settled_by_what_was_taken(kinds, code):
    now, before = letters(kinds)
    claim = Claim("accuracy", BASELINE, Direction.HIGHER, Limit(0.02))
    blocks = np.array_split(np.random.default_rng(0).permutation(len(kinds)), 3)
    assert settle(claim, now, before, [block.tolist() for block in blocks], 3000) == code


def windows(means, size=100.0):
    sums = {"top1_agreement": np.array(means) * size}
    counts = {"top1_agreement": np.full(len(means), size)}
    return WindowItems(np.arange(len(means)) * 512, counts, sums)


def test_harm_is_a_lower_figure_where_higher_is_better():
    noise = np.random.default_rng(0).normal(0, 0.001, 64)
    claim = Claim("top1_agreement", REFERENCE, Direction.HIGHER, Limit(0.05))
    blocks = [list(range(0, 32 * 512, 512)), list(range(32 * 512, 64 * 512, 512))]
    ideal = windows(np.ones(64))
    assert settle(claim, windows(0.97 + noise), ideal, blocks, 200) == WITHIN
    assert settle(claim, windows(0.90 + noise), ideal, blocks, 200) == BEYOND


def test_what_cannot_be_paired_stays_open():
    now, before = letters(["++"] * 290)
    claim = Claim("accuracy", BASELINE, Direction.HIGHER, Limit(0.02))
    blocks = [list(range(290))]
    assert settle(claim, now, before, blocks, 3000) == WITHIN
    other = ChoiceItems(before.subjects, before.chosen, before.gold + 1)
    assert settle(claim, now, other, blocks, 3000) == OPEN
    assert settle(claim, now, None, blocks, 3000) == OPEN
    open_limit = Claim("accuracy", BASELINE, Direction.HIGHER, None)
    assert settle(open_limit, now, before, blocks, 3000) == OPEN
    macro = Claim("accuracy_macro", BASELINE, Direction.HIGHER, Limit(0.02))
    assert settle(macro, now, before, blocks, 3000) == OPEN
    assert not macro.testable("mmlu")
