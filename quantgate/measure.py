"""Measures cases by the protocols of a manifest, their noise included where it is wanted.

A suite may have several measurements: `perplexity.strided`, `perplexity.genai_chunked` and
`perplexity.disjoint` come from one run, and so does `kl_divergence`; `perplexity.rolling` has its
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from quantgate import measurements
from quantgate.cases import Case
from quantgate.corpora import Corpora
from quantgate.engines import engines
from quantgate.evaluate import Evaluator
from quantgate.manifest import Manifest
from quantgate.measurements import Pair
from quantgate.packages.tokenizer import require_same_ids
from quantgate.parity import PROBE
from quantgate.protocols import Protocols
from quantgate.results import Measurement
from quantgate.suites import AGREEMENT, KL_DIVERGENCE, MMLU, PERPLEXITY, task_names
from quantgate.tasks.rolling import ROLLING


class Measurer:
    """Measures cases; asking twice costs nothing.

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
        self._corpora = corpora
        self._evaluator = evaluator
        self._repeats = repeats
        self._protocols = Protocols(manifest, corpora)
        self._engines = {engine.case.id: engine for engine in engines(manifest)}
        self._measured: dict[tuple[str, str], Measurement] = {}

    def select(self, pairs: Iterable[tuple[Case, str]]) -> None:
        """Say which suites the run will ask which cases for; their corpora are read now.

        Raises:
            UsageFault: a corpus can't be used.
        """
        for case, suite in pairs:
            for name in task_names(self._manifest, suite):
                task = self._protocols.task(name)
                again = self._repeats if suite != AGREEMENT else 1
                repeats = (replace(case, repeat=number) for number in range(1, again + 1))
                self._evaluator.select((each, task) for each in (case, *repeats))

    def measure(self, case: Case, task: str) -> Measurement:
        """The measurement named `task` of `case`.

        Raises:
            InvalidMeasurement: or UsageFault, whatever made it meaningless.
            KeyError: no suite measures `task`.
        """
        key = (case.id, task)
        if key not in self._measured:
            first = self._once(case, task)
            repeats = range(1, self._repeats + 1) if task != AGREEMENT else ()
            again = [self._once(replace(case, repeat=number), task) for number in repeats]
            self._measured[key] = with_noise(first, again)
        return self._measured[key]

    def _once(self, case: Case, name: str) -> Measurement:
        suite, _, protocol = name.partition(".")
        options = self._protocols
        if suite == AGREEMENT:
            return self._agreement(case)
        pair = self._pair(case, name)
        if suite == MMLU:
            return measurements.mmlu(pair, options.mmlu)
        if suite == KL_DIVERGENCE:
            return measurements.kl_divergence(pair, options.text)
        if suite == PERPLEXITY and protocol == ROLLING:
            return measurements.rolling(pair, options.rolling)
        if suite == PERPLEXITY:
            return measurements.perplexity(pair, options.text, protocol)
        raise KeyError(f"no suite measures {name!r}")

    def _pair(self, case: Case, name: str) -> Pair:
        task = self._protocols.task(name)
        reference = self._evaluator.run(case.reference, task) if case.reference else None
        return Pair(case, task.corpus_digest, self._evaluator.run(case, task), reference)

    def _agreement(self, case: Case) -> Measurement:
        """An engine against its anchor; each is also held against its own answers, unshared."""
        anchor = self._engines[case.id].anchor
        task, both = self._protocols.task(AGREEMENT), (anchor, case)
        runs = {each.id: self._evaluator.run(each, task) for each in both}
        alone = {each.id: self._evaluator.run(replace(each, repeat=1), task) for each in both}
        run, held = runs[case.id], runs[anchor.id]
        if run.items.digest != held.items.digest:
            tokenizers = self._evaluator.tokenizer(case), self._evaluator.tokenizer(anchor)
            require_same_ids(run.items.contexts, held.items.contexts, tokenizers)
        self._evaluator.require_parity(case, [PROBE, self._corpora.text.text])
        return measurements.agreement(
            Pair(case, task.corpus_digest, run, held),
            anchor.id,
            {key: each.samples for key, each in alone.items()},
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
