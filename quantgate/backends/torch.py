"""PyTorch engine: Hugging Face causal language models, fed the rows that ONNX Runtime is fed."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.backends.base import FloatArray, ScoredBlock, block_rows, usable_cores
from quantgate.backends.blocks import in_blocks
from quantgate.backends.torch_decoding import TorchDecoding, WholeModel
from quantgate.backends.torch_device import device_names, require_device, require_dtype
from quantgate.backends.torch_faults import attempt
from quantgate.backends.torch_feeds import TorchFeed, padded_feeds, prefix_feed, row_feed
from quantgate.backends.torch_files import open_folder
from quantgate.backends.torch_head import TorchHead, load_head_alone
from quantgate.backends.torch_memory import keep_freed_memory
from quantgate.backends.torch_model import Decoder, Loading, load_whole, take_apart
from quantgate.backends.torch_proof import probe_sequences, prove, whole_logits
from quantgate.backends.torch_traits import read_config, read_traits
from quantgate.errors import InvalidMeasurement
from quantgate.groups import Group, PlanLimits
from quantgate.vector_math import settle_vector_math

if TYPE_CHECKING:
    import torch


class TorchBackend:
    """A Hugging Face model on one device, or sharded over several; it loads when first used.

    Args:
        folder: a folder as `save_pretrained` writes it; only safetensors are read.
        device: torch's name of the device; the model runs there or not at all.
        threads: intra-op threads; 0 takes the cores this process may run on.
        dtype: `auto` for the type it was saved in, `float32`, `float16` or `bfloat16`.
        packing: let rows carry token trees where the architecture allows it.
        trust_remote_code: let the folder's own Python code run.
        device_map: `auto` and the like: accelerate shards the layers over devices.

    Raises:
        UsageFault: what `open_folder` and `read_config` say of the folder, `dtype-unknown`.
        InvalidMeasurement: `provider-unavailable`, `weights-unreadable`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "cpu",
        threads: int = 0,
        dtype: str = "auto",
        packing: bool = True,
        trust_remote_code: bool = False,
        device_map: str | None = None,
    ) -> None:
        require_dtype(dtype)
        self._folder = open_folder(folder, trust_remote_code=trust_remote_code)
        self._device = require_device(device)
        self._threads = threads or usable_cores()
        self._dtype = self._folder.dtype if dtype == "auto" else dtype
        self._device_map = device_map
        self._config = read_config(self._folder)
        self._traits = read_traits(self._folder, self._config)
        self._limits = self._traits.limits(packing=packing)
        self._block_rows = block_rows(self._config.get_text_config().vocab_size)
        self._kept: tuple[tuple[int, ...], Any] | None = None

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """Digest of the folder, device, type, options and versions; no weight is loaded for it."""
        sharded = self._device_map is not None
        names = device_names(self._device, sharded=sharded)
        return {
            "backend": "torch",
            "package": self._folder.digest,
            "provider": str(self._device),
            "dtype": self._dtype,
            "threads": self._threads,
            "packing": self._limits.packs,
            "torch": metadata.version("torch"),
            "transformers": metadata.version("transformers"),
            **({"device_name": ", ".join(names)} if names else {}),
            **({"device_map": self._device_map} if sharded else {}),
            **({"trust_remote_code": True} if self._folder.trust_remote_code else {}),
        }

    @property
    def limits(self) -> PlanLimits:
        """Packing and kept prefixes as the architecture allows them."""
        return self._limits

    @cached_property
    def head(self) -> TorchHead:
        """The head alone; the body loads only where the head's tensors can't be told by name."""
        if "_parts" not in self.__dict__:
            loading = self._loading()
            alone = load_head_alone(self._folder, self._config, loading.device, loading.dtype)
            if alone is not None:
                return alone
        return self._parts[1]

    @cached_property
    def _parts(self) -> tuple[Decoder, TorchHead]:
        """Decoder and head, proved against the model that they were taken from."""
        loading = self._loading()
        model = self.__dict__.pop("_whole", None) or load_whole(loading)
        sequences = probe_sequences(self._config.get_text_config().vocab_size)
        expected = attempt(
            lambda: whole_logits(model, sequences),
            need=f"{self._folder.path} to run on {self._device}",
            fix="check the folder with transformers alone",
        )
        parts = take_apart(
            model, loading, positions=self._traits.positions, head=self.__dict__.get("head")
        )
        prove(
            lambda batch: in_blocks(self._hidden(parts[0], batch), parts[1]),
            sequences,
            expected,
            self._limits,
            self._dtype,
        )
        self._kept = None
        return parts

    @cached_property
    def _whole(self) -> Any:
        """The model in one piece; parts would hold its weights a second time."""
        self._drop("_parts", "head")
        return load_whole(self._loading())

    def _loading(self) -> Loading:
        import torch

        torch.set_num_threads(self._threads)
        settle_vector_math()
        keep_freed_memory()
        dtype: torch.dtype = getattr(torch, self._dtype)
        return Loading(self._folder, self._device, dtype, self._device_map)

    def score(self, batch: Group) -> Iterator[ScoredBlock]:
        """Yield the wanted rows of `batch` in blocks of at most `block_rows`.

        Raises:
            InvalidMeasurement: `logits-shape`, `out-of-memory` or `run-failed`; where the model
                loads now, what `load_whole` and `prove` raise.
        """
        decoder, _ = self._parts
        try:
            rows = self._hidden(decoder, batch)
            yield from in_blocks(rows, self.head, self._block_rows)
        except InvalidMeasurement as fault:
            if fault.code == "out-of-memory":
                self._free()
            raise

    def _hidden(self, decoder: Decoder, batch: Group) -> Iterator[FloatArray]:
        """Wanted hidden rows `[n, H]`, a run at a time."""
        if batch.padded:
            for feed in padded_feeds(batch.rows, self._traits.switch):
                yield self._run(decoder, feed)
            return
        kept = self._prefix(decoder, batch.prefix) if batch.prefix else None
        for row in batch.rows:
            feed = row_feed(row, len(batch.prefix), self._traits.windows)
            yield self._run(decoder, feed, kept)

    def _prefix(self, decoder: Decoder, ids: tuple[int, ...]) -> Any:
        """Keys and values of a prefix, computed unless it is the last one."""
        from quantgate.backends.torch_cache import kept_prefix, new_cache

        if self._kept is None or self._kept[0] != ids:
            self._kept = None  # the old cache goes before the new one is made
            cache = new_cache()
            self._run(decoder, prefix_feed(ids), cache)
            self._kept = ids, kept_prefix(cache)
        return self._kept[1]

    def _run(self, decoder: Decoder, feed: TorchFeed, past: Any = None) -> FloatArray:
        return attempt(
            lambda: decoder.hidden(feed, past),
            need=f"{self._folder.path} to run on {self._device}",
            fix="check the folder with transformers alone, or try packing = false",
        )

    def _free(self) -> None:
        """Give kept memory back to the device, so that a smaller batch may fit."""
        import torch

        self._kept = None
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def decoding(self, capacity: int) -> TorchDecoding:
        """Begin a sequence on the whole model; loading it drops the parts that score.

        Raises:
            InvalidMeasurement: what `load_whole` raises, `generation-unsupported`.
        """
        name = f"{self._folder.path} on {self._device}"
        return TorchDecoding(WholeModel(self._whole, name, self._traits.switch), capacity)

    def close(self) -> None:
        """Drop the model, whole or in parts."""
        self._drop("_whole", "_parts", "head")

    def _drop(self, *names: str) -> None:
        """Drop what was loaded; modules hold cycles, so their memory is collected at once."""
        for name in names:
            self.__dict__.pop(name, None)
        self._free()
