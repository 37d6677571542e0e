"""Figures of a text pass: perplexities and the divergence's summary."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate import stats
from quantgate.results import Direction, Score
from quantgate.tasks.text_pass import DivergenceSamples, TextItems, TextSamples
from quantgate.tasks.windows import scored_mask, whole_labels, window_labels

PERCENTILES = {
    "kl_median": 50.0,
    "kl_p90": 90.0,
    "kl_p95": 95.0,
    "kl_p99": 99.0,
    "kl_p99_9": 99.9,
    "kl_max": 100.0,
}
CURVE = (0.0, 1.0, *np.arange(5.0, 95.1, 5.0).tolist(), 97.5, 99.0, 99.5, 99.9, 99.99, 100.0)


def scored_ids(items: TextItems, protocol: str) -> NDArray[np.bool_]:
    """Which ids the perplexity protocol scores, `[N]`; KeyError for an unknown one."""
    return scored_mask(items.windows, len(items.ids), protocol)


def perplexity_score(
    samples: TextSamples, items: TextItems, protocol: str, reference: TextSamples | None
) -> Score:
    """Exponential of the mean negative log-probability over the ids that `protocol` scores.

    Standard errors by the delta method, PPL times the error of the mean; clustered by window. The
    paired difference is in nats per token: ln(PPL / PPL of the reference).
    """
    mask = scored_ids(items, protocol)
    nll = -samples.logprobs(protocol)[mask]
    windows = window_labels(items.windows, len(items.ids), protocol)[mask].tolist()
    clusters = len(set(windows))
    mean, stderr = stats.mean_stderr(nll)
    value = float(np.exp(mean))
    paired: dict[str, Any] = {}
    if reference is not None and clusters > 1:
        delta, error = stats.paired(nll, -reference.logprobs(protocol)[mask], windows)
        paired = {"paired_delta": delta, "paired_stderr": error, "paired_unit": "nats/token"}
    return Score(
        metric="perplexity",
        value=value,
        n=len(nll),
        unit="perplexity",
        direction=Direction.LOWER,
        stderr=value * stderr,
        stderr_clustered=value * stats.clustered_stderr(nll, windows) if clusters > 1 else None,
        clusters=clusters,
        **paired,
    )


def perplexity_windows(
    samples: TextSamples, items: TextItems, protocol: str
) -> list[dict[str, float]]:
    """Every window's share of the sum, to audit a perplexity by."""
    found = []
    for window in items.windows:
        if targets := window.scores(protocol):
            nll = -float(samples.logprobs(protocol)[targets.start : targets.stop].sum())
            found.append(
                {"begin": window.begin, "end": window.end, "n": len(targets), "nll_nats": nll}
            )
    return found


def divergence_windows(
    samples: TextSamples, found: DivergenceSamples, items: TextItems, reference: TextSamples
) -> list[dict[str, float]]:
    """Every window's means, to audit a mean by and to pair with another run's.

    `n` positions have a divergence; `n_next` of them a next id, whose probabilities differ by
    `log_perplexity_ratio`.
    """
    ratio = reference.next_token - samples.next_token  # NaN at the last id, which has no next
    windows = []
    for window in items.windows:
        if window.whole:
            span = slice(window.begin, window.end)
            following = ratio[window.begin : min(window.end, len(items.ids) - 1)]
            windows.append(
                {
                    "begin": window.begin,
                    "end": window.end,
                    "n": window.end - window.begin,
                    "n_next": len(following),
                    "kl_mean": float(found.kl[span].mean()),
                    "top1_agreement": float(found.same_top[span].mean()),
                    "log_perplexity_ratio": float(following.mean()) if len(following) else 0.0,
                }
            )
    return windows


def divergence_distribution(found: DivergenceSamples) -> dict[str, Any]:
    """How the divergence is spread over positions, to draw.

    Returns:
        `percentiles`: pairs of a per cent and the divergence in nats; `histogram`: counts between
        `edges`, which are decimal logarithms of nats, and the number of positions `below` the
        first and `above` the last edge.
    """
    edges = np.linspace(-8, 2, 51)
    kl = found.kl[found.compared]
    logs = np.log10(np.maximum(kl, 1e-300))
    counts, _ = np.histogram(logs, bins=edges)
    return {
        "percentiles": [[q, float(np.percentile(kl, q))] for q in CURVE],
        "histogram": {
            "edges": [round(float(edge), 6) for edge in edges],
            "counts": counts.tolist(),
            "below": int((logs < edges[0]).sum()),
            "above": int((logs > edges[-1]).sum()),
        },
    }


def divergence_scores(
    samples: TextSamples, found: DivergenceSamples, items: TextItems, reference: TextSamples
) -> tuple[Score, ...]:
    """Every figure of the divergence; `kl_mean` first, which is gated by default."""
    mask = found.compared
    numbers = whole_labels(items.windows, len(items.ids))
    labels, kl = numbers[mask].tolist(), found.kl[mask]
    ratios = _mean_of_means(found.abs_log_ratio[mask], labels)
    percentiles = [
        _plain(name, float(np.percentile(kl, q)), len(kl), "nats")
        for name, q in PERCENTILES.items()
    ]
    same = found.same_top[mask]
    return (
        _mean_score("kl_mean", kl, labels, "nats"),
        *percentiles,
        _mean_score("top1_agreement", same, labels, "fraction", Direction.HIGHER),
        *_next_token_scores(samples, reference, numbers, mask[:-1]),
        _plain("abs_log_ratio", ratios, len(kl), "nats"),
    )


def _next_token_scores(
    samples: TextSamples,
    reference: TextSamples,
    numbers: NDArray[np.int64],
    mask: NDArray[np.bool_],
) -> tuple[Score, Score]:
    """RMS change of the true next token's probability, and ln(PPL_q / PPL_p) by position.

    `mask` tells which positions but the last, which has no next, are compared.
    """
    q, p = samples.next_token[:-1][mask], reference.next_token[:-1][mask]
    change = np.exp(q) - np.exp(p)
    rms = _plain("rms_delta_p", float(np.sqrt(np.mean(change**2))), len(change), "fraction")
    return rms, _mean_score("log_perplexity_ratio", p - q, numbers[:-1][mask].tolist(), "nats")


def _mean_score(
    metric: str,
    values: NDArray[np.float64],
    labels: list[int],
    unit: str,
    direction: Direction = Direction.LOWER,
) -> Score:
    mean, stderr = stats.mean_stderr(values)
    clusters = len(set(labels))
    return Score(
        metric=metric,
        value=mean,
        n=len(values),
        unit=unit,
        direction=direction,
        stderr=stderr,
        stderr_clustered=stats.clustered_stderr(values, labels) if clusters > 1 else None,
        clusters=clusters,
    )


def _plain(metric: str, value: float, n: int, unit: str) -> Score:
    return Score(metric=metric, value=value, n=n, unit=unit, direction=Direction.LOWER)


def _mean_of_means(values: NDArray[np.float64], labels: list[int]) -> float:
    """Mean over windows, unweighted, of the means over their positions."""
    numbers = np.array(labels)
    return float(np.mean([values[numbers == label].mean() for label in sorted(set(labels))]))
