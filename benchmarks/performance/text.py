"""Figures, tables and texts of the performance page as Markdown, and what must not stand on it.

Names of sides and last lines of logs come from other tools, so all of it is escaped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.output import Row, headings, shown
from quantgate.report.escape import markdown_cell

# An absolute path below no known folder: only its last part is kept.
_POSIX: Final = re.compile(r"(?<![\w./~$…-])/(?:[^\s/'\"`,;:()|<>]+/)+([^\s/'\"`,;:()|<>]*)")
_WINDOWS: Final = re.compile(r"\b[A-Za-z]:\\(?:[^\s\\/:'\"|<>]+\\)*([^\s\\/:'\"|<>]*)")


def markdown_table(rows: Sequence[Row]) -> str:
    """Rows under their headings, columns of numbers to the right; "" without a row."""
    if not rows:
        return ""
    names = headings(rows)
    rule = ["---:" if _numeric(row.get(name) for row in rows) else "---" for name in names]
    cells = [names, *([shown(row.get(name)) for name in names] for row in rows)]
    first, *rest = [f"| {' | '.join(map(markdown_cell, line))} |" for line in cells]
    return "\n".join([first, f"|{'|'.join(rule)}|", *rest])


def _numeric(values: Iterable[object]) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in found
    )


def duration(seconds: float) -> str:
    """A time to plan with: `40 s`, `12 min`, `2 h 05 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def without_places(found: Any, places: Mapping[str, str], root: Path) -> Any:
    """The same JSON without a folder of this machine.

    Args:
        found: what `json.loads` gives; keys of objects are texts, too.
        places: folders and files by the names that stand for them.
        root: the project's folder, which becomes `.`.
    """
    known = {place: name for name, place in places.items()}
    known |= {str(root): ".", str(Path.home()): "~"}
    # `/` stands in many a text that names no folder.
    ordered = sorted((p for p in known if len(Path(p).parts) > 1), key=len, reverse=True)
    patterns = [(re.compile(rf"{re.escape(place)}(?![\w-])"), known[place]) for place in ordered]

    def cleaned(value: Any) -> Any:
        if isinstance(value, str):
            return _hidden(value, patterns)
        if isinstance(value, dict):
            return {cleaned(key): cleaned(item) for key, item in value.items()}
        return [cleaned(item) for item in value] if isinstance(value, list) else value

    return cleaned(found)


def _hidden(text: str, patterns: Sequence[tuple[re.Pattern[str], str]]) -> str:
    for pattern, name in patterns:
        text = pattern.sub(name, text)
    return _WINDOWS.sub(r"…/\1", _POSIX.sub(r"…/\1", text))
