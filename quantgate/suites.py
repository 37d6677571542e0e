"""The suites by name: what they measure under a manifest, and which figures a policy may name."""

from __future__ import annotations

from collections.abc import Mapping

from quantgate.errors import UsageFault
from quantgate.manifest.manifest import Manifest
from quantgate.tasks import rolling_scores
from quantgate.tasks.rolling import ROLLING
from quantgate.tasks.text_scores import PERCENTILES

MMLU = "mmlu"
PERPLEXITY = "perplexity"
KL_DIVERGENCE = "kl_divergence"
AGREEMENT = "agreement"
GENERATION = "generation"
SPEED = "speed"
MEMORY = "memory"
# Held against something that is measured with them, not against a measurement of its own.
SELF_HELD = frozenset({AGREEMENT, GENERATION, SPEED, MEMORY})
# Metrics that a policy may name, the one gated without any policy first. `subject`, `category` and
# `prefill_speedup` stand for all that begin with `<name>.`. Times and sizes are ratios here: what
# they come to by themselves is told, but depends on the machine and is never gated.
METRICS: Mapping[str, tuple[str, ...]] = {
    MMLU: ("accuracy", "accuracy_macro", "subject", "category"),
    PERPLEXITY: ("perplexity", *rolling_scores.METRICS),
    KL_DIVERGENCE: (
        "kl_mean",
        *PERCENTILES,
        "top1_agreement",
        "rms_delta_p",
        "log_perplexity_ratio",
        "abs_log_ratio",
    ),
    AGREEMENT: ("max_difference", "mean_difference", "top1_agreement", "self_kl"),
    GENERATION: ("matched_share", "identical"),
    SPEED: ("generation_speedup", "first_token_speedup", "prefill_speedup"),
    MEMORY: ("peak_saving", "resident_saving", "loading_saving", "disk_saving", "device_saving"),
}


def first_metric(task: str) -> str:
    """The metric that a task is gated on without any policy."""
    suite, _, protocol = task.partition(".")
    return rolling_scores.METRICS[0] if protocol == ROLLING else METRICS[suite][0]


def require_known_metrics(manifest: Manifest) -> None:
    """Refuse a policy for a metric that its suite doesn't have: a typo would loosen the gate.

    Raises:
        UsageFault: `policy-metric`.
    """
    for suite, known in METRICS.items():
        if unknown := sorted(manifest.policy_metrics(suite) - set(known)):
            raise UsageFault(
                "policy-metric",
                need=f"metrics of {suite}: {', '.join(known)}",
                found=f"a policy for {', '.join(unknown)} in {manifest.file}",
                fix="correct the name under [policy]",
            )


def task_names(manifest: Manifest, suite: str) -> tuple[str, ...]:
    """The measurements that `suite` makes under `manifest`."""
    if suite != PERPLEXITY:
        return (suite,)
    return tuple(f"{PERPLEXITY}.{name}" for name in manifest.tasks.perplexity.protocols)
