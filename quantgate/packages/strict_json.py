"""JSON from untrusted files: bounded in size and depth, no duplicate keys, no NaN literals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from quantgate.errors import UsageFault

MAX_BYTES = 16 * 2**20
MAX_DEPTH = 64


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`.

    Raises:
        UsageFault: `json-invalid`, naming the file and what is wrong with it.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise _fault(path, f"{size} bytes, more than {MAX_BYTES}")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _fault(path, f"bytes that are no UTF-8 ({error})") from None
    if _depth(text) > MAX_DEPTH:
        raise _fault(path, f"more than {MAX_DEPTH} nested levels")
    try:
        value = json.loads(
            text, object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError) as error:
        raise _fault(path, str(error)) from None
    if not isinstance(value, dict):
        raise _fault(path, f"a {type(value).__name__} at the top")
    return value


def _fault(path: Path, found: str) -> UsageFault:
    return UsageFault(
        "json-invalid",
        need=f"{path}: one JSON object, at most {MAX_BYTES} bytes and {MAX_DEPTH} levels",
        found=found,
        fix="restore the file from the package's source or build the package again",
    )


def _depth(text: str) -> int:
    # Brackets inside strings only make the estimate larger, which is the safe side for a
    # configuration file; real ones stay far below the limit.
    depth = deepest = 0
    for character in text:
        if character in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}]":
            depth -= 1
    return deepest


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"the key {key!r} twice in one object")
        result[key] = value
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"the literal {name}, which JSON doesn't have")
