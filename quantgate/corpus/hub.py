"""Data sets and models of the Hugging Face hub: pinned revisions, from the local cache.

The network is used only where it is allowed.

A location is `hub:<dataset id>[:<config>[:<split>]]@<commit>`. The files come with
`huggingface_hub`, which addresses its cache by commit; rows are read by `datasets`, from the cache
as from a local mirror in the hub's layout (`<config>/<split>-00000-of-00001.parquet`). The files of
a split tell by their names how many they are, and are read only if they are all there.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from quantgate.corpus.files import DataFile, name_of, read
from quantgate.errors import UsageFault

PREFIX: Final = "hub:"
_LOCATION: Final = re.compile(
    r"hub:(?P<id>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)"
    r"(?::(?P<config>[\w-][\w.-]*))?(?::(?P<split>\w+))?@(?P<revision>[0-9a-f]{40})"
)
# Older files have a digest behind their number.
_SHARD: Final = re.compile(r"-(\d{5})-of-(\d{5})[^/]*\.parquet")
_LISTED: Final = 5
_ATTEMPTS: Final = 3
_PAUSE_SECONDS: Final = 2.0
_TRANSIENT: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class HubLocation:
    """A revision of a data set or model on the hub, a commit of 40 hexadecimal digits."""

    dataset: str
    config: str | None
    split: str | None
    revision: str


def parse_location(location: str) -> HubLocation:
    """Take a `hub:` location apart.

    Raises:
        UsageFault: it has another form, or a branch or tag in the place of the commit.
    """
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise UsageFault(
            "hub-location",
            need="hub:<dataset id>[:<config>[:<split>]]@<commit of 40 hexadecimal digits>",
            found=location,
            fix="pin the commit: branches and tags move, and figures with them",
        )
    return HubLocation(match["id"], match["config"], match["split"], match["revision"])


def fetch(location: HubLocation, patterns: Sequence[str], *, kind: str = "dataset") -> Path:
    """Return the folder of a revision's files, from the cache or, if allowed, from the hub.

    The network is used only where `HF_HUB_OFFLINE` says 0 in so many words, and the cache lacks a
    pattern's files or a shard of them. Whether every file wanted is there is for the caller to see.

    Args:
        location: what to fetch.
        patterns: the files wanted, as globs relative to the repository's root.
        kind: `dataset` or `model`.

    Raises:
        UsageFault: the revision is neither in the cache nor to be had.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    def snapshot(*, offline: bool) -> Path:
        return Path(
            snapshot_download(
                location.dataset,
                repo_type=kind,
                revision=location.revision,
                allow_patterns=list(patterns),
                local_files_only=offline,
            )
        )

    try:
        cached = snapshot(offline=True)
    except LocalEntryNotFoundError as error:
        if not network_allowed():
            raise _missing(location, kind, "nothing of it in the local cache") from error
    else:
        if not network_allowed() or all(_whole(cached.glob(p)) for p in patterns):
            return cached
    return _download(location, kind, lambda: snapshot(offline=False))


def network_allowed() -> bool:
    """Whether `HF_HUB_OFFLINE` allows the network; the default is that it doesn't."""
    return os.environ.get("HF_HUB_OFFLINE", "1").strip().lower() in {"0", "off", "no", "false"}


def parquet_files(folder: Path, config: str, split: str) -> list[DataFile]:
    """Read the files of a split, in the order of their numbers; none is an empty list.

    Raises:
        UsageFault: `data-missing` where a file's name tells of another that isn't there,
            `data-names` where there are more files than that; what `read` raises.
    """
    paths = sorted((folder / config).glob(f"{split}-*.parquet"))
    _require_whole(paths, split)
    return [read(path, f"{name_of(path.parent)}/{name_of(path)}") for path in paths]


