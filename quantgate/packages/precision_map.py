"""The precision of every layer of a package: runs of equal layers by projections.

Model builders fuse a layer's Q, K and V into one MatMul. Where their weights are stored in
different ways, that can't be done without rounding some of them again, so such layers are marked.

In a measurement's `detail` a map is a list of runs, `{"layers": [0, 29], "cells": {"qkv": "int4 b32
acc4", ...}, "mixed": true}`, without `layers` outside of all layers and without `mixed` where Q, K
and V are alike. Outside stands, too, which nodes read weights in ways that aren't understood.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from quantgate.packages.accuracy_level import with_accuracy_level
from quantgate.packages.layers import Precision, embedding, projections
from quantgate.packages.places import EMBEDDING, HEAD, QKV, ROLES, places
from quantgate.packages.unread import Unread, unread

if TYPE_CHECKING:
    import onnx

    from quantgate.packages.package import OnnxPackage

KEY: Final = "precision"  # of the map in a measurement's `detail`
OUTSIDE: Final = "outside"
UNREAD: Final = "not understood"
LEGEND: Final = (
    "b32: 32 weights share a scale; asym: zero points are stored; acc4: multiplied at accuracy "
    "level 4, which rounds activations to 8 bits"
)
WHY: Final = (
    "model builders fuse them into one MatMul, so one of them is silently at another precision or "
    "the fusion is lost"
)
_LISTED: Final = 8  # runs of layers, ways in which they differ, or operators, in one line
# An operator's name may be a stranger's.
_HARMFUL: Final = re.compile(r"\W", re.ASCII)
_LONGEST: Final = 32


@dataclass(frozen=True, slots=True)
class LayerRun:
    """Layers one after another that are stored alike, or what stands outside of all layers.

    Attributes:
        cells: `int4 b32` and the like by projection; several where it has several matrices.
        layers: first and last number; None outside.
        mixed: whether Q, K and V differ in bits, block size or zero points.
    """

    cells: Mapping[str, str]
    layers: tuple[int, int] | None = None
    mixed: bool = False

    @property
    def span(self) -> str:
        """`0-29`, `4` or `outside`."""
        if self.layers is None:
            return OUTSIDE
        first, last = self.layers
        return str(first) if first == last else f"{first}-{last}"


@dataclass(frozen=True, slots=True)
class PrecisionMap:
    """All layers from the first to the last, then what stands outside."""

    runs: tuple[LayerRun, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Every projection there is, in the order of a layer; head and embedding are last."""
        known = {name for run in self.runs for name in run.cells}
        last = (HEAD, EMBEDDING, UNREAD)
        others = sorted(known.difference(ROLES, last))
        return tuple(name for name in (*ROLES, *others, *last) if name in known)

    @property
    def warning(self) -> str:
        """Where Q, K and V differ, and whose weights aren't understood, in one line; "" if none."""
        return "; ".join(filter(None, [self._differences, self._left_out]))

    @property
    def _left_out(self) -> str:
        told = next((run.cells[UNREAD] for run in self.runs if UNREAD in run.cells), "")
        return f"the weights of {told} aren't understood: they are left out here" if told else ""

    @property
    def _differences(self) -> str:
        mixed = [run for run in self.runs if run.mixed]
        if not mixed:
            return ""
        parts = [name for name in self.columns if _is_part(name)]
        spans: dict[str, list[str]] = {}
        for run in mixed:
            told = ", ".join(f"{name} {run.cells[name]}" for name in parts if name in run.cells)
            spans.setdefault(told, []).append(run.span)
        noun = "layer" if len(mixed) == 1 and mixed[0].span.isdigit() else "layers"
        where = _some([f"{_some(each)} ({told})" for told, each in spans.items()], "; ")
        return f"Q, K and V differ in {noun} {where}: {WHY}"

    def as_json(self) -> list[dict[str, Any]]:
        """What `read_map` reads."""
        return [
            {"cells": dict(run.cells)}
            | ({} if run.layers is None else {"layers": list(run.layers)})
            | ({"mixed": True} if run.mixed else {})
            for run in self.runs
        ]


