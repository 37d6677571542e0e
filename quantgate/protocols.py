"""The tasks of a manifest: each made once, when it is first asked for."""

from __future__ import annotations

from typing import Any

from quantgate.corpora import Corpora
from quantgate.manifest.manifest import Manifest
from quantgate.suites import AGREEMENT, GENERATION, MMLU, PERPLEXITY
from quantgate.tasks.agreement import AgreementTask, probe_questions
from quantgate.tasks.base import BaseTask
from quantgate.tasks.generation import GenerationTask
from quantgate.tasks.generation_items import GenerationOptions
from quantgate.tasks.mmlu import MmluTask
from quantgate.tasks.mmlu_items import MmluOptions
from quantgate.tasks.rolling import ROLLING, RollingOptions, RollingTask
from quantgate.tasks.text import TextOptions, TextTask

# Tasks by the measurement's name; all others come from one pass over the text.
KINDS = {
    MMLU: MMLU,
    AGREEMENT: AGREEMENT,
    GENERATION: GENERATION,
    f"{PERPLEXITY}.{ROLLING}": ROLLING,
}
TEXT = "text"


class Protocols:
    """Tasks by a manifest's protocols.

    Args:
        manifest: the manifest in force.
        corpora: its corpora, read when first needed.
    """

    def __init__(self, manifest: Manifest, corpora: Corpora) -> None:
        self._manifest = manifest
        self._corpora = corpora
        self._tasks: dict[str, BaseTask[Any, Any]] = {}

    def task(self, name: str) -> BaseTask[Any, Any]:
        """The task whose run holds the measurement `name`; raises UsageFault for its corpus."""
        kind = KINDS.get(name, TEXT)
        if kind not in self._tasks:
            self._tasks[kind] = self._make(kind)
        return self._tasks[kind]

    def _make(self, kind: str) -> BaseTask[Any, Any]:
        if kind == MMLU:
            return MmluTask(self._corpora.mmlu, self.mmlu)
        if kind == AGREEMENT:
            probe = self._manifest.tasks.agreement
            questions = MmluTask(probe_questions(self._corpora.mmlu, probe.questions), self.mmlu)
            return AgreementTask(questions, self._corpora.text, probe.tokens)
        if kind == GENERATION:
            return GenerationTask(self._corpora.text, self._corpora.mmlu, self.generation)
        if kind == ROLLING:
            return RollingTask(self._corpora.text, self.rolling)
        return TextTask(self._corpora.text, self.text)

    @property
    def mmlu(self) -> MmluOptions:
        """As in `[tasks.mmlu]`."""
        task = self._manifest.tasks.mmlu
        return MmluOptions(task.template, task.shots, task.decision, task.overflow)

    @property
    def generation(self) -> GenerationOptions:
        """As in `[tasks.generation]`; questions are asked as in `[tasks.mmlu]`."""
        task = self._manifest.tasks.generation
        return GenerationOptions(
            texts=task.texts,
            questions=task.questions,
            dialogs=task.dialogs,
            prompt_tokens=task.prompt_tokens,
            new_tokens=task.new_tokens,
            stop=task.stop,
            mmlu=self.mmlu,
        )

    @property
    def text(self) -> TextOptions:
        """As in `[tasks.perplexity]` and `[tasks.kl_divergence]`."""
        perplexity, divergence = self._manifest.tasks.perplexity, self._manifest.tasks.kl_divergence
        return TextOptions(
            window=perplexity.window,
            stride=perplexity.stride,
            kl_window=divergence.window,
            max_tokens=perplexity.max_tokens,
            protocols=tuple(name for name in perplexity.protocols if name != ROLLING),
        )

    @property
    def rolling(self) -> RollingOptions:
        """As in `[tasks.perplexity]`, for documents."""
        task = self._manifest.tasks.perplexity
        return RollingOptions(task.window, self._manifest.data.text_format, task.max_documents)
