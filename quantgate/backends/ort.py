"""ONNX Runtime engine: a body that computes packed rows and a head that scores some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import BLOCK_ROWS, FloatArray, Progress, ScoredBlock
from quantgate.backends.feeds import BodyInputs, Feed
from quantgate.backends.ort_session import make_session, require_provider, usable_cores
from quantgate.errors import InvalidMeasurement
from quantgate.packages.graph import HIDDEN_ROWS, split
from quantgate.packages.package import OnnxPackage
from quantgate.packages.shape import read_shape
from quantgate.packages.tokenizer import Tokenizer, load_tokenizer
from quantgate.plan import Group, Plan, PlanLimits
from quantgate.rows import Row

if TYPE_CHECKING:
    import onnx


class OrtHead:
    """The head of a package: hidden rows to logits."""

    def __init__(self, session: Any, vocabulary: int) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._vocabulary = vocabulary

    def logits(self, hidden: FloatArray) -> NDArray[np.float32]:
        """`[n, H]` to `[n, V]` float32.

        Raises:
            InvalidMeasurement: `logits-shape` where the head yields anything else.
        """
        (raw,) = self._session.run(None, {self._input: hidden})
        if raw.ndim != 2 or len(raw) != len(hidden) or raw.shape[1] < self._vocabulary:
            raise InvalidMeasurement(
                "logits-shape",
                need=f"logits [{len(hidden)}, at least {self._vocabulary}]",
                found=f"{list(raw.shape)}",
                fix="export the head so that it yields one row of logits per position",
            )
        return np.asarray(raw, dtype=np.float32)


class OrtBackend:
    """A decoder package on one execution provider; body and head load when first used.

    Args:
        package: a checked package.
        provider: slug of the execution provider; it is attached or loading fails.
        threads: intra-op threads; 0 takes the cores this process may run on.
        packing: let rows carry token trees where the graph allows it.

    Raises:
        InvalidMeasurement: `provider-unavailable`, or `head-not-found` where the graph can't be
            split.
    """

    def __init__(
        self, package: OnnxPackage, *, provider: str = "cpu", threads: int = 0, packing: bool = True
    ) -> None:
        config = package.config
        self._package = package
        self._provider = provider
        self._threads = threads or usable_cores()
        self._provider_name = require_provider(provider)
        self._graph = split(
            package.graph, logits=config.logits, position_ids=config.position_ids, packing=packing
        )
        self._inputs = BodyInputs(config, self._graph, read_shape(package, self._graph.body))

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """Digest of the package, provider attached, options and runtime version."""
        import onnxruntime

        return {
            "backend": "ort",
            "package": self._package.digest,
            "provider": self._provider_name,
            "threads": self._threads,
            "packing": self._graph.attention.packs,
            "onnxruntime": onnxruntime.__version__,
        }

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The package's tokenizer."""
        return load_tokenizer(self._package.folder)

    @property
    def limits(self) -> PlanLimits:
        """Packing as the graph allows, context as the package says."""
        return PlanLimits(
            packs=self._graph.attention.packs,
            keeps_prefix=self._inputs.keeps_prefix,
            context=self._package.config.context_length,
            cost=self._inputs.cost,
        )

    @cached_property
    def head(self) -> OrtHead:
        """The head alone; loading it doesn't load the body."""
        return OrtHead(self._load(self._graph.head), self._package.config.vocab_size)

    @cached_property
    def _body(self) -> Any:
        return self._load(self._graph.body)

    def _load(self, graph: onnx.ModelProto) -> Any:
        folder = self._package.config.model_path.parent
        return make_session(graph, folder, provider=self._provider, threads=self._threads)

    def score(self, plan: Plan, progress: Progress) -> Iterator[ScoredBlock]:
        """Yield every wanted row of `plan` once, in blocks of at most `BLOCK_ROWS`.

        Raises:
            InvalidMeasurement: `logits-not-finite`, `logits-shape` or `run-failed`.
        """
        pending = _Pending()
        for group in plan.groups:
            for keys, hidden in self._group(group, progress):
                pending.add(keys, hidden)
                yield from self._blocks(pending, BLOCK_ROWS)
        yield from self._blocks(pending, 1)

    def _group(
        self, group: Group, progress: Progress
    ) -> Iterator[tuple[list[tuple[int, int]], FloatArray]]:
        if group.padded:
            yield self._run(group.rows, self._inputs.padded(group.rows), progress)
            return
        kept = self._prefix(group.prefix) if group.prefix else None
        if group.prefix:
            progress(len(group.prefix))
        for row in group.rows:
            feed = self._inputs.row(row, len(group.prefix), kept)
            yield self._run((row,), feed, progress)

    def _run(
        self, rows: tuple[Row, ...], feed: Feed, progress: Progress
    ) -> tuple[list[tuple[int, int]], FloatArray]:
        (hidden,) = self._call([HIDDEN_ROWS], feed)
        progress(sum(len(row.ids) for row in rows))
        keys = [(want.sequence, want.position) for row in rows for want in row.wanted]
        return keys, hidden.numpy()

    def _prefix(self, ids: tuple[int, ...]) -> dict[str, Any]:
        """Compute a prefix and return its KV cache as the body's past inputs."""
        names = self._inputs.present_names
        values = self._call(names, self._inputs.prefix(ids))
        return dict(zip(self._inputs.past_names, values, strict=True))

    def _call(self, outputs: list[str], feed: Feed) -> list[Any]:
        try:
            return list(self._body.run_with_ort_values(outputs, feed))
        except Exception as error:  # noqa: BLE001  the runtime raises many types of its own
            raise InvalidMeasurement(
                "run-failed",
                need=f"{self._package.folder} to run on {self._provider}",
                found=f"{type(error).__name__}: {error}",
                fix=f"check the package with: quantgate inspect {self._package.folder}",
            ) from None

    def _blocks(self, pending: _Pending, at_least: int) -> Iterator[ScoredBlock]:
        while len(pending.keys) >= at_least:
            keys, hidden = pending.take(BLOCK_ROWS)
            logits = self.head.logits(hidden)
            require_finite(logits, keys)
            yield ScoredBlock(keys, hidden, logits)

    def close(self) -> None:
        """Drop both sessions; ONNX Runtime frees their memory with the last reference."""
        self.__dict__.pop("_body", None)
        self.__dict__.pop("head", None)

    def close_body(self) -> None:
        """Drop the body, most of the memory; the head still scores kept rows."""
        self.__dict__.pop("_body", None)


