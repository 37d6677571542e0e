"""From a case's run beside its reference's to the figures that a suite asserts on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from quantgate.cases import Case
from quantgate.results import Comparability, Measurement, Score
from quantgate.suites import AGREEMENT, GENERATION, KL_DIVERGENCE, MMLU, PERPLEXITY
from quantgate.tasks.agreement import AgreementSamples, agreement_scores, largest_difference
from quantgate.tasks.base import Run
from quantgate.tasks.generation_items import GenerationOptions
from quantgate.tasks.generation_scores import generation_detail, generation_scores
from quantgate.tasks.mmlu_items import MmluOptions
from quantgate.tasks.mmlu_scores import mmlu_detail, mmlu_scores
from quantgate.tasks.rolling import ROLLING, RollingOptions
from quantgate.tasks.rolling_scores import rolling_documents, rolling_scores
from quantgate.tasks.text import TextOptions
from quantgate.tasks.text_scores import (
    divergence_distribution,
    divergence_scores,
    divergence_windows,
    perplexity_score,
    perplexity_windows,
    scored_ids,
)


@dataclass(frozen=True, slots=True)
class Pair:
    """A case's run, and what it is held against.

    Attributes:
        case: the case.
        corpus: digest of the corpus.
        run: its results.
        reference: results of its reference on the same items; None for a case without one.
        complete: items of the complete run; None where `run` is that.
    """

    case: Case
    corpus: str
    run: Run[Any, Any]
    reference: Run[Any, Any] | None
    complete: Any = None

    @property
    def all_items(self) -> Any:
        """What a complete run scores: that is what makes two runs comparable."""
        return self.run.items if self.complete is None else self.complete

    @property
    def before(self) -> Any:
        """Samples of the reference, or None."""
        return None if self.reference is None else self.reference.samples

    def measurement(
        self,
        task: str,
        scores: tuple[Score, ...],
        *,
        protocol: str,
        items: int,
        detail: Mapping[str, Any],
    ) -> Measurement:
        """The measurement with all that makes it comparable."""
        run = self.run
        return Measurement(
            case_id=self.case.id,
            task=task,
            scores=scores,
            comparability=Comparability(
                protocol=protocol,
                items=items,
                ids_digest=self.all_items.digest,
                corpus=self.corpus,
                tokenizer=run.tokenizer,
                plan=run.plan,
            ),
            identity=dict(run.identity),
            detail=dict(detail),
            cost=run.cost,
            warnings=run.warnings,
        )


def mmlu(pair: Pair, options: MmluOptions) -> Measurement:
    """Accuracies over all questions, by subject and category.

    Subjects and categories have no score where not all questions were asked.
    """
    items, samples, complete = pair.run.items, pair.run.samples, pair.all_items
    scores = mmlu_scores(samples, items, options.decision, pair.before)
    if len(items.items) < len(complete.items):
        scores = tuple(score for score in scores if "." not in score.metric)
    return pair.measurement(
        MMLU,
        scores,
        protocol=options.protocol,
        items=len(complete.items),
        detail=mmlu_detail(samples, items, options.decision, pair.before, complete),
    )


def perplexity(pair: Pair, options: TextOptions, protocol: str) -> Measurement:
    """Perplexity over windows."""
    items, samples = pair.run.items, pair.run.samples
    return pair.measurement(
        f"{PERPLEXITY}.{protocol}",
        (perplexity_score(samples, items, protocol, pair.before),),
        protocol=options.describe(protocol),
        items=int(scored_ids(pair.all_items, protocol).sum()),
        detail={"ids": len(items.ids), "windows": perplexity_windows(samples, items, protocol)},
    )


def rolling(pair: Pair, options: RollingOptions) -> Measurement:
    """Perplexity over documents, per word and per byte."""
    items, samples = pair.run.items, pair.run.samples
    return pair.measurement(
        f"{PERPLEXITY}.{ROLLING}",
        rolling_scores(samples, items, pair.before),
        protocol=options.describe(items.start),
        items=items.count,
        detail={"documents": rolling_documents(samples, items)},
    )


def kl_divergence(pair: Pair, options: TextOptions) -> Measurement:
    """Divergence from the reference; a reference's own from its rows sent through its head again.

    Raises:
        KeyError: the case has nothing to diverge from.
    """
    items, samples, case = pair.run.items, pair.run.samples, pair.case
    if samples.divergence is None:
        raise KeyError(f"{case.id} has no reference to diverge from")
    anchor = pair.reference or pair.run
    return pair.measurement(
        KL_DIVERGENCE,
        divergence_scores(samples, samples.divergence, items, anchor.samples),
        protocol=f"disjoint {options.kl_window}",
        items=len(items.ids),
        detail={
            "reference": case.reference.id if case.reference else "itself, from its own rows",
            "reference_identity": dict(anchor.identity),
            "windows": divergence_windows(samples, samples.divergence, items, anchor.samples),
            "distribution": divergence_distribution(samples.divergence),
        },
    )


def generation(pair: Pair, options: GenerationOptions) -> Measurement:
    """Greedy answers beside the reference's.

    Raises:
        KeyError: the case has no reference.
    """
    reference = pair.reference
    if reference is None or pair.case.reference is None:
        raise KeyError(f"{pair.case.id} has no reference to generate beside")
    items, samples = pair.run.items, pair.run.samples
    return pair.measurement(
        GENERATION,
        generation_scores(samples, reference.samples),
        protocol=options.protocol,
        items=len(items.requests),
        detail={
            "reference": pair.case.reference.id,
            "reference_identity": dict(reference.identity),
            **generation_detail(samples, reference.samples, items),
        },
    )


def agreement(pair: Pair, anchor: str, alone: Mapping[str, AgreementSamples]) -> Measurement:
    """An engine against its anchor.

    Args:
        pair: the engine's run, and the anchor's as its reference.
        anchor: the anchor's id.
        alone: answers of both, by id, with every sequence computed by itself.
    """
    run, held = pair.run, pair.reference or pair.run
    usual = {pair.case.id: run.samples, anchor: held.samples}
    noise = {key: largest_difference(usual[key], alone[key]) for key in usual}
    return pair.measurement(
        AGREEMENT,
        agreement_scores(run.samples, held.samples, max(noise.values())),
        protocol=f"{len(run.items.questions.items)} questions, {len(run.items.ids)} tokens",
        items=len(run.samples.logprobs),
        detail={"anchor": anchor, "anchor_identity": dict(held.identity), "noise": noise},
    )
