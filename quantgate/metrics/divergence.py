"""Divergence of a candidate's next-token distribution q from the reference's p.

Per position, over the vocabulary, in nats and float64:

- `kl`: KL(p||q) = sum_v p_v (log p_v - log q_v). Equals llama.cpp's `--kl-divergence` per token.
- `abs_log_ratio`: sum_v p_v |log p_v - log q_v|. This is what the ModelOpt-Windows script calls KL
  divergence; it is an upper bound and no KL (p = (.5, .5), q = (.25, .75): 0.549 against 0.144).
- `top1`: whether both have the same most likely token, of equal ones the lowest id (llama.cpp's
  "same top p").
- `delta_p`: q_t - p_t of the true next token t (llama.cpp's "RMS delta p" is its root mean square).

Float64 throughout: near the reference KL is a second-order remainder of first-order terms, and in
float32 their rounding is as large as the KL of an INT8 model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quantgate.errors import InvalidMeasurement

PADDING_MASS = 1e-6


@dataclass(frozen=True, slots=True)
class PositionDivergence:
    """Per position of a block, each `[n]`; see the module for formulas."""

    kl: NDArray[np.float64]
    abs_log_ratio: NDArray[np.float64]
    same_top: NDArray[np.bool_]


def shifted(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Each row of `[n, V]` less its largest, in float64: exponentials of it don't overflow."""
    top = logits.max(axis=-1, keepdims=True)
    result: NDArray[np.float64] = np.subtract(logits, top, dtype=np.float64)
    return result


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Float64 log-softmax of each row of `[n, V]`."""
    wide = shifted(logits)
    wide -= np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return wide


def divergence(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], tokens: int
) -> PositionDivergence:
    """Compare two blocks of logits `[n, V_p]` and `[n, V_q]` over the same positions.

    Args:
        reference: the reference's logits.
        candidate: the candidate's logits.
        tokens: number of ids that the tokenizer has; vocabularies padded to different widths are
            compared over those of these that both models have.

    Raises:
        InvalidMeasurement: `padded-vocabulary` where ids beyond the tokenizer's hold mass, and
            `vocabulary-short` where those of the tokenizer's do that the other model doesn't have.
    """
    reference, candidate = same_vocabulary(reference, candidate, tokens)
    # With logits x, y and their sums X, Y of exponentials: log p - log q = x - y - log(X / Y), and
    # p = exp x / X. Two exponentials for each id are all there is, in three arrays of that size.
    terms, other = shifted(reference), shifted(candidate)
    weights = np.exp(terms)
    mass = weights.sum(axis=-1)
    terms -= other
    terms -= np.log(mass / np.exp(other, out=other).sum(axis=-1))[:, None]
    terms *= weights
    kl = terms.sum(axis=-1) / mass  # of a row, the same to the bit whatever rows are beside it
    return PositionDivergence(
        kl=kl,
        abs_log_ratio=np.abs(terms, out=terms).sum(axis=-1) / mass,
        same_top=reference.argmax(axis=-1) == candidate.argmax(axis=-1),
    )


def same_vocabulary(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], tokens: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both blocks over one vocabulary; see `divergence` for what is refused."""
    if reference.shape[-1] == candidate.shape[-1]:
        return reference, candidate
    widths = reference.shape[-1], candidate.shape[-1]
    shared = min(tokens, *widths)
    masses = {"reference": _mass(reference, shared), "candidate": _mass(candidate, shared)}
    for name, mass in masses.items():
        if mass > PADDING_MASS:
            raise _other_vocabulary(tokens, widths, f"{mass:g} in the {name}")
    return reference[:, :shared], candidate[:, :shared]


def _mass(logits: NDArray[np.float32], beyond: int) -> float:
    """Largest probability of all ids from `beyond` on, of any position."""
    return float(np.exp(log_softmax(logits)[:, beyond:]).sum(axis=-1).max(initial=0.0))


def _other_vocabulary(tokens: int, widths: tuple[int, int], found: str) -> InvalidMeasurement:
    if min(widths) < tokens:
        return InvalidMeasurement(
            "vocabulary-short",
            need=f"logits for the tokenizer's {tokens} ids from both models, or at most "
            f"{PADDING_MASS:g} probability beyond the {min(widths)} that both have",
            found=found,
            fix="compare models of one family, exported with one tokenizer",
        )
    return InvalidMeasurement(
        "padded-vocabulary",
        need=f"at most {PADDING_MASS:g} probability beyond the tokenizer's {tokens} ids",
        found=found,
        fix="export both models with the same padded vocabulary",
    )
