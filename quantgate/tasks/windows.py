"""The token ledger of perplexity and divergence: which window scores which token.

Indices are positions in the corpus' one id sequence of N ids. *Targets* are the ids whose
log-probability is taken; target t in a window that begins at b is predicted at window position
t - 1 - b.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from quantgate.errors import InvalidMeasurement, UsageFault

STRIDED: Final = "strided"
GENAI_CHUNKED: Final = "genai_chunked"
DISJOINT: Final = "disjoint"
DEFAULT: Final = (STRIDED, GENAI_CHUNKED)
NO_TARGETS: Final = range(0)


@dataclass(frozen=True, slots=True)
class Window:
    """Ids [begin, end).

    Attributes:
        targets: strided targets, empty for a window of another protocol only.
        chunk_targets: those of `targets` that the last prefill chunk of `stride` ids predicts.
        disjoint: targets of the protocol `disjoint`: all ids but the window's first, or none.
        whole: every position counts for the divergence.
    """

    begin: int
    end: int
    targets: range = NO_TARGETS
    chunk_targets: range = NO_TARGETS
    disjoint: range = NO_TARGETS
    whole: bool = False

    @property
    def scored(self) -> range:
        """Window positions whose distributions are wanted."""
        if self.whole:
            return range(self.end - self.begin)
        # Disjoint targets are all that a window can predict, so they include strided ones.
        targets = self.disjoint or self.targets
        return range(targets.start - 1 - self.begin, targets.stop - 1 - self.begin)

    def scores(self, protocol: str) -> range:
        """Targets of a protocol; KeyError for an unknown one."""
        targets = {
            STRIDED: self.targets,
            GENAI_CHUNKED: self.chunk_targets,
            DISJOINT: self.disjoint,
        }
        return targets[protocol]


def make_windows(
    count: int, *, window: int, stride: int, kl_window: int, protocols: Collection[str] = DEFAULT
) -> tuple[Window, ...]:
    """Windows over `count` ids: those of `protocols`, and disjoint ones for the divergence.

    The divergence's are always there, so that the plan, which a baseline is bound to, doesn't
    depend on the suites that are run. Windows of the same ids are one window, computed once.

    Raises:
        UsageFault: `window-stride` for a stride that isn't shorter than the window, whose first
            id only the window before it can predict, or for a window without ids.
        InvalidMeasurement: `text-short` for less than one full window of text.
    """
    if not 0 < stride < window or kl_window < 1:
        raise UsageFault(
            "window-stride",
            need=f"a stride from 1, shorter than the window's {window} tokens, and divergence "
            "windows from 1 token",
            found=f"stride {stride}, divergence windows of {kl_window}",
            fix="set stride under [tasks.perplexity], window under [tasks.kl_divergence]",
        )
    require_one_window(count, max(window, kl_window))
    windows: dict[tuple[int, int], Window] = {}
    if {STRIDED, GENAI_CHUNKED} & set(protocols):
        windows |= {(w.begin, w.end): w for w in _strided(count, window, stride)}
        _require_complete(windows.values(), count)
    if DISJOINT in protocols:
        for begin, end in _spans(count, window):
            if begin + 1 < end:  # a last window of one id predicts nothing
                known = windows.get((begin, end), Window(begin, end))
                windows[begin, end] = replace(known, disjoint=range(begin + 1, end))
    for begin, end in _spans(count, kl_window):
        known = windows.get((begin, end), Window(begin, end))
        windows[begin, end] = replace(known, whole=True)
    return tuple(windows[span] for span in sorted(windows))


def require_one_window(count: int, window: int) -> None:
    """Refuse a text that doesn't fill one window.

    Raises:
        InvalidMeasurement: `text-short`.
    """
    if count < window:
        raise InvalidMeasurement(
            "text-short",
            need=f"at least one window of {window} tokens",
            found=f"{count} tokens of text",
            fix="give a longer text with --gate-text FILE, or set a shorter window",
        )


def require_scored(windows: Sequence[Window], protocols: Collection[str]) -> None:
    """Refuse a protocol that scores hardly anything: no figure, or one without an error.

    Raises:
        InvalidMeasurement: `nothing-scored`.
    """
    for protocol in protocols:
        count = sum(len(window.scores(protocol)) for window in windows)
        if count < 2:
            raise InvalidMeasurement(
                "nothing-scored",
                need=f"two ids at least that {protocol} scores",
                found=str(count),
                fix="set another window or stride under [tasks.perplexity], or give a longer text",
            )


def require_context(window: int, context: int) -> None:
    """Refuse a window that the model can't read.

    Raises:
        InvalidMeasurement: `context-overflow`.
    """
    if window > context:
        raise InvalidMeasurement(
            "context-overflow",
            need=f"windows of at most the context's {context} tokens",
            found=str(window),
            fix="set a shorter window under [tasks.perplexity] and [tasks.kl_divergence]",
        )


def _spans(count: int, window: int) -> Iterator[tuple[int, int]]:
    """Disjoint windows, the last as long as what is left."""
    for begin in range(0, count, window):
        yield begin, min(begin + window, count)


def _strided(count: int, window: int, stride: int) -> Iterator[Window]:
    """Windows at every stride; each scores what the one before it didn't reach."""
    reached = 1  # id 0 has nothing before it
    for begin in range(0, count, stride):
        end = min(begin + window, count)
        targets = range(reached, end)
        last_chunk = begin + (end - begin - 1) // stride * stride
        chunk = range(max(targets.start, last_chunk + 1), end)
        yield Window(begin, end, targets, chunk)
        reached = end
        if end == count:
            return


def _require_complete(windows: Collection[Window], count: int) -> None:
    """Prove that every id but the first is a strided target exactly once."""
    targets = sorted(target for window in windows for target in window.targets)
    if targets != list(range(1, count)):
        raise InvalidMeasurement(
            "ledger-incomplete",
            need=f"each of {count - 1} targets scored once",
            found=f"{len(targets)} targets, {len(set(targets))} of them distinct",
            fix="report this with the window and the stride in force",
        )


def scored_mask(windows: Sequence[Window], count: int, protocol: str) -> NDArray[np.bool_]:
    """Which ids a protocol scores, `[count]`; KeyError for an unknown protocol."""
    mask = np.zeros(count, dtype=np.bool_)
    for window in windows:
        targets = window.scores(protocol)
        mask[targets.start : targets.stop] = True
    return mask


def window_labels(windows: Sequence[Window], count: int, protocol: str) -> NDArray[np.int64]:
    """Number of the window that scores each id by a protocol, `[count]`; 0 where none does."""
    labels = np.zeros(count, dtype=np.int64)
    for number, window in enumerate(windows):
        targets = window.scores(protocol)
        labels[targets.start : targets.stop] = number
    return labels


def whole_labels(windows: Sequence[Window], count: int) -> NDArray[np.int64]:
    """Number of the divergence's window that holds each position, `[count]`."""
    labels = np.zeros(count, dtype=np.int64)
    for number, window in enumerate(windows):
        if window.whole:
            labels[window.begin : window.end] = number
    return labels
