"""Sequential tests against brute force: every order that could have been drawn, item by item."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from quantgate.gate.decision import decide
from quantgate.results import Limits, Tolerance, Verdict
from quantgate.sequential.betting import (
    BETS,
    BEYOND,
    FARTHEST,
    FEWEST_WINDOWS,
    LARGEST_LOSS,
    LEVEL,
    OPEN,
    WITHIN,
    Limit,
    judge_answers,
    judge_windows,
    log_capital,
    log_window_capital,
)
from quantgate.sequential.strata import GROWTH, draw_blocks, stage_ends, stratified_blocks
from tests.paired_items import REFERENCE, answered, questions

SUBJECTS = [f"subject {number}" for number in range(57) for _ in range(20 + 9 * number)]
VALUES = np.array([1.0, -1.0, 0.0])


def counts_of(harms):
    """Block by block, how many items are worth 1, -1 and 0."""
    return np.array([[sum(x == value for x in block) for value in VALUES] for block in harms])


def capital(blocks, total, mean):
    """The capital by its definition, one item at a time."""
    left, won, shares = total, 0.0, [1.0 / len(BETS)] * len(BETS)
    for block in blocks:
        expected = (total * mean - won) / left
        bets = [min(bet, LARGEST_LOSS / (expected + 1)) for bet in BETS]
        for item in block:
            shares = [s * (1 + b * (item - expected)) for s, b in zip(shares, bets, strict=True)]
        left, won = left - len(block), won + sum(block)
    return sum(shares)


def test_every_item_comes_once_and_the_order_is_fixed():
    blocks = stratified_blocks(SUBJECTS)
    assert sorted(np.concatenate(blocks).tolist()) == list(range(len(SUBJECTS)))
    again = stratified_blocks(SUBJECTS)
    assert all(np.array_equal(one, other) for one, other in zip(blocks, again, strict=True))
    assert not np.array_equal(blocks[0], stratified_blocks(SUBJECTS, seed=1)[0])


def test_every_prefix_holds_each_stratum_near_its_share():
    """Nearer by far than a plain random order would: hypergeometric counts."""
    codes = np.unique(SUBJECTS, return_inverse=True)[1]
    sizes, total = np.bincount(codes), len(codes)
    taken = np.zeros(len(sizes))
    ratios = []
    for block in stratified_blocks(SUBJECTS)[:-1]:
        taken += np.bincount(codes[block], minlength=len(sizes))
        share = taken.sum() / total
        apart = taken - share * sizes
        variance = share * (1 - share) * sizes * (total - sizes) / (total - 1)
        ratios.append((apart**2).sum() / variance.sum())
        assert abs(apart).max() < 8
    assert np.mean(ratios) < 0.25


def test_strata_are_rounded_without_bias():
    codes = np.repeat([0, 1, 2], [3, 5, 40])
    first = [np.bincount(codes[draw_blocks(codes, seed) == 0], minlength=3) for seed in range(4000)]
    assert np.mean(first, axis=0) == pytest.approx(8 / 48 * np.array([3, 5, 40]), abs=0.03)


def test_stages_grow_geometrically():
    sizes = [len(block) for block in stratified_blocks(SUBJECTS)]
    reached = np.cumsum(sizes)[np.array(stage_ends(sizes, 64, 1 / 32)) - 1]
    assert reached[0] >= len(SUBJECTS) / 32
    assert reached[-1] == len(SUBJECTS)
    growth = reached[1:-1] / reached[:-2]
    assert growth.min() >= GROWTH
    assert growth.max() < GROWTH + 0.35
    assert stage_ends([8, 8, 8], 64, 0.1) == (3,)


@pytest.mark.parametrize("seed", range(5))
def test_capital_is_that_of_its_definition(seed):
    source = np.random.default_rng(seed)
    blocks = [source.choice(VALUES, size, p=[0.4, 0.1, 0.5]).tolist() for size in (3, 1, 7, 5)]
    found = log_capital(counts_of(blocks), VALUES, 60, np.float64(0.05))
    assert found == pytest.approx(math.log(capital(blocks, 60, 0.05)))


def test_no_capital_is_expected_from_a_true_hypothesis_under_any_stratified_draw():
    """All orders of two strata of 3 and 5, of which a block takes 1.5 and 2.5 on average."""
    strata = [(1, -1, 1), (0, 1, 0, -1, 0)]
    mean = sum(map(sum, strata)) / 8
    expected = 0.0
    for few, many in itertools.product((1, 2), (2, 3)):  # both roundings, each as likely
        draws = itertools.product(
            itertools.permutations(strata[0], few), itertools.permutations(strata[1], many)
        )
        found = [
            math.exp(log_capital(counts_of([one + other]), VALUES, 8, np.float64(mean)))
            for one, other in draws
        ]
        expected += np.mean(found) / 4
    assert 0.8 < expected <= 1 + 1e-12


def test_no_capital_is_expected_block_after_block():
    items = (1, 1, -1, 0, 0, 0)
    found = [
        math.exp(log_capital(counts_of([o[:2], o[2:3], o[3:5]]), VALUES, 6, np.float64(1 / 6)))
        for o in itertools.permutations(items)
    ]
    assert np.mean([value for value in found if np.isfinite(value)]) <= 1 + 1e-12
    assert all(map(math.isfinite, found)), "the hypothesis is true in every order"


@pytest.mark.parametrize("seed", range(20))
def test_capital_is_infinite_exactly_where_what_is_left_cannot_matter(seed):
    source = np.random.default_rng(seed)
    taken = source.choice(VALUES, 14, p=[0.8, 0.1, 0.1])
    for left in range(1, 20):
        total, mean = 14 + left, 0.2
        lowest = (taken.sum() - left) / total
        found = log_capital(counts_of([taken[:6], taken[6:]]), VALUES, total, np.float64(mean))
        assert np.isinf(found) == (lowest > mean + 1e-9)


def kinds_of(lost, won, right, total):
    """One block of answers: both right, lost, won, both wrong."""
    return np.array([[right - lost, lost, won, total - right - won]], dtype=float)


@pytest.mark.parametrize(
    ("lost", "won", "verdict"), [(0, 0, WITHIN), (120, 20, BEYOND), (30, 20, OPEN), (22, 11, OPEN)]
)
def test_plain_answers_settle_plain_cases(lost, won, verdict):
    counts = kinds_of(lost, won, 600, 1000)
    assert judge_answers(counts, 14_000, Limit(0.01)) == verdict


@pytest.mark.parametrize("beyond", [False, True])
@pytest.mark.parametrize("concentrated", [False, True])
def test_wrong_verdicts_on_answers_are_rarer_than_the_level(beyond, concentrated):
    """Harm exactly at the tolerance, and one answer beyond it."""
    runs, codes = 500, np.repeat(np.arange(6), 30)
    harms = np.zeros(180)
    lost, won = 24 + beyond, 6
    places = np.random.default_rng(3).permutation(30 if concentrated else 180)
    harms[places[:lost]] = 1
    others = np.flatnonzero(harms == 0)
    harms[np.random.default_rng(4).permutation(others)[:won]] = -1
    wrong = 0
    for seed in range(runs):
        labels = draw_blocks(codes, seed)
        ends = stage_ends(np.bincount(labels).tolist(), 20, 0.1)
        kinds = np.select([harms == 1, harms == -1], [1, 2], 0)
        table = np.bincount(4 * labels + kinds, minlength=4 * ends[-1]).reshape(-1, 4)
        found = (
            judge_answers(table[:end].astype(float), 180, Limit(18 / 180)) for end in ends[:-1]
        )
        verdict = next((code for code in found if code != OPEN), OPEN)
        wrong += verdict == (WITHIN if beyond else BEYOND)
    assert wrong / runs <= LEVEL


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (4, 30), (14, 10), (22, 10), (27, 10), (50, 10)])
@pytest.mark.parametrize(
    ("tolerance", "limit"),
    [
        (Tolerance(kind="absolute", value=0.01), Limit(0.01)),
        (Tolerance(kind="absolute", value=0.03), Limit(0.03)),
        (Tolerance(kind="relative", value=0.0125), Limit(0.0, share=0.0125)),
        (Tolerance(kind="significant_drop", value=0.01), Limit(0.01, bounded=True)),
        (Tolerance(kind="significant_drop", value=0.03), Limit(0.03, bounded=True)),
    ],
)
def test_what_is_predicted_is_the_verdict_of_the_gate(lost, won, tolerance, limit):
    """Harms between the edges of a complete run give the verdict that the gate gives it."""
    n, right = 1000, 800
    now = questions({"all": answered(right, lost, won, n)})
    before = questions({"all": answered(right, n=n)}, case=REFERENCE)
    policy = Limits(reference=tolerance)
    decision = decide(now, "accuracy", limits=policy, baseline=None, reference=before)
    harm = (lost - won) / n - limit.share * right / n
    stderr = math.sqrt(((lost + won) / n - ((lost - won) / n) ** 2) / n)
    passes, fails = limit.edges(np.float64(stderr), right / n)
    words = Verdict.INCONCLUSIVE
    if harm <= passes:
        words = Verdict.PASS
    elif harm > fails:
        words = Verdict.REGRESSION
    assert decision.verdict == words, decision.reason


def window_capital(values, blocks, total):
    """The capital over windows by its definition."""
    values = np.asarray(values)
    middle = np.median(values)
    lowest = middle - FARTHEST * np.abs(values - middle).max()
    spread = values.std(ddof=1)
    left, won, start, shares = total, 0.0, 0, [1.0 / len(BETS)] * len(BETS)
    for size in blocks:
        expected = -won / left
        bets = [min(2 * bet / spread, LARGEST_LOSS / (expected - lowest)) for bet in BETS]
        for item in values[start : start + size]:
            shares = [s * (1 + b * (item - expected)) for s, b in zip(shares, bets, strict=True)]
        left, won, start = left - size, won + values[start : start + size].sum(), start + size
    return sum(shares)


@pytest.mark.parametrize("seed", range(5))
def test_capital_over_windows_is_that_of_its_definition(seed):
    values = np.random.default_rng(seed).normal(0.3, size=16)
    blocks = np.array([4, 5, 7])
    found = log_window_capital(values, blocks, 40)
    assert found == pytest.approx(math.log(window_capital(values, blocks, 40)))


def judged(harms, sizes=None, total=200, allowed=0.1):
    harms = np.asarray(harms, dtype=float)
    sizes = np.ones(len(harms)) if sizes is None else sizes
    blocks = np.full(len(harms) // 8, 8)
    return int(judge_windows(harms, sizes, blocks, total, Limit(allowed)))


def test_windows_settle_plain_cases():
    noise = np.random.default_rng(0).normal(0, 0.1, size=64)
    assert judged(noise) == WITHIN
    assert judged(noise + 0.3) == BEYOND
    assert judged(noise + 0.09) == OPEN


def test_unchanged_windows_pass_even_where_nothing_is_allowed():
    assert judged(np.zeros(64), allowed=0.0) == WITHIN
    assert judged(np.full(64, 1e-6), allowed=0.0) == BEYOND


def test_nothing_is_settled_by_few_windows_nor_by_all():
    few = np.zeros(FEWEST_WINDOWS - 8)
    assert judged(few) == OPEN
    assert judged(np.zeros(64), total=64) == OPEN


def test_windows_weigh_by_their_positions():
    """The ratio of sums is above what is allowed, the mean of the windows' means is not."""
    sizes = np.tile([1000.0, 10.0], 40)
    means = np.tile([0.02, 0.0], 40) + np.random.default_rng(0).normal(0, 1e-4, 80)
    assert judged(means * sizes, sizes, allowed=0.015) == BEYOND
    assert judged(means, allowed=0.015) == WITHIN


@pytest.mark.parametrize("better", [1, -1])
def test_wrong_verdicts_on_skewed_windows_are_rarer_than_the_level(better):
    """Log-normal harms, far more skewed than any that was measured, at the tolerance."""
    source = np.random.default_rng(5)
    values = better * np.exp(source.normal(size=160))
    values = (values - values.mean()) / values.std()
    labels = draw_blocks(np.zeros(160, dtype=np.int64), 0)
    sizes = np.bincount(labels)
    runs = 1000
    mixed = source.permuted(np.tile(1.0 + values, (runs, 1)), axis=1)
    settled = np.zeros(runs, dtype=bool)
    for end in stage_ends(sizes.tolist(), FEWEST_WINDOWS, 0.25)[:-1]:
        taken = mixed[:, : sizes[:end].sum()]
        codes = judge_windows(taken, np.ones(taken.shape), sizes[:end], 160, Limit(1.0))
        settled |= codes != OPEN
    assert settled.mean() <= LEVEL
