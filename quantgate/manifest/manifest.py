"""`quantgate.toml`: which models are gated, on what data, by which protocols and tolerances.

`load_manifest` reads it, `Manifest.cases` spans the cases and `Manifest.limits` gives the policy of
one metric of one case. What the command line changes, `apply_overrides` does.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from quantgate.cases import BuildRecipe, Case, Package
from quantgate.corpus.hub import PREFIX as HUB
from quantgate.errors import UsageFault
from quantgate.manifest.faults import schema_fault, syntax_fault
from quantgate.manifest.models import Build, Document, ModelTable, VariantTable
from quantgate.manifest.overrides import Overrides, apply_overrides
from quantgate.manifest.policy import Policy
from quantgate.manifest.tables import EMBEDDED, Data, GenerationTable, Runtime, SpeedTask, Tasks
from quantgate.results import Limits

__all__ = ["Manifest", "Overrides", "apply_overrides", "describe", "load_manifest"]
_RATIOS: Final = frozenset({"speed", "memory"})  # suites that gate nothing but ratios


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest in force: the tables of its file, after what the command line changed.

    Relative paths in it are relative to `base`, the folder of `file`. `written` are the models as
    they stand in the file.
    """

    file: Path
    data: Data
    runtime: Runtime
    tasks: Tasks
    policy: Policy
    models: tuple[ModelTable, ...]
    schema_version: int = 1
    written: tuple[ModelTable, ...] = ()

    @property
    def base(self) -> Path:
        """The folder that relative paths start from."""
        return self.file.parent

    def cases(self) -> tuple[Case, ...]:
        """Span the cases: a model's reference first, then variants x backends x providers."""
        return tuple(case for model in self.models for case in self._model_cases(model))

    def known_cases(self) -> tuple[Case, ...]:
        """`cases`, and those of the file that the command line left out."""
        written = (case for model in self.written for case in self._model_cases(model))
        return tuple({case.id: case for case in (*written, *self.cases())}.values())

    def limits(self, case: Case, suite: str, metric: str) -> Limits:
        """Return the tolerances of a metric, the variant's own before the manifest's.

        Args:
            case: one of `cases()`.
            suite: for example `mmlu`; a protocol after a full stop, as in a task's name, is left
                out of account.
            metric: name of the score.

        Returns:
            What is in force. Without a reference that is no limit against one, except of an
            agreement, whose engines are held against each other; of ratios to the reference it is
            nothing.

        Raises:
            KeyError: there is no such suite, model or variant.
        """
        suite = suite.partition(".")[0]
        held = case.reference is not None
        # A case beside itself has a ratio of 1, whatever becomes of it, so it has no baseline; a
        # reference is held against itself all the same, which shows a disturbed machine.
        own = case.is_reference and suite in _RATIOS
        anchored = held or own or suite == "agreement"
        comparable = held or suite not in _RATIOS
        general = self.policy.metrics(suite).get(metric)
        special = self._variant(case).policy.metrics(suite).get(metric)
        policies = [policy for policy in (special, general) if policy is not None]
        baselines = [p.baseline.tolerance() for p in policies if p.baseline is not None]
        references = [p.reference.tolerance() for p in policies if p.reference is not None]
        return Limits(
            baseline=next(iter(baselines), None) if comparable else None,
            reference=next(iter(references), None) if anchored else None,
        )

    def options_json(self, case: Case, backend: str) -> str:
        """The options that the variant of `case` would have on `backend`, as JSON."""
        return self._options(self._variant(case), backend)

    def policy_metrics(self, suite: str) -> frozenset[str]:
        """Return every metric a policy names for a suite, so that tasks can refuse unknown ones."""
        variants = (v for model in self.models for v in model.all_variants)
        policies = [self.policy, *(variant.policy for variant in variants)]
        return frozenset(metric for policy in policies for metric in policy.metrics(suite))

    def _variant(self, case: Case) -> VariantTable:
        for model in self.models:
            for variant in model.all_variants:
                if (model.name, variant.name) == (case.model, case.variant):
                    return variant
        raise KeyError(f"{case.id} is no case of {self.file}")

    def _model_cases(self, model: ModelTable) -> Iterator[Case]:
        references: list[Case] = []
        if model.reference is not None:
            references = list(self._spread(model, model.reference, references, is_reference=True))
        yield from references
        for variant in model.variants:
            yield from self._spread(model, variant, references, is_reference=False)

    def _spread(
        self,
        model: ModelTable,
        variant: VariantTable,
        references: list[Case],
        *,
        is_reference: bool,
    ) -> Iterator[Case]:
        alike = {(r.backend, r.provider): r for r in references}
        first = references[0] if references else None
        for backend in variant.backends:
            for provider in variant.providers:
                yield Case(
                    model=model.name,
                    variant=variant.name,
                    precision=variant.precision,
                    backend=backend,
                    provider=provider,
                    package=self._package(variant),
                    reference=None if is_reference else alike.get((backend, provider), first),
                    is_reference=is_reference,
                    options_json=self._options(variant, backend),
                )

    def _options(self, variant: VariantTable, backend: str) -> str:
        given = {**self.runtime.options.given(backend), **variant.options.given(backend)}
        return json.dumps(given, sort_keys=True)

    def _package(self, variant: VariantTable) -> Package:
        if variant.path is not None and variant.path.startswith(HUB):
            return Package(hub=variant.path)
        if variant.path is not None:
            return Package(path=self.base / variant.path)
        if variant.build is None:
            raise ValueError(f"variant {variant.name} has neither a path nor a build")
        return Package(recipe=self._recipe(variant.build))

    def _recipe(self, build: Build) -> BuildRecipe:
        return BuildRecipe(
            source=None if build.source == EMBEDDED else self.base / build.source,
            precision=build.precision,
            execution_provider=build.execution_provider,
            extra_options=tuple(
                # The builder reads its options as text, and truth in lower case.
                (key, str(value).lower() if isinstance(value, bool) else str(value))
                for key, value in sorted(build.extra_options.items())
            ),
        )


