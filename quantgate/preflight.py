"""What is looked at before any model loads, so that a mistake costs seconds and not hours."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from quantgate.baselines.store import BaselineStore
from quantgate.cases import Case
from quantgate.corpora import Corpora
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.build import package_folder, source_files, source_folder
from quantgate.packages.package import OnnxPackage, open_package
from quantgate.sessions import TORCH


def preflight(
    corpora: Corpora,
    baselines: BaselineStore,
    suites: Collection[str],
    cases: Collection[Case],
    cache: Path,
) -> None:
    """Read the corpora that `suites` need, and baselines; check the packages of `cases`.

    A damaged package is left to its own tests, which report it INVALID; only what is refused
    outright (a path that escapes, native code, another layout) stops the run.

    Raises:
        UsageFault: a corpus, a baseline file or a package can't be used.
    """
    for case in cases:
        baselines.check(case)
    if {"mmlu", "agreement", "generation"} & set(suites):
        _ = corpora.mmlu
    if set(suites) - {"mmlu"}:
        _ = corpora.text
    longest_window = 0
    if {"perplexity", "kl_divergence"} & set(suites):
        tasks = corpora.manifest.tasks
        longest_window = max(tasks.perplexity.window, tasks.kl_divergence.window)
    everyone = {each for case in cases for each in (case, case.reference) if each}
    for case in everyone:
        package = case.package
        if package.recipe is not None:
            source_files(source_folder(package.recipe))
        elif case.backend == TORCH:
            source_files(package_folder(package, cache))
        else:
            with contextlib.suppress(InvalidMeasurement):
                _require_context(open_package(package_folder(package, cache)), longest_window)


def _require_context(package: OnnxPackage, window: int) -> None:
    if window > package.config.context_length:
        raise UsageFault(
            "window-context",
            need=f"windows of at most {package.config.context_length} tokens, the context of "
            f"{package.folder}",
            found=f"a window of {window}",
            fix="set a shorter window under [tasks.perplexity] and [tasks.kl_divergence]",
        )
