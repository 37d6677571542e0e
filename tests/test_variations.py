"""Repetitions run the same requests in other ways, and none of them is the usual one."""

from quantgate.backends.base import usable_cores
from quantgate.cost_model import CostModel
from quantgate.groups import PlanLimits
from quantgate.plan import Plan, make_plan
from quantgate.requests import Loglikelihood
from quantgate.variations import WIDTHS, varied_limits, varied_threads

LIMITS = PlanLimits(
    packs=True,
    keeps_prefix=True,
    context=4096,
    cost=CostModel(linear=100_000, pair=1, cache=64),
)
STEM = tuple(range(100))
REQUESTS = [Loglikelihood((*STEM, 200 + i, 7, 8, 9, *range(i % 5)), (1,)) for i in range(300)]


def plan(repeat: int) -> Plan:
    return make_plan(REQUESTS, varied_limits(repeat, LIMITS))


def widest(found: Plan) -> int:
    return max(len(row.ids) for group in found.groups for row in group.rows)


def test_repetition_0_is_the_usual_way():
    assert varied_limits(0, LIMITS) == LIMITS
    assert [varied_threads(0, threads) for threads in (0, 1, 7)] == [0, 1, 7]


def test_repetition_1_computes_every_sequence_alone():
    found = plan(1)
    rows = [row for group in found.groups for row in group.rows]
    assert {group.prefix for group in found.groups} == {()}
    assert sorted(row.ids for row in rows) == sorted({request.ids for request in REQUESTS})
    assert all(row.is_chain for row in rows)
    assert varied_threads(1, 7) == 7


def test_repetition_2_changes_the_number_of_threads_alone():
    assert varied_limits(2, LIMITS) == LIMITS
    assert [varied_threads(2, threads) for threads in (1, 2, 8)] == [2, 1, 1]
    assert varied_threads(2, 0) == (1 if usable_cores() > 1 else 2)


def test_later_repetitions_have_rows_of_other_widths():
    widths = [widest(plan(repeat)) for repeat in (0, 3, 5, 7)]
    assert widths[0] > 256
    assert widths[1] <= 256
    assert widths[2] <= 128
    assert widths[3] <= 64
    assert varied_limits(99, LIMITS).batch_tokens in WIDTHS


def test_no_two_of_the_first_repetitions_are_the_same_way():
    ways = {(plan(repeat).digest, varied_threads(repeat, 4)) for repeat in range(16)}
    assert len(ways) == 16
