"""From a case's runs to the measurements that the suites assert on.

A suite may have several measurements: `perplexity.strided`, `perplexity.genai_chunked` and
`perplexity.disjoint` come from one run, and so does `kl_divergence`; `perplexity.rolling` has its
own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from quantgate.cases import Case
from quantgate.corpora import Corpora
from quantgate.engines import engines
from quantgate.errors import UsageFault
from quantgate.evaluate import Evaluator
from quantgate.manifest import Manifest
from quantgate.packages.tokenizer import require_same_ids
from quantgate.parity import PROBE
from quantgate.results import Comparability, Measurement
from quantgate.tasks import agreement, rolling_scores
from quantgate.tasks.base import Run, Task
from quantgate.tasks.mmlu import MmluTask
from quantgate.tasks.mmlu_items import MmluOptions
from quantgate.tasks.mmlu_scores import mmlu_detail, mmlu_scores
from quantgate.tasks.rolling import ROLLING, RollingOptions, RollingTask
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
AGREEMENT = "agreement"
# Metrics that a policy may name, the one gated without any policy first. `subject` and `category`
# stand for every `subject.<name>` and `category.<name>`.
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
        repeats: how often each case is measured again in another way, for its noise.
    """

    def __init__(
        self, manifest: Manifest, corpora: Corpora, evaluator: Evaluator, repeats: int = 0
    ) -> None:
        self._manifest = manifest
        self._repeats = repeats
        self._measured: dict[tuple[str, str], Measurement] = {}
        self._corpora = corpora
        self._evaluator = evaluator
        self._tasks: dict[str, Task[Any, Any]] = {}
        self._engines = {engine.case.id: engine for engine in engines(manifest)}

    def select(self, pairs: Iterable[tuple[Case, str]]) -> None:
        """Say which suites the run will ask which cases for; their corpora are read now.

        Raises:
            UsageFault: a corpus can't be used.
        """
        for case, suite in pairs:
            for name in task_names(self._manifest, suite):
                task = self._task(name)
                again = self._repeats if suite != AGREEMENT else 1
                repeats = (replace(case, repeat=number) for number in range(1, again + 1))
                self._evaluator.select((each, task) for each in (case, *repeats))

    def measure(self, case: Case, task: str) -> Measurement:
        """The measurement named `task` of `case`, its noise with it where that is wanted.

        Raises:
            InvalidMeasurement: whatever made it meaningless.
            KeyError: no suite measures `task`.
        """
        key = (case.id, task)
        if key not in self._measured:
            first = self._once(case, task)
            repeats = 0 if task == AGREEMENT else self._repeats  # which measures its own noise
            again = [
                self._once(replace(case, repeat=number), task) for number in range(1, repeats + 1)
            ]
            self._measured[key] = with_noise(first, again)
        return self._measured[key]

    def _once(self, case: Case, task: str) -> Measurement:
        suite, _, protocol = task.partition(".")
        measure: dict[str, Callable[[Case, str], Measurement]] = {
            MMLU: self._mmlu,
            PERPLEXITY: self._perplexity,
            KL_DIVERGENCE: self._kl_divergence,
            AGREEMENT: self._agreement,
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
            scores=mmlu_scores(samples, items, self._mmlu_options.decision, before),
            comparability=Comparability(
                protocol=self._mmlu_options.protocol,
                items=len(items.items),
                ids_digest=items.digest,
                corpus=self._corpora.mmlu.digest,
                tokenizer=pair.run.tokenizer,
                plan=pair.run.plan,
            ),
            detail=mmlu_detail(samples, items, self._mmlu_options.decision, before),
        )

    def _perplexity(self, case: Case, protocol: str) -> Measurement:
        if protocol == ROLLING:
            return self._rolling(case)
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
                pair.run, options.describe(protocol), int(mask.sum())
            ),
            detail={
                "ids": len(pair.run.items.ids),
                "windows": perplexity_windows(pair.run.samples, pair.run.items, protocol),
            },
        )

    def _rolling(self, case: Case) -> Measurement:
        task = self._task(f"{PERPLEXITY}.{ROLLING}")
        pair = self._runs(case, task)
        items, samples = pair.run.items, pair.run.samples
        before = pair.reference.samples if pair.reference else None
        return _measurement(
            case,
            f"{PERPLEXITY}.{ROLLING}",
            pair.run,
            scores=rolling_scores.rolling_scores(samples, items, before),
            comparability=Comparability(
                protocol=self._rolling_options.describe(items.start),
                items=items.count,
                ids_digest=items.digest,
                corpus=task.corpus_digest,
                tokenizer=pair.run.tokenizer,
                plan=pair.run.plan,
            ),
            detail={"documents": rolling_scores.rolling_documents(samples, items)},
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

    def _agreement(self, case: Case, _: str) -> Measurement:
        """An engine against its anchor; each is also held against its own answers, unshared."""
        anchor = self._engines[case.id].anchor
        task = self._task(AGREEMENT)
        usual = {each.id: self._evaluator.run(each, task) for each in (anchor, case)}
        alone = {
            each.id: self._evaluator.run(replace(each, repeat=1), task) for each in (anchor, case)
        }
        run, held = usual[case.id], usual[anchor.id]
        if run.items.digest != held.items.digest:
            tokenizers = self._evaluator.tokenizer(case), self._evaluator.tokenizer(anchor)
            require_same_ids(run.items.contexts, held.items.contexts, tokenizers)
        self._evaluator.require_parity(case, [PROBE, self._corpora.text.text])
        own = {
            key: agreement.largest_difference(usual[key].samples, alone[key].samples)
            for key in usual
        }
        return _measurement(
            case,
            AGREEMENT,
            run,
            scores=agreement.agreement_scores(run.samples, held.samples, max(own.values())),
            comparability=Comparability(
                protocol=f"{len(run.items.questions.items)} questions, {len(run.items.ids)} tokens",
                items=len(run.samples.logprobs),
                ids_digest=run.items.digest,
                corpus=task.corpus_digest,
                tokenizer=run.tokenizer,
                plan=run.plan,
            ),
            detail={"anchor": anchor.id, "anchor_identity": dict(held.identity), "noise": own},
        )

    def _runs(self, case: Case, task: Task[Any, Any]) -> _Anchored:
        reference = self._evaluator.run(case.reference, task) if case.reference else None
        return _Anchored(self._evaluator.run(case, task), reference)

    def _task(self, name: str) -> Task[Any, Any]:
        kinds = {MMLU: MMLU, AGREEMENT: AGREEMENT, f"{PERPLEXITY}.{ROLLING}": ROLLING}
        kind = kinds.get(name, "text")
        if kind not in self._tasks:
            self._tasks[kind] = self._make_task(kind)
        return self._tasks[kind]

    def _make_task(self, kind: str) -> Task[Any, Any]:
        if kind == MMLU:
            return MmluTask(self._corpora.mmlu, self._mmlu_options)
        if kind == AGREEMENT:
            probe = self._manifest.tasks.agreement
            corpus = agreement.probe_questions(self._corpora.mmlu, probe.questions)
            questions = MmluTask(corpus, self._mmlu_options)
            return agreement.AgreementTask(questions, self._corpora.text, probe.tokens)
        if kind == ROLLING:
            return RollingTask(self._corpora.text, self._rolling_options)
        return TextTask(self._corpora.text, self._text_options)

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
            protocols=tuple(name for name in perplexity.protocols if name != ROLLING),
        )

    @property
    def _rolling_options(self) -> RollingOptions:
        task = self._manifest.tasks.perplexity
        return RollingOptions(task.window, self._manifest.data.text_format, task.max_documents)

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


def with_noise(first: Measurement, again: Sequence[Measurement]) -> Measurement:
    """The measurement with, for every figure, the largest change that a repetition made to it."""
    if not again:
        return first
    scores = tuple(
        replace(
            score,
            noise=max(
                (
                    abs(same.value - score.value)
                    for other in again
                    for same in other.scores
                    if same.metric == score.metric
                ),
                default=None,
            ),
        )
        for score in first.scores
    )
    return replace(first, scores=scores)


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
        cost=run.cost,
        warnings=run.warnings,
    )
