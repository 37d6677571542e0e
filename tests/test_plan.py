"""A plan asks for every row once, and its rows are the sequences they stand for."""

import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.backends.feeds import row_bias
from quantgate.cost_model import CostModel
from quantgate.errors import InvalidMeasurement
from quantgate.groups import BATCH_TOKENS, PlanLimits
from quantgate.packing import ROW_WIDTHS
from quantgate.plan import Plan, make_plan
from quantgate.requests import Loglikelihood, LoglikelihoodRolling, Request
from quantgate.rows import Row
from quantgate.token_trie import sort_sequences

COSTS = (
    CostModel(linear=100_000, pair=100, cache=64),
    CostModel(linear=100, pair=1000, cache=1000),
    CostModel(linear=1, pair=0, cache=0),
)
LIMITS = [
    PlanLimits(packs=packs, keeps_prefix=keeps, context=10_000, cost=cost)
    for packs in (True, False)
    for keeps in (True, False)
    for cost in COSTS
]
limits = st.sampled_from(LIMITS)
tokens = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple)
# Few stems and few ids make shared prefixes, nested sequences and repeats likely.
stems = st.sampled_from([(), (7,) * 3, (7,) * 40, (7, 8, 9) * 10])


@st.composite
def any_request(draw) -> Request:
    context, continuation = draw(stems) + draw(tokens), draw(tokens)
    if draw(st.booleans()):
        return Loglikelihood(context, continuation)
    start = draw(st.integers(0, len(context) - 1))
    scored = range(start, draw(st.integers(start + 1, len(context))))
    return LoglikelihoodRolling(context, scored, tuple(context[i] for i in scored))


requests_lists = st.lists(any_request(), min_size=1, max_size=12)


def rows_of(plan: Plan) -> list[tuple[tuple[int, ...], Row]]:
    return [(group.prefix, row) for group in plan.groups for row in group.rows]


def path_to(row: Row, offset: int) -> list[int]:
    """Offsets of the row's tokens that the token at `offset` follows, itself included."""
    segment = next(s for s in row.segments if s.start <= offset < s.stop)
    before = [i for start, stop in segment.ancestors for i in range(start, stop)]
    return [*before, *range(segment.start, offset + 1)]


@given(requests_lists, limits)
def test_every_requested_row_is_wanted_once(requests, limits):
    plan = make_plan(requests, limits)
    wanted = Counter((w.sequence, w.position) for _, row in rows_of(plan) for w in row.wanted)
    numbers = {ids: number for number, ids in enumerate(plan.sequences)}
    asked = {(numbers[r.ids], p) for r in requests for p in r.scored}
    assert wanted == Counter(asked)


@given(requests_lists, limits)
def test_rows_hold_exactly_the_sequences_they_stand_for(requests, limits):
    plan = make_plan(requests, limits)
    for prefix, row in rows_of(plan):
        for want in row.wanted:
            path = path_to(row, want.offset)
            ids = [*prefix, *(row.ids[i] for i in path)]
            positions = [*range(len(prefix)), *(row.positions[i] for i in path)]
            assert tuple(ids) == plan.sequences[want.sequence][: want.position + 1]
            assert positions == list(range(want.position + 1))


@given(requests_lists, limits)
def test_segments_cover_a_row_and_look_back_only(requests, limits):
    for _, row in rows_of(make_plan(requests, limits)):
        covered = [i for s in row.segments for i in range(s.start, s.stop)]
        assert covered == list(range(len(row.ids)))
        for segment in row.segments:
            assert all(a < b <= segment.start for a, b in segment.ancestors)


@given(requests_lists, limits)
def test_bias_lets_each_token_see_its_path_and_nothing_else(requests, limits):
    for prefix, row in rows_of(make_plan(requests, limits)):
        bias = row_bias(row.segments, len(row.ids), len(prefix))
        for offset in range(len(row.ids)):
            seen = {*range(len(prefix)), *(len(prefix) + i for i in path_to(row, offset))}
            assert set(np.flatnonzero(bias[offset] == 0.0).tolist()) == seen
        assert set(np.unique(bias)) <= {0.0, -np.inf}


