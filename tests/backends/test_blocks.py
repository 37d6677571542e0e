"""Rows leave in full blocks whatever parts they came in; and who opens which backend."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.backends.base import BLOCK_BYTES, BLOCK_ROWS, BackendSpec, block_rows
from quantgate.backends.blocks import in_blocks
from quantgate.backends.registry import BACKENDS, open_backend
from quantgate.errors import UsageFault

WIDTH = 3


class Doubling:
    """A head that can be followed; it refuses what a real one would be slow or wrong on."""

    def logits(self, hidden):
        assert hidden.flags.c_contiguous
        assert 1 <= len(hidden) <= BLOCK_ROWS
        return (2 * hidden).astype(np.float32)


@given(st.lists(st.integers(1, 3 * BLOCK_ROWS), max_size=12))
def test_blocks_are_full_but_the_last_and_hold_every_row_in_order(sizes):
    rows = np.arange(sum(sizes) * WIDTH, dtype=np.float32).reshape(-1, WIDTH)
    parts = np.split(rows, np.cumsum(sizes)[:-1]) if sizes else []
    blocks = list(in_blocks(parts, Doubling()))
    assert all(len(block.hidden) == BLOCK_ROWS for block in blocks[:-1])
    assert sum(len(block.hidden) for block in blocks) == len(rows)
    if blocks:
        assert np.array_equal(np.concatenate([block.hidden for block in blocks]), rows)
        assert np.array_equal(np.concatenate([block.logits for block in blocks]), 2 * rows)


@given(st.lists(st.integers(1, 60), max_size=12), st.integers(1, BLOCK_ROWS))
def test_blocks_may_be_bounded_further(sizes, most):
    rows = np.arange(sum(sizes) * WIDTH, dtype=np.float32).reshape(-1, WIDTH)
    parts = np.split(rows, np.cumsum(sizes)[:-1]) if sizes else []
    blocks = list(in_blocks(parts, Doubling(), most))
    assert [len(block.hidden) for block in blocks[:-1]] == [most] * (len(blocks) - 1)
    assert [row for block in blocks for row in block.logits.tolist()] == (2 * rows).tolist()
    assert all(1 <= len(block.logits) <= most for block in blocks)


@pytest.mark.parametrize("vocabulary", [1, 49_152, 65_536, 65_537, 151_936, 10**8])
def test_blocks_of_wide_vocabularies_have_fewer_rows(vocabulary):
    rows = block_rows(vocabulary)
    assert 1 <= rows <= BLOCK_ROWS
    assert rows == 1 or rows * vocabulary * 4 <= BLOCK_BYTES
    assert rows == BLOCK_ROWS or (rows + 1) * vocabulary * 4 > BLOCK_BYTES


def test_a_block_leaves_before_the_next_part_is_computed():
    taken = []

    def parts():
        for number in range(3):
            taken.append(number)
            yield np.ones((BLOCK_ROWS, WIDTH), np.float32)

    blocks = in_blocks(parts(), Doubling())
    next(blocks)
    assert taken == [0]


def test_columns_of_a_wider_array_are_made_contiguous():
    wide = np.ones((BLOCK_ROWS, 2 * WIDTH), np.float32)
    (block,) = in_blocks([wide[:, ::2]], Doubling())
    assert block.logits.shape == (BLOCK_ROWS, WIDTH)


def test_every_backend_opens_what_it_is_told_to(tiny_folder):
    backend = open_backend(
        BackendSpec("ort", str(tiny_folder), threads=1, options={"packing": False})
    )
    assert (backend.identity["backend"], backend.identity["threads"]) == ("ort", 1)
    assert not backend.limits.packs
    assert open_backend(BackendSpec("ort", str(tiny_folder))).limits.packs


def test_unknown_backend_is_refused(tiny_folder):
    with pytest.raises(UsageFault) as caught:
        open_backend(BackendSpec("llamacpp", str(tiny_folder)))
    assert caught.value.code == "backend-unknown"
    assert "llamacpp" in caught.value.found
    for name in BACKENDS:
        assert name in caught.value.need
