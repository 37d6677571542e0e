"""ONNX Runtime engine: a body that computes packed rows and a head that scores some of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import FloatArray, ScoredBlock, out_of_memory, usable_cores
from quantgate.backends.blocks import in_blocks
from quantgate.backends.feeds import BodyInputs, Feed
from quantgate.backends.ort_session import make_session, require_provider
from quantgate.errors import InvalidMeasurement
from quantgate.packages.graph import HIDDEN_ROWS, split
from quantgate.packages.package import OnnxPackage
from quantgate.packages.shape import read_shape
from quantgate.plan import Group, PlanLimits

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
        self._kept: tuple[tuple[int, ...], dict[str, Any]] | None = None
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

    def score(self, batch: Group) -> Iterator[ScoredBlock]:
        """Yield the wanted rows of `batch` in blocks of at most `BLOCK_ROWS`.

        Raises:
            InvalidMeasurement: `logits-shape`, `out-of-memory` or `run-failed`.
        """
        return in_blocks(self._hidden(batch), self.head)

    def _hidden(self, batch: Group) -> Iterator[FloatArray]:
        """Wanted hidden rows `[n, H]`, a run at a time."""
        if batch.padded:
            yield self._run(self._inputs.padded(batch.rows))
            return
        kept = self._prefix(batch.prefix) if batch.prefix else None
        for row in batch.rows:
            yield self._run(self._inputs.row(row, len(batch.prefix), kept))

    def _run(self, feed: Feed) -> FloatArray:
        (hidden,) = self._call([HIDDEN_ROWS], feed)
        rows: FloatArray = hidden.numpy()
        return rows

    def _prefix(self, ids: tuple[int, ...]) -> dict[str, Any]:
        """KV cache of a prefix as the body's past inputs, computed unless it is the last one."""
        if self._kept is None or self._kept[0] != ids:
            self._kept = None  # the old cache goes before the new one is made
            names = self._inputs.present_names
            values = self._call(names, self._inputs.prefix(ids))
            self._kept = ids, dict(zip(self._inputs.past_names, values, strict=True))
        return self._kept[1]

    def _call(self, outputs: list[str], feed: Feed) -> list[Any]:
        try:
            return list(self._body.run_with_ort_values(outputs, feed))
        except Exception as error:  # noqa: BLE001  the runtime raises many types of its own
            raise InvalidMeasurement(
                "out-of-memory" if out_of_memory(error) else "run-failed",
                need=f"{self._package.folder} to run on {self._provider}",
                found=f"{type(error).__name__}: {error}",
                fix=f"check the package with: quantgate inspect {self._package.folder}",
            ) from None

    def close(self) -> None:
        """Drop both sessions; ONNX Runtime frees their memory with the last reference."""
        self._kept = None
        self.__dict__.pop("_body", None)
        self.__dict__.pop("head", None)
