"""What a run yields: scores, the facts that make two scores comparable, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """The gate's answer for one metric of one case."""

    PASS = "PASS"
    REGRESSION = "REGRESSION"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"
    NO_BASELINE = "NO_BASELINE"


class Direction(StrEnum):
    """Which way a metric gets better."""

    HIGHER = "higher"
    LOWER = "lower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One reduced figure.

    Attributes:
        metric: name within its task, for example `accuracy` or `kl_mean`.
        value: the figure, unrounded.
        n: number of scored items behind it (questions, tokens or positions).
        unit: `fraction`, `perplexity`, `nats`, ...
        stderr: plain standard error of `value`; None where it has none (a percentile).
        stderr_clustered: the same with errors clustered by subject or window.
        paired_delta: mean paired difference to the reference over the same items, on
            `paired_unit`'s scale (accuracy: fraction; perplexity: nats per token), or None.
        paired_stderr: clustered standard error of `paired_delta`.
        clusters: number of clusters (subjects or windows) behind the clustered errors.
        noise: largest change of `value` seen when the same requests were batched in other ways
            and by other numbers of threads; None where that wasn't measured.
    """

    metric: str
    value: float
    n: int
    unit: str
    direction: Direction
    stderr: float | None = None
    stderr_clustered: float | None = None
    paired_delta: float | None = None
    paired_stderr: float | None = None
    paired_unit: str = ""
    clusters: int = 0
    noise: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparability:
    """Two results are comparable only where all of these are equal.

    Attributes:
        protocol: name with its parameters, for example `strided 1024/512`.
        items: number of scored items.
        ids_digest: SHA-256 over the token ids that were scored, item by item.
        corpus: digest of the corpus' bytes after its selection (`--gate-limit` included).
        tokenizer: digest of the tokenizer's files.
        plan: digest of the batching plan.
    """

    protocol: str
    items: int
    ids_digest: str
    corpus: str
    tokenizer: str
    plan: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """Everything one evaluation of one task yields for one case.

    `detail` is JSON-ready: per subject, categories, flips, percentiles, overflow. `cost` holds
    tokens requested and computed, batches and seconds. `identity` is the backend's digest and what
    it is made of; `warnings` are findings that change no verdict.

    `task` is a suite's name, with the protocol where a suite has several: `mmlu`,
    `perplexity.strided`, `perplexity.genai_chunked`, `kl_divergence`.
    """

    case_id: str
    task: str
    scores: tuple[Score, ...]
    comparability: Comparability
    identity: Mapping[str, Any]
    detail: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def score(self, metric: str) -> Score:
        """Return the score named `metric`; KeyError where the task has none of that name."""
        for score in self.scores:
            if score.metric == metric:
                return score
        raise KeyError(f"{self.task} has no metric {metric!r}: {[s.metric for s in self.scores]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """How much worse a figure may get: `kind` is `absolute` (the metric's unit) or `relative`."""

    kind: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The policy of one metric: against the stored baseline, and against the reference."""

    baseline: Tolerance | None = None
    reference: Tolerance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict with all it rests on.

    Attributes:
        delta: value minus the figure it is held against (`anchor`), in the metric's unit.
        allowed: the largest harmful change that passes, in the metric's unit; None without one.
        against: `baseline`, `reference` or `` where there was nothing to hold it against.
        reason: one sentence in words.
        notes: findings beside the verdict (stale baseline, identical packages, drift).
    """

    case_id: str
    task: str
    metric: str
    verdict: Verdict
    value: float | None
    reason: str
    anchor: float | None = None
    against: str = ""
    delta: float | None = None
    allowed: float | None = None
    tolerance: Tolerance | None = None
    reference: float | None = None
    notes: tuple[str, ...] = ()