class _Pending:
    """Hidden rows that wait until a block is full, so that the head runs on full blocks."""

    def __init__(self) -> None:
        self.keys: list[tuple[int, int]] = []
        self._hidden: list[FloatArray] = []

    def add(self, keys: list[tuple[int, int]], hidden: FloatArray) -> None:
        """Append rows `[n, H]` and their keys."""
        self.keys += keys
        self._hidden.append(hidden)

    def take(self, count: int) -> tuple[tuple[tuple[int, int], ...], FloatArray]:
        """Remove and return the first `count` rows, or all that there are."""
        rows = np.concatenate(self._hidden) if len(self._hidden) > 1 else self._hidden[0]
        keys = tuple(self.keys[:count])
        del self.keys[:count]
        self._hidden = [rows[count:]] if self.keys else []
        return keys, np.ascontiguousarray(rows[:count])


def require_finite(logits: NDArray[np.float32], keys: tuple[tuple[int, int], ...]) -> None:
    """Refuse NaN and infinities: no masked ids are declared, so none is expected.

    Raises:
        InvalidMeasurement: `logits-not-finite`, naming sequence, position and count.
    """
    # A sum is finite exactly where all terms are, short of overflow, which isfinite settles.
    with np.errstate(invalid="ignore"):  # infinities of both signs
        total = logits.sum(dtype=np.float64)
    if np.isfinite(total):
        return
    bad = ~np.isfinite(logits)
    if not bad.any():
        return
    row = int(bad.any(axis=1).argmax())
    sequence, position = keys[row]
    raise InvalidMeasurement(
        "logits-not-finite",
        need="finite logits",
        found=f"{int(bad.sum())} of {bad.size} are NaN or infinite, first in sequence "
        f"{sequence} at position {position}",
        fix="export with a wider type, or find the layer that overflows",
    )
