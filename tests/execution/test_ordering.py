"""Readings land where the requests asked for them, whatever the plan made of the requests."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.answers import Answers, offsets_of, places_of
from quantgate.cost_model import CostModel
from quantgate.execution.ordering import Ordering
from quantgate.execution.orders import Order, Readings
from quantgate.groups import PlanLimits
from quantgate.plan import Plan, make_plan
from quantgate.requests import NO_TARGET, Loglikelihood, LoglikelihoodRolling, Request

COST = CostModel(linear=100_000, pair=100, cache=64)
LIMITS = [
    PlanLimits(packs, keeps, 4096, COST, alone=alone, batch_tokens=tokens)
    for packs, keeps in ((True, True), (True, False), (False, True), (False, False))
    for alone in (False, True)
    for tokens in (2048, 32)
]
WIDTH = 2
tokens = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple)
stems = st.sampled_from([(), (7,) * 3, (7,) * 40, (7, 8, 9) * 10])


def value(ids: Sequence[int], target: int) -> float:
    """What a model whose every answer depends on all that it read would say."""
    return -(hash((tuple(ids), target)) % 999_983) / 1000


def state(ids: Sequence[int]) -> np.ndarray:
    return np.array([hash(tuple(ids)) % 1009, len(ids)], np.float32)


def answer(order: Order, plan: Plan) -> Readings:
    """Readings of an order, from the ids alone."""
    wanted = order.batch.wanted
    read = [plan.sequences[want.sequence][: want.position + 1] for want in wanted]
    hidden = np.array([state(ids) for ids in read])
    compared = np.empty((3, 0))
    if order.comparison is not None:
        rows = order.comparison.rows
        anchor = hidden[rows] if order.comparison.hidden is None else order.comparison.hidden
        compared = np.stack([anchor[:, 0], anchor[:, 1], hidden[rows][:, 1]]).astype(float)
    pairs = zip(order.rows, order.targets, strict=True)
    return Readings(
        np.array([np.nan if t == NO_TARGET else value(read[row], int(t)) for row, t in pairs]),
        np.array([hash(ids) % 1009 for ids in read]),
        hidden[order.keep] if len(order.keep) else None,
        *compared,
    )


@st.composite
def requests_with_places(draw) -> list[Request]:
    """Some questions, and windows whose places follow each other."""
    found: list[Request] = []
    place = 0
    for _ in range(draw(st.integers(1, 10))):
        context, continuation = draw(stems) + draw(tokens), draw(tokens)
        if draw(st.booleans()):
            found.append(Loglikelihood(context, continuation))
            continue
        targets = (*context[1:], NO_TARGET)
        if draw(st.booleans()):
            found.append(LoglikelihoodRolling(context, range(len(context)), targets, place))
            place += len(context)
        else:
            start = draw(st.integers(0, len(context) - 1))
            scored = range(start, len(context))
            found.append(LoglikelihoodRolling(context, scored, targets[start:]))
    return found


def ordering(requests, limits, **changes):
    plan = make_plan(requests, limits)
    facts = {"keep": True, "compare": True, "anchor": None, "tokens": 9}
    return plan, Ordering(plan, requests, **{**facts, **changes})


@given(requests_with_places(), st.sampled_from(LIMITS), st.integers(1, 7))
def test_orders_of_few_rows_answer_the_same(requests, limits, most):
    plan, one = ordering(requests, replace(limits, carried_rows=most))
    answers = Answers.blank(requests, compared=True)
    kept = np.full((places_of(requests), WIDTH), np.nan)
    for _, ticket in one.tickets(range(one.count)):
        rows = ticket.order.batch.rows
        places = any(request.place is not None for request in requests)
        padded = ticket.order.batch.padded
        if places and not padded and all(row.is_chain for row in rows):
            assert len(ticket.order.batch.wanted) <= most
        readings = answer(ticket.order, plan)
        ticket.fill(answers, readings)
        if readings.hidden is not None:
            kept[ticket.places] = readings.hidden
    plan, whole = ordering(requests, limits)
    expected = Answers.blank(requests, compared=True)
    for _, ticket in whole.tickets(range(whole.count)):
        ticket.fill(expected, answer(ticket.order, plan))
    for name, array in expected.arrays().items():
        assert np.array_equal(answers.arrays()[name], array, equal_nan=True), name
    assert not np.isnan(kept).any()


@given(requests_with_places(), st.sampled_from(LIMITS))
def test_every_request_is_answered_from_what_it_reads(requests, limits):
    plan, one = ordering(requests, limits)
    answers = Answers.blank(requests, compared=True)
    places = places_of(requests)
    kept = np.full((places, WIDTH), np.nan)
    for _, ticket in one.tickets(range(one.count)):
        readings = answer(ticket.order, plan)
        ticket.fill(answers, readings)
        if readings.hidden is not None:
            kept[ticket.places] = readings.hidden
    offsets = offsets_of(requests)
    for number, request in enumerate(requests):
        entries = range(int(offsets[number]), int(offsets[number + 1]))
        for entry, position, target in zip(entries, request.scored, request.targets, strict=True):
            read = request.ids[: position + 1]
            assert answers.top[entry] == hash(read) % 1009
            if target == NO_TARGET:
                assert np.isnan(answers.logprobs[entry])
            else:
                assert answers.logprobs[entry] == value(read, target)
            if request.place is not None:
                assert kept[request.place + position].tolist() == state(read).tolist()
                assert answers.kl[request.place + position] == state(read)[0]
    assert not np.isnan(kept).any()


@given(requests_with_places(), st.sampled_from(LIMITS))
def test_rows_are_compared_with_the_references_row_of_their_place(requests, limits):
    places = places_of(requests)
    anchor = np.arange(places * WIDTH, dtype=np.float32).reshape(-1, WIDTH)
    plan, one = ordering(requests, limits, keep=False, anchor=anchor)
    answers = Answers.blank(requests, compared=True)
    for _, ticket in one.tickets(range(one.count)):
        assert not len(ticket.order.keep)
        ticket.fill(answers, answer(ticket.order, plan))
    assert answers.kl.tolist() == anchor[:, 0].tolist()
    assert answers.abs_log_ratio.tolist() == anchor[:, 1].tolist()


REQUESTS = [
    Loglikelihood((1, 2, 3), (4, 5)),
    Loglikelihood((1, 2, 3), (5,)),
    LoglikelihoodRolling((1, 2, 3), range(3), (2, 3, NO_TARGET), 0),
]


def test_without_comparing_nothing_is_compared():
    _, one = ordering(REQUESTS, LIMITS[0], compare=False)
    assert not one.compares
    assert {t.order.comparison for _, t in one.tickets(range(one.count))} == {None}


def test_orders_are_made_in_the_plans_order_and_only_those_asked_for():
    requests = [Loglikelihood(tuple(range(n, n + 900)), (1,)) for n in range(5)]
    _, one = ordering(requests, LIMITS[0])
    assert one.count > 2
    last = one.count - 1
    assert [number for number, _ in one.tickets({last, 0, 99})] == [0, last]
    _, ticket = next(one.tickets([last]))
    named = one._plan.members[ticket.order.batch.wanted[0].sequence][0]
    assert ticket.first == named


def test_digest_tells_apart_what_is_read_and_kept():
    window = REQUESTS[2]
    others = [
        REQUESTS[:2],
        [REQUESTS[1], REQUESTS[0], window],
        [Loglikelihood((1, 2, 3), (4, 6)), *REQUESTS[1:]],
        [*REQUESTS[:2], replace(window, targets=(2, 4, NO_TARGET))],
        [*REQUESTS[:2], replace(window, place=1)],
        [*REQUESTS[:2], replace(window, place=None)],
        [*REQUESTS[:2], replace(window, scored=range(1, 3), targets=(3, NO_TARGET))],
    ]
    digests = [ordering(each, LIMITS[0])[1].digest for each in (REQUESTS, *others)]
    changes = ({"keep": False}, {"compare": False}, {"tokens": 10})
    digests += [ordering(REQUESTS, LIMITS[0], **change)[1].digest for change in changes]
    assert len(set(digests)) == len(digests)
    assert ordering(list(REQUESTS), LIMITS[0])[1].digest == digests[0]


def test_orders_are_cut_only_where_rows_travel():
    requests = [LoglikelihoodRolling(tuple(range(40)), range(40), (1,) * 40, 0)]
    limits = replace(LIMITS[0], carried_rows=16)
    anchor = np.zeros((40, WIDTH), np.float32)
    travels = ({"keep": True, "compare": False}, {"keep": False, "anchor": anchor})
    stays = ({"keep": False}, {"keep": False, "compare": False})
    assert [ordering(requests, limits, **facts)[1].count for facts in travels] == [3, 3]
    assert [ordering(requests, limits, **facts)[1].count for facts in stays] == [1, 1]
    unplaced = [replace(requests[0], place=None)]
    assert ordering(unplaced, limits)[1].count == 1
    digests = {ordering(requests, replace(limits, carried_rows=n))[1].digest for n in (0, 16, 20)}
    assert len(digests) == 3


def test_request_that_two_sequences_could_answer_is_answered_once():
    """Equal ids are one sequence; each of its requests has an entry of its own."""
    plan, one = ordering(REQUESTS, LIMITS[0])
    entries = [e for _, t in one.tickets(range(one.count)) for e in t.entries.tolist()]
    assert sorted(entries) == list(range(int(offsets_of(REQUESTS)[-1])))
    assert len(plan.sequences) == 2


@pytest.mark.parametrize("limits", LIMITS)
def test_rows_and_targets_of_an_order_ascend_as_its_reader_expects(limits):
    _, one = ordering(REQUESTS, limits)
    for _, ticket in one.tickets(range(one.count)):
        assert (np.diff(ticket.order.rows) >= 0).all()
        assert (np.diff(ticket.order.keep) > 0).all()
