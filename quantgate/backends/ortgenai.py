"""ONNX Runtime GenAI engine: the shipped runtime's own generators, read by teacher forcing.

The runtime loads a package as it is and computes the head for every position, so body and head
can't be split: the hidden rows of this backend are its logits, and its head is the identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from quantgate.backends.base import (
    BLOCK_BYTES,
    FloatArray,
    IdentityHead,
    ScoredBlock,
    block_rows,
    usable_cores,
)
from quantgate.backends.blocks import in_blocks
from quantgate.backends.nvidia import device_identity
from quantgate.backends.ortgenai_decoding import OrtGenaiDecoding
from quantgate.backends.ortgenai_generator import Appends
from quantgate.backends.ortgenai_model import (
    import_genai,
    load_model,
    new_generator,
    resolve_provider,
    running,
)
from quantgate.groups import Group, PlanLimits
from quantgate.packages.attention import wire_attention
from quantgate.packages.genai_config import CONFIG_NAME
from quantgate.packages.io_names import require_io_names
from quantgate.packages.package import OnnxPackage
from quantgate.packages.shape import read_shape

# The runtime refuses to rewind these.
NEVER_REWOUND = frozenset({"decoder-pipeline", "lfm2", "phi3v", "whisper"})


class OrtGenaiBackend:
    """A decoder package in onnxruntime-genai; it loads when first used.

    Args:
        package: a checked package.
        provider: slug of the execution provider, or `package` for what `genai_config.json` says;
            it is attached or loading fails.
        threads: intra-op threads; 0 takes the cores this process may run on.

    Raises:
        UsageFault: `backend-not-installed`, or the configuration doesn't name the graph's inputs
            and outputs.
    """

    def __init__(self, package: OnnxPackage, *, provider: str = "cpu", threads: int = 0) -> None:
        import_genai()
        config, graph = package.config, package.graph
        require_io_names(config.names, config.layers, graph.graph, package.folder / CONFIG_NAME)
        self._package = package
        self._provider = provider
        self._threads = threads or usable_cores()
        self._continues = continues_behind_cache(package)
        self._cost = read_shape(package, graph).cost
        self._verified: set[int] = set()

    @property
    def identity(self) -> Mapping[str, Any]:
        """Digest of the package, provider, its devices, threads and runtime versions.

        The provider is the one that `score` proves to be attached.

        Raises:
            InvalidMeasurement: `files-changed` where the package isn't the one that was opened.
        """
        import onnxruntime

        provider = resolve_provider(self._package, self._provider)
        found = {
            "backend": "ortgenai",
            "package": self._package.digest,
            "provider": provider,
            "threads": self._threads,
            "onnxruntime_genai": import_genai().__version__,
            "onnxruntime": onnxruntime.__version__,
        }
        self._package.require_unchanged()
        return found | device_identity(provider)

    @property
    def limits(self) -> PlanLimits:
        """One sequence a row, behind a kept prefix where the graph and its type allow it."""
        return PlanLimits(
            packs=False,
            keeps_prefix=self._continues,
            context=self._package.config.context_length,
            cost=self._cost,
            carried_rows=carried_rows(self._package.config.vocab_size) if self._continues else 0,
        )

    @property
    def head(self) -> IdentityHead:
        """The rows themselves: the runtime yields logits and nothing before them."""
        return IdentityHead()

    def score(self, batch: Group) -> Iterator[ScoredBlock]:
        """Yield the wanted rows of `batch` in blocks of at most `block_rows`.

        Raises:
            InvalidMeasurement: `logits-shape`, `out-of-memory` or `run-failed`; at the first call
                also what `load_model` raises.
        """
        return in_blocks(self._rows(batch), self.head, block_rows(self._package.config.vocab_size))

    def decoding(self, capacity: int) -> OrtGenaiDecoding:
        """Begin a sequence of at most `capacity` tokens in a generator of its own.

        Its model is another than the one that scores, which is dropped, and the other way round.

        Raises:
            InvalidMeasurement: what `load_model` raises, `out-of-memory` or `run-failed`.
        """
        appends = self._decoder.appends
        return OrtGenaiDecoding(
            partial(new_generator, self._decoder.model),
            self._package,
            provider=self._provider,
            capacity=capacity,
            continues=appends.continues,
            reads_output=appends.reads_output,
            verified=self._verified,
        )

    def _rows(self, batch: Group) -> Iterator[FloatArray]:
        rows = self._scorer.appends.rows(batch)
        while True:
            with running(self._package, self._provider):
                part = next(rows, None)
            if part is None:
                return
            yield part

    @cached_property
    def _scorer(self) -> _Loaded:
        return self._load("_decoder", spins=False)

    @cached_property
    def _decoder(self) -> _Loaded:
        loaded = self._load("_scorer", spins=True)
        loaded.appends.close()  # wanted is only what was found out with it
        return loaded

    def _load(self, instead: str, *, spins: bool) -> _Loaded:
        """Load the model in the place of another, so that its weights are in memory once."""
        self._drop(instead)
        model = load_model(
            self._package, provider=self._provider, threads=self._threads, spins=spins
        )
        self._package.require_unchanged()  # what was loaded is what was hashed
        config = self._package.config
        appends = Appends(
            partial(new_generator, model),
            logits=config.logits,
            vocabulary=config.vocab_size,
            context=config.context_length,
            continues=self._continues,
        )
        return _Loaded(model, appends)

    def _drop(self, name: str) -> None:
        """Drop generator and model, in this order: a cache lives in its model's memory."""
        loaded = self.__dict__.pop(name, None)
        if loaded is not None:
            loaded.appends.close()

    def close(self) -> None:
        """Drop what was loaded."""
        self._drop("_scorer")
        self._drop("_decoder")


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A model, and what it allows of a cache.

    Attributes:
        model: `onnxruntime_genai.Model`.
        appends: what was tried on it; its generator, if it holds any.
    """

    model: Any
    appends: Appends


def carried_rows(vocabulary: int) -> int:
    """Rows of logits that may travel at a time: about `BLOCK_BYTES`, in whole blocks.

    So a window is appended in the same pieces whether or not its rows are kept.
    """
    block = block_rows(vocabulary)
    most = BLOCK_BYTES // (np.dtype(np.float32).itemsize * vocabulary)
    return max(block, most - most % block)


def continues_behind_cache(package: OnnxPackage) -> bool:
    """Whether several tokens may follow a kept cache, and the cache be cut to where it was.

    A choice in the graph is one by length (LongRoPE): what a cache holds then depends on what comes
    after it.
    """
    config, graph = package.config, package.graph.graph
    return (
        config.model_type not in NEVER_REWOUND
        and wire_attention(graph, config.position_ids, packing=False).keeps_prefix
        and not any(node.op_type == "If" for node in graph.node)
    )
