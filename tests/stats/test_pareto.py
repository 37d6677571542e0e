"""The front held against its definition, tried on every pair of points."""

import math

from hypothesis import given
from hypothesis import strategies as st

from quantgate.stats import pareto_front

# Few values, so that points meet and share figures.
figures = st.sampled_from([-1.0, 0.0, -0.0, 1.0, 2.0, math.inf, -math.inf, math.nan])
some = st.lists(st.tuples(figures, figures), max_size=9)
floats = st.floats(allow_nan=False)
many = st.lists(st.tuples(floats, floats), max_size=30)


def beats(one, other):
    at_least = all(a >= b for a, b in zip(one, other, strict=True))
    return at_least and any(a > b for a, b in zip(one, other, strict=True))


def by_definition(points):
    return [
        not any(map(math.isnan, point)) and not any(beats(other, point) for other in points)
        for point in points
    ]


@given(st.one_of(some, many))
def test_a_point_is_on_the_front_unless_another_beats_it(points):
    assert pareto_front(points) == by_definition(points)


@given(some, st.randoms())
def test_the_order_of_points_is_no_matter(points, random):
    order = list(range(len(points)))
    random.shuffle(order)
    found = pareto_front(points)
    assert pareto_front([points[index] for index in order]) == [found[index] for index in order]


def test_equal_points_are_on_it_together():
    assert pareto_front([(1.0, 2.0), (1.0, 2.0), (2.0, 1.0), (1.0, 1.0)]) == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_point_that_is_better_in_one_and_equal_in_the_other_beats():
    assert pareto_front([(1.0, 2.0), (1.0, 3.0), (0.5, 3.0)]) == [False, True, False]


def test_no_points_have_no_front():
    assert pareto_front([]) == []
