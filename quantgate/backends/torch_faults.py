"""What PyTorch's errors mean."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from quantgate.backends.base import out_of_memory
from quantgate.errors import GateError, InvalidMeasurement

T = TypeVar("T")


def attempt(run: Callable[[], T], *, need: str, fix: str, code: str = "run-failed") -> T:
    """What `run` returns.

    Args:
        run: calls the runtime.
        need: what it was to do.
        fix: what mends any failure but an exhausted device.
        code: fault code of such a failure.

    Raises:
        InvalidMeasurement: `out-of-memory`, else `code`, with the runtime's own words.
    """
    try:
        return run()
    except GateError:
        raise
    except Exception as error:  # noqa: BLE001  the runtime raises many types of its own
        full = out_of_memory(error)
        words = f"{type(error).__name__}: {error}"
    # Raised out here, where the error is gone: its frames would hold the tensors that filled
    # the device.
    raise InvalidMeasurement(
        "out-of-memory" if full else code,
        need=need,
        found=words,
        fix="free memory on the device, or choose a smaller dtype" if full else fix,
    )
