"""The corpora that a manifest names, read once and checked against its pins."""

from __future__ import annotations

from functools import cached_property

from quantgate.corpus.mmlu import MmluCorpus, read_mmlu
from quantgate.corpus.pins import check_pin
from quantgate.corpus.text import TextCorpus, read_text
from quantgate.manifest.manifest import Manifest
from quantgate.provenance import in_ci
from quantgate.tasks.prompts import TEMPLATES


class Corpora:
    """Lazily read questions and text.

    Args:
        manifest: the manifest in force.
        accept: write a differing digest into the manifest as its new pin; refused in CI.
    """

    def __init__(self, manifest: Manifest, *, accept: bool = False) -> None:
        self.manifest = manifest
        self._accept = accept

    @cached_property
    def mmlu(self) -> MmluCorpus:
        """The selected questions; UsageFault where they can't be read or don't match the pin."""
        data, task = self.manifest.data, self.manifest.tasks.mmlu
        corpus = read_mmlu(
            data.mmlu, base=self.manifest.base, subjects=task.subjects, limit=task.limit
        )
        if TEMPLATES[task.template].common:
            corpus.common_shots(task.shots)
        else:
            for subject in corpus.shots:
                corpus.shots_for(subject, task.shots)
        self._check("mmlu", corpus.files_digest, data.mmlu_sha256)
        return corpus

    @cached_property
    def text(self) -> TextCorpus:
        """The text; UsageFault where it can't be read or doesn't match the pin."""
        data = self.manifest.data
        corpus = read_text(data.text, base=self.manifest.base, text_format=data.text_format)
        self._check("text", corpus.files_digest, data.text_sha256)
        return corpus

    def _check(self, what: str, digest: str, pin: str | None) -> None:
        check_pin(
            digest,
            pin,
            what=what,
            in_ci=in_ci(),
            accept=self._accept,
            manifest=self.manifest.file,
        )
