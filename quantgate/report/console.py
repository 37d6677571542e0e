"""Where tables are printed: a log has no width of its own, so it gets a whole table's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest
    from rich.console import Console

NARROWEST = 132


def console_of(reporter: pytest.TerminalReporter) -> Console:
    """A console that writes where pytest's terminal report goes."""
    from rich.console import Console

    writer = reporter._tw  # noqa: SLF001  pytest has no public way to its writer's file
    return Console(file=writer._file, width=max(writer.fullwidth, NARROWEST))  # noqa: SLF001


def wide_enough(console: Console) -> Console:
    """The same console, not narrower than a table where it is no terminal."""
    if not console.is_terminal:
        console.width = max(console.width, NARROWEST)
    return console