_RUNS: TypeAdapter[tuple[LayerRun, ...]] = TypeAdapter(tuple[LayerRun, ...])
# Precisions by projection, each once and in the graph's order.
_Kinds = dict[str, dict[Precision, None]]


def read_map(value: object) -> PrecisionMap:
    """The map that a results file holds; ValueError where it is damaged."""
    try:
        return PrecisionMap(_RUNS.validate_python(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"precision by layer, {place}: {first['msg']}") from None


def package_map(package: OnnxPackage, accuracy_level: int | None = None) -> PrecisionMap:
    """The map of a package; `accuracy_level` is that of every MatMulNBits if it isn't None."""
    model, names = package.graph, package.config.names
    if accuracy_level is not None:
        model = with_accuracy_level(model, accuracy_level)
    return precision_map(model.graph, logits=names.logits, input_ids=names.input_ids)


def precision_map(graph: onnx.GraphProto, *, logits: str, input_ids: str) -> PrecisionMap:
    """The map of a decoder's graph, whose logits and ids have these names."""
    found = projections(graph)
    layers: dict[int, _Kinds] = {}
    outside: _Kinds = {}
    for projection, place in zip(found, places(graph, found, logits), strict=True):
        kinds = outside if place.layer is None else layers.setdefault(place.layer, {})
        kinds.setdefault(place.role, {})[projection.precision] = None
    if table := embedding(graph, input_ids):
        outside[EMBEDDING] = {table.precision: None}
    cells = _cells(outside) | _unread_cell(unread(graph))
    last = [LayerRun(cells)] if cells else []
    return PrecisionMap((*_runs(layers), *last))


def _runs(layers: Mapping[int, _Kinds]) -> list[LayerRun]:
    """Layers one after another as long as they are alike."""
    runs: list[LayerRun] = []
    for layer in sorted(layers):
        run = LayerRun(_cells(layers[layer]), (layer, layer), _is_mixed(layers[layer]))
        before = runs[-1].layers if runs and _goes_on(runs[-1], run) else None
        if before is None:
            runs.append(run)
        else:
            runs[-1] = replace(run, layers=(before[0], layer))
    return runs


def _goes_on(before: LayerRun, run: LayerRun) -> bool:
    if before.layers is None or run.layers is None or before.layers[1] + 1 != run.layers[0]:
        return False
    return (before.cells, before.mixed) == (run.cells, run.mixed)


def _cells(kinds: _Kinds) -> dict[str, str]:
    return {role: " / ".join(map(str, each)) for role, each in kinds.items()}


def _unread_cell(nodes: Iterable[Unread]) -> dict[str, str]:
    """`{"not understood": "14 nodes (12 QGemm, 2 Conv)"}`, and nothing where all is understood."""
    kinds = Counter(_HARMFUL.sub("?", each.op_type)[:_LONGEST] for each in nodes)
    if not kinds:
        return {}
    count = kinds.total()
    told = _some(f"{number:,} {kind}" for kind, number in kinds.most_common())
    return {UNREAD: f"{count:,} {'node' if count == 1 else 'nodes'} ({told})"}


def _is_mixed(kinds: _Kinds) -> bool:
    """Whether the weights of Q, K and V are stored in different ways; levels are no matter."""
    stored = {
        frozenset(precision.stored for precision in each)
        for role, each in kinds.items()
        if _is_part(role)
    }
    return len(stored) > 1


def _is_part(role: str) -> bool:
    """Whether a projection is Q, K or V, or two or all of them in one."""
    return set(role) <= set(QKV)


def _some(texts: Iterable[str], joined_by: str = ", ") -> str:
    listed = list(texts)
    more = [f"{len(listed) - _LISTED:,} more"] if len(listed) > _LISTED else []
    return joined_by.join([*listed[:_LISTED], *more])
