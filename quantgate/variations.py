"""Other ways to run the same requests, which should change no figure: what they change is noise.

Kernels differ with the number of rows and of threads, and where activations are rounded to int8 a
last bit may become a step of a hundredth of a logit. Repetition 0 is the usual way; 1 computes
every sequence alone, 2 uses another number of threads, the ones behind them rows of other widths,
each with either number of threads.
"""

from __future__ import annotations

from dataclasses import replace

from quantgate.backends.base import usable_cores
from quantgate.groups import PlanLimits

WIDTHS = (256, 128, 64, 32, 384, 192, 96, 48, 512)


def varied_threads(repeat: int, threads: int) -> int:
    """Threads of a repetition; 0 lets the backend choose."""
    if repeat < 2 or repeat % 2:
        return threads
    return 1 if (threads or usable_cores()) > 1 else 2


def varied_limits(repeat: int, limits: PlanLimits) -> PlanLimits:
    """Limits of a repetition."""
    if repeat == 1:
        return replace(limits, alone=True)
    if repeat < 3:
        return limits
    return replace(limits, batch_tokens=WIDTHS[(repeat - 3) // 2 % len(WIDTHS)])
