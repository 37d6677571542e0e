"""The token ledger of perplexity and divergence: which window scores which token.

Indices are positions in the corpus' one id sequence of N ids. *Targets* are the ids whose
log-probability is taken; target t in a window that begins at b is predicted at window position
t - 1 - b.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from quantgate.errors import InvalidMeasurement, UsageFault


@dataclass(frozen=True, slots=True)
class Window:
    """Ids [begin, end).

    Attributes:
        targets: strided targets, empty for a window that only serves divergence.
        chunk_targets: those of `targets` that the last prefill chunk of `stride` ids predicts.
        whole: every position counts for the divergence.
    """

    begin: int
    end: int
    targets: range
    chunk_targets: range
    whole: bool

    @property
    def scored(self) -> range:
        """Window positions whose distributions are wanted."""
        if self.whole:
            return range(self.end - self.begin)
        return range(self.targets.start - 1 - self.begin, self.targets.stop - 1 - self.begin)


def make_windows(count: int, *, window: int, stride: int, kl_window: int) -> tuple[Window, ...]:
    """Windows over `count` ids: strided ones, and disjoint ones for the divergence.

    A disjoint window that is also a strided one is the same window, computed once.

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
    if count < max(window, kl_window):
        raise InvalidMeasurement(
            "text-short",
            need=f"at least one window of {max(window, kl_window)} tokens",
            found=f"{count} tokens of text",
            fix="give a longer text with --gate-text FILE, or set a shorter window",
        )
    windows = {(w.begin, w.end): w for w in _strided(count, window, stride)}
    for begin in range(0, count, kl_window):
        span = (begin, min(begin + kl_window, count))
        known = windows.get(span, Window(*span, range(0), range(0), whole=True))
        windows[span] = replace(known, whole=True)
    ledger = tuple(windows[span] for span in sorted(windows))
    _require_complete(ledger, count)
    return ledger


def _strided(count: int, window: int, stride: int) -> Iterator[Window]:
    """Windows at every stride; each scores what the one before it didn't reach."""
    reached = 1  # id 0 has nothing before it
    for begin in range(0, count, stride):
        end = min(begin + window, count)
        targets = range(reached, end)
        last_chunk = begin + (end - begin - 1) // stride * stride
        chunk = range(max(targets.start, last_chunk + 1), end)
        yield Window(begin, end, targets, chunk, whole=False)
        reached = end
        if end == count:
            return


def _require_complete(windows: tuple[Window, ...], count: int) -> None:
    """Prove that every id but the first is a strided target exactly once."""
    targets = sorted(target for window in windows for target in window.targets)
    if targets != list(range(1, count)):
        raise InvalidMeasurement(
            "ledger-incomplete",
            need=f"each of {count - 1} targets scored once",
            found=f"{len(targets)} targets, {len(set(targets))} of them distinct",
            fix="report this with the window and the stride in force",
        )


def window_labels(windows: Sequence[Window], count: int) -> NDArray[np.int64]:
    """Number of the strided window that scores each id, `[count]`; 0 for the first id."""
    labels = np.zeros(count, dtype=np.int64)
    for number, window in enumerate(windows):
        labels[window.targets.start : window.targets.stop] = number
    return labels


def chunk_mask(windows: Sequence[Window], count: int) -> NDArray[np.bool_]:
    """Which ids `genai_chunked` scores, `[count]`."""
    mask = np.zeros(count, dtype=np.bool_)
    for window in windows:
        mask[window.chunk_targets.start : window.chunk_targets.stop] = True
    return mask


def disjoint_labels(windows: Sequence[Window], count: int) -> NDArray[np.int64]:
    """Number of the disjoint window that holds each position, `[count]`."""
    labels = np.zeros(count, dtype=np.int64)
    for number, window in enumerate(windows):
        if window.whole:
            labels[window.begin : window.end] = number
    return labels
