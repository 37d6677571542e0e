"""A request reads all ids but the last of its continuation."""

import pytest

from quantgate.requests import NO_TARGET, Loglikelihood, LoglikelihoodRolling


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
