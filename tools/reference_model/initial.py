"""The weights training starts from: random, with a first draft of copying drawn in.

Looking back at what followed a word before is what a small model finds out only
after many thousand sequences, and all that is asked of it later rests on that. So
the first layer's first two heads start out attending one and two positions back,
and the second layer's heads start out attending to where the word now at hand
stood one position back, and copying what they find. Training does the rest.
"""

from typing import Final, cast

import torch
from torch import Tensor, nn

from tools.reference_model.model import Attention, Layer, Llama, angles, rotate

_STD: Final = 0.06
_CONSTANT: Final = 0.15
_POSITION_SCORE: Final = 5.7
_POSITION_PAIRS: Final = 6
_NOTE_STD: Final = 0.012
_QUERY_SCALE: Final = 8.0
_KEY_SCALE: Final = 24.0
_DAMPING: Final = 0.1
_OTHER_HEADS: Final = 0.3
_GAIN: Final = 3.0
_COPY_SCALE: Final = 0.3
_SLOW_FROM: Final = 4


@torch.no_grad()
def initialize(model: Llama) -> None:
    """Set all weights, drawing from torch's generator."""
    out_scale = (2 * model.shape.num_hidden_layers) ** -0.5
    for name, weight in model.named_parameters():
        if weight.ndim > 1:
            out = name.endswith(("o_proj.weight", "down_proj.weight"))
            nn.init.normal_(weight, std=_STD * (out_scale if out else 1.0))
    layers = [cast("Layer", layer) for layer in model.layers]
    for layer in layers:
        layer.mlp.down_proj.weight.mul_(_DAMPING)
    # One dimension that is the same for all tokens lets a head attend by position alone.
    # As the embeddings are the output's weights too, it moves all scores alike there.
    model.embed_tokens.weight[:, 0] = _CONSTANT
    model.norm.weight.fill_(_GAIN)
    first, second = (layer.self_attn for layer in layers[:2])
    _look_back(first, model)
    _match_notes(first, second)


def _look_back(attention: Attention, model: Llama) -> None:
    """Let the first two heads, which share their keys, attend one and two positions back."""
    size, hidden = attention.head_dim, model.shape.hidden_size
    mean_square = _STD**2 * (hidden - 1) / hidden + _CONSTANT**2 / hidden
    key = torch.zeros(size)
    for pair in range(_POSITION_PAIRS):
        key[[pair, pair + size // 2]] = _POSITION_SCORE * mean_square**0.5 / _CONSTANT / 2**0.5
    cosine, sine = angles(model.shape, 3)
    attention.k_proj.weight[:size, 0] = key
    for head, back in enumerate((1, 2)):
        query = rotate(key, cosine[back], -sine[back])
        attention.q_proj.weight[head * size : (head + 1) * size, 0] = query
    attention.o_proj.weight[:, 2 * size :] *= _OTHER_HEADS
    nn.init.normal_(attention.o_proj.weight[:, : 2 * size], std=_NOTE_STD)


def _match_notes(first: Attention, second: Attention) -> None:
    """Let queries ask for the word at hand, keys show the note of the word before.

    Only the slowly turning dimensions are used, which agree over a distance.
    """
    size = first.head_dim
    word: Tensor = first.v_proj.weight[:size].clone()
    note: Tensor = first.o_proj.weight[:, :size].T.clone()
    for fast in range(_SLOW_FROM):
        word[[fast, fast + size // 2]] = 0.0
        note[[fast, fast + size // 2]] = 0.0
    heads = second.q_proj.out_features // size
    shared = second.k_proj.out_features // size
    second.q_proj.weight += _QUERY_SCALE * word.repeat(heads, 1)
    second.k_proj.weight += _KEY_SCALE * note.repeat(shared, 1)
    values = second.v_proj.weight.view(shared, size, -1)
    back = values.repeat_interleave(heads // shared, dim=0).flatten(0, 1).T
    second.o_proj.weight.copy_(_COPY_SCALE * back)
