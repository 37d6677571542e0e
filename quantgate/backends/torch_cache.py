"""A prefix' keys and values, read by many rows and changed by none.

Imported with the first model that runs, never before: it needs torch and transformers at once.
"""

from __future__ import annotations

import torch
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer


class KeptLayer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """One layer of a kept prefix: a row sees it before its own tokens and leaves nothing behind.

    Args:
        keys: `[1, kv_heads, prefix, head_size]`.
        values: the same shape.
    """

    def __init__(self, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.lazy_initialization(keys, values)
        self.keys, self.values = keys, values

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_: object,
        **__: object,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The prefix followed by a row's keys and values, kept by nobody."""
        keys = torch.cat([self.keys, key_states], dim=-2)
        return keys, torch.cat([self.values, value_states], dim=-2)


def new_cache() -> DynamicCache:
    """An empty cache that keeps every token: windows are the masks' business."""
    return DynamicCache()


def kept_prefix(computed: DynamicCache) -> Cache:
    """What `computed` holds after a prefix went through the model, closed to changes."""
    return Cache(layers=[KeptLayer(layer.keys, layer.values) for layer in computed.layers])
