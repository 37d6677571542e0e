"""A live line while a model is scored: what, how far, how fast, how long still.

On a terminal a line that replaces itself; elsewhere, as in a CI log, one line when a run is done.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from quantgate.report.escape import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from quantgate.cases import Case

Uncaptured = Callable[[], contextlib.AbstractContextManager[None]]


class ProgressLine:
    """Shows scoring runs.

    Args:
        uncaptured: makes a context in which output reaches the terminal.
    """

    def __init__(self, uncaptured: Uncaptured) -> None:
        self._uncaptured = uncaptured
        self._stack = contextlib.ExitStack()
        self._progress: Progress | None = None
        self._label = ""
        self._tokens = 0
        self._started = 0.0

    def begin(self, case: Case, task: str, tokens: int) -> None:
        """A run over `tokens` tokens begins."""
        self._label, self._tokens = plain(f"{case.id} {task}"), tokens
        self._started = time.perf_counter()
        self._stack.enter_context(self._uncaptured())
        console = _console()
        console.print()
        if console.is_terminal:
            self._progress = self._stack.enter_context(_progress(console))
            self._progress.add_task(self._label, total=tokens)

    def advance(self, tokens: int) -> None:
        """So many more tokens are done."""
        if self._progress is not None:
            self._progress.advance(self._progress.tasks[0].id, tokens)

    def end(self) -> None:
        """The run has ended."""
        if self._progress is None:
            seconds = time.perf_counter() - self._started
            rate = self._tokens / seconds if seconds else 0.0
            _console().print(
                f"quantgate: {self._label}: {self._tokens:,} tokens in {seconds:.1f} s "
                f"({rate:,.0f}/s)",
                end="",
                markup=False,
                highlight=False,
            )
        self._progress = None
        self._stack.close()


class Silence:
    """Shows nothing; for workers, whose output is not a person's."""

    def begin(self, case: Case, task: str, tokens: int) -> None:
        """Ignore."""

    def advance(self, tokens: int) -> None:
        """Ignore."""

    def end(self) -> None:
        """Ignore."""


def _console() -> Console:
    from rich.console import Console

    return Console(soft_wrap=True)


def _progress(console: Console) -> Progress:
    from rich.progress import (
        BarColumn,
        Progress,
        ProgressColumn,
        Task,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class RateColumn(ProgressColumn):
        """Tokens a second, over the last samples."""

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:,.0f} tokens/s")

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        RateColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
