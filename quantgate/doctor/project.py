"""A project: its manifest, git, data, baselines and packages, without loading a weight."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

from quantgate.baselines.store import BaselineStore
from quantgate.cases import Case, Package
from quantgate.corpora import Corpora
from quantgate.doctor.findings import Finding, Level, failed
from quantgate.errors import GateError
from quantgate.git import run_git
from quantgate.manifest.manifest import Manifest
from quantgate.manifest.tables import EMBEDDED
from quantgate.packages.build import package_folder, source_files, source_folder
from quantgate.packages.package import open_package
from quantgate.sessions import TORCH

BUILDER = ("onnxruntime_genai", "onnx_ir", "torch", "transformers")
MIB = 2**20


def check_git(manifest: Manifest, base: str | None) -> Iterator[Finding]:
    """Tell whether baselines of the merge base can be read."""
    section = "git"
    inside = run_git(manifest.base, "rev-parse", "--is-shallow-repository")
    if inside.returncode != 0:
        words = inside.stderr.decode("utf-8", "replace").strip() or "no git"
        level = Level.FAIL if base else Level.NOTE
        yield Finding(section, f"no repository: {words}", level, "git init, and commit baselines/")
        return
    shallow = inside.stdout.strip() == b"true"
    for ref in [base] if base else ["origin/HEAD"]:
        try:
            store = BaselineStore(manifest.base / "baselines", git_ref=ref)
            changed = store.changed_since_ref()
        except GateError as fault:
            if base:
                yield failed(section, fault)
            elif shallow:
                found = "a shallow clone: no baseline of a merge base can be read"
                yield Finding(section, found, Level.NOTE, "git fetch --unshallow")
            else:
                yield Finding(section, f"{ref} can't be reached; a run here needs none")
        else:
            yield Finding(section, f"merge base with {ref} is there")
            for name in changed:
                told = f"baselines/{name} differs from {ref}, which is in force in a pull request"
                yield Finding(section, told, Level.NOTE)


def check_data(manifest: Manifest) -> Iterator[Finding]:
    """Read questions and text, and hold them against their pins."""
    corpora = Corpora(manifest)
    data = manifest.data
    yield from _corpus("mmlu", data.mmlu, data.mmlu_sha256, lambda: corpora.mmlu.files_digest)
    yield from _corpus("text", data.text, data.text_sha256, lambda: corpora.text.files_digest)


def check_baselines(manifest: Manifest) -> Iterator[Finding]:
    """Read every case's stored figures and items, as a run does before it begins."""
    store = BaselineStore(manifest.base / "baselines")
    missing = []
    for case in manifest.cases():
        try:
            unpaired = store.check(case)
            if store.read(case) is None:
                missing.append(case.id)
            if unpaired:
                yield _without_items(store.items_path(case), unpaired)
        except GateError as fault:
            yield failed("baselines", fault)
    count = len(manifest.cases()) - len(missing)
    yield Finding("baselines", f"{count} of {len(manifest.cases())} cases have one")
    if missing:
        command = 'quantgate run --gate-update-baselines --gate-reason "..."'
        told = f"none for {', '.join(missing)}: green, and red with --gate-strict"
        yield Finding("baselines", told, Level.NOTE, command)


def check_packages(manifest: Manifest, cache: Path) -> Iterator[Finding]:
    """Open every package; hold context and memory against what a run asks of them."""
    seen: set[tuple[Package, bool]] = set()
    for case in manifest.cases():
        key = (case.package, case.backend == TORCH)
        if key in seen:
            continue
        seen.add(key)
        name = f"{case.model} {case.variant}"
        try:
            yield from _package(case, name, manifest, cache)
        except GateError as fault:
            found = failed("packages", fault)
            yield Finding("packages", f"{name}: {found.what}", found.level, found.fix)


def _without_items(path: Path, tasks: list[str]) -> Finding:
    told = f"{path} lacks the items of {', '.join(tasks)}: later runs are not paired with them"
    fix = "restore it with git, or store the baseline again"
    return Finding("baselines", told, Level.NOTE, fix)


def _corpus(
    name: str, location: str, pin: str | None, digest: Callable[[], str]
) -> Iterator[Finding]:
    try:
        found = digest()
    except GateError as fault:
        yield failed("data", fault)
        return
    if location == EMBEDDED or pin is not None:
        state = "carried by quantgate" if location == EMBEDDED else "as pinned"
        yield Finding("data", f"{name}: {location}, {state}")
        return
    told = f"{name}: {location} isn't pinned: other bytes would be measured unseen"
    yield Finding("data", told, Level.NOTE, f'under [data]: {name}_sha256 = "{found}"')


def _package(case: Case, name: str, manifest: Manifest, cache: Path) -> Iterator[Finding]:
    recipe = case.package.recipe
    if case.backend == TORCH:
        folder = source_folder(recipe) if recipe else package_folder(case.package, cache)
        source_files(folder)
        yield Finding("packages", f"{name}: {folder}")
    elif recipe is not None:
        source_files(source_folder(recipe))
        folder = package_folder(case.package, cache)
        if not folder.is_dir():
            yield from _builder(name, case.package)
            return
        yield Finding("packages", f"{name}: {case.package}, built")
    else:
        folder = package_folder(case.package, cache)
        context = open_package(folder).config.context_length
        yield Finding("packages", f"{name}: {folder}, {context:,} tokens of context")
        yield from _windows(name, context, manifest)
    yield from _memory(name, folder, manifest)


def _builder(name: str, package: Package) -> Iterator[Finding]:
    lacking = [module for module in BUILDER if importlib.util.find_spec(module) is None]
    if not lacking:
        yield Finding("packages", f"{name}: {package}, at the first run")
        return
    told = f"{name}: {package} needs {', '.join(lacking)}"
    yield Finding("packages", told, Level.FAIL, 'pip install "pytest-quantgate[cpu]"')


def _windows(name: str, context: int, manifest: Manifest) -> Iterator[Finding]:
    tasks = manifest.tasks
    for task, window in (
        ("perplexity", tasks.perplexity.window),
        ("kl_divergence", tasks.kl_divergence.window),
    ):
        if window > context:
            told = f"{name}: windows of {window} tokens are longer than its context, {context}"
            fix = f"set window = {context} or less under [tasks.{task}] in {manifest.file}"
            yield Finding("packages", told, Level.FAIL, fix)


def _memory(name: str, folder: Path, manifest: Manifest) -> Iterator[Finding]:
    from quantgate.execution.memory import require_memory, weights_bytes

    try:
        require_memory(folder, limit_mib=manifest.runtime.memory_mib)
    except GateError as fault:
        found = failed("packages", fault)
        yield Finding("packages", f"{name}: {found.what}", found.level, found.fix)
    else:
        yield Finding("packages", f"{name}: {weights_bytes(folder) / MIB:,.1f} MiB of weights")
