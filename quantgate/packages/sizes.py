"""Size on disk of what a model is loaded from, by part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from quantgate.packages.build import source_files
from quantgate.packages.package import open_package
from quantgate.packages.tokenizer import TOKENIZER_FILES

_TOKENIZER: Final = frozenset({*TOKENIZER_FILES, "chat_template.jinja"})
_SAFETENSORS: Final = ".safetensors"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes; weights that the graph itself holds count as graph."""

    graph: int
    weights: int
    tokenizer: int
    rest: int

    @property
    def total(self) -> int:
        """Bytes of all."""
        return self.graph + self.weights + self.tokenizer + self.rest


def package_sizes(folder: Path) -> Sizes:
    """Sizes of an ONNX package; `rest` is every other file in its folder.

    Raises:
        UsageFault: or InvalidMeasurement, from the package.
    """
    package = open_package(folder)
    return _sizes(
        [path for path in folder.rglob("*") if path.is_file()],
        graph={package.config.model_path},
        weights=set(package.external),
    )


def source_sizes(folder: Path) -> Sizes:
    """Sizes of a Hugging Face folder, pickled files left out: they are never opened.

    Raises:
        UsageFault: the folder is no model.
    """
    files = source_files(folder)
    weights = {path for path in files if path.suffix == _SAFETENSORS}
    return _sizes(files, graph=set(), weights=weights)


def _sizes(files: list[Path], *, graph: set[Path], weights: set[Path]) -> Sizes:
    sizes = {"graph": 0, "weights": 0, "tokenizer": 0, "rest": 0}
    places = {path.resolve(): "graph" for path in graph}
    places |= {path.resolve(): "weights" for path in weights}
    counted = set()
    for path in (*graph, *weights, *files):
        file = path.resolve()  # the hub's cache links to its files, and may do so twice
        if file in counted:
            continue
        counted.add(file)
        own = "tokenizer" if path.name in _TOKENIZER else "rest"
        sizes[places.get(file, own)] += file.stat().st_size
    return Sizes(**sizes)
