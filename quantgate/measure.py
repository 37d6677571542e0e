"""From a case's runs to the measurements that the suites assert on.

A suite may have several measurements: `perplexity.strided` and `perplexity.genai_chunked` come from
one run, and so does `kl_divergence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from quantgate.cases import Case
from quantgate.corpora import Corpora
from quantgate.errors import UsageFault
from quantgate.evaluate import Evaluator
from quantgate.manifest import Manifest
from quantgate.results import Comparability, Measurement
from quantgate.tasks.base import Run, Task
from quantgate.tasks.mmlu import MmluTask
from quantgate.tasks.mmlu_items import MmluOptions
from quantgate.tasks.mmlu_scores import mmlu_detail, mmlu_scores
from quantgate.tasks.text import TextOptions, TextTask
from quantgate.tasks.text_pass import TextItems, TextSamples
from quantgate.tasks.text_scores import (
    PERCENTILES,
    divergence_scores,
    divergence_windows,
    perplexity_score,
    perplexity_windows,
    scored_ids,
)

MMLU = "mmlu"
PERPLEXITY = "perplexity"
KL_DIVERGENCE = "kl_divergence"
# Metrics that a policy may name, the one gated without any policy first. `subject` and `category`
# stand for every `subject.<name>` and `category.<name>`.
METRICS: Mapping[str, tuple[str, ...]] = {
    MMLU: ("accuracy", "accuracy_macro", "subject", "category"),
    PERPLEXITY: ("perplexity",),
    KL_DIVERGENCE: (
        "kl_mean",
        *PERCENTILES,
        "top1_agreement",
        "rms_delta_p",
        "log_perplexity_ratio",
        "abs_log_ratio",
    ),
}


@dataclass(frozen=True, slots=True)
class _Anchored:
    """A case's run beside its reference's; `reference` is None for a case without one."""

    run: Run[Any, Any]
    reference: Run[Any, Any] | None


class Measurer:
    """Measures cases by the protocols of a manifest.

    Args:
        manifest: the manifest in force.
        corpora: its corpora, read when first needed.
        evaluator: scores cases, each once.
    """

    def __init__(self, manifest: Manifest, corpora: Corpora, evaluator: Evaluator) -> None:
        self._manifest = manifest
        self._corpora = corpora
        self._evaluator = evaluator
        self._tasks: dict[str, Task[Any, Any]] = {}

    def select(self, suites: Iterable[str]) -> None:
        """Say which suites the run will ask for; their corpora are read now.

        Raises:
            UsageFault: a corpus can't be used.
        """
        tasks = {task.name: task for task in map(self._task, sorted(suites))}
        self._evaluator.select(list(tasks.values()))

    def measure(self, case: Case, task: str) -> Measurement:
        """The measurement named `task` of `case`.

        Raises:
            InvalidMeasurement: whatever made it meaningless.
            KeyError: no suite measures `task`.
        """
        suite, _, protocol = task.partition(".")
        measure: dict[str, Callable[[Case, str], Measurement]] = {
            MMLU: self._mmlu,
            PERPLEXITY: self._perplexity,
            KL_DIVERGENCE: self._kl_divergence,
        }
        return measure[suite](case, protocol)

    def _mmlu(self, case: Case, _: str) -> Measurement:
        pair = self._runs(case, self._task(MMLU))
        items, samples = pair.run.items, pair.run.samples
        before = pair.reference.samples if pair.reference else None
        return _measurement(
            case,
            MMLU,
            pair.run,
            scores=mmlu_scores(samples, items.items, before),
            comparability=Comparability(
                protocol=self._mmlu_options.protocol,
                items=len(items.items),
                ids_digest=items.digest,
                corpus=self._corpora.mmlu.digest,
                tokenizer=pair.run.tokenizer,
                plan=pair.run.plan,
            ),
            detail=mmlu_detail(samples, items, before),
        )

    def _perplexity(self, case: Case, protocol: str) -> Measurement:
        pair = self._runs(case, self._task(PERPLEXITY))
        options = self._text_options
        mask = scored_ids(pair.run.items, protocol)
        before = pair.reference.samples if pair.reference else None
        score = perplexity_score(pair.run.samples, pair.run.items, protocol, before)
        return _measurement(
            case,
            f"{PERPLEXITY}.{protocol}",
            pair.run,
            scores=(score,),
            comparability=self._text_comparability(
                pair.run, f"{protocol} {options.window}/{options.stride}", int(mask.sum())
            ),
            detail={
                "ids": len(pair.run.items.ids),
                "windows": perplexity_windows(pair.run.samples, pair.run.items, protocol),
            },
        )

    def _kl_divergence(self, case: Case, _: str) -> Measurement:
        pair = self._runs(case, self._task(KL_DIVERGENCE))
        samples: TextSamples = pair.run.samples
        if samples.divergence is None:
            raise KeyError(f"{case.id} has no reference to diverge from")
        before = pair.reference.samples if pair.reference else samples
        anchor = pair.reference or pair.run
        protocol = f"disjoint {self._text_options.kl_window}"
        return _measurement(
            case,
            KL_DIVERGENCE,
            pair.run,
            scores=divergence_scores(samples, samples.divergence, pair.run.items, before),
            comparability=self._text_comparability(pair.run, protocol, len(pair.run.items.ids)),
            detail={
                "reference": case.reference.id if case.reference else "itself, from kept rows",
                "reference_identity": dict(anchor.identity),
                "windows": divergence_windows(samples.divergence, pair.run.items),
            },
        )

    def _runs(self, case: Case, task: Task[Any, Any]) -> _Anchored:
        reference = self._evaluator.run(case.reference, task) if case.reference else None
        return _Anchored(self._evaluator.run(case, task), reference)

    def _task(self, suite: str) -> Task[Any, Any]:
        kind = MMLU if suite == MMLU else "text"
        if kind not in self._tasks:
            self._tasks[kind] = (
                MmluTask(self._corpora.mmlu, self._mmlu_options)
                if kind == MMLU
                else TextTask(self._corpora.text, self._text_options)
            )
        return self._tasks[kind]

    @property
    def _mmlu_options(self) -> MmluOptions:
        task = self._manifest.tasks.mmlu
        return MmluOptions(task.template, task.shots, task.decision, task.overflow)

    @property
    def _text_options(self) -> TextOptions:
        perplexity, divergence = self._manifest.tasks.perplexity, self._manifest.tasks.kl_divergence
        return TextOptions(
            window=perplexity.window,
            stride=perplexity.stride,
            kl_window=divergence.window,
            max_tokens=perplexity.max_tokens,
        )

    def _text_comparability(
        self, run: Run[TextItems, TextSamples], protocol: str, items: int
    ) -> Comparability:
        return Comparability(
            protocol=protocol,
            items=items,
            ids_digest=run.items.digest,
            corpus=self._corpora.text.digest,
            tokenizer=run.tokenizer,
            plan=run.plan,
        )


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


def _measurement(
    case: Case,
    task: str,
    run: Run[Any, Any],
    *,
    scores: tuple[Any, ...],
    comparability: Comparability,
    detail: Mapping[str, Any],
) -> Measurement:
    return Measurement(
        case_id=case.id,
        task=task,
        scores=scores,
        comparability=comparability,
        identity=dict(run.identity),
        detail=dict(detail),
        cost={**run.cost, "kept": float(run.kept)},
    )
