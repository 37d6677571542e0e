"""Log-probabilities of chosen tokens.

log p(t) = z_t - log sum_v exp z_v, the log-softmax of one row of logits z. The maximum is taken
out before the exponential, the exponentials are float32 (as the logits are), their sum and the
rest are float64. Equals `torch.log_softmax(logits.double(), -1)[t]` to about 1e-7.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def log_normalizer(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Natural logarithm of sum_v exp z_v of each row of `[n, V]`, float64 `[n]`."""
    top = logits.max(axis=-1, keepdims=True)
    shifted = logits - top
    total = np.exp(shifted, out=shifted).sum(axis=-1, dtype=np.float64)
    result: NDArray[np.float64] = np.log(total) + top[..., 0].astype(np.float64)
    return result


def token_logprobs(
    logits: NDArray[np.float32],
    normalizers: NDArray[np.float64],
    rows: NDArray[np.int64],
    tokens: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Natural log-probabilities of `tokens[k]` in row `rows[k]` of `logits [n, V]`, `[k]`.

    Args:
        logits: rows of a model.
        normalizers: their `log_normalizer`, `[n]`.
        rows: which of them, `[k]`.
        tokens: which id in each, `[k]`.

    Raises:
        IndexError: a token id outside the vocabulary.
    """
    return logits[rows, tokens].astype(np.float64) - normalizers[rows]
