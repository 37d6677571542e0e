"""What a pull request changes in the manifest: its own settings are in force, so they are told.

Baselines come from the merge base, but a new model must be able to come with its entry, so that
the manifest can't. A tolerance that a request loosens is for its reviewers to see.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

ABSENT = "absent"
LARGEST_BYTES = 1 << 20
MOST_LINES = 50


def changed_settings(manifest: Path, base: str) -> list[str]:
    """Return lines `policy.mmlu.accuracy.baseline.absolute: 0.015 -> 0.5`, by key.

    A manifest that is new, or was no TOML at the merge base, is told in one line.

    Raises:
        UsageFault: `baseline-git`, where the merge base can't be had.
        OSError or tomllib.TOMLDecodeError: the manifest can't be read.
    """
    from quantgate.baselines.merge_base import GitBase

    before = GitBase(manifest.parent, base).show(PurePosixPath(manifest.name), LARGEST_BYTES)
    if before is None:
        return [f"{manifest.name} is new"]
    try:
        was = dict(_leaves(tomllib.loads(before.decode("utf-8"))))
    except ValueError:
        return [f"{manifest.name} couldn't be read at the merge base"]
    now = dict(_leaves(tomllib.loads(manifest.read_text(encoding="utf-8"))))
    lines = [
        f"{key}: {was.get(key, ABSENT)} -> {now.get(key, ABSENT)}"
        for key in sorted(was.keys() | now.keys())
        if was.get(key, ABSENT) != now.get(key, ABSENT)
    ]
    more = len(lines) - MOST_LINES
    return [*lines[:MOST_LINES], *([f"and {more} more"] if more > 0 else [])]


def _leaves(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Every setting with its full key; tables of an array are known by their names."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _leaves(each, f"{place}.{key}" if place else str(key))
    elif isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        for number, each in enumerate(value):
            yield from _leaves(each, f"{place}[{each.get('name', number)}]")
    else:
        yield place, repr(value)
