"""The head of a torch model: hidden rows to logits, by the model's own code.

A causal language model is a wrapper around a decoder: it calls the decoder, multiplies by the
output matrix, then caps or scales as its family does. Put something that hands rows through in the
decoder's place, and the wrapper is the head, whatever it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from quantgate.backends.base import FloatArray
from quantgate.backends.torch_faults import attempt
from quantgate.backends.torch_files import HuggingFaceFolder, read_tensor
from quantgate.errors import InvalidMeasurement

if TYPE_CHECKING:
    import torch


class TorchHead:
    """A wrapper whose decoder was taken out."""

    def __init__(self, wrapper: Any, device: torch.device, dtype: torch.dtype) -> None:
        self.wrapper = wrapper
        self._device = device
        self._dtype = dtype

    def logits(self, hidden: FloatArray) -> NDArray[np.float32]:
        """`[n, H]` to `[n, V]` float32.

        Raises:
            InvalidMeasurement: `logits-shape` where the head yields anything else.
        """
        logits = attempt(
            lambda: self._run(hidden),
            need=f"the head of {type(self.wrapper).__name__} to run on {self._device}",
            fix="measure this model type on another backend",
        )
        if logits.ndim != 3 or logits.shape[:2] != (1, len(hidden)):
            raise InvalidMeasurement(
                "logits-shape",
                need=f"logits [1, {len(hidden)}, vocabulary]",
                found=f"{list(logits.shape)}",
                fix="measure this model type on another backend",
            )
        rows_of_logits: NDArray[np.float32] = logits[0]
        return rows_of_logits

    def _run(self, hidden: FloatArray) -> NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            # A copy, because rows from a file or another process may be read-only.
            rows = torch.tensor(hidden).to(self._device, self._dtype)
            found = self.wrapper(inputs_embeds=rows[None], use_cache=False).logits
            return np.asarray(found.float().cpu().numpy(), dtype=np.float32)


def take_out_decoder(wrapper: Any) -> Any:
    """Return the wrapper's decoder and leave in its place what hands hidden rows through.

    Raises:
        InvalidMeasurement: `head-not-found` where the model has no decoder of its own.
    """
    decoder = wrapper.get_decoder()
    path = next((name for name, module in wrapper.named_modules() if module is decoder), "")
    if not path:
        raise InvalidMeasurement(
            "head-not-found",
            need="a causal language model around a decoder",
            found=f"{type(wrapper).__name__} without one",
            fix="measure this model type on another backend",
        )
    owner, _, leaf = path.rpartition(".")
    setattr(wrapper.get_submodule(owner), leaf, _handing_through())
    return decoder


def _handing_through() -> Any:
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPast

    class HandedOn(BaseModelOutputWithPast):  # type: ignore[misc]  # transformers has no types
        """What a decoder returns; what some families look for beside it isn't there."""

        def __getattr__(self, name: str) -> None:
            return None

    class HandingThrough(torch.nn.Module):
        """Stands where the decoder was: its embeddings are its last hidden states."""

        def forward(self, *_: object, inputs_embeds: torch.Tensor, **__: object) -> Any:
            return HandedOn(last_hidden_state=inputs_embeds)

    return HandingThrough()


def load_head_alone(
    folder: HuggingFaceFolder, config: Any, device: torch.device, dtype: torch.dtype
) -> TorchHead | None:
    """Read the head's own tensors from the files; None where they can't be told by name."""
    import torch
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        wrapper = AutoModelForCausalLM.from_config(
            deepcopy(config), trust_remote_code=folder.trust_remote_code
        )
    table = wrapper.get_input_embeddings().weight
    embedding = next(name for name, value in wrapper.named_parameters() if value is table)
    take_out_decoder(wrapper)
    if any(True for _ in wrapper.buffers()):
        return None
    for name, value in list(wrapper.named_parameters()):
        names = _stored_names(name, embedding if value is table else "", wrapper)
        stored = next((folder.tensors[each] for each in names if each in folder.tensors), None)
        if stored is None or stored.shape != tuple(value.shape):
            return None
        tensor = read_tensor(stored).to(device, dtype)
        owner, _, leaf = name.rpartition(".")
        setattr(wrapper.get_submodule(owner), leaf, torch.nn.Parameter(tensor, requires_grad=False))
    return TorchHead(wrapper.eval(), device, dtype)


def _stored_names(name: str, tied_to: str, wrapper: Any) -> Iterator[str]:
    """Names that a parameter of the head may have in the files, its own before its twin's."""
    yield name
    if tied_to:
        yield tied_to
        # Some checkpoints hold the decoder alone, without the wrapper's prefix.
        yield tied_to.removeprefix(f"{wrapper.base_model_prefix}.")
