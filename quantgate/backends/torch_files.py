"""The files of a Hugging Face folder that a run reads, known without torch and without weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.build import source_files
from quantgate.packages.paths import contained_file
from quantgate.packages.strict_json import read_json_object
from quantgate.packages.tokenizer import tokenizer_digest
from quantgate.storage import sha256_file

if TYPE_CHECKING:
    import torch

CONFIG = "config.json"
SINGLE_FILE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# Safetensors' names of the types that a model can be computed in.
FLOATS = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of the weights: where it lies, its shape and safetensors' type name."""

    file: Path
    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class HuggingFaceFolder:
    """A checked folder.

    Attributes:
        path: the folder.
        config: `config.json` as it stands there.
        weights: the `.safetensors` files.
        others: what is read beside weights and tokenizer: configuration, index, code.
        trust_remote_code: whether the folder's own Python code may run.
    """

    path: Path
    config: Mapping[str, Any]
    weights: tuple[Path, ...]
    others: tuple[Path, ...]
    trust_remote_code: bool

    @cached_property
    def digest(self) -> str:
        """SHA-256 over names and contents of all files, tokenizer included."""
        digest = hashlib.sha256()
        for path in sorted((*self.weights, *self.others)):
            digest.update(f"{path.relative_to(self.path)}:{sha256_file(path)}\n".encode())
        digest.update(tokenizer_digest(self.path).encode())
        return digest.hexdigest()

    @cached_property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """Every stored tensor by name, from the headers of the files.

        Raises:
            InvalidMeasurement: `weights-unreadable`.
        """
        found: dict[str, StoredTensor] = {}
        for path in self.weights:
            found |= _header(path)
        return found

    @cached_property
    def dtype(self) -> str:
        """Type the model was saved in: the configuration's word, else the first weight's."""
        text = self.config.get("text_config")
        for config in (self.config, text if isinstance(text, Mapping) else {}):
            named = config.get("dtype") or config.get("torch_dtype")
            if named in FLOATS.values():
                return str(named)
        stored = (FLOATS.get(tensor.dtype) for tensor in self.tensors.values())
        return next((name for name in stored if name), "float32")


def read_tensor(stored: StoredTensor) -> torch.Tensor:
    """Read one tensor, and nothing else of its file."""
    from safetensors import safe_open

    with safe_open(str(stored.file), framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(stored.name)
    return tensor


def open_folder(path: Path, *, trust_remote_code: bool = False) -> HuggingFaceFolder:
    """Check the folder and list what a run reads; no weight is opened.

    Raises:
        UsageFault: `not-a-model`, `pickled-weights`, `remote-code`, `path-escapes`.
        InvalidMeasurement: `file-missing` for a shard that the index names.
    """
    if not trust_remote_code:
        source_files(path)
    weights, index = _weights(path)
    config = read_json_object(contained_file(path, CONFIG, what="the model's folder"))
    _refuse_other_weights(path, config)
    code = sorted(path.glob("*.py")) if trust_remote_code else []
    return HuggingFaceFolder(
        path, config, weights, (path / CONFIG, *index, *code), trust_remote_code
    )


def _weights(path: Path) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """The weight files, in transformers' order of preference, and the index if it is read."""
    if (path / SINGLE_FILE).exists():
        return (contained_file(path, SINGLE_FILE, what="weights"),), ()
    if not (path / INDEX).exists():
        raise UsageFault(
            "not-a-model",
            need=f"{path}: {SINGLE_FILE} or {INDEX}",
            found="neither; other weights are never opened",
            fix="save the model with save_pretrained(..., safe_serialization=True)",
        )
    named = read_json_object(path / INDEX).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise UsageFault(
            "not-a-model",
            need=f"{path / INDEX}: a weight_map from tensors to files",
            found=type(named).__name__,
            fix="save the model again with save_pretrained",
        )
    shards = sorted(set(named.values()))
    files = tuple(contained_file(path, name, what=f"weight_map of {INDEX}") for name in shards)
    pickled = [file.name for file in files if file.suffix != ".safetensors"]
    if pickled:
        raise UsageFault(
            "pickled-weights",
            need=f"{path / INDEX}: shards as .safetensors",
            found=", ".join(pickled),
            fix="save the model with save_pretrained(..., safe_serialization=True)",
        )
    return files, (path / INDEX,)


def _refuse_other_weights(path: Path, config: Mapping[str, Any]) -> None:
    """Refuse weights that transformers would add from elsewhere, past the digest."""
    adapter = (path / "adapter_config.json").exists()
    if adapter or "transformers_weights" in config:
        raise UsageFault(
            "not-a-model",
            need=f"{path}: one whole model",
            found="an adapter" if adapter else f"transformers_weights in {CONFIG}",
            fix="merge the adapter (merge_and_unload) and save the model with save_pretrained",
        )


def _header(path: Path) -> dict[str, StoredTensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: StoredTensor(path, name, tuple(view.get_shape()), str(view.get_dtype()))
                for name, view in slices.items()
            }
    except (SafetensorError, OSError) as error:
        raise InvalidMeasurement(
            "weights-unreadable",
            need=f"{path}: a whole safetensors file",
            found=f"{type(error).__name__}: {error}",
            fix="fetch the file again (git lfs pull, if it is a pointer)",
        ) from None
