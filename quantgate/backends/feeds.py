"""What a decoder body is fed: ids, masks, position ids, attention bias and KV cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantgate.packages.attention import BIAS, PACKED, Attention
from quantgate.packages.graph import ROWS
from quantgate.packages.io_names import IoNames
from quantgate.packages.shape import CacheInput
from quantgate.rows import Row, Segment

if TYPE_CHECKING:
    import onnx

Feed = dict[str, Any]


class BodyInputs:
    """Builds feeds (name to OrtValue) for one graph; types are those of the graph's own inputs.

    Args:
        names: names of the graph's inputs.
        body: the graph that is fed.
        attention: how its attention is fed.
        caches: its past inputs.
    """

    def __init__(
        self,
        names: IoNames,
        body: onnx.ModelProto,
        attention: Attention,
        caches: tuple[CacheInput, ...],
    ) -> None:
        self._names = names
        self._caches = caches
        self._attention = attention
        # Only what the body still takes after pruning is fed.
        self._types = {
            value.name: int(value.type.tensor_type.elem_type) for value in body.graph.input
        }
        self.past_names = [cache.name for cache in caches]
        self.present_names = [cache.present for cache in caches]
        self.keeps_prefix = attention.keeps_prefix and bool(caches)

    def row(self, row: Row, prefix: int, past: Mapping[str, Any] | None) -> Feed:
        """Feed for one row behind `prefix` kept tokens whose cache is `past`."""
        packed = self._packed(row)
        unseen = self._unseen(row, prefix)
        behind = prefix + unseen
        arrays = {
            **self._sequence(row.ids, row.positions, behind),
            # One row must be asked for, of rows that are computed for their cache alone, too.
            ROWS: np.array([want.offset for want in row.wanted] or [len(row.ids) - 1]),
            PACKED: np.array(packed),
            BIAS: np.zeros((1, 1, 1, 1), dtype=np.float32),
        }
        if packed:
            bias = row_bias(row.segments, len(row.ids), behind)
            bias[:, :unseen] = -np.inf
            arrays[BIAS] = bias[None, None]
        if unseen:
            arrays |= {cache.name: cache.blank(1, unseen) for cache in self._caches}
        return self._feed(arrays, past)

    def width(self, row: Row, prefix: int) -> int:
        """Tokens that the runtime counts in a row behind `prefix` kept ones: its mask's width."""
        return prefix + self._unseen(row, prefix) + len(row.ids)

    def _packed(self, row: Row) -> bool:
        return self._attention.packs and not (row.is_chain and self._attention.switched)

    def _unseen(self, row: Row, prefix: int) -> int:
        """Where positions are read behind a cache only, there is one: a token that nobody sees."""
        return int(self._packed(row) and not prefix and self._attention.needs_past)

    def chain(self, ids: Sequence[int], behind: int, past: Mapping[str, Any] | None) -> Feed:
        """Feed for tokens that follow `behind` others, for a graph that yields one row of them."""
        positions = range(behind, behind + len(ids))
        return self._feed(self._sequence(ids, positions, behind), past)

    def _sequence(
        self, ids: Sequence[int], positions: Sequence[int], behind: int
    ) -> dict[str, NDArray[Any]]:
        """Ids, mask and positions of one sequence."""
        return {
            self._names.input_ids: np.array([ids]),
            self._names.attention_mask: np.ones((1, behind + len(ids))),
            self._attention.positions: np.array([positions]),
        }

    def padded(self, rows: tuple[Row, ...]) -> Feed:
        """Feed for whole sequences as one right-padded batch."""
        width = max(len(row.ids) for row in rows)
        ids = np.zeros((len(rows), width), dtype=np.int64)
        mask = np.zeros_like(ids)
        for number, row in enumerate(rows):
            ids[number, : len(row.ids)] = row.ids
            mask[number, : len(row.ids)] = 1
        wanted = [
            number * width + want.offset for number, row in enumerate(rows) for want in row.wanted
        ]
        arrays = {
            self._names.input_ids: ids,
            self._names.attention_mask: mask,
            self._attention.positions: np.broadcast_to(np.arange(width), ids.shape),
            ROWS: np.array(wanted),
        }
        return self._feed(arrays, None)

    def room(self, tokens: int) -> Feed:
        """Past inputs of zeros with room for `tokens`; they take no memory before it is written."""
        return {
            cache.name: ort_value(cache.blank(1, tokens), self._types[cache.name])
            for cache in self._caches
        }

    def _feed(self, arrays: Mapping[str, NDArray[Any]], past: Mapping[str, Any] | None) -> Feed:
        """The arrays that the body takes, with the kept cache or an empty one."""
        batch = len(arrays[self._names.input_ids])
        empty = {} if past else {cache.name: cache.blank(batch) for cache in self._caches}
        feed = {
            name: ort_value(array, self._types[name])
            for name, array in {**empty, **arrays}.items()
            if name in self._types
        }
        return {**feed, **(past or {})}


def row_bias(segments: tuple[Segment, ...], width: int, prefix: int) -> NDArray[np.float32]:
    """Additive attention bias `[width, prefix + width]`: 0 where a token may look, else -inf.

    Every token sees the whole prefix, its ancestors and itself.
    """
    bias = np.full((width, prefix + width), -np.inf, dtype=np.float32)
    bias[:, :prefix] = 0.0
    for segment in segments:
        tokens = slice(segment.start, segment.stop)
        for start, stop in segment.ancestors:
            bias[tokens, prefix + start : prefix + stop] = 0.0
        size = segment.stop - segment.start
        own = bias[tokens, prefix + segment.start : prefix + segment.stop]
        own[np.tri(size, dtype=bool)] = 0.0
    return bias


def ort_value(array: NDArray[Any], element_type: int) -> Any:
    """Wrap an array for ONNX Runtime as a tensor of an `onnx.TensorProto.DataType`."""
    import onnxruntime
    from onnx import TensorProto, helper

    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(element_type))
    typed = np.asarray(array, dtype=dtype, order="C")
    if element_type == TensorProto.BFLOAT16:  # a type that NumPy doesn't have itself
        wrap = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type
        return wrap(typed.view(np.uint16), element_type)
    return onnxruntime.OrtValue.ortvalue_from_numpy(typed)
