"""One checked package: its files, its graph without weights, its facts and its digest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.packages.genai_config import CONFIG_NAME, GenaiConfig, read_genai_config
from quantgate.packages.onnx_files import read_graph
from quantgate.packages.tokenizer import refuse_remote_code, tokenizer_digest

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class OnnxPackage:
    """A decoder package whose every file was proved to be there and inside the folder.

    Pickled side files (`.bin`, `.pt`, `.pkl`) are no part of it: they are never opened.
    """

    folder: Path
    config: GenaiConfig
    graph: onnx.ModelProto
    external: tuple[Path, ...]

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that scoring reads, besides the tokenizer's."""
        return (self.config.model_path, *self.external, self.folder / CONFIG_NAME)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents of all files, tokenizer included."""
        digest = hashlib.sha256()
        for path in sorted(self.files):
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(self.folder)}:{content}\n".encode())
        digest.update(self.tokenizer_digest.encode())
        return digest.hexdigest()

    @cached_property
    def tokenizer_digest(self) -> str:
        """SHA-256 over the tokenizer's files."""
        return tokenizer_digest(self.folder)

    @property
    def bytes(self) -> int:
        """Size on disk of graph and weights."""
        return sum(path.stat().st_size for path in self.files)


def open_package(folder: Path) -> OnnxPackage:
    """Check the package in `folder` without loading a weight.

    Raises:
        UsageFault: the folder is no package, leaves itself or asks for native code.
        InvalidMeasurement: a file is missing, short or no ONNX graph.
    """
    config = read_genai_config(folder)
    refuse_remote_code(folder)
    graph, external = read_graph(config.model_path)
    return OnnxPackage(folder, config, graph, external)
