"""Which engines run the same weights, and which of them the others are held against.

Every variant of a manifest is spread over the backends of `[tasks.agreement]` that can run it. The
first of them is the anchor; PyTorch comes first where it can run the precision at all, because it
is where the weights come from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from quantgate.cases import Case
from quantgate.manifest.manifest import Manifest
from quantgate.sessions import DTYPES, TORCH

DEVICES = frozenset({"cpu", "cuda"})  # providers that name a device of PyTorch, too


@dataclass(frozen=True, slots=True)
class Engine:
    """A case that takes part in an agreement, and the one it is held against (maybe itself)."""

    case: Case
    anchor: Case


def engines(manifest: Manifest) -> list[Engine]:
    """Every engine of every variant, the anchors first."""
    known = {case.id: case for case in manifest.cases()}
    found = []
    for case in known.values():
        alike = [known.get(each.id, each) for each in _spread(case, manifest)]
        if len(alike) > 1:
            found += [Engine(each, alike[0]) for each in alike]
    unique = {engine.case.id: engine for engine in reversed(found)}
    return list(reversed(unique.values()))


def _spread(case: Case, manifest: Manifest) -> Iterator[Case]:
    """The case on every backend that can run its weights, on its own provider."""
    order = sorted(manifest.tasks.agreement.backends, key=lambda backend: backend != TORCH)
    for backend in order:
        if backend == case.backend:
            yield case
        elif _can_run(case, backend):
            yield _moved(case, backend, manifest)


def _can_run(case: Case, backend: str) -> bool:
    """A package runs on either runtime, a recipe's source on PyTorch in a type that it has."""
    if backend == TORCH:
        there = case.provider.partition(":")[0] in DEVICES
        return there and case.package.recipe is not None and case.precision in DTYPES
    return case.backend != TORCH


def _moved(case: Case, backend: str, manifest: Manifest) -> Case:
    return replace(
        case,
        backend=backend,
        reference=None,
        is_reference=False,
        options_json=manifest.options_json(case, backend),
    )
