"""What a decoder body is fed: ids, masks, position ids, attention bias and KV cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.packages.attention import BIAS, PACKED
from quantgate.packages.genai_config import GenaiConfig
from quantgate.packages.graph import ROWS, SplitGraph
from quantgate.packages.shape import ModelShape
from quantgate.rows import Row, Segment, Wanted

Feed = dict[str, Any]


class BodyInputs:
    """Builds feeds (name to OrtValue) for one split graph.

    Args:
        config: names of the graph's inputs.
        graph: the split graph.
        shape: per-layer KV shapes and types.
    """

    def __init__(self, config: GenaiConfig, graph: SplitGraph, shape: ModelShape) -> None:
        self._config = config
        self._caches = shape.caches
        self._attention = graph.attention
        self._bias_type = tensor_dtype(graph.attention.bias_type)
        # Only what the body still takes after pruning is fed.
        self._names = frozenset(value.name for value in graph.body.graph.input)
        layers = range(config.layers)
        self.past_names = [
            name % layer for layer in layers for name in (config.past_key, config.past_value)
        ]
        self.present_names = [
            name % layer for layer in layers for name in (config.present_key, config.present_value)
        ]
        has_cache = all(name in self._names for name in self.past_names)
        self.keeps_prefix = graph.attention.keeps_prefix and has_cache
        self.cost = shape.cost

    def row(self, row: Row, prefix: int, past: Mapping[str, Any] | None) -> Feed:
        """Feed for one row behind `prefix` kept tokens whose cache is `past`."""
        ids = np.array([row.ids], dtype=np.int64)
        arrays = {
            self._config.input_ids: ids,
            self._config.attention_mask: np.ones((1, prefix + ids.shape[1]), dtype=np.int64),
            self._attention.positions: np.array([row.positions], dtype=np.int64),
            ROWS: np.array([want.offset for want in row.wanted], dtype=np.int64),
        }
        if self._attention.packs:
            arrays |= self._tree(row, prefix)
        return self._feed(arrays, past)

    def _tree(self, row: Row, prefix: int) -> dict[str, NDArray[Any]]:
        """Bias and switch; a chain needs no bias where it can be left out."""
        packed = not (row.is_chain and self._attention.switched)
        if packed:
            bias = row_bias(row.segments, len(row.ids), prefix).astype(self._bias_type)
        else:
            bias = np.zeros((1, 1), dtype=self._bias_type)
        return {BIAS: bias[None, None], PACKED: np.array(packed)}

    def prefix(self, ids: tuple[int, ...]) -> Feed:
        """Feed for computing a prefix alone; its last row is asked for, because one must be."""
        chain = Segment(0, len(ids), ())
        last = Wanted(len(ids) - 1, 0, len(ids) - 1)
        return self.row(Row(ids, tuple(range(len(ids))), (chain,), (last,)), 0, None)

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
            self._config.input_ids: ids,
            self._config.attention_mask: mask,
            self._attention.positions: np.broadcast_to(np.arange(width), ids.shape),
            ROWS: np.array(wanted, dtype=np.int64),
        }
        return self._feed(arrays, None)

    def _feed(self, arrays: Mapping[str, NDArray[Any]], past: Mapping[str, Any] | None) -> Feed:
        """The arrays that the body takes, with the kept cache or an empty one."""
        batch = len(arrays[self._config.input_ids])
        empty = {} if past else {cache.name: cache.empty(batch) for cache in self._caches}
        feed = {
            name: ort_value(array)
            for name, array in {**arrays, **empty}.items()
            if name in self._names
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


def ort_value(array: NDArray[Any]) -> Any:
    """Wrap an array for ONNX Runtime."""
    import onnxruntime

    return onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def tensor_dtype(data_type: int) -> np.dtype[Any]:
    """NumPy type of an `onnx.TensorProto.DataType`."""
    from onnx import helper

    dtype: np.dtype[Any] = np.dtype(helper.tensor_dtype_to_np_dtype(data_type))
    return dtype
