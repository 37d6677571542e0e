"""Measures cases by the protocols of a manifest, their noise included where it is wanted.

A suite may have several measurements: `perplexity.strided`, `perplexity.genai_chunked` and
`perplexity.disjoint` come from one run, and so does `kl_divergence`; `perplexity.rolling` has its
own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from quantgate import measurements
from quantgate.baselines.store import BaselineStore
from quantgate.cases import Case
from quantgate.corpora import Corpora
from quantgate.engines import engines
from quantgate.evaluate import Evaluator
from quantgate.manifest.manifest import Manifest
from quantgate.measurements import Pair
from quantgate.packages.tokenizer import require_same_ids
from quantgate.parity import PROBE
from quantgate.protocols import Protocols
from quantgate.results import Measurement
from quantgate.sequential.staging import AnyTask, Staging
from quantgate.sequential.stopping import SequentialRuns
from quantgate.suites import AGREEMENT, GENERATION, KL_DIVERGENCE, MMLU, PERPLEXITY, task_names
from quantgate.tasks.rolling import ROLLING
from quantgate.tasks.staged import StagedTask, StageTask


class Measurer:
    """Measures cases; asking twice costs nothing.

    Args:
        manifest: the manifest in force.
        corpora: its corpora, read when first needed.
        evaluator: scores cases, each once.
        repeats: how often each case is measured again in another way, for its noise.
        sequential: ask only until the verdicts against these baselines and the references are
            settled; None asks everything.
    """

    def __init__(
        self,
        manifest: Manifest,
        corpora: Corpora,
        evaluator: Evaluator,
        repeats: int = 0,
        *,
        sequential: BaselineStore | None = None,
    ) -> None:
        self._manifest = manifest
        self._corpora = corpora
        self._evaluator = evaluator
        self._repeats = repeats
        self._protocols = Protocols(manifest, corpora)
        self._engines = {engine.case.id: engine for engine in engines(manifest)}
        self._measured: dict[tuple[str, str], Measurement] = {}
        self._sequential: SequentialRuns | None = None
        if sequential is not None:
            staging = Staging(evaluator)
            self._sequential = SequentialRuns(manifest, staging, sequential, self._make)

    def select(self, pairs: Iterable[tuple[Case, str]]) -> None:
        """Say which suites the run will ask which cases for; their corpora are read now.

        Raises:
            UsageFault: a corpus can't be used.
        """
        for case, suite in pairs:
            for name in task_names(self._manifest, suite):
                task = self._protocols.task(name)
                if staged := self._staged(name):  # how many more, only the answers tell
                    task = StageTask(staged, 0)
                again = self._repeats if suite != AGREEMENT else 1
                repeats = (replace(case, repeat=number) for number in range(1, again + 1))
                self._evaluator.select((each, task) for each in (case, *repeats))

    def measure(self, case: Case, task: str) -> Measurement:
        """The measurement named `task` of `case`.

        Raises:
            InvalidMeasurement: or UsageFault, whatever made it meaningless.
            KeyError: no suite measures `task`.
        """
        key = (case.session_key, task)
        if key not in self._measured:
            first = self._once(case, task)
            repeats = range(1, self._repeats + 1) if task != AGREEMENT else ()
            again = [self._once(replace(case, repeat=number), task) for number in repeats]
            self._measured[key] = with_noise(first, again)
        return self._measured[key]

    def reference(self, case: Case, task: str) -> Measurement | None:
        """The measurement of the reference of `case`, over the items that `case` was asked.

        Raises:
            InvalidMeasurement: or UsageFault, whatever made it meaningless.
        """
        if case.reference is None:
            return None
        if self._sequential is not None and (staged := self._staged(task)):
            return self._sequential.reference(case, staged, task, self._names(case, staged))
        return self.measure(case.reference, task)

    def _once(self, case: Case, name: str) -> Measurement:
        if name.partition(".")[0] == AGREEMENT:
            return self._agreement(case)
        if self._sequential is not None and (staged := self._staged(name)):
            return self._sequential.measure(case, staged, name, self._names(case, staged))
        task = self._protocols.task(name)
        reference = self._evaluator.run(case.reference, task) if case.reference else None
        run = self._evaluator.run(case, task)
        found = self._make(Pair(case, task.corpus_digest, run, reference), name)
        return found if self._sequential is None or name == GENERATION else _whole(found)

    def _staged(self, name: str) -> AnyTask | None:
        """The task behind a measurement where it is asked in stages."""
        task = self._protocols.task(name)
        return task if self._sequential is not None and isinstance(task, StagedTask) else None

    def _names(self, case: Case, task: AnyTask) -> list[str]:
        """All measurements of `case` that one pass over the items of `task` yields."""
        suites = [MMLU, PERPLEXITY]
        if case.is_reference or case.reference:
            suites.append(KL_DIVERGENCE)
        names = (name for suite in suites for name in task_names(self._manifest, suite))
        return [name for name in names if self._protocols.task(name) is task]

    def _make(self, pair: Pair, name: str) -> Measurement:
        suite, _, protocol = name.partition(".")
        options = self._protocols
        if suite == MMLU:
            return measurements.mmlu(pair, options.mmlu)
        if suite == KL_DIVERGENCE:
            return measurements.kl_divergence(pair, options.text)
        if suite == GENERATION:
            return measurements.generation(pair, options.generation)
        if suite == PERPLEXITY and protocol == ROLLING:
            return measurements.rolling(pair, options.rolling)
        if suite == PERPLEXITY:
            return measurements.perplexity(pair, options.text, protocol)
        raise KeyError(f"no suite measures {name!r}")

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


def _whole(measurement: Measurement) -> Measurement:
    """A measurement of a sequential run that has no stages."""
    line = "everything was asked: documents are as many as their text has, too few to stop between"
    return replace(measurement, warnings=(*measurement.warnings, line))
