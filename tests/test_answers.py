"""Answers as flat arrays: where each request's entries lie, and that none is missing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.answers import Answers, offsets_of, places_of
from quantgate.errors import InvalidMeasurement
from quantgate.requests import NO_TARGET, Loglikelihood, LoglikelihoodRolling

LETTER = Loglikelihood((1, 2), (3, 4))
WINDOW = LoglikelihoodRolling((5, 6, 7), range(1, 3), (7, NO_TARGET), place=10)
ASKED = (LETTER, WINDOW, Loglikelihood((1,), (2,)))


def filled(*, compared: bool = False, requests=ASKED) -> Answers:
    answers = Answers.blank(requests, compared=compared)
    answers.logprobs[:] = -np.arange(1.0, len(answers.logprobs) + 1)
    answers.top[:] = 3
    for figures in (answers.kl, answers.abs_log_ratio, answers.same_top):
        figures[:] = 0.5
    return answers


def test_blank_answers_hold_nothing_yet():
    answers = Answers.blank(ASKED, compared=False)
    assert answers.offsets.tolist() == [0, 2, 4, 5]
    assert np.isnan(answers.logprobs).all()
    assert answers.logprobs.shape == answers.top.shape == (5,)
    assert (answers.top == -1).all()
    assert answers.kl.size == answers.abs_log_ratio.size == answers.same_top.size == 0


def test_compared_answers_have_a_figure_for_every_place():
    """Places count from the rows of the whole text, of which this window scores the last two."""
    answers = Answers.blank(ASKED, compared=True)
    assert answers.kl.shape == answers.abs_log_ratio.shape == answers.same_top.shape == (13,)
    assert np.isnan(answers.kl).all()
    assert places_of(ASKED) == 13
    assert places_of([LETTER]) == 0


def test_entries_follow_the_requests():
    answers = filled()
    parts = [answers.logprobs[answers.of(number)].tolist() for number in range(len(ASKED))]
    assert parts == [[-1.0, -2.0], [-3.0, -4.0], [-5.0]]
    assert answers.totals.tolist() == [-3.0, -7.0, -5.0]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=8))
def test_totals_are_sums_of_the_entries(sizes):
    requests = [Loglikelihood((0,), tuple(range(size))) for size in sizes]
    answers = filled(requests=requests)
    assert np.diff(offsets_of(requests)).tolist() == sizes
    expected = [answers.logprobs[answers.of(number)].sum() for number in range(len(sizes))]
    assert answers.totals.tolist() == expected


@pytest.mark.parametrize("compared", [False, True])
def test_arrays_come_back_as_they_were(compared):
    answers = filled(compared=compared)
    again = Answers.from_arrays(answers.arrays())
    for name, array in answers.arrays().items():
        kept = getattr(again, name)
        assert kept.dtype == array.dtype
        assert np.array_equal(kept, array)
        assert not np.shares_memory(kept, array)


@pytest.mark.parametrize("name", ["offsets", "logprobs", "top", "kl", "abs_log_ratio", "same_top"])
def test_arrays_with_one_missing_are_no_answers(name):
    arrays = filled().arrays()
    del arrays[name]
    with pytest.raises(KeyError, match=name):
        Answers.from_arrays(arrays)


def test_fault_35_complete_answers_pass():
    filled().require_complete(ASKED)
    answers = filled()
    answers.logprobs[3] = np.nan  # nothing follows the window's last id
    answers.require_complete(ASKED)


@pytest.mark.parametrize(("name", "value"), [("logprobs", np.nan), ("top", -1), ("kl", np.nan)])
def test_fault_35_answers_with_a_gap_are_no_result(name, value):
    answers = filled(compared=True)
    getattr(answers, name)[2] = value
    with pytest.raises(InvalidMeasurement, match="1 missing") as caught:
        answers.require_complete(ASKED)
    assert caught.value.code == "rows-missing"


def test_fault_35_all_gaps_are_counted():
    with pytest.raises(InvalidMeasurement) as caught:
        Answers.blank(ASKED, compared=True).require_complete(ASKED)
    assert caught.value.found == "22 missing"  # 4 targets, 5 most likely ids, 13 divergences


@pytest.mark.parametrize(("lowest", "valid"), [(-1e-10, True), (-1e-8, False)])
def test_divergence_may_be_negative_by_rounding_only(lowest, valid):
    answers = filled(compared=True)
    answers.kl[4] = lowest
    if valid:
        answers.require_complete(ASKED)
        return
    with pytest.raises(InvalidMeasurement, match="-1e-08") as caught:
        answers.require_complete(ASKED)
    assert caught.value.code == "divergence-negative"
