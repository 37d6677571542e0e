"""MMLU's questions at a location, whatever the layout: CSV, the hub's parquet, MMLU-Pro's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from quantgate.corpus.files import EMBEDDED, DataFile
from quantgate.corpus.hub import PREFIX, HubLocation, fetch, parse_location
from quantgate.corpus.mmlu_csv import csv_files, csv_root, parse_csv
from quantgate.corpus.mmlu_hub import ALL, hub_configs, parse_hub
from quantgate.corpus.mmlu_pro import DATA, TEST, VALIDATION, is_pro, parse_pro
from quantgate.corpus.questions import Question
from quantgate.errors import UsageFault


@dataclass(frozen=True, slots=True)
class MmluTables:
    """All that a location has.

    Attributes:
        tests: the questions to answer, by subject.
        shots: the solved ones, by subject.
        files: all files read.
        common: MMLU-Pro's validation rows in file order.
        categorized: whether the subjects are MMLU's.
    """

    tests: Mapping[str, tuple[Question, ...]]
    shots: Mapping[str, tuple[Question, ...]]
    files: Sequence[DataFile]
    common: tuple[Question, ...] = ()
    categorized: bool = True


def read_tables(location: str, base: Path) -> MmluTables:
    """Read every subject at a location; see `corpus.mmlu.read_mmlu`.

    Raises:
        UsageFault: there is nothing of the kind, a file can't be read, or has a wrong row.
    """
    if location.startswith(PREFIX):
        return _fetched_tables(parse_location(location))
    folder = EMBEDDED / "mmlu" if location == "embedded" else base / location
    if (root := csv_root(folder)) is not None:
        return _csv_tables(root)
    if is_pro(folder):
        return _pro_tables(folder)
    if configs := hub_configs(folder):
        return _hub_tables(folder, configs)
    raise UsageFault(
        "data-missing",
        need="MMLU: a folder with test/<subject>_test.csv and dev/<subject>_dev.csv, or with "
        "<config>/test-*.parquet (MMLU-Pro: data/test-*.parquet)",
        found=f"{folder}: " + ("neither" if folder.is_dir() else "no such folder"),
        fix="name another location in quantgate.toml [data] mmlu, or with --gate-data-dir",
    )


def _fetched_tables(hub: HubLocation) -> MmluTables:
    pro = hub.dataset.rpartition("/")[2].lower() == "mmlu-pro"
    config = hub.config or (DATA if pro else ALL)
    shots = VALIDATION if config == DATA else "dev"
    folder = fetch(hub, [f"{config}/{split}-*.parquet" for split in (shots, TEST)])
    return _pro_tables(folder) if config == DATA else _hub_tables(folder, [config])


def _csv_tables(root: Path) -> MmluTables:
    tests, shots = csv_files(root, "test"), csv_files(root, "dev")
    return MmluTables(
        tests={subject: parse_csv(subject, file) for subject, file in tests.items()},
        shots={subject: parse_csv(subject, file) for subject, file in shots.items()},
        files=[*tests.values(), *shots.values()],
    )


def _hub_tables(folder: Path, configs: list[str]) -> MmluTables:
    tests, test_files = parse_hub(folder, configs, "test")
    shots, dev_files = parse_hub(folder, configs, "dev")
    return MmluTables(tests, shots, [*test_files, *dev_files])


def _pro_tables(folder: Path) -> MmluTables:
    tests, shots = parse_pro(folder, TEST), parse_pro(folder, VALIDATION)
    return MmluTables(
        tests=tests.by_subject,
        shots=shots.by_subject,
        files=[*tests.files, *shots.files],
        common=shots.in_order,
        categorized=False,
    )
