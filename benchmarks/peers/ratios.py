"""quantgate's times and memory over its peers', with the ratio that is aimed at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
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


def ratio_rows(
    targets: Sequence[Target], records: Records, failed: Collection[str] = ()
) -> list[dict[str, Any]]:
    """A row for each target whose sides were measured.

    Args:
        targets: aimed at.
        records: of the sides that were measured.
        failed: sides that weren't. A target that one of them is held against has no row: the
            cheapest of those left might not be the cheapest there is.
    """
    judged = [target for target in targets if not _among(target.peers, failed)]
    return [row for target in judged if (row := _row(target, records)) is not None]


def _among(peers: tuple[str, ...], names: Collection[str]) -> list[str]:
    """Of the names of sides those of these engines, at any batch size."""
    return [name for name in names if name.split()[0] in peers]


def _row(target: Target, records: Records) -> dict[str, Any] | None:
    peers = _among(target.peers, records)
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
