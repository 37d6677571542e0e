"""A request reads all ids but the last of its continuation."""

import pytest

from quantgate.requests import (
    NO_TARGET,
    GenerateUntil,
    GenerateUntilMultiRound,
    Loglikelihood,
    LoglikelihoodRolling,
)


def test_last_id_is_only_predicted():
    request = Loglikelihood((1, 2, 3), (4, 5))
    assert request.ids == (1, 2, 3, 4)
    assert list(request.scored) == [2, 3]


@pytest.mark.parametrize(("context", "continuation"), [((), (1,)), ((1,), ())])
def test_neither_part_may_be_empty(context, continuation):
    with pytest.raises(ValueError, match="needs a context and a continuation"):
        Loglikelihood(context, continuation)


@pytest.mark.parametrize("scored", [range(0), range(3, 5), range(-1, 2)])
def test_scored_positions_lie_inside_the_window(scored):
    with pytest.raises(ValueError, match="outside"):
        LoglikelihoodRolling((1, 2, 3, 4), scored, (5,) * len(scored))


def test_every_scored_position_has_a_target():
    request = LoglikelihoodRolling((1, 2, 3, 4), range(2, 4), (4, NO_TARGET), 7)
    assert (request.targets, request.place) == ((4, NO_TARGET), 7)
    with pytest.raises(ValueError, match="1 targets for 2 positions"):
        LoglikelihoodRolling((1, 2, 3, 4), range(2, 4), (4,))


def test_targets_of_a_continuation_are_its_ids():
    request = Loglikelihood((1, 2, 3), (4, 5))
    assert request.targets == (4, 5)
    assert request.place is None


def test_a_generation_is_a_dialog_of_one_round():
    request = GenerateUntil((1, 2), 8, (0,), ("\n\n",))
    assert request.rounds == ((1, 2),)
    assert GenerateUntilMultiRound(((1, 2), (3,)), 8).rounds == ((1, 2), (3,))


def test_generations_append_and_generate_something():
    for rounds in ((), ((),), ((1,), ())):
        with pytest.raises(ValueError, match="at least one id in every round"):
            GenerateUntilMultiRound(rounds, 8)
    with pytest.raises(ValueError, match="at least one id in every round"):
        GenerateUntil((), 8)
    with pytest.raises(ValueError, match="a limit of 0 ids"):
        GenerateUntil((1,), 0)
