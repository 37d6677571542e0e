"""Names of points: near their own, and never over another."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.report.charts.labels import LINE, Box, around, place, width

FRAME = Box(0, 0, 320, 230)
points = st.lists(st.tuples(st.floats(0, 320), st.floats(0, 230)), min_size=1, max_size=14)
names = st.text("abc ", min_size=1, max_size=24)


def area(box):
    return (box.right - box.left) * (box.top - box.bottom)


def overlap(one, other):
    """By area, another way than `meets`."""
    across = min(one.right, other.right) - max(one.left, other.left)
    up = min(one.top, other.top) - max(one.bottom, other.bottom)
    return max(0.0, across) * max(0.0, up)


@given(points, st.data())
def test_no_name_covers_another_or_a_point_or_leaves_the_frame(spots, data):
    told = [data.draw(names) for _ in spots]
    taken = [around(x, y, 5) for x, y in spots]
    places = place(spots, told, FRAME, taken)
    boxes = [found.box for found in places if found is not None]
    assert all(overlap(one, other) == 0 for one, other in combinations(boxes, 2))
    assert all(overlap(box, marker) == 0 for box in boxes for marker in taken)
    assert all(overlap(box, FRAME) == area(box) for box in boxes)
    for name, found in zip(told, places, strict=True):
        if found is not None:
            assert abs(found.box.right - found.box.left - width(name)) < 1e-6
            assert abs(found.box.top - found.box.bottom - LINE) < 1e-6


def test_a_point_alone_has_its_name_at_its_right():
    (found,) = place([(100, 100)], ["int4"], FRAME, [around(100, 100, 5)])
    assert not found.far
    assert 105 < found.box.left < 110
    assert (found.box.bottom + found.box.top) / 2 == 100


def test_at_the_right_edge_it_has_it_at_its_left():
    (found,) = place([(310, 100)], ["int4"], FRAME, [around(310, 100, 5)])
    assert found.box.right < 305


def test_points_in_one_place_have_names_around_it_and_the_last_ones_a_line():
    spots = [(160.0, 115.0)] * 12
    places = place(spots, ["int4 ort"] * 12, FRAME, [around(160, 115, 5)])
    assert all(found is not None for found in places)
    assert [found.far for found in places][:2] == [False, False]
    assert any(found.far for found in places)


@pytest.mark.parametrize(
    "spots",
    [
        [(122, 128), (130, 102), (142, 114), (134, 112), (154, 102)],
        [(138, 120), (140, 108), (130, 124), (124, 120), (128, 122)],
        [(154, 100), (146, 114), (142, 112), (158, 102), (156, 106)],
    ],
)
def test_lines_to_points_go_around_names(spots):
    found = place(spots, ["int4_rtn_b32"] * 5, FRAME, [around(x, y, 5) for x, y in spots])
    far = [(spot, each.box) for spot, each in zip(spots, found, strict=True) if each.far]
    assert far
    for (x, y), box in far:
        across, up = box.nearest(x, y)
        line = [(x + n / 99 * (across - x), y + n / 99 * (up - y)) for n in range(100)]
        others = [each.box for each in found if each.box != box]
        assert not any(
            other.left < u < other.right and other.bottom < v < other.top
            for other in others
            for u, v in line
        )


def test_without_room_the_first_ones_are_named():
    narrow = Box(0, 0, 80, 40)
    places = place([(40, 20)] * 6, ["a name"] * 6, narrow, [])
    named = [found is not None for found in places]
    assert named == sorted(named, reverse=True)
    assert any(named)
    assert not all(named)


def test_what_is_taken_stays_free():
    line = Box(0, 99, 320, 101)
    (found,) = place([(100, 100)], ["int4"], FRAME, [line])
    assert overlap(found.box, line) == 0
