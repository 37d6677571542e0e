"""The side file of a baseline: per-item results that a later run is paired with.

One safetensors file a case, `<stem>.items.safetensors`, beside its JSON. Tensors are named
`<task>/<array>`: of answers `chosen` and `gold`, one byte a question; of windows `begins`,
`counts/<metric>` and `sums/<metric>`. The questions' subjects are run lengths in the metadata.

The JSON holds a digest of each task's content, not of the file, so that the entries of a file
change independently of each other and of the format's padding.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, repeat
from typing import Any, Final, NoReturn

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from quantgate.baselines.schema import ItemsEntry
from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.items import NOT_ASKED, ChoiceItems, ItemResults, WindowItems, items_of
from quantgate.results import Measurement
from quantgate.storage import canonical_json, sha256_bytes

SUFFIX: Final = ".items.safetensors"
LARGEST_BYTES: Final = 16 << 20
_META: Final = "quantgate"  # one key: the library writes several in no order
_LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_LETTERS: Final = 26
_DAMAGE: Final = (
    SafetensorError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
)
Arrays = dict[str, NDArray[Any]]
Runs = list[tuple[str, int]]


def items_to_store(measurement: Measurement) -> ItemResults | None:
    """Return the items of a measurement that is about to be stored; None where it has none.

    Raises:
        InvalidMeasurement: its detail can't be read back (`baseline-items`).
    """
    try:
        items = items_of(measurement)
        return None if items is None or not _count(items) else _checked(items)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InvalidMeasurement(
            "baseline-items",
            need=f"the items of {measurement.task} to store",
            found=f"{type(error).__name__}: {error}",
            fix="find out why its detail is incomplete; nothing was stored",
        ) from error


def describe(items: ItemResults) -> ItemsEntry:
    """Return what the JSON says of `items`: the digest of their content and their number."""
    arrays, runs = _flatten(items)
    told = {
        "arrays": [[name, arrays[name].dtype.str, arrays[name].size] for name in sorted(arrays)],
        "subjects": runs,
    }
    content = b"".join(arrays[name].tobytes() for name in sorted(arrays))
    return ItemsEntry(sha256=sha256_bytes(canonical_json(told) + content), n=_count(items))


def pack(parts: Mapping[str, ItemResults]) -> bytes:
    """Return the side file's bytes: equal for equal items, in whatever order they are given.

    Raises:
        InvalidMeasurement: they come to more than a reader takes (`baseline-items`).
    """
    tensors: Arrays = {}
    subjects: dict[str, Runs] = {}
    for task, items in sorted(parts.items()):
        arrays, subjects[task] = _flatten(items)
        tensors |= {f"{task}/{name}": array for name, array in arrays.items()}
    metadata = {_META: canonical_json({"subjects": subjects}).decode("utf-8")}
    data: bytes = save(tensors, metadata=metadata)
    if len(data) > LARGEST_BYTES:
        raise InvalidMeasurement(
            "baseline-items",
            need=f"at most {LARGEST_BYTES:,} bytes of items for one case",
            found=f"{len(data):,}",
            fix="store a baseline of a shorter text, or of fewer questions",
        )
    return data


def unpack(data: bytes, origin: str) -> dict[str, ItemResults]:
    """Read a side file's bytes; `origin` names the file (and commit) in messages.

    Raises:
        UsageFault: `baseline-items`: too large, truncated, or anything but what `pack` writes.
    """
    if len(data) > LARGEST_BYTES:
        _refuse(origin, f"at most {LARGEST_BYTES:,} bytes", "more")
    if data.startswith(_LFS_POINTER):
        fix = f"keep it out of Git LFS: add `*{SUFFIX} -filter -diff -merge` to .gitattributes"
        _refuse(origin, "the file itself", "a pointer of Git LFS", fix)
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        subjects = json.loads(header["__metadata__"][_META])["subjects"]
        parts = {
            task: _checked(_rebuild(_part(tensors, task), runs)) for task, runs in subjects.items()
        }
        if sum(len(_flatten(items)[0]) for items in parts.values()) != len(tensors):
            raise ValueError("arrays that belong to no task")
    except _DAMAGE as error:
        _refuse(origin, "the arrays that an update writes", f"{type(error).__name__}: {error}")
    return parts


def require_same(items: ItemResults, entry: ItemsEntry, task: str, origin: str) -> None:
    """Refuse items that are not the ones the JSON names.

    Raises:
        UsageFault: `baseline-items`.
    """
    found = describe(items)
    if found != entry:
        told = f"{found.n} items with digest {found.sha256[:12]}"
        _refuse(origin, f"the {entry.n} items of {task} with digest {entry.sha256[:12]}", told)


def _count(items: ItemResults) -> int:
    return len(items.gold) if isinstance(items, ChoiceItems) else len(items.begins)


def _flatten(items: ItemResults) -> tuple[Arrays, Runs]:
    """Return little-endian, contiguous arrays by name, and the run lengths of the subjects."""
    if isinstance(items, ChoiceItems):
        runs = [(name, len(list(group))) for name, group in groupby(items.subjects)]
        return {
            "chosen": np.ascontiguousarray(items.chosen, "|i1"),
            "gold": np.ascontiguousarray(items.gold, "|i1"),
        }, runs
    arrays: Arrays = {"begins": np.ascontiguousarray(items.begins, "<i8")}
    for name, columns in (("counts", items.counts), ("sums", items.sums)):
        arrays |= {f"{name}/{key}": np.ascontiguousarray(columns[key], "<f8") for key in columns}
    return arrays, []


def _part(tensors: Mapping[str, NDArray[Any]], task: str) -> Arrays:
    prefix = f"{task}/"
    return {name[len(prefix) :]: tensors[name] for name in tensors if name.startswith(prefix)}


def _rebuild(arrays: Arrays, runs: Sequence[Sequence[Any]]) -> ItemResults:
    """Return the items of one task; KeyError, TypeError or ValueError where they are none."""
    if "gold" in arrays:
        subjects = tuple(_repeat(runs, arrays["gold"].size))
        return ChoiceItems(subjects, arrays["chosen"], arrays["gold"])
    columns: dict[str, Arrays] = {"counts": {}, "sums": {}}
    for name in sorted(arrays.keys() - {"begins"}):
        kind, _, metric = name.partition("/")
        columns[kind][metric] = arrays[name]
    return WindowItems(arrays["begins"], columns["counts"], columns["sums"])


def _repeat(runs: Sequence[Sequence[Any]], most: int) -> Iterator[str]:
    """Yield each subject as often as its run is long; ValueError beyond `most` in all."""
    total = 0
    for name, length in runs:
        total += length
        if not isinstance(name, str) or length < 1 or total > most:
            raise ValueError(f"{length!r} questions of {name!r}")
        yield from repeat(name, length)


def _checked(items: ItemResults) -> ItemResults:
    """Return items whose arrays fit together; ValueError else."""
    if isinstance(items, ChoiceItems):
        whole = {"chosen": items.chosen, "gold": items.gold}
        _require_shape(whole, len(items.subjects), np.dtype(np.int8))
        ranges = (items.chosen.min(), NOT_ASKED), (items.gold.min(), 0)
        if any(least < bound for least, bound in ranges):
            raise ValueError("an answer below the first option")
        if max(items.chosen.max(), items.gold.max()) >= _LETTERS:
            raise ValueError("an answer beyond the last option")
        return items
    if items.counts.keys() != items.sums.keys() or not items.sums:
        raise ValueError(f"counts of {sorted(items.counts)}, sums of {sorted(items.sums)}")
    _require_shape({"begins": items.begins}, len(items.begins), np.dtype(np.int64))
    for columns in (items.counts, items.sums):
        _require_shape(columns, len(items.begins), np.dtype(np.float64))
        if not all(np.isfinite(column).all() for column in columns.values()):
            raise ValueError("a window's figure is not finite")
    if any((column < 0).any() for column in items.counts.values()):
        raise ValueError("a window holds a negative number of positions")
    return items


def _require_shape(arrays: Mapping[str, NDArray[Any]], length: int, dtype: np.dtype[Any]) -> None:
    for name, array in arrays.items():
        if array.shape != (length,) or array.dtype != dtype or not length:
            found = f"{array.dtype}{list(array.shape)}"
            raise ValueError(f"{name}: {found}, but should be {dtype}[{length}]")


def _refuse(origin: str, need: str, found: str, fix: str = "") -> NoReturn:
    restore = (
        "restore it and its .json together with git; or delete it (later runs are not paired) "
        "and store it again with --gate-update-baselines"
    )
    raise UsageFault("baseline-items", need=f"{need} in {origin}", found=found, fix=fix or restore)
