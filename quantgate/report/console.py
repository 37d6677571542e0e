"""Where tables are printed: a log has no width of its own, so it gets a whole table's."""

from __future__ import annotations

import io
from collections.abc import Callable
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


def as_log(show: Callable[[Console], None], width: int) -> str:
    """Return what `show` prints to a log of `width` columns."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=width, force_terminal=False, no_color=True, legacy_windows=False
    )
    with console.capture() as captured:
        show(console)
    return captured.get()
