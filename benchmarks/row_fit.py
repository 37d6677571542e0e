"""Least-squares fits of the planner's cost model to measured rows; `row_width` has the formulas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from quantgate.cost_model import CostModel
from quantgate.rows import Row


@dataclass
class Cell:
    """One row behind one prefix, and the seconds that each round took."""

    row: Row
    prefix: int
    feeding: list[float] = field(default_factory=list)
    bias: list[float] = field(default_factory=list)
    running: list[float] = field(default_factory=list)

    @property
    def width(self) -> int:
        """Tokens of the row."""
        return len(self.row.ids)


def fit_scale(cells: list[Cell], times: list[float], cost: CostModel) -> tuple[float, list[float]]:
    """Seconds a unit of `cost`, and what it then predicts over what was measured, by cell."""
    relative = np.array([cost.row(cell.width, cell.prefix) for cell in cells]) / np.array(times)
    scale = float(relative.sum() / (relative**2).sum())
    return scale, (scale * relative).tolist()


def fit_terms(cells: list[Cell], times: list[float], cost: CostModel) -> dict[str, float]:
    """The four terms by least squares of relative errors, as multiples of the first."""
    width = np.array([cell.width for cell in cells], dtype=np.float64)
    prefix = np.array([cell.prefix for cell in cells], dtype=np.float64)
    terms = np.stack(
        [
            width * cost.linear,
            np.full_like(width, cost.linear),
            width * (prefix + width) * cost.pair,
            prefix * cost.cache,
        ],
        axis=1,
    )
    # Unit columns: the terms differ by many orders of magnitude.
    relative = terms / np.array(times)[:, None]
    sizes = np.maximum(np.linalg.norm(relative, axis=0), np.finfo(np.float64).tiny)
    solution, *_ = np.linalg.lstsq(relative / sizes, np.ones(len(cells)), rcond=None)
    factors = solution / sizes
    return {
        "ms_per_token": float(factors[0] * cost.linear * 1e3),
        "run_overhead_tokens": float(factors[1] / factors[0]),
        "pair_inefficiency": float(factors[2] / factors[0]),
        "copy": float(factors[3] / factors[0]),
        "rms_error": rms_error((relative @ factors).tolist()),
    }


def rms_error(ratios: Sequence[float]) -> float:
    """Root mean square of how far `ratios` of prediction to measurement are from 1."""
    return float(np.sqrt(np.mean((np.array(ratios) - 1) ** 2)))
