"""What `quantgate inspect` prints: layout, sizes, precisions, and what the planner may do."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.packages.attention import attention_kinds
from quantgate.packages.genai_config import CONFIG_NAME
from quantgate.packages.graph import split
from quantgate.packages.io_names import require_io_names
from quantgate.packages.layers import Projection, projections
from quantgate.packages.package import OnnxPackage, open_package
from quantgate.packages.shape import read_shape
from quantgate.report.escape import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

MIB = 2**20


def print_inspection(folder: Path, console: Console) -> None:
    """Check the package in `folder` and describe it, without loading a weight.

    Raises:
        UsageFault: or InvalidMeasurement, where it can't be measured.
    """
    package = open_package(folder)
    for label, value in facts(package):
        console.print(f"{label:16} {plain(value)}", markup=False, highlight=False)
    console.print(_precisions(projections(package.graph.graph)))


def facts(package: OnnxPackage) -> list[tuple[str, str]]:
    """Label and text of each fact."""
    config = package.config
    require_io_names(config.names, config.layers, package.graph.graph, package.folder / CONFIG_NAME)
    graph = split(
        package.graph,
        logits=config.logits,
        position_ids=config.position_ids,
        input_ids=config.names.input_ids,
    )
    shape = read_shape(package, graph.body)
    cache = shape.caches[0] if shape.caches else None
    kinds = ", ".join(sorted(attention_kinds(package.graph.graph))) or "plain operators"
    packing = (
        "token trees behind a kept prefix"
        if graph.attention.packs
        else (
            "one suffix a row behind a kept prefix"
            if graph.attention.keeps_prefix
            else "right-padded batches"
        )
    )
    heads = (
        f"{cache.kv_heads} KV heads of {cache.head_size}, {cache.dtype}" if cache else "no cache"
    )
    return [
        ("package", str(package.folder)),
        ("layout", f"plain decoder, type {config.model_type}, {config.layers} layers"),
        ("attention", f"{kinds}; {heads}"),
        ("context", f"{config.context_length:,} tokens"),
        ("vocabulary", f"{config.vocab_size:,}"),
        ("body", f"{shape.cost.linear:,} multiply-adds a token in projections"),
        ("planner", packing),
        ("files", ", ".join(_file_size(path) for path in package.files)),
        ("digest", package.digest),
        ("tokenizer", package.tokenizer_digest),
    ]


def _file_size(path: Path) -> str:
    return f"{path.name} {path.stat().st_size / MIB:,.1f} MiB"


def _precisions(found: list[Projection]) -> Table:
    """Projections, neighbouring layers with the same precisions as one row."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, highlight=False)
    for heading in ("layers", "projection", "precision", "accuracy level", "shape"):
        table.add_column(heading)
    by_layer = {
        layer: list(members)
        for layer, members in groupby(
            sorted(found, key=lambda each: (each.layer is None, each.layer or 0)),
            key=lambda each: each.layer,
        )
    }
    for layers, members in _alike(by_layer):
        for projection in members:
            level = str(projection.accuracy_level) if projection.accuracy_level else "-"
            table.add_row(
                layers,
                plain(projection.name),
                projection.precision,
                level,
                f"{projection.inputs} x {projection.outputs}",
            )
    return table


def _alike(by_layer: dict[int | None, list[Projection]]) -> list[tuple[str, list[Projection]]]:
    """Runs of layers whose projections agree in all but the layer's number."""

    def signature(members: list[Projection]) -> list[tuple[object, ...]]:
        return [(m.name, m.precision, m.accuracy_level, m.inputs, m.outputs) for m in members]

    runs: list[tuple[list[int | None], list[Projection]]] = []
    for layer, members in by_layer.items():
        if layer is not None and runs and signature(runs[-1][1]) == signature(members):
            runs[-1][0].append(layer)
        else:
            runs.append(([layer], members))
    return [(_span(layers), members) for layers, members in runs]


def _span(layers: list[int | None]) -> str:
    if layers[0] is None:
        return "outside"
    return str(layers[0]) if len(layers) == 1 else f"{layers[0]}-{layers[-1]}"