@given(requests_lists, limits)
def test_computed_tokens_lie_between_distinct_and_requested(requests, limits):
    plan = make_plan(requests, limits)
    distinct = sort_sequences(r.ids for r in requests).distinct_tokens
    assert distinct <= plan.computed <= plan.requested


@given(requests_lists, limits)
def test_no_scored_token_lies_inside_a_kept_prefix(requests, limits):
    for prefix, row in rows_of(make_plan(requests, limits)):
        assert all(want.position >= len(prefix) for want in row.wanted)


@given(requests_lists, limits, st.integers(50, 70))
def test_no_row_is_longer_than_the_context(requests, limits, context):
    plan = make_plan(requests, replace(limits, context=context))
    assert all(len(prefix) + len(row.ids) <= context for prefix, row in rows_of(plan))


@given(requests_lists)
def test_plan_without_packing_is_chains(requests):
    limits = PlanLimits(packs=False, keeps_prefix=True, context=10_000, cost=COSTS[0])
    for _, row in rows_of(make_plan(requests, limits)):
        assert row.is_chain
        assert len({want.sequence for want in row.wanted}) == 1


@given(requests_lists, st.sampled_from(COSTS))
def test_padded_plan_has_whole_sequences_in_bounded_batches(requests, cost):
    limits = PlanLimits(packs=False, keeps_prefix=False, context=10_000, cost=cost)
    for group in make_plan(requests, limits).groups:
        assert group.padded
        assert group.prefix == ()
        width = max(len(row.ids) for row in group.rows)
        assert len(group.rows) == 1 or width * len(group.rows) <= BATCH_TOKENS


def test_padded_batches_are_bounded_where_there_is_much_to_do():
    limits = PlanLimits(packs=False, keeps_prefix=False, context=10_000, cost=COSTS[0])
    requests = [Loglikelihood((i, *[1] * (i * 7 % 900)), (1,)) for i in range(200)]
    plan = make_plan(requests, limits)
    areas = [max(len(r.ids) for r in g.rows) * len(g.rows) for g in plan.groups]
    assert 1 < len(areas) < 200
    assert max(areas) <= BATCH_TOKENS
    padding = sum(areas) - plan.requested
    assert padding < 0.3 * plan.requested


@given(requests_lists, limits, st.integers(1, 12))
def test_cut_batches_want_every_row_once_behind_what_comes_before(requests, limits, most):
    plan = make_plan(requests, limits)
    whole, cut = list(plan.batches()), list(plan.batches(most))
    wants = [[(w.sequence, w.position) for b in each for w in b.wanted] for each in (whole, cut)]
    assert wants[0] == wants[1]
    for batch in cut:
        assert batch.wanted
        for row in batch.rows:
            for want in row.wanted:
                ids = [*batch.prefix, *(row.ids[i] for i in path_to(row, want.offset))]
                assert tuple(ids) == plan.sequences[want.sequence][: want.position + 1]
                assert row.positions[want.offset] == want.position
        if all(row.is_chain for row in batch.rows) and not batch.padded:
            assert len(batch.wanted) <= most


def test_a_cut_window_says_how_long_it_will_be():
    window = LoglikelihoodRolling(tuple(range(100)), range(30, 100), (1,) * 70)
    plan = make_plan([window], limits_of())
    parts = list(plan.batches(32))
    assert [(len(p.prefix), p.tokens, p.room) for p in parts] == [
        (0, 32, 68),
        (32, 32, 36),
        (64, 32, 4),
        (96, 4, 0),
    ]
    assert [len(part.wanted) for part in parts] == [2, 32, 32, 4]
    late = LoglikelihoodRolling(tuple(range(100)), range(64, 100), (1,) * 36)
    (first, last) = make_plan([late], limits_of()).batches(32)
    assert (first.prefix, last.prefix) == (tuple(range(64)), tuple(range(96)))
    assert [part.room for part in make_plan([window], limits_of()).batches()] == [0]


@given(requests_lists, limits)
def test_members_say_who_reads_a_sequence(requests, limits):
    plan = make_plan(requests, limits)
    for ids, members in zip(plan.sequences, plan.members, strict=True):
        assert [requests[m].ids for m in members] == [ids] * len(members)
    assert sorted(m for members in plan.members for m in members) == list(range(len(requests)))


