"""The two ways a gate says no before or instead of a number.

`UsageFault` is raised before any model loads (pytest exit code 4); `InvalidMeasurement` makes one
metric INVALID (its test fails, exit code 1). Both carry what was needed, what was found and the
command or edit that mends it, in that order.
"""

from __future__ import annotations


class GateError(Exception):
    """A named fault.

    Args:
        code: stable slug of the fault, for example `external-data-short`.
        need: what was needed, naming the file, line or tensor.
        found: what was found instead.
        fix: the command or edit that mends it.
    """

    def __init__(self, code: str, *, need: str, found: str, fix: str) -> None:
        super().__init__(f"[{code}] needed: {need}; found: {found}; fix: {fix}")
        self.code = code
        self.need = need
        self.found = found
        self.fix = fix


class UsageFault(GateError):
    """The configuration or an input can't be used; nothing is measured."""


class InvalidMeasurement(GateError):
    """Something made the number meaningless; the metric is INVALID and can never be PASS."""
