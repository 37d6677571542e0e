"""What a model's configuration says about packing, kept prefixes and cost; no weight is loaded."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from quantgate.backends.torch_files import HuggingFaceFolder
from quantgate.cost_model import CostModel
from quantgate.errors import UsageFault
from quantgate.groups import PlanLimits

FULL, SLIDING = "full_attention", "sliding_attention"
UNBOUNDED = 2**31 - 1
# What makes attention more than masks and positions can tell: linear biases, caches that layers
# share, chunks, tokens that see their future. Set to anything true, no row is packed.
UNTOLD = (
    "alibi",
    "attention_chunk_size",
    "kv_sharing_modes",
    "num_kv_shared_layers",
    "use_bidirectional_attention",
)


@dataclass(frozen=True, slots=True)
class Traits:
    """How a decoder may be fed.

    Attributes:
        windows: window in tokens by layer type, None where every token is seen; empty where
            attention isn't told by masks and positions alone, and so can't be packed.
        positions: whether the model takes position ids.
        context: longest sequence in tokens.
        switch: length beyond which a sequence is computed with other rotary tables; None without.
        cost: relative costs.
    """

    windows: Mapping[str, int | None]
    positions: bool
    context: int
    switch: int | None
    cost: CostModel

    def limits(self, *, packing: bool) -> PlanLimits:
        """What the planner may do.

        Where long sequences switch their rotary tables, a token's keys depend on how long its
        sequence gets, so prefixes are shared below the switch only: packing gives up the context
        beyond it, and without packing every sequence is computed whole.
        """
        shares = bool(self.windows) and (packing or self.switch is None)
        below = self.switch if shares and self.switch is not None else self.context
        return PlanLimits(
            packs=shares and packing,
            keeps_prefix=shares,
            context=min(self.context, below),
            cost=self.cost,
        )


def read_config(folder: HuggingFaceFolder) -> Any:
    """The folder's configuration as transformers understands it.

    Raises:
        UsageFault: `config-unreadable`.
    """
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        return AutoConfig.from_pretrained(
            str(folder.path), local_files_only=True, trust_remote_code=folder.trust_remote_code
        )
    except Exception as error:  # noqa: BLE001  each configuration class checks in its own way
        raise UsageFault(
            "config-unreadable",
            need=f"{folder.path}: a configuration that transformers knows",
            found=f"{type(error).__name__}: {error}",
            fix="install a transformers release that has this model type",
        ) from None


def read_traits(folder: HuggingFaceFolder, config: Any) -> Traits:
    """Traits of the causal language model that transformers makes of `config`."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    text = config.get_text_config()
    known = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING and "auto_map" not in folder.config
    model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)] if known else None
    positions = model is not None and "position_ids" in inspect.signature(model.forward).parameters
    # Such classes leave attention to one shared function, so nothing is masked behind its back.
    shared = getattr(model, "_supports_attention_backend", False)
    return Traits(
        windows=layer_windows(text) if shared and positions else {},
        positions=positions,
        context=int(getattr(text, "max_position_embeddings", None) or UNBOUNDED),
        switch=_rotary_switch(text),
        cost=_cost(folder, text),
    )


def layer_windows(config: Any) -> dict[str, int | None]:
    """Window by layer type, by the rule that transformers makes its masks by; {} if unknown."""
    window: int | None = getattr(config, "sliding_window", None)
    kinds = set(getattr(config, "layer_types", None) or {SLIDING if window else FULL})
    told = not any(getattr(config, name, None) for name in UNTOLD)
    if not told or not kinds <= {FULL, SLIDING} or (SLIDING in kinds and not window):
        return {}
    return {kind: window if kind == SLIDING else None for kind in sorted(kinds)}


def _rotary_switch(config: Any) -> int | None:
    """Where LongRoPE goes from its short factors to its long ones."""
    rotary = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in rotary.values() if isinstance(value, Mapping)]
    lengths = [
        int(part["original_max_position_embeddings"])
        for part in (rotary, *nested)
        if part.get("rope_type") == "longrope"
    ]
    return min(lengths, default=None)


def _cost(folder: HuggingFaceFolder, config: Any) -> CostModel:
    heads = getattr(config, "num_attention_heads", None) or 0
    kv_heads = getattr(config, "num_key_value_heads", None) or heads
    size = getattr(config, "head_dim", None) or (config.hidden_size // heads if heads else 0)
    layers = config.num_hidden_layers
    return CostModel(
        linear=sum(_projections(folder, config.vocab_size)),
        pair=2 * heads * size * layers,
        cache=2 * kv_heads * size * layers,
    )


def _projections(folder: HuggingFaceFolder, vocabulary: int) -> Iterator[int]:
    """Multiply-adds per token of the stored matrices, without lookup tables and the head."""
    for name, tensor in folder.tensors.items():
        table = "embed" in name or name.endswith(("wte.weight", "wpe.weight"))
        if len(tensor.shape) == 2 and vocabulary not in tensor.shape and not table:
            yield math.prod(tensor.shape)
