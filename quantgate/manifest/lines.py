"""On which line of a TOML text a key stands.

`tomllib` keeps no positions, so this scanner finds them again: table headers, arrays of tables
(counted as they come) and keys. What lies inside an inline table or array is told by its key's
line. The text must have been accepted by `tomllib`: the scanner doesn't check syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

Path = tuple[str | int, ...]

_TOKEN: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""+'  # a closing quote may be preceded by two that belong to the text
    r"|'''.*?'''+"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\"'\#\[\]{}\n]+",
    re.DOTALL,
)
_KEY_PART: Final = re.compile(r"\"(?:\\.|[^\"\\])*\"|'[^']*'|[A-Za-z0-9_-]+")


def locate(text: str, path: Sequence[str | int]) -> int:
    """Return the line, from 1, of the key at `path` or of its nearest ancestor that has one."""
    lines = _lines(text)
    wanted = tuple(path)
    while wanted and wanted not in lines:
        wanted = wanted[:-1]
    return lines.get(wanted, 1)


def _lines(text: str) -> dict[Path, int]:
    lines: dict[Path, int] = {}
    counts: dict[Path, int] = {}
    table: Path = ()
    for number, statement in _statements(text):
        if statement.startswith("[["):
            array = _resolve(_parts(statement), counts, last_is_new=True)
            counts[array] = counts.get(array, 0) + 1
            table = (*array, counts[array] - 1)
            lines[table] = number
            lines.setdefault(array, number)
        elif statement.startswith("["):
            table = _resolve(_parts(statement), counts)
            lines[table] = number
        else:
            for length, _ in enumerate(parts := _parts(statement), start=1):
                lines.setdefault((*table, *parts[:length]), number)
    return lines


def _resolve(parts: Path, counts: dict[Path, int], *, last_is_new: bool = False) -> Path:
    """Put the index of the latest element after each part that names an array of tables."""
    path: Path = ()
    for position, part in enumerate(parts, start=1):
        path = (*path, part)
        if path in counts and not (last_is_new and position == len(parts)):
            path = (*path, counts[path] - 1)
    return path


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Yield each header and key with the line it begins on; comments and blank lines are left."""
    line, start, depth, held = 1, 1, 0, ""
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token == "\n" and depth == 0:
            if held.strip():
                yield start, held.strip()
            held, start = "", line + 1
        elif not token.startswith("#"):
            held += token
            depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token, 0)
        line += token.count("\n")
    if held.strip():
        yield start, held.strip()


def _parts(statement: str) -> Path:
    """Split the dotted key that a statement begins with."""
    rest, parts = statement.lstrip("[ \t"), []
    while match := _KEY_PART.match(rest):
        part = match.group()
        parts.append(part[1:-1] if part[0] in "\"'" else part)
        rest = rest[match.end() :].lstrip()
        if not rest.startswith("."):
            break
        rest = rest[1:].lstrip()
    return tuple(parts)