@given(requests_lists, limits)
def test_plan_is_a_function_of_its_input(requests, limits):
    assert make_plan(requests, limits).digest == make_plan(list(requests), limits).digest


@given(requests_lists, limits, st.randoms())
def test_order_of_requests_moves_no_token(requests, limits, source):
    shuffled = list(requests)
    source.shuffle(shuffled)
    plans = [make_plan(each, limits) for each in (requests, shuffled)]
    assert plans[0].computed == plans[1].computed
    if limits.packs or limits.keeps_prefix:
        runs = [[(prefix, row.ids, row.positions) for prefix, row in rows_of(p)] for p in plans]
        assert runs[0] == runs[1]


def mmlu_like(subjects: int = 5, questions: int = 20, header: int = 300) -> list[Loglikelihood]:
    source = random.Random(0)
    requests = []
    for _ in range(subjects):
        shared = (1, *(source.randrange(2, 90) for _ in range(header)))
        for _question in range(questions):
            context = (*shared, *(source.randrange(2, 90) for _ in range(source.randint(20, 60))))
            requests += [Loglikelihood(context, (letter,)) for letter in range(100, 104)]
    return requests


def limits_of(*, packs: bool = True, keeps: bool = True, context: int = 4096) -> PlanLimits:
    cost = CostModel(linear=100_000_000, pair=30_000, cache=10_000)
    return PlanLimits(packs=packs, keeps_prefix=keeps, context=context, cost=cost)


def test_subjects_of_questions_become_groups():
    plan = make_plan(mmlu_like(), limits_of())
    assert len(plan.groups) == 5
    assert all(len(group.prefix) >= 301 for group in plan.groups)
    assert all(len(row.ids) <= max(ROW_WIDTHS) for group in plan.groups for row in group.rows)


def test_sharing_saves_what_it_promises():
    requests = mmlu_like()
    plan = make_plan(requests, limits_of())
    assert plan.requested > 30_000
    distinct = sort_sequences(r.ids for r in requests).distinct_tokens
    assert plan.computed < 1.01 * distinct  # the first token and short overlaps are repeated


def test_letters_of_one_question_are_one_row():
    plan = make_plan([Loglikelihood((1, 2, 3), (letter,)) for letter in (5, 6, 7, 8)], limits_of())
    assert plan.members == ((0, 1, 2, 3),)
    assert plan.computed == 3
    (row,) = plan.groups[0].rows
    assert len(row.wanted) == 1


def test_digest_tells_other_limits_apart():
    requests = mmlu_like()
    digests = [
        make_plan(requests, limits_of(packs=packs, keeps=keeps)).digest
        for packs, keeps in ((True, True), (False, True), (True, False), (False, False))
    ]
    assert len(set(digests)) == 4


def test_digest_tells_other_ids_and_positions_apart():
    plans = [
        make_plan([request], limits_of())
        for request in (
            Loglikelihood((1, 2, 3), (4, 5)),
            Loglikelihood((1, 2), (3, 4, 5)),
            Loglikelihood((1, 2, 4), (4, 5)),
            LoglikelihoodRolling((1, 2, 3, 4), range(4), (2, 3, 4, 5)),
        )
    ]
    assert len({plan.digest for plan in plans}) == 4


def test_fault_31_request_longer_than_the_context():
    requests = [Loglikelihood((1,) * 8, (2,)), Loglikelihood((1,) * 9, (2,))]
    with pytest.raises(InvalidMeasurement, match="request 1 within") as caught:
        make_plan(requests, limits_of(context=8))
    assert caught.value.code == "context-overflow"
    assert make_plan(requests, limits_of(context=9)).requested == 17


def test_nested_sequences_are_planned_however_many():
    ids = tuple(range(1000))
    requests = [Loglikelihood(ids[:n], (1,)) for n in range(1, 1000)]
    plan = make_plan(requests, limits_of())
    assert plan.computed < plan.requested / 10


def test_empty_list_of_requests_is_an_empty_plan():
    plan = make_plan([], limits_of())
    assert (plan.groups, plan.requested, plan.computed) == ((), 0, 0)
