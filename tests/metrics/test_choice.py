"""Decisions on options: argmax, ties to the first, and answers that mean nothing."""

import numpy as np
import pytest

from quantgate.metrics.choice import (
    Decisions,
    decide_by_loglikelihood,
    decide_by_text,
    degenerate_reason,
    flips,
)


def decide(rows, gold):
    return decide_by_loglikelihood(np.array(rows, dtype=np.float64), np.array(gold))


def decisions(chosen, gold, options=4):
    chosen, gold = np.array(chosen), np.array(gold)
    counts = np.broadcast_to(np.array(options), chosen.shape)
    return Decisions(chosen, gold, np.zeros(len(chosen), dtype=np.bool_), counts)


def test_likeliest_option_is_chosen():
    found = decide([[-3, -1, -2, -4], [-1, -2, -3, -4]], [1, 3])
    assert found.chosen.tolist() == [1, 0]
    assert found.correct.tolist() == [1.0, 0.0]
    assert not found.tied.any()


def test_fault_21_ties_go_to_the_first_letter_and_are_counted():
    found = decide([[-2, -1, -1, -1], [-1, -1, -2, -2], [-2, -2, -1, -3]], [1, 1, 2])
    assert found.chosen.tolist() == [1, 0, 2]
    assert found.tied.tolist() == [True, True, False]


def test_fault_21_equal_logits_everywhere_are_one_letter():
    found = decide(np.full((40, 4), -1.5), np.arange(40) % 4)
    assert found.tied.all()
    assert degenerate_reason(found, "ABCD").startswith("A is 100.0%")


def test_options_that_a_question_lacks_are_never_chosen():
    found = decide([[np.nan, -9, -8, np.nan], [-5, np.nan, np.nan, np.nan]], [2, 0])
    assert found.chosen.tolist() == [2, 0]
    assert not found.tied.any()
    assert found.options.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("A", 0),
        (" B", 1),
        ("\nC", 2),
        ("D. because", 3),
        ("Answer", 0),  # begins with a letter: so the published tables are counted
        ("a", -1),
        ("(A)", -1),
        ("E", -1),
        ("", -1),
        (" \n", -1),
        ("ABCD", 0),
    ],
)
def test_text_decides_by_what_it_begins_with(text, chosen):
    found = decide_by_text([text, "A"], ["ABCD", "ABCD"], np.array([max(chosen, 0), 0]))
    assert found.chosen.tolist() == [chosen, 0]
    assert found.correct.tolist() == [float(chosen >= 0), 1.0]
    assert found.unreadable == (chosen < 0)


def test_letters_of_other_questions_are_unreadable():
    found = decide_by_text(["E", "E", "J"], ["ABCDE", "ABCD", "ABCDEFGHIJ"], np.array([4, 0, 9]))
    assert found.chosen.tolist() == [4, -1, 9]
    assert found.options.tolist() == [5, 4, 10]


@pytest.mark.parametrize(("share", "degenerate"), [(90, False), (91, True)])
def test_fault_66_one_letter_nearly_always(share, degenerate):
    chosen = [1] * share + [0] * (100 - share)
    reason = degenerate_reason(decisions(chosen, chosen), "ABCD")
    assert bool(reason) == degenerate
    assert not degenerate or "B is 91.0%" in reason


# Of 100 guesses among four, 25 + 1.645 * sqrt(0.25 * 0.75 * 100) = 32.1 bound chance from above.
@pytest.mark.parametrize(("right", "degenerate"), [(25, True), (32, True), (33, False), (0, True)])
def test_fault_66_no_better_than_guessing(right, degenerate):
    gold = np.arange(100) % 4
    chosen = np.where(np.arange(100) < right, gold, (gold + 1) % 4)
    reason = degenerate_reason(decisions(chosen, gold), "ABCD")
    assert bool(reason) == degenerate
    assert not degenerate or "no better than guessing (25%) on 100" in reason


@pytest.mark.parametrize(("share", "degenerate"), [(90, False), (91, True)])
def test_fault_66_answers_that_name_no_option_nearly_always(share, degenerate):
    chosen = np.array([-1] * share + [0] * (100 - share))
    gold = np.where(chosen < 0, 1, chosen)
    reason = degenerate_reason(decisions(chosen, gold), "ABCD")
    assert ("begin with no letter" in reason) == degenerate
    assert reason, "ten right answers of a hundred are no better than guessing"


def test_fault_66_letter_counts_among_all_answers():
    """Half the answers can't be read: one letter for the rest isn't nine tenths of all."""
    chosen = np.array([-1] * 50 + [2] * 50)
    assert degenerate_reason(decisions(chosen, np.full(100, 2)), "ABCD") == ""


# Of 60 guesses, 20 each among 3, 5 and 10: 20/3 + 4 + 2 = 12.67 are right by chance, with variance
# 20 * (2/9 + 4/25 + 9/100) = 9.44; 12.67 + 1.645 * 3.07 = 17.7 bounds that from above.
@pytest.mark.parametrize(("right", "degenerate"), [(17, True), (18, False)])
def test_fault_66_chance_is_that_of_each_questions_options(right, degenerate):
    options = np.repeat([3, 5, 10], 20)
    gold = np.arange(60) % 3
    chosen = np.where(np.arange(60) < right, gold, (gold + 1) % 3)
    reason = degenerate_reason(decisions(chosen, gold, options), "ABCDEFGHIJ")
    assert bool(reason) == degenerate
    assert not degenerate or "no better than guessing (21%) on 60" in reason


def test_flips_are_told_apart():
    #                     right, lost, won, moved, stays wrong
    gold = [0, 0, 0, 0, 0]
    before = decisions([0, 0, 1, 1, 2], gold)
    after = decisions([0, 3, 0, 2, 2], gold)
    found = {name: np.flatnonzero(mask).tolist() for name, mask in flips(after, before).items()}
    assert found == {"right_to_wrong": [1], "wrong_to_right": [2], "changed": [1, 2, 3]}


def test_equal_accuracy_may_hide_flips():
    gold = [0, 0]
    before, after = decisions([0, 1], gold), decisions([1, 0], gold)
    assert before.correct.mean() == after.correct.mean()
    assert flips(after, before)["changed"].all()
