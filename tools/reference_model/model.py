"""The model in plain PyTorch, with the parameter names Llama checkpoints use.

It computes what ``LlamaForCausalLM`` computes; written out plainly, it trains
faster on two cores, and its checkpoint loads there as it is.
"""

from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class Shape:
    """The sizes of the model."""

    vocab_size: int = 2048
    hidden_size: int = 128
    intermediate_size: int = 384
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    head_dim: int = 32
    max_position_embeddings: int = 8192
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0

    def config(self, bos: int, eos: int) -> dict[str, Any]:
        """Write the model's ``config.json``."""
        sizes = asdict(self)
        theta = sizes.pop("rope_theta")
        return sizes | {
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": False,
            "attention_dropout": 0.0,
            "bos_token_id": bos,
            "dtype": "float32",
            "eos_token_id": eos,
            "hidden_act": "silu",
            "initializer_range": 0.02,
            "mlp_bias": False,
            "model_type": "llama",
            "pad_token_id": eos,
            "rope_parameters": {"rope_theta": theta, "rope_type": "default"},
            "rope_theta": theta,
            "tie_word_embeddings": True,
            "use_cache": True,
        }


class Attention(nn.Module):
    """Causal attention whose keys and values are shared by groups of heads."""

    def __init__(self, shape: Shape) -> None:
        """Create the four projections."""
        super().__init__()
        self.head_dim = shape.head_dim
        queries = shape.num_attention_heads * shape.head_dim
        keys = shape.num_key_value_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(shape.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(shape.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, shape.hidden_size, bias=False)

    def forward(self, hidden: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Attend from each position to itself and those before it."""
        batch, length, _ = hidden.shape
        split = (batch, length, -1, self.head_dim)
        query = rotate(self.q_proj(hidden).view(split).transpose(1, 2), cosine, sine)
        key = rotate(self.k_proj(hidden).view(split).transpose(1, 2), cosine, sine)
        value = self.v_proj(hidden).view(split).transpose(1, 2)
        groups = query.shape[1] // key.shape[1]
        mixed = functional.scaled_dot_product_attention(
            query,
            key.repeat_interleave(groups, dim=1),
            value.repeat_interleave(groups, dim=1),
            is_causal=True,
        )
        return cast("Tensor", self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1)))


class FeedForward(nn.Module):
    """The gated feed-forward block."""

    def __init__(self, shape: Shape) -> None:
        """Create the three projections."""
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.up_proj = nn.Linear(shape.hidden_size, shape.intermediate_size, bias=False)
        self.down_proj = nn.Linear(shape.intermediate_size, shape.hidden_size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """Transform each position by itself."""
        gated = functional.silu(self.gate_proj(hidden)) * self.up_proj(hidden)
        return cast("Tensor", self.down_proj(gated))


class Layer(nn.Module):
    """One decoder layer."""

    def __init__(self, shape: Shape) -> None:
        """Create the layer's blocks."""
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = FeedForward(shape)
        self.input_layernorm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)

    def forward(self, hidden: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Add to the hidden state what attention and feed-forward make of it."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cosine, sine)
        return cast("Tensor", hidden + self.mlp(self.post_attention_layernorm(hidden)))


class Llama(nn.Module):
    """The decoder; its output weights are its token embeddings."""

    def __init__(self, shape: Shape) -> None:
        """Create the model; ``initial.initialize`` sets its first weights."""
        super().__init__()
        self.shape = shape
        self.embed_tokens = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))
        self.norm = nn.RMSNorm(shape.hidden_size, shape.rms_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the last hidden states of a batch of token rows."""
        cosine, sine = angles(self.shape, tokens.shape[1])
        hidden = self.embed_tokens(tokens)
        for layer in self.layers:
            hidden = layer(hidden, cosine, sine)
        return cast("Tensor", self.norm(hidden))

    def logits(self, hidden: Tensor) -> Tensor:
        """Return the scores of all tokens as the next one."""
        return functional.linear(hidden, self.embed_tokens.weight)

    def checkpoint(self) -> dict[str, Tensor]:
        """Return the parameters under the names of ``LlamaForCausalLM``."""
        return {f"model.{name}": weight.contiguous() for name, weight in self.state_dict().items()}


def angles(shape: Shape, length: int) -> tuple[Tensor, Tensor]:
    """Return the cosines and sines that rotate by position."""
    steps = torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim
    angle = torch.outer(torch.arange(length, dtype=torch.float32), shape.rope_theta**-steps)
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos(), angle.sin()


def rotate(states: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotate the pairs of a head's dimensions."""
    left, right = states.chunk(2, dim=-1)
    return states * cosine + torch.cat([-right, left], dim=-1) * sine
