"""What `quantgate inspect` prints: layout, sizes, precisions, and what the planner may do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.packages.attention import attention_kinds
from quantgate.packages.genai_config import CONFIG_NAME
from quantgate.packages.graph import split
from quantgate.packages.io_names import require_io_names
from quantgate.packages.package import OnnxPackage, open_package
from quantgate.packages.precision_map import LEGEND, PrecisionMap, package_map
from quantgate.packages.shape import read_shape
from quantgate.report.escape import plain
from quantgate.report.text_table import Column, TextTable

if TYPE_CHECKING:
    from rich.console import Console

MIB = 2**20
MISSING = "-"


def print_inspection(folder: Path, console: Console) -> None:
    """Check the package in `folder` and describe it, layer by layer, without loading a weight.

    Raises:
        UsageFault: or InvalidMeasurement, where it can't be measured.
    """
    package = open_package(folder)
    for label, value in facts(package):
        console.print(f"{label:16} {plain(value)}", markup=False, highlight=False)
    _print_map(package_map(package), console)


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


def _print_map(found: PrecisionMap, console: Console) -> None:
    """Print a row for each run of equal layers, then what the cells mean and what is odd."""
    columns = [Column("layers", whole=True), *map(Column, found.columns)]
    table = TextTable(columns, console, "precision by layer")
    for run in found.runs:
        cells = [run.cells.get(name, MISSING) for name in found.columns]
        table.add(f"{run.span} (!)" if run.mixed else run.span, *cells)
    table.print()
    console.print(LEGEND, markup=False, highlight=False)
    if found.warning:
        console.print(f"(!) {found.warning}", markup=False, highlight=False)
