"""Sorted sequences say what a trie of their tokens would."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quantgate.token_trie import common_length, sort_sequences, split_points

ids = st.integers(0, 3) | st.sampled_from([255, 256, 257, 65_535, 65_536, 2**31 - 1])
sequences = st.lists(st.lists(ids, min_size=1, max_size=8).map(tuple), max_size=12)


def trie_nodes(sequences) -> int:
    """Distinct prefixes: every node of the trie but its root."""
    return len({ids[:n] for ids in sequences for n in range(1, len(ids) + 1)})


@given(sequences)
def test_order_is_that_of_the_ids(given_sequences):
    assert list(sort_sequences(given_sequences).sequences) == sorted(set(given_sequences))


@given(sequences)
def test_shared_is_what_neighbours_have_in_common(given_sequences):
    found = sort_sequences(given_sequences)
    assert len(found.shared) == len(found.sequences)
    for i in range(1, len(found.sequences)):
        left, right = found.sequences[i - 1], found.sequences[i]
        same = 0
        while same < min(len(left), len(right)) and left[same] == right[same]:
            same += 1
        assert found.shared[i] == same
    assert not found.shared or found.shared[0] == 0


@given(sequences)
def test_distinct_tokens_are_the_nodes_of_the_trie(given_sequences):
    assert sort_sequences(given_sequences).distinct_tokens == trie_nodes(given_sequences)


@given(sequences, st.integers(0, 6))
def test_runs_between_split_points_share_more_than_the_depth(given_sequences, depth):
    found = sort_sequences(given_sequences)
    if not found.sequences:
        return
    count = len(found.sequences)
    points = split_points(found.shared, 0, count, depth)
    assert points[0] == 0
    for left, right in zip(points, [*points[1:], count], strict=True):
        starts = {ids[: depth + 1] for ids in found.sequences[left:right]}
        assert len(starts) == 1
    edges = [(found.sequences[p - 1], found.sequences[p]) for p in points[1:]]
    assert all(a[: depth + 1] != b[: depth + 1] for a, b in edges)


def test_common_length_of_equal_and_empty_arrays():
    a = np.array([1, 2, 3], dtype=">u4")
    assert common_length(a, a) == 3
    assert common_length(a, a[:0]) == 0
    assert common_length(a, a[1:]) == 0
