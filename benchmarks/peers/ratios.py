"""quantgate's times and memory over its peers', with the ratio that is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.output import PageTarget

Records = Mapping[str, list[dict[str, Any]]]
Cost = Callable[[Sequence[dict[str, Any]]], float]


@dataclass(frozen=True)
class Target:
    """A ratio aimed at.

    Attributes:
        ours: a side of quantgate.
        peers: engines, of which the cheapest at any batch size counts.
        least: how many times cheaper quantgate shall be.
        what: what is compared.
        cost: of a side's records.
    """

    ours: str
    peers: tuple[str, ...]
    least: float
    what: str
    cost: Cost


def ratio_rows(targets: Sequence[Target], records: Records) -> list[dict[str, Any]]:
    """A row for each target whose sides were measured."""
    return [row for target in targets if (row := _row(target, records)) is not None]


def _row(target: Target, records: Records) -> dict[str, Any] | None:
    peers = [name for name in records if name.split()[0] in target.peers]
    if target.ours not in records or not peers:
        return None
    cheapest = min(peers, key=lambda name: target.cost(records[name]))
    ratio = target.cost(records[cheapest]) / target.cost(records[target.ours])
    return {
        "quantgate": target.ours,
        "best of": cheapest,
        "in": target.what,
        "ratio": ratio,
        "wanted": target.least,
        "reached": ratio >= target.least,
    }


def page_targets(rows: Sequence[Mapping[str, Any]], where: str) -> list[PageTarget]:
    """The rows of `ratio_rows` for the page; `where` tells what they were measured on."""
    return [
        PageTarget(
            f"{where}: {row['quantgate']} against {row['best of']}, {row['in']}",
            row["ratio"],
            row["wanted"],
            ours=row["quantgate"],
            peer=row["best of"],
        )
        for row in rows
    ]
