"""Random Hugging Face models of several families, and the plain way to run them.

Nothing of quantgate is imported here, so that a fault of it can't hide in what it is tested on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.tiny_models import write_tokenizer

WINDOW = 16
CONTEXT = 256
LONGROPE_SWITCH = 64
SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": CONTEXT,
    # Wide enough that attention decides what comes out.
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
# Name of a variant: transformers' model type and what differs from `SHAPE`.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama_tied": ("llama", {"tie_word_embeddings": True}),
    "mistral": ("mistral", {"sliding_window": WINDOW}),
    "qwen2": ("qwen2", {}),
    "qwen2_window": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    ),
    "qwen3": ("qwen3", {"tie_word_embeddings": True}),
    "gemma2": (
        "gemma2",
        {
            "sliding_window": WINDOW,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 3.0,
            "query_pre_attn_scalar": 16,
            "tie_word_embeddings": True,
        },
    ),
    "gemma3": (
        "gemma3_text",
        {
            "sliding_window": WINDOW,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 16,
            "tie_word_embeddings": True,
        },
    ),
    "phi3": ("phi3", {"sliding_window": WINDOW}),
    "phi3_longrope": (
        "phi3",
        {
            "original_max_position_embeddings": LONGROPE_SWITCH,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 10000.0,
                "short_factor": [1.0] * 8,
                "long_factor": [4.0] * 8,
                "original_max_position_embeddings": LONGROPE_SWITCH,
            },
        },
    ),
    "gpt2": (
        "gpt2",
        {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": CONTEXT, "n_inner": 96},
    ),
    "granite": ("granite", {"logits_scaling": 3.0}),
    "cohere": ("cohere", {"logit_scale": 0.25, "tie_word_embeddings": True}),
    "bloom": ("bloom", {"n_layer": 2, "n_head": 4}),
}


def write_model(folder: Path, family: str, *, seed: int = 0, **changes: Any) -> Path:
    """Write a random float32 model of `family` as `save_pretrained` does, with a tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    size = write_tokenizer(folder).get_vocab_size()
    model_type, own = FAMILIES[family]
    shape = {"initializer_range": 0.2} if model_type == "gpt2" else SHAPE
    config = AutoConfig.for_model(
        model_type,
        **{
            **shape,
            **own,
            "vocab_size": size,
            "bos_token_id": size - 2,
            "eos_token_id": size - 1,
            **changes,
        },
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():  # what starts as ones or zeros would hide what is done with it
        for value in model.parameters():
            if value.ndim == 1:
                value.add_(torch.randn_like(value) * 0.1)
    model.save_pretrained(folder, safe_serialization=True)
    return folder


class PlainTorch:
    """One forward of the whole model per sequence: no cache, no mask, no packing."""

    def __init__(self, folder: Path, dtype: str = "float32") -> None:
        import torch
        from transformers import AutoModelForCausalLM

        self.model = AutoModelForCausalLM.from_pretrained(
            str(folder), dtype=getattr(torch, dtype)
        ).eval()

    def logits(self, ids: Sequence[int]) -> np.ndarray:
        """`[S, V]` float32."""
        import torch

        with torch.no_grad():
            found = self.model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits
        return found[0].float().numpy()
