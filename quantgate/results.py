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
    """How much worse a figure may get.

    Attributes:
        kind: `absolute` (in the metric's unit), `relative` (a fraction of the anchor),
            `ratio_to_reference` (the least share of the anchor that must remain),
            `significant_drop` (the confidence bound of the harm may not pass `value`, in the
            metric's unit, for a perplexity in nats) or `three_state` (relative; up to `value` is
            a pass, up to `at_risk` a pass at risk).
        value: the tolerance, on the scale of its kind.
        at_risk: of `three_state` the second bound, else None.
    """

    kind: str
    value: float
    at_risk: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The policy of one metric: against the stored baseline, and against the reference."""

    baseline: Tolerance | None = None
    reference: Tolerance | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the items say about a change: candidate and anchor paired, item by item.

    Attributes:
        against: `baseline` or `reference`.
        scale: unit of the figures below: `fraction`, `nats/token`, `nats/word`, `nats`, ...
        delta: mean over the items of candidate less anchor.
        stderr: its standard error.
        low: lower end of the two-sided 95 % interval of `delta`.
        high: its upper end.
        detectable: the smallest harmful change that this run would have found: one-sided 95 %,
            power 80 %.
        allowed: the harmful change that passes, on this scale, not negative; None without one.
        p_value: two-sided: exact McNemar for answers, Student's t over windows else.
        method: how, in words, for example `exact McNemar, 812 questions`.
        n: paired items.
        clusters: of them, what counts as independent (questions, windows or documents).
        lost: answers that went from right to wrong; None for a text.
        won: answers that went from wrong to right; None for a text.
    """

    against: str
    scale: str
    delta: float
    stderr: float
    low: float
    high: float
    detectable: float
    allowed: float | None
    p_value: float
    method: str
    n: int
    clusters: int
    lost: int | None = None
    won: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A verdict with all it rests on.

    Attributes:
        delta: value minus the figure it is held against (`anchor`), in the metric's unit.
        allowed: the largest harmful change that passes, in the metric's unit; None without one.
        against: `baseline`, `reference` or `` where there was nothing to hold it against.
        reason: one sentence in words.
        notes: findings beside the verdict (stale baseline, identical packages, drift).
        evidence: what the paired items say about `delta`; None where none are kept.
        at_risk: the pass is one between the two bounds of a `three_state` tolerance.
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
    evidence: Evidence | None = None
    at_risk: bool = False
