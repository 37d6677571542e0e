"""What `genai_config.json` says of a plain decoder package, and what it may not ask for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantgate.errors import UsageFault
from quantgate.packages.io_names import IoNames, read_io_names
from quantgate.packages.paths import contained_file
from quantgate.packages.strict_json import read_json_object

CONFIG_NAME = "genai_config.json"
FORBIDDEN_KEYS = frozenset(
    {"custom_ops_library", "enable_profiling", "ep_library_path", "registration_library"}
)


@dataclass(frozen=True, slots=True)
class GenaiConfig:
    """The facts of a decoder package that scoring needs.

    Attributes:
        context_length: longest sequence in tokens.
        vocab_size: ids that the model knows; its logits may be wider.
        layers: number of decoder layers.
        head_size: of one KV head; 0 where the configuration doesn't tell.
        eos_ids: ids that end a text.
        names: of inputs and outputs.
    """

    model_type: str
    model_path: Path
    context_length: int
    vocab_size: int
    layers: int
    head_size: int
    eos_ids: tuple[int, ...]
    names: IoNames

    @property
    def logits(self) -> str:
        """Name of the logits output."""
        return self.names.logits

    @property
    def position_ids(self) -> str:
        """Name of the position input, if the graph has one."""
        return self.names.position_ids


def read_genai_config(folder: Path) -> GenaiConfig:
    """Read and check the configuration of the package in `folder`.

    Raises:
        UsageFault: `not-a-package`, `json-invalid`, `path-escapes`, `unsafe-config`,
            `config-incomplete`, `token-id-range` or `layout-unsupported`.
        InvalidMeasurement: `file-missing` where the graph that it names isn't there.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise UsageFault(
            "not-a-package",
            need=f"a folder with {CONFIG_NAME}",
            found=f"{folder}" + ("" if folder.is_dir() else " (no such folder)"),
            fix="name a folder made by `python -m onnxruntime_genai.models.builder`",
        )
    config = read_json_object(path)
    refuse_unsafe(config, path)
    model = config.get("model")
    decoder = model.get("decoder") if isinstance(model, dict) else None
    if not isinstance(model, dict) or not isinstance(decoder, dict) or "filename" not in decoder:
        raise UsageFault(
            "layout-unsupported",
            need="a plain decoder package: model.decoder.filename",
            found=f"{path} without it (model {str(model)[:80]})",
            fix="score the text decoder exported alone",
        )
    return _decoder_config(folder, path, model, decoder)


def _decoder_config(
    folder: Path, path: Path, model: dict[str, Any], decoder: dict[str, Any]
) -> GenaiConfig:
    names = read_io_names(decoder.get("inputs", {}), decoder.get("outputs", {}), path)
    try:
        found = GenaiConfig(
            model_type=str(model.get("type", "")),
            model_path=contained_file(
                folder, decoder["filename"], what=f"{CONFIG_NAME} decoder.filename"
            ),
            context_length=int(model["context_length"]),
            vocab_size=int(model["vocab_size"]),
            layers=int(decoder["num_hidden_layers"]),
            head_size=int(decoder.get("head_size", 0)),
            eos_ids=_token_ids(model, "eos_token_id", path),
            names=names,
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UsageFault(
            "config-incomplete",
            need=f"{path}: context_length, vocab_size and decoder.num_hidden_layers as integers",
            found=f"{type(error).__name__}: {error}",
            fix="build the package again with the model builder",
        ) from None
    _token_ids(model, "pad_token_id", path)
    return found


def _token_ids(model: dict[str, Any], key: str, path: Path) -> tuple[int, ...]:
    """Ids under `key`, which may hold one, several or none.

    Raises:
        UsageFault: `token-id-range` for what is no id of the vocabulary.
    """
    value = model.get(key)
    ids = [] if value is None else value if isinstance(value, list) else [value]
    size = int(model["vocab_size"])
    for number in ids:
        if type(number) is not int or not 0 <= number < size:
            raise UsageFault(
                "token-id-range",
                need=f"{path}: model.{key} within the vocabulary, 0 to {size - 1}",
                found=repr(number)[:80],
                fix=f"write the tokenizer's own id, or remove {key}",
            )
    return tuple(ids)


def refuse_unsafe(config: Any, path: Path, trail: str = "") -> None:
    """Refuse keys that make a runtime load native code or write files.

    Raises:
        UsageFault: `unsafe-config`, naming the key.
    """
    if isinstance(config, list):
        for item in config:
            refuse_unsafe(item, path, trail)
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        here = f"{trail}.{key}".lstrip(".")
        if key in FORBIDDEN_KEYS and value not in (None, False, ""):
            raise UsageFault(
                "unsafe-config",
                need=f"{path} that loads no native library and writes no profile",
                found=f"{here} = {value!r}",
                fix=f"remove {here} from {path.name}",
            )
        refuse_unsafe(value, path, here)
