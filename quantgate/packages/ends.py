"""Ids that end a text: a chat model has several, and its tokenizer names one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from quantgate.errors import UsageFault
from quantgate.packages.genai_config import CONFIG_NAME, read_genai_config
from quantgate.packages.strict_json import read_json_object
from quantgate.requests import Ids

KEY: Final = "eos_token_id"
# What transformers' `generate` takes them from: the first of these that names any.
_SOURCES: Final = ("generation_config.json", "config.json")


def end_ids(folder: Path) -> Ids:
    """Return the ids that the runtimes of a model end a text at, ascending.

    Args:
        folder: a package, whose `genai_config.json` names them, or a Hugging Face folder.

    Raises:
        UsageFault: `token-id-range` for what is no id, `json-invalid`, or what
            `read_genai_config` raises.
        InvalidMeasurement: what `read_genai_config` raises.
    """
    if (folder / CONFIG_NAME).is_file():
        return tuple(sorted(set(read_genai_config(folder).eos_ids)))
    for name in _SOURCES:
        path = folder / name
        if path.is_file() and (found := _named(path)):
            return tuple(sorted(found))
    return ()


def _named(path: Path) -> set[int]:
    value = read_json_object(path).get(KEY)
    ids = value if isinstance(value, list) else [] if value is None else [value]
    for number in ids:
        if type(number) is not int or number < 0:
            raise UsageFault(
                "token-id-range",
                need=f"{path}: {KEY} as one id or a list of ids",
                found=repr(number)[:80],
                fix=f"write the tokenizer's own id, or remove {KEY}",
            )
    return set(ids)
