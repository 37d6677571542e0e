"""What stored ratios and distances are relative to: a reference, which must be the same later.

That a candidate's package changes is what gates are for. A ratio to another reference is another
figure, though: a candidate twice as large beside a reference twice as large still saves as much.
On another engine or provider it can't be compared. Another package is told as a drift: the same
recipe builds other bytes on another processor, where PyTorch rounds rotary angles otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from quantgate.baselines.schema import TaskBaseline
from quantgate.results import Measurement

_PLACE: Final = ("backend", "provider")
_PACKAGE: Final = "package"
_SHORT: Final = 12  # characters of a digest, where they tell two apart


def anchor_to_store(measurement: Measurement, *, is_reference: bool) -> dict[str, str] | None:
    """Return what to store of the identity that the figures are relative to.

    Args:
        measurement: of any task.
        is_reference: whether it is a reference's, whose ratios are to itself and change with it.

    Returns:
        None where the figures stand by themselves.
    """
    # Another engine runs the same weights, so its package changes with the case's.
    engine = "anchor_identity" in measurement.detail
    if is_reference and not engine:
        return None
    known = _identity(measurement)
    keys = _PLACE if engine else (_PACKAGE, *_PLACE)
    return {key: str(known[key]) for key in keys if key in known} or None


def compare_anchors(baseline: TaskBaseline, measurement: Measurement) -> list[str]:
    """Return one line for each difference of where the reference ran, in words.

    Empty where it is the same, where the figures stand by themselves, and for a baseline of before
    it was stored.
    """
    return _differences(baseline, measurement, _PLACE)


def anchor_drift(baseline: TaskBaseline, measurement: Measurement) -> list[str]:
    """Return a line where the reference is another package now; empty as `compare_anchors`."""
    return _differences(baseline, measurement, (_PACKAGE,))


def _differences(
    baseline: TaskBaseline, measurement: Measurement, keys: tuple[str, ...]
) -> list[str]:
    identity, stored = _identity(measurement), baseline.reference or {}
    return [
        f"reference {key}: baseline {_told(key, was, now)}, now {_told(key, now, was)}"
        for key, was in stored.items()
        if key in keys and (now := str(identity.get(key))) != was
    ]


def _identity(measurement: Measurement) -> Mapping[str, object]:
    detail = measurement.detail
    found = detail.get("reference_identity", detail.get("anchor_identity"))
    return found if isinstance(found, Mapping) else {}


def _told(key: str, value: str, other: str) -> str:
    short = value[:_SHORT]
    return short if key == _PACKAGE and short != other[:_SHORT] else value
