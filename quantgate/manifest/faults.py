"""Words for what is wrong in a `quantgate.toml`: the key, the line, what it needs and has."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from quantgate.errors import UsageFault
from quantgate.manifest.lines import locate
from quantgate.manifest.tables import Table

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_CODES: Final = {"extra_forbidden": "manifest-unknown-key", "missing": "manifest-missing-key"}
_TOLD: Final = 5  # further findings worded beside the first
_LONGEST_VALUE: Final = 200


@dataclass(frozen=True, order=True)
class _Finding:
    line: int
    key: str
    need: str
    found: str
    code: str


def syntax_fault(file: Path, text: str, error: tomllib.TOMLDecodeError) -> UsageFault:
    """Return the fault of a text that is no TOML."""
    at = re.search(r"at line (\d+)", str(error))
    line = int(at.group(1)) if at else text.count("\n") + 1
    return UsageFault(
        "manifest-toml",
        need="a manifest in TOML",
        found=f"{error}: {file}, line {line}",
        fix=f"correct line {line} of {file}",
    )


def schema_fault(file: Path, text: str, error: ValidationError) -> UsageFault:
    """Return one fault for all that the schema found, led by what stands first in the file."""
    details = error.errors(include_url=False)
    first, *others = sorted(_finding(text, detail) for detail in details)
    also = "".join(f"; also line {o.line}, `{o.key}`: {o.need}" for o in others[:_TOLD])
    return UsageFault(
        first.code,
        need=f"`{first.key}`: {first.need}",
        found=f"{first.found} in {file}, line {first.line}{also}",
        fix=f"correct line {first.line} of {file}",
    )


def _finding(text: str, detail: ErrorDetails) -> _Finding:
    kind, loc = detail["type"], detail["loc"]
    line, key = locate(text, loc), ".".join(map(str, loc))
    if kind == "extra_forbidden":
        return _Finding(line, key, f"a known key{_hint(str(loc[-1]))}", "unknown key", _CODES[kind])
    if kind == "missing":
        return _Finding(line, key, "this key", "no such key", _CODES[kind])
    # pydantic's own kinds are words with underscores, the schema's are this project's codes
    code = kind if "-" in kind else "manifest-value"
    return _Finding(line, key, detail["msg"], repr(detail["input"])[:_LONGEST_VALUE], code)


def _hint(key: str) -> str:
    known = {name for table in _tables(Table) for name in table.model_fields}
    near = difflib.get_close_matches(key, sorted(known), n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""


def _tables(table: type[Table]) -> Iterator[type[Table]]:
    for child in table.__subclasses__():
        yield child
        yield from _tables(child)
