"""What `quantgate inspect` prints: layout, sizes, precisions, and what the planner may do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.errors import InvalidMeasurement
from quantgate.packages.attention import Attention, attention_kinds
from quantgate.packages.genai_config import CONFIG_NAME
from quantgate.packages.graph import SplitGraph, split
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
    """Label and text of each fact.

    A graph that can't be split has no body and no plan; all else is told of it as of any other.
    """
    config = package.config
    require_io_names(config.names, config.layers, package.graph.graph, package.folder / CONFIG_NAME)
    parts = _parts(package)
    if isinstance(parts, SplitGraph):
        counted, label, planner = parts.body, "body", _packing(parts.attention)
    else:
        counted, label = package.graph, "body and head"
        planner = f"none; the backend ort refuses this package: {parts}"
    shape = read_shape(package, counted)
    cache = shape.caches[0] if shape.caches else None
    kinds = ", ".join(sorted(attention_kinds(package.graph.graph))) or "plain operators"
    heads = (
        f"{cache.kv_heads} KV heads of {cache.head_size}, {cache.dtype}" if cache else "no cache"
    )
    return [
        ("package", str(package.folder)),
        ("layout", f"plain decoder, type {config.model_type}, {config.layers} layers"),
        ("attention", f"{kinds}; {heads}"),
        ("context", f"{config.context_length:,} tokens"),
        ("vocabulary", f"{config.vocab_size:,}"),
        (label, f"{shape.cost.linear:,} multiply-adds a token in projections"),
        ("planner", planner),
        ("files", ", ".join(_file_size(path) for path in package.files)),
        ("digest", package.digest),
        ("tokenizer", package.tokenizer_digest),
    ]


def _parts(package: OnnxPackage) -> SplitGraph | InvalidMeasurement:
    """Body and head, or why they can't be told apart."""
    config = package.config
    try:
        return split(
            package.graph,
            logits=config.logits,
            position_ids=config.position_ids,
            input_ids=config.names.input_ids,
        )
    except InvalidMeasurement as fault:
        return fault


def _packing(attention: Attention) -> str:
    if attention.packs:
        return "token trees behind a kept prefix"
    if attention.keeps_prefix:
        return "one suffix a row behind a kept prefix"
    return "right-padded batches"


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
