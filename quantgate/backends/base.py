"""The one protocol that every engine speaks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from quantgate.groups import Group, PlanLimits

BLOCK_ROWS = 64
# Of a block's logits in float32: 64 rows of 65,536 ids, 27 of 152,000. Several arrays of this size
# live at once (the runtime's own, the reference's), and they shall not outgrow a small model.
BLOCK_BYTES = 2**24

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class ScoredBlock:
    """At most `block_rows` scored rows.

    Attributes:
        hidden: the head's input, `[n, H]`, in the model's own type.
        logits: `[n, V]` float32, unchecked: the caller refuses NaN.
    """

    hidden: FloatArray
    logits: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """What to open, as plain JSON values: it crosses to another process or host.

    Attributes:
        backend: `ort`, `ortgenai` or `torch`.
        folder: the package, or the Hugging Face folder for `torch`.
        provider: slug of the execution provider; for `torch`, the device.
        threads: per model; 0 takes the cores this process may run on.
        options: the backend's own keyword arguments.
    """

    backend: str
    folder: str
    provider: str = "cpu"
    threads: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)


class Head(Protocol):
    """Turns kept hidden rows back into logits."""

    def logits(self, hidden: FloatArray) -> NDArray[np.float32]:
        """`[n, H]` to `[n, V]` float32, n at most `BLOCK_ROWS`."""
        ...


class Decoding(Protocol):
    """One sequence in the making, greedily: of all ids the most likely next one, whatever it means.

    Of equally likely ids the lowest is taken, as float32 has them. The KV cache is kept from call
    to call, so that what is appended later attends to all that came before. No id that was returned
    is part of the sequence until it is given back.

    Every call raises InvalidMeasurement: `logits-not-finite`, `out-of-memory` or `run-failed`. A
    `LateDecoding` tells the first of them of its steps by `verify`.
    """

    def append(self, ids: Sequence[int], /) -> int:
        """Prefill `ids`, at least one, behind what is there; the most likely next id."""
        ...

    def step(self, id_: int, /) -> int:
        """Append one id; the most likely next id."""
        ...

    def close(self) -> None:
        """Free the cache; nothing may be called after it but `close`."""
        ...


@runtime_checkable
class LateDecoding(Decoding, Protocol):
    """A sequence whose steps don't look at their logits, because fetching them takes time."""

    def verify(self) -> None:
        """Make sure of the logits of the last step; call it behind every step.

        Raises:
            InvalidMeasurement: `logits-not-finite`, `out-of-memory` or `run-failed`.
        """
        ...


class Backend(Protocol):
    """A loaded model.

    `identity` is JSON-ready: a digest of every file read, the provider attached, options and
    versions. Results are keyed by it; paths are labels only.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """What was loaded, where it runs and with which options."""
        ...

    @property
    def limits(self) -> PlanLimits:
        """What the planner may do with this model."""
        ...

    @property
    def head(self) -> Head:
        """The model's head alone; asking for it loads no body."""
        ...

    def score(self, batch: Group) -> Iterator[ScoredBlock]:
        """Yield the rows that `batch` wants, in the order of `batch.wanted`, in blocks.

        The KV cache of a batch's prefix is kept for the next batch, which often has the same.

        Raises:
            InvalidMeasurement: `logits-shape`, `out-of-memory` or `run-failed`.
        """
        ...

    def decoding(self, capacity: int) -> Decoding:
        """Begin a sequence on the whole model as it ships, with no split and no other mask.

        The model loads when the first sequence begins and stays for the next; one sequence is
        open at a time.

        Args:
            capacity: tokens to make room for, appended and generated; at most `limits.context`.

        Raises:
            InvalidMeasurement: what loading raises, or `generation-unsupported` where this engine
                can't keep the model's cache from call to call.
        """
        ...

    def close(self) -> None:
        """Drop the model, so that the next one finds its memory free."""
        ...


def block_rows(vocabulary: int) -> int:
    """Most rows of a block: `BLOCK_ROWS`, fewer where so many logits would exceed `BLOCK_BYTES`."""
    row_bytes = vocabulary * np.dtype(np.float32).itemsize
    return max(1, min(BLOCK_ROWS, BLOCK_BYTES // row_bytes))


class IdentityHead:
    """Head of a backend that can't be split: what it keeps as hidden rows are its logits."""

    def logits(self, hidden: FloatArray) -> NDArray[np.float32]:
        """The rows themselves."""
        return np.asarray(hidden, dtype=np.float32)


def out_of_memory(error: BaseException) -> bool:
    """Whether a runtime's error says that the device's memory was used up.

    ONNX Runtime and PyTorch have no common type for it; both say it in words.
    """
    text = str(error).lower()
    said = ("out of memory", "failed to allocate", "bad allocation", "can't allocate memory")
    return isinstance(error, MemoryError) or any(words in text for words in said)


def usable_cores() -> int:
    """Threads to use where none are asked for: the cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
