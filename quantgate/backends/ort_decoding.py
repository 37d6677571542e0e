"""Greedy decoding in ONNX Runtime: a session of the whole graph, bound to a cache that stays.

Where GroupQueryAttention allows it, past and present are one buffer with room for the whole
sequence, bound once. Elsewhere the present of one run is bound as the past of the next, on the
device where it was made. Of the other inputs only an attention mask grows; they are bound once for
each number of ids, and written in place. The host sees one row of logits a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.feeds import ort_value
from quantgate.backends.greedy import most_likely
from quantgate.backends.ort_body import run_fault
from quantgate.backends.ort_options import OrtOptions
from quantgate.packages.decoder import LAST_LOGITS, DecoderGraph
from quantgate.packages.lengths import LAST_POSITIONS, TOTAL_LENGTH
from quantgate.packages.rotary_switch import crosses

CPU = "cpu"
# Providers whose memory Python can allocate under their own slug. Elsewhere caches pass the host.
DEVICES = frozenset({CPU, "cuda"})


class OrtDecoding:
    """One sequence on one session.

    Args:
        session: of the graph's model.
        graph: what it takes.
        capacity: most tokens of the sequence.
        provider: slug of the execution provider.
        where: package and provider, for messages.
    """

    def __init__(
        self, session: Any, graph: DecoderGraph, capacity: int, *, provider: str, where: str
    ) -> None:
        self._session = session
        self._graph = graph
        self._where = where
        self._device = provider if provider in DEVICES else CPU
        self._shares = graph.shares_buffers and provider in DEVICES
        self._capacity = capacity
        self._binding = session.io_binding()
        # The binding holds addresses only; what they point to lives as long as these.
        self._bound: dict[str, Any] = {}
        self._logits = np.empty(graph.vocabulary, dtype=np.float32)
        self._ids = np.zeros(capacity, dtype=np.int64)
        self._fed: dict[str, NDArray[Any]] = {}
        # A device is given a copy when an input is bound.
        self._writes_in_place = provider == CPU
        self._mask = _ones(graph, capacity)
        self._bind_logits()
        if self._shares:
            self._bind_shared()
        self._restart()

    def append(self, ids: Sequence[int], /) -> int:
        """Prefill `ids` behind what is there; the most likely next id.

        Where a cache takes one token at a time, they are run one by one. A sequence that grows over
        a switch of rotary tables is computed again from its beginning, as runtimes do it too.

        Raises:
            InvalidMeasurement: `logits-not-finite`, `out-of-memory` or `run-failed`.
        """
        if not ids or self._length + len(ids) > self._capacity:
            raise ValueError(f"{len(ids)} ids behind {self._length} of {self._capacity}")
        if self._length and crosses(self._graph.switch, self._length, self._length + len(ids)):
            ids = (*self._ids[: self._length].tolist(), *ids)
            self._restart()
        try:
            if self._length and self._graph.caches and not self._graph.continues:
                for id_ in ids:
                    self._run((id_,))
            else:
                self._run(ids)
        except Exception as error:  # noqa: BLE001  the runtime raises many types of its own
            raise run_fault(error, self._where) from None
        return most_likely(self._logits, self._length)

    def step(self, id_: int, /) -> int:
        """Append one id; the most likely next id."""
        return self.append((id_,))

    def close(self) -> None:
        """Drop the cache."""
        self._bound.clear()
        self._binding = self._session = None

    def _restart(self) -> None:
        """Begin with no tokens; a shared buffer is written from its beginning."""
        self._length = 0
        if not self._shares:
            caches = self._graph.caches
            self._pass_on([ort_value(c.blank(1), self._type(c.name)) for c in caches])

    def _run(self, ids: Sequence[int]) -> None:
        """Run the graph on `ids`; the logits behind the last are then in `_logits`."""
        start, stop = self._length, self._length + len(ids)
        self._ids[start:stop] = ids
        self._feed(start if self._graph.caches else 0, stop)
        self._length = stop
        if not self._shares:
            self._bind_presents()
        self._session.run_with_iobinding(self._binding)
        if not self._shares:
            self._pass_on(self._binding.get_outputs()[1:])

    def _feed(self, start: int, stop: int) -> None:
        """Feed the ids from `start` to `stop`, and what goes with them."""
        graph, fed = self._graph, self._fed
        made = not fed or fed[graph.input_ids].shape[1] != stop - start
        if made:
            fed = self._fed = _arrays(graph, stop - start)
        fed[graph.input_ids][0] = self._ids[start:stop]
        if graph.positions:
            fed[graph.positions][0] = range(start, stop)
        if TOTAL_LENGTH in fed:
            fed[LAST_POSITIONS][0] = stop - 1
            fed[TOTAL_LENGTH][()] = stop
        if made or not self._writes_in_place:
            for name, array in fed.items():
                self._binding.bind_cpu_input(name, array)
        if graph.attention_mask:
            self._binding.bind_cpu_input(graph.attention_mask, self._mask[:, :stop])

    def _bind_logits(self) -> None:
        from onnxruntime import OrtValue

        self._bound[LAST_LOGITS] = value = OrtValue.ortvalue_from_numpy(self._logits)
        self._binding.bind_ortvalue_output(LAST_LOGITS, value)

    def _bind_shared(self) -> None:
        """Bind one buffer of full length as past and as present of each cache."""
        for cache in self._graph.caches:
            value = self._room(cache.blank(1, self._capacity), self._type(cache.name))
            self._bound[cache.name] = value
            self._binding.bind_ortvalue_input(cache.name, value)
            self._binding.bind_ortvalue_output(cache.present, value)

    def _room(self, zeros: NDArray[Any], element_type: int) -> Any:
        """A buffer on the device; on the host its zeros take no memory before they are written."""
        from onnxruntime import OrtValue

        if self._device == CPU:
            return ort_value(zeros, element_type)
        make = OrtValue.ortvalue_from_shape_and_type
        return make(list(zeros.shape), element_type, self._device, 0)

    def _bind_presents(self) -> None:
        """Ask for new presents: a buffer that was filled is that of the past now."""
        if self._graph.caches:
            self._binding.clear_binding_outputs()
            self._bind_logits()
        for cache in self._graph.caches:
            self._binding.bind_output(cache.present, self._device)

    def _pass_on(self, presents: Sequence[Any]) -> None:
        for cache, value in zip(self._graph.caches, presents, strict=True):
            self._bound[cache.name] = value
            self._binding.bind_ortvalue_input(cache.name, value)

    def _type(self, name: str) -> int:
        return self._graph.types[name]


def without_reuse(options: OrtOptions) -> OrtOptions:
    """The options for a graph that is fed longer and longer caches.

    ONNX Runtime plans which values share memory by the names of their dimensions; in the builder's
    FP16 package for the CPU that puts the whole sequence's heads where those of one token were, and
    every run behind a cache fails (1.31, and so does onnxruntime-genai 0.18). What dies is still
    freed.
    """
    return OrtOptions({"enable_mem_reuse": "false", **options.session}, options.provider)


def _arrays(graph: DecoderGraph, ids: int) -> dict[str, NDArray[Any]]:
    """Arrays for the inputs whose shapes the number of ids decides, by name."""
    shapes: dict[str, tuple[int, ...]] = {
        graph.input_ids: (1, ids),
        graph.positions: (1, ids),
        LAST_POSITIONS: (1,),
        TOTAL_LENGTH: (),
    }
    types = graph.types
    return {
        name: np.zeros(shape, dtype=_dtype(types[name]))
        for name, shape in shapes.items()
        if name in types
    }


def _ones(graph: DecoderGraph, capacity: int) -> NDArray[Any]:
    """The mask of a full sequence, `[1, capacity]`; as it is one row, its parts are contiguous."""
    mask = graph.attention_mask
    return np.ones((1, capacity), dtype=_dtype(graph.types[mask]) if mask else bool)


def _dtype(element_type: int) -> np.dtype[Any]:
    from onnx import helper

    dtype: np.dtype[Any] = helper.tensor_dtype_to_np_dtype(element_type)
    return dtype
