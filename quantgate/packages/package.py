"""One checked package: its files, its graph without weights, its facts and its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from quantgate.packages.genai_config import CONFIG_NAME, GenaiConfig, read_genai_config
from quantgate.packages.onnx_files import read_graph
from quantgate.packages.stamps import Stamp, hash_stamped, require_stamp, stamps
from quantgate.packages.tokenizer import refuse_remote_code, tokenizer_digest

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class OnnxPackage:
    """A decoder package whose every file was proved to be there and inside the folder.

    Pickled side files (`.bin`, `.pt`, `.pkl`) are no part of it: they are never opened.

    Attributes:
        stamps: of each file, taken before its content was read for the first time.
    """

    folder: Path
    config: GenaiConfig
    graph: onnx.ModelProto
    external: tuple[Path, ...]
    stamps: Mapping[Path, Stamp]

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that scoring reads, besides the tokenizer's."""
        return (self.config.model_path, *self.external, self.folder / CONFIG_NAME)

    @property
    def weights_folder(self) -> Path:
        """Where the graph's external data is told from."""
        return self.config.model_path.resolve().parent

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents of all files, tokenizer included.

        Raises:
            InvalidMeasurement: `files-changed` where a file isn't the one that was opened.
        """
        digest = hashlib.sha256()
        for path in sorted(self.files):
            content = hash_stamped(path, self.stamps[path])
            digest.update(f"{path.relative_to(self.folder)}:{content}\n".encode())
        digest.update(self.tokenizer_digest.encode())
        return digest.hexdigest()

    @cached_property
    def tokenizer_digest(self) -> str:
        """SHA-256 over the tokenizer's files."""
        return tokenizer_digest(self.folder)

    def require_unchanged(self) -> None:
        """Prove that the files are those that were opened and hashed.

        Raises:
            InvalidMeasurement: `files-changed`, naming the file.
        """
        for path in self.files:
            require_stamp(path, self.stamps[path])

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
    before = stamps([folder / CONFIG_NAME])
    config = read_genai_config(folder)
    refuse_remote_code(folder)
    before |= stamps([config.model_path])
    graph, external = read_graph(config.model_path)
    return OnnxPackage(folder, config, graph, external, before | stamps(external))