def load_manifest(path: Path) -> Manifest:
    """Read and check a manifest.

    Raises:
        UsageFault: the file is missing, no TOML, or has a key or value that can't be used; the
            message names the file and the line.
    """
    file = path.absolute()
    text = _read(file)
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise syntax_fault(file, text, error) from error
    try:
        document = Document.model_validate(_frozen(raw))
    except ValidationError as error:
        raise schema_fault(file, text, error) from error
    return Manifest(
        file=file,
        data=document.data,
        runtime=document.runtime,
        tasks=document.tasks,
        policy=document.policy,
        models=document.models,
        written=document.models,
    )


def describe(manifest: Manifest) -> list[str]:
    """Return the configuration in force in a few short lines, for pytest's header."""
    mmlu, perplexity = manifest.tasks.mmlu, manifest.tasks.perplexity
    lines = [f"manifest: {manifest.file}"]
    for model in manifest.models:
        variants = ", ".join(
            f"{v.name} ({'/'.join(v.backends)} on {'/'.join(v.providers)})" for v in model.variants
        )
        reference = "none" if model.reference is None else model.reference.name
        lines.append(f"model {model.name}: {variants or 'no variants'}; reference: {reference}")
    subjects = f"{len(mmlu.subjects)} subjects" if mmlu.subjects else "all subjects"
    limit = "" if mmlu.limit is None else f", first {mmlu.limit} questions of each"
    selection = f"{mmlu.decision}, {subjects}{limit}"
    protocols = f"{'+'.join(perplexity.protocols)} {perplexity.window}/{perplexity.stride}"
    cut = "" if perplexity.max_tokens is None else f", first {perplexity.max_tokens} tokens"
    if "rolling" in perplexity.protocols:
        count = "all" if perplexity.max_documents is None else f"first {perplexity.max_documents}"
        cut += f", {count} documents as {manifest.data.text_format}"
    return [
        *lines,
        f"mmlu: {manifest.data.mmlu}, {mmlu.template}, {mmlu.shots} shots, {selection}",
        f"perplexity: {manifest.data.text}, {protocols}{cut}",
        f"kl_divergence: {manifest.data.text}, window {manifest.tasks.kl_divergence.window}",
        f"agreement: {', '.join(manifest.tasks.agreement.backends)}",
        _generation(manifest.tasks.generation),
        _speed(manifest.tasks.speed),
        f"threads: {manifest.runtime.threads or 'chosen by the backend'}",
    ]


def _generation(task: GenerationTable) -> str:
    asked = f"{task.texts} passages, {task.questions} questions, {task.dialogs} dialogs"
    return f"generation: {asked}, at most {task.new_tokens} tokens an answer"


def _speed(task: SpeedTask) -> str:
    prefill = "/".join(map(str, task.prefill))
    reads = f", prefill {prefill}" if prefill else ""
    return f"speed: prompt {task.prompt}, {task.new_tokens} new tokens{reads}, {task.rounds} rounds"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        found, fix = f"{file}: {error.strerror}", "write the file, or name another"
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        found, fix = f"{error.reason} in {file}, line {line}", "save the file as UTF-8"
    raise UsageFault("manifest-unreadable", need="a manifest in UTF-8", found=found, fix=fix)


def _frozen(value: Any) -> Any:
    """Turn lists into tuples, all the way down: the schema is strict and frozen."""
    if isinstance(value, dict):
        return {key: _frozen(item) for key, item in value.items()}
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return value
