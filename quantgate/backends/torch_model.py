"""Loads a whole causal language model and takes it apart into decoder and head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from quantgate.backends.base import FloatArray
from quantgate.backends.torch_device import require_placed
from quantgate.backends.torch_faults import attempt
from quantgate.backends.torch_feeds import TorchFeed, as_mask, padding_mask
from quantgate.backends.torch_files import HuggingFaceFolder
from quantgate.backends.torch_head import TorchHead, take_out_decoder
from quantgate.errors import InvalidMeasurement

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder on its device.

    Attributes:
        module: transformers' base model, without the output matrix.
        device: where its inputs go.
        dtype: type of its hidden states.
        positions: whether it takes position ids.
    """

    module: Any
    device: torch.device
    dtype: torch.dtype
    positions: bool

    def hidden(self, feed: TorchFeed, past: Any = None) -> FloatArray:
        """Wanted hidden rows `[n, H]`; bfloat16, which NumPy lacks, comes back as float32.

        Args:
            feed: what to compute.
            past: keys and values of what came before, or the cache to fill.
        """
        import torch

        with torch.inference_mode():
            states = self.module(**self._inputs(feed, past)).last_hidden_state
            rows, columns = (torch.tensor(at, device=states.device) for at in feed.wanted)
            found = states[rows.long(), columns.long()]
            wide = found.float() if found.dtype == torch.bfloat16 else found
            hidden: FloatArray = wide.cpu().numpy()
        return hidden

    def _inputs(self, feed: TorchFeed, past: Any) -> dict[str, Any]:
        import torch

        def placed(array: np.ndarray[Any, Any]) -> torch.Tensor:
            return torch.tensor(array).to(self.device)

        inputs: dict[str, Any] = {"input_ids": placed(feed.ids), "use_cache": past is not None}
        if past is not None:
            inputs["past_key_values"] = past
        if self.positions:
            inputs["position_ids"] = placed(feed.positions)
        if feed.biases is not None:
            inputs["attention_mask"] = self._masks(feed.biases)
        elif feed.lengths is not None:
            inputs["attention_mask"] = placed(padding_mask(feed.lengths))
        return inputs

    def _masks(self, biases: Mapping[str, np.ndarray[Any, Any]]) -> Any:
        import torch

        return as_mask(
            {
                kind: torch.from_numpy(bias)[None, None].to(self.device, self.dtype)
                for kind, bias in biases.items()
            }
        )


@dataclass(frozen=True, slots=True)
class Loading:
    """How a model is loaded: what `from_pretrained` is told beside the folder."""

    folder: HuggingFaceFolder
    device: torch.device
    dtype: torch.dtype
    device_map: str | None


def load_whole(loading: Loading) -> Any:
    """Load the causal language model, proven to be complete and where it was asked to be.

    Raises:
        InvalidMeasurement: `out-of-memory`, `load-failed` with the runtime's own words,
            `weights-missing`, `provider-not-attached`.
    """
    folder = loading.folder
    model, told = attempt(
        lambda: _load(loading),
        need=f"{folder.path} to load on {loading.device}",
        code="load-failed",
        fix="check that transformers' AutoModelForCausalLM loads the folder",
    )
    _require_complete(folder, told)
    require_placed(model, loading.device, sharded=loading.device_map is not None)
    return model.eval().requires_grad_(requires_grad=False)


def _load(loading: Loading) -> tuple[Any, Mapping[str, Any]]:
    from transformers import AutoModelForCausalLM

    model, told = AutoModelForCausalLM.from_pretrained(
        str(loading.folder.path),
        dtype=loading.dtype,
        device_map=loading.device_map,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=loading.folder.trust_remote_code,
        output_loading_info=True,
    )
    return (model if loading.device_map else model.to(loading.device)), told


def _require_complete(folder: HuggingFaceFolder, told: Mapping[str, Any]) -> None:
    """Refuse a model that transformers filled up with random weights."""
    lacking = [*told.get("missing_keys", ()), *told.get("mismatched_keys", ())]
    if lacking:
        names = sorted(str(key) for key in lacking)
        raise InvalidMeasurement(
            "weights-missing",
            need=f"{folder.path}: every weight of the model, in its shape",
            found=f"{len(names)} missing or of another shape, first {names[0]}",
            fix="save the whole model again with save_pretrained",
        )


def take_apart(
    model: Any, loading: Loading, *, positions: bool, head: TorchHead | None
) -> tuple[Decoder, TorchHead]:
    """Split a loaded model; where `head` was loaded before, its tensors are the ones kept.

    A matrix that is both embedding and head then lies in memory once.
    """
    table = model.get_input_embeddings()
    device = table.weight.device
    module = take_out_decoder(model)
    if head is None:
        head = TorchHead(model, device, loading.dtype)
    elif loading.device_map is None:
        for name, value in model.named_parameters():
            if value is table.weight:
                table.weight = head.wrapper.get_parameter(name)
    return Decoder(module, device, loading.dtype, positions), head