def parquet_rows(files: Sequence[DataFile], columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of parquet files, in order.

    Raises:
        UsageFault: a file is no parquet file or lacks a column.
    """
    import datasets

    names = ", ".join(file.name for file in files)
    with tempfile.TemporaryDirectory(prefix="quantgate-") as scratch:
        # The bytes that were digested are those that are read, whatever happens to the file.
        paths = [Path(scratch, f"{index:05}.parquet") for index, _ in enumerate(files)]
        for path, file in zip(paths, files, strict=True):
            path.write_bytes(file.content)
        shown = datasets.is_progress_bar_enabled()
        datasets.disable_progress_bars()
        try:
            rows = datasets.Dataset.from_parquet(
                [str(path) for path in paths], cache_dir=scratch, keep_in_memory=True
            )
        except Exception as error:
            raise _unreadable(names, f"{type(error).__name__}: {error}") from error
        finally:
            if shown:
                datasets.enable_progress_bars()
        lacking = [column for column in columns if column not in rows.column_names]
        if lacking:
            raise _unreadable(names, f"no column {', '.join(lacking)} beside {rows.column_names}")
        listed: list[dict[str, Any]] = rows.to_list()
    return listed


def _whole(paths: Iterable[Path]) -> bool:
    listed = list(paths)
    return bool(listed) and not _absent(_shards(listed))


def _shards(paths: Iterable[Path]) -> set[tuple[int, int]]:
    """Number and count in the names of parquet files that have them."""
    found = (_SHARD.search(path.name) for path in paths)
    return {(int(match[1]), int(match[2])) for match in found if match}


def _absent(shards: set[tuple[int, int]]) -> list[str]:
    """Shards that others tell of, as names have them."""
    return [
        f"{number:05}-of-{count:05}"
        for count in sorted({count for _, count in shards})
        for number in range(count)
        if (number, count) not in shards
    ]


def _require_whole(paths: Sequence[Path], split: str) -> None:
    shards = _shards(paths)
    if not shards:
        return
    begin = f"{name_of(paths[0].parent)}/{split}"
    if absent := _absent(shards):
        raise UsageFault(
            "data-missing",
            need=f"every file of the split {begin}",
            found=f"no {_listed(f'{begin}-{shard}.parquet' for shard in absent)}",
            fix="copy or download the whole split, or set HF_HUB_OFFLINE=0 to let quantgate "
            "download a data set of the hub",
        )
    if len(paths) != max(count for _, count in shards):
        raise UsageFault(
            "data-names",
            need=f"every row of the split {begin} in one file only",
            found=_listed(name_of(path) for path in paths),
            fix="leave the files of one version of the split there, numbered from 00000",
        )


def _listed(names: Iterable[str]) -> str:
    """Join names, the first few in full."""
    every = list(names)
    more = len(every) - _LISTED
    return ", ".join(every[:_LISTED]) + (f" and {more:,} more" if more > 0 else "")


def _download(location: HubLocation, kind: str, attempt: Callable[[], Path]) -> Path:
    for number in range(1, _ATTEMPTS + 1):
        try:
            return attempt()
        except Exception as error:
            response = getattr(error, "response", None)
            transient = getattr(response, "status_code", None) in _TRANSIENT
            if not transient or number == _ATTEMPTS:
                told = f"{type(error).__name__} at attempt {number}: {error}"
                raise _missing(location, kind, told) from error
        time.sleep(_PAUSE_SECONDS * number)
    raise AssertionError("the last attempt returns or raises")


def _missing(location: HubLocation, kind: str, found: str) -> UsageFault:
    return UsageFault(
        "hub-unavailable",
        need=f"revision {location.revision} of the hub's {kind} {location.dataset}",
        found=found,
        fix=f"hf download --repo-type {kind} {location.dataset} --revision {location.revision}, "
        "or HF_HUB_OFFLINE=0 to let quantgate download it",
    )


def _unreadable(names: str, found: str) -> UsageFault:
    return UsageFault(
        "parquet-unreadable",
        need=f"the data set's rows in {names}",
        found=found,
        fix="download the files again, or name another location in quantgate.toml [data]",
    )
