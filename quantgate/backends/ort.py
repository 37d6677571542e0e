"""ONNX Runtime engine: a body that computes packed rows and a head that scores some of them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.backends.base import Head, IdentityHead, ScoredBlock, block_rows, usable_cores
from quantgate.backends.blocks import in_blocks
from quantgate.backends.feeds import BodyInputs
from quantgate.backends.nvidia import device_identity
from quantgate.backends.ort_body import Body, hidden_rows, stepwise_logits
from quantgate.backends.ort_decoding import OrtDecoding, without_reuse
from quantgate.backends.ort_head import OrtHead
from quantgate.backends.ort_options import OrtOptions
from quantgate.backends.ort_session import make_session, require_provider
from quantgate.groups import Group, PlanLimits
from quantgate.packages.accuracy_level import with_accuracy_level
from quantgate.packages.attention import wire_attention
from quantgate.packages.decoder import DecoderGraph, decoder_graph, shares_buffers
from quantgate.packages.genai_config import CONFIG_NAME
from quantgate.packages.graph import HIDDEN_ROWS, SplitGraph, split
from quantgate.packages.head import needs_steps
from quantgate.packages.io_names import require_io_names
from quantgate.packages.package import OnnxPackage
from quantgate.packages.rotary_switch import rotary_switch
from quantgate.packages.shape import read_shape

if TYPE_CHECKING:
    import onnx

# The CPU's attention multiplies every token with every other and masks half of the products away;
# a chain in parts leaves out what lies ahead of each part.
CHAIN_TOKENS = 256


class OrtBackend:
    """A decoder package on one execution provider; its sessions load when first used.

    A graph that yields logits of its last token only, for reasons that `packages.head` can't
    undo, isn't split: it is run step by step, and its logits are kept in place of hidden rows.

    Args:
        package: a checked package.
        provider: slug of the execution provider; it is attached or loading fails.
        threads: intra-op threads; 0 takes the cores this process may run on.
        packing: let rows carry token trees where the graph allows it.
        accuracy_level: of every MatMulNBits, 0 to 4; None leaves what the package says.
        session_options: what `ort_options` lets through, by name.
        provider_options: likewise.

    Raises:
        UsageFault: an option isn't allowed, or the configuration doesn't name the graph's inputs.
        InvalidMeasurement: `provider-unavailable`, or `head-not-found` where the logits aren't
            computed by a head.
    """

    def __init__(
        self,
        package: OnnxPackage,
        *,
        provider: str = "cpu",
        threads: int = 0,
        packing: bool = True,
        accuracy_level: int | None = None,
        session_options: Mapping[str, str] | None = None,
        provider_options: Mapping[str, str] | None = None,
    ) -> None:
        self._package = package
        self._provider = provider
        self._threads = threads or usable_cores()
        self._options = OrtOptions(session_options or {}, provider_options or {})
        self._accuracy_level = accuracy_level
        self._provider_name = require_provider(provider)
        self._split: SplitGraph | None = None
        self._engines: tempfile.TemporaryDirectory[str] | None = None
        self._open(packing)

    def _open(self, packing: bool) -> None:
        package, config = self._package, self._package.config
        names = config.names
        require_io_names(names, config.layers, package.graph.graph, package.folder / CONFIG_NAME)
        graph = package.graph
        if self._accuracy_level is not None:
            graph = with_accuracy_level(graph, self._accuracy_level)
        if needs_steps(graph.graph, names.logits):
            body, attention = graph, wire_attention(graph.graph, names.position_ids, packing=False)
        else:
            self._split = split(
                graph,
                logits=names.logits,
                position_ids=names.position_ids,
                input_ids=names.input_ids,
                packing=packing,
            )
            body, attention = self._split.body, self._split.attention
        self._graph = graph
        shape = read_shape(package, body)
        self._attention, self._cost = attention, shape.cost
        inputs = BodyInputs(names, body, attention, shape.caches)
        self._where = f"{package.folder} on {self._provider}"
        in_parts = self._provider == "cpu" and attention.lossless
        self._body = Body(
            lambda: self._load(body),
            inputs,
            names.logits if self._split is None else HIDDEN_ROWS,
            self._where,
            shares=self._provider == "cpu" and shares_buffers(graph.graph, shape.caches),
            widest=CHAIN_TOKENS if in_parts else None,
            switch=rotary_switch(graph, package.weights_folder),
        )

    @property
    def identity(self) -> Mapping[str, Any]:
        """Digest of the package, provider attached, its device, options and runtime version.

        Raises:
            InvalidMeasurement: `files-changed` where the package isn't the one that was opened.
        """
        import onnxruntime

        found = {
            "backend": "ort",
            "package": self._package.digest,
            "provider": self._provider_name,
            "threads": self._threads,
            "packing": self._attention.packs,
            "onnxruntime": onnxruntime.__version__,
        }
        given = {
            "accuracy_level": self._accuracy_level,
            "session_options": dict(self._options.session) or None,
            "provider_options": dict(self._options.provider) or None,
        }
        self._package.require_unchanged()
        device = device_identity(self._provider_name, self._options.provider.get("device_id", "0"))
        return found | {name: value for name, value in given.items() if value is not None} | device

    @property
    def limits(self) -> PlanLimits:
        """Packing as the graph allows, context as the package says."""
        return PlanLimits(
            packs=self._attention.packs,
            keeps_prefix=self._body.inputs.keeps_prefix,
            context=self._package.config.context_length,
            cost=self._cost,
            unseen=int(self._attention.needs_past),
        )

    @cached_property
    def head(self) -> Head:
        """The head alone; loading it doesn't load the body."""
        if self._split is None:
            return IdentityHead()
        return OrtHead(self._load(self._split.head), self._package.config.vocab_size)

    def score(self, batch: Group) -> Iterator[ScoredBlock]:
        """Yield the wanted rows of `batch` in blocks of at most `block_rows`.

        Raises:
            InvalidMeasurement: `logits-shape`, `out-of-memory` or `run-failed`.
        """
        if self._split is None:
            rows = stepwise_logits(self._body, batch)
        else:
            rows = hidden_rows(self._body, batch)
        return in_blocks(rows, self.head, block_rows(self._package.config.vocab_size))

    def decoding(self, capacity: int) -> OrtDecoding:
        """Begin a sequence of at most `capacity` tokens on the whole graph.

        Its session is another than those of body and head; it loads with the first sequence.

        Raises:
            InvalidMeasurement: what `make_session` raises, or `files-changed`.
        """
        graph, session = self._decoder
        return OrtDecoding(session, graph, capacity, provider=self._provider, where=self._where)

    @cached_property
    def _decoder(self) -> tuple[DecoderGraph, Any]:
        graph = decoder_graph(self._package, self._graph)
        options = self._options if graph.shares_buffers else without_reuse(self._options)
        return graph, self._load(graph.model, options, spins=True)

    def _load(
        self, graph: onnx.ModelProto, options: OrtOptions | None = None, *, spins: bool = False
    ) -> Any:
        """A session of `graph`, with proof that it was made of the files that were hashed."""
        session = make_session(
            graph,
            self._package.folder,
            provider=self._provider,
            threads=self._threads,
            weights=self._package.weights_folder,
            options=options or self._options,
            engines=self._engine_folder(),
            spins=spins,
        )
        self._package.require_unchanged()
        return session

    def _engine_folder(self) -> Path | None:
        """A new folder for the engines of this package, if its provider is to keep any."""
        if not self._options.caches_engines:
            return None
        if self._engines is None:
            prefix = f"quantgate-{self._package.digest[:20]}-"
            self._engines = tempfile.TemporaryDirectory(prefix=prefix)
        return Path(self._engines.name)

    def close(self) -> None:
        """Drop all sessions and what they kept."""
        self._body.close()
        self.__dict__.pop("head", None)
        self.__dict__.pop("_decoder", None)
        if self._engines is not None:
            self._engines.cleanup()
            self._engines = None
