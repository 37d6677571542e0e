"""The ledger of `rolling`: every id of a document once, after as much as a window holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.tasks.rolling_windows import RollingWindow, rolling_windows

SIZES = {"count": st.integers(0, 200), "window": st.integers(1, 40)}


@given(**SIZES)
def test_fault_35_every_id_is_scored_once_and_in_order(count, window):
    targets = [t for w in rolling_windows(count, window) for t in w.targets]
    assert targets == list(range(1, count + 1))


@given(**SIZES)
def test_targets_are_predicted_by_the_positions_that_are_read(count, window):
    for each in rolling_windows(count, window):
        assert [each.begin + position + 1 for position in each.scored] == list(each.targets)
        assert each.scored.start >= 0
        assert each.begin + each.scored.stop == each.end


@given(**SIZES)
def test_windows_read_as_much_as_they_may(count, window):
    for each in rolling_windows(count, window):
        assert each.end - each.begin == min(window, each.targets.stop - 1)


@given(**SIZES)
def test_full_windows_follow_one_id_only(count, window):
    for each in rolling_windows(count, window):
        if len(each.targets) == window:
            assert each.targets.start == each.begin + 1


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, []),
        (1, [(0, range(1, 2))]),
        (4, [(0, range(1, 5))]),
        (5, [(0, range(1, 5)), (1, range(5, 6))]),
        (7, [(0, range(1, 5)), (3, range(5, 8))]),
        (8, [(0, range(1, 5)), (4, range(5, 9))]),
    ],
)
def test_last_window_reaches_back_until_it_is_full(count, expected):
    """Windows of 4, as the peer's source cuts them, written out by hand."""
    assert list(rolling_windows(count, 4)) == [RollingWindow(*each) for each in expected]
