"""Greedy decoding with a whole Hugging Face model and the cache that transformers gives it.

It computes what `generate(do_sample=False)` does: a `DynamicCache` made for the configuration, one
row of logits a call. The most likely id is found on the device, and nothing else leaves it.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantgate.backends.torch_faults import attempt
from quantgate.errors import InvalidMeasurement

if TYPE_CHECKING:
    import torch

NONE = -1  # stands for an id where there is none


@dataclass(frozen=True, slots=True)
class WholeModel:
    """A causal language model in one piece.

    Attributes:
        module: transformers' model.
        name: its folder and device, for messages.
        switch: length beyond which a sequence is computed with other rotary tables; None without.
    """

    module: Any
    name: str
    switch: int | None


class TorchDecoding:
    """One sequence on a whole model.

    Args:
        model: the model.
        capacity: most tokens; the cache grows as they come, so no memory is set aside for them.

    Raises:
        InvalidMeasurement: `generation-unsupported` where the model takes no keys and values.
    """

    def __init__(self, model: WholeModel, capacity: int) -> None:
        taken = inspect.signature(model.module.forward).parameters
        if "past_key_values" not in taken:
            raise InvalidMeasurement(
                "generation-unsupported",
                need=f"{model.name}: a model that takes past keys and values",
                found=f"{type(model.module).__name__} without past_key_values",
                fix="leave this model out of generation and speed",
            )
        self._model = model
        self._capacity = capacity
        # Logits of a whole prompt may be larger than the model.
        self._options = {"logits_to_keep": 1} if "logits_to_keep" in taken else {}
        self._device = model.module.get_input_embeddings().weight.device
        self._ids: list[int] = []
        self._past = 0  # how many of them the cache has
        self._cache = self._new_cache()
        self._chosen: torch.Tensor | None = None  # what was returned last, `[1, 1]`, not copied
        self._returned = NONE

    def append(self, ids: Sequence[int], /) -> int:
        """Prefill `ids` behind what is there; the most likely next id.

        Raises:
            ValueError: no ids, or more than there is room for.
            InvalidMeasurement: `logits-not-finite`, `out-of-memory` or `run-failed`.
        """
        self._ids.extend(ids)
        if not ids or len(self._ids) > self._capacity:
            raise ValueError(f"{len(ids)} ids behind {self._past} in room for {self._capacity}")
        if self._switches():
            self._past, self._cache = 0, self._new_cache()
        self._returned = attempt(
            self._run,
            need=f"{self._model.name} to generate",
            fix="check the folder with transformers' generate alone",
        )
        if self._returned == NONE:
            raise InvalidMeasurement(
                "logits-not-finite",
                need="finite logits",
                found=f"{self._model.name}: NaN or infinity is the largest behind "
                f"{len(self._ids)} tokens",
                fix="choose a wider dtype, or find the layer that overflows",
            )
        return self._returned

    def step(self, id_: int, /) -> int:
        """Append one id; the most likely next id. Raises as `append`."""
        return self.append((id_,))

    def close(self) -> None:
        """Drop the cache."""
        self._cache = self._chosen = None

    def _new_cache(self) -> Any:
        from transformers.cache_utils import DynamicCache

        return DynamicCache(config=self._model.module.config)

    def _switches(self) -> bool:
        """Whether the sequence grows over its switch: what is kept has the other tables."""
        switch = self._model.switch
        return switch is not None and 0 < self._past <= switch < len(self._ids)

    def _run(self) -> int:
        """Feed what the cache lacks and choose the next id."""
        import torch

        with torch.inference_mode():
            logits = self._model.module(
                input_ids=self._inputs(),
                past_key_values=self._cache,
                use_cache=True,
                **self._options,
            ).logits
            self._past = len(self._ids)
            # Of equal values torch finds the first; NaN it takes for the largest.
            largest, chosen = logits[:, -1].float().max(dim=-1, keepdim=True)
            self._chosen = torch.where(largest.isfinite(), chosen, NONE).to(self._device)
            return int(self._chosen.item())

    def _inputs(self) -> torch.Tensor:
        """The ids behind those in the cache, `[1, S]`."""
        import torch

        ids = self._ids[self._past :]
        if self._chosen is not None and ids == [self._returned]:
            return self._chosen  # it never left the device
        return torch.tensor([ids], device=self._device)
