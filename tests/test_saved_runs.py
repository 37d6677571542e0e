"""Kept runs: numbered files that two runs can't take from each other, found again by any name."""

from __future__ import annotations

import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from pytest_benchmark.storage.file import FileStorage

from quantgate.comparing import saved_runs
from quantgate.comparing.plugin import ComparisonPlugin, Wishes, read_wishes
from quantgate.comparing.saved_runs import as_name, pick, require_name, save_run
from quantgate.comparing.saved_runs import saved_runs as list_runs
from quantgate.errors import UsageFault

COMMIT = "0123456789abcdef0123456789abcdef01234567"
NOON = datetime(2026, 3, 4, 12, 5, 6, tzinfo=UTC)


def save(folder, *, name="", commit=COMMIT, data=b"{}"):
    return save_run(folder, data, commit=commit, name=name, now=NOON)


def test_names_follow_the_convention(tmp_path):
    assert save(tmp_path).path.name == f"0001_{COMMIT}_20260304_120506.json"
    dirty = save(tmp_path, name="int8", commit=f"{COMMIT}-dirty")
    assert dirty.path.name == f"0002_{COMMIT}_20260304_120506_uncommitted-changes_int8.json"
    assert save(tmp_path, commit=None).path.name == "0003_unversioned_20260304_120506.json"


def test_what_is_kept_is_found_as_it_was(tmp_path):
    kept = [save(tmp_path), save(tmp_path, name="a_b.c-d"), save(tmp_path, commit=None)]
    kept.append(save(tmp_path, commit=f"{COMMIT}-dirty", name="x"))
    assert list_runs(tmp_path) == kept
    assert [(run.dirty, run.name) for run in kept] == [
        (False, ""),
        (False, "a_b.c-d"),
        (False, ""),
        (True, "x"),
    ]
    assert save(tmp_path, data=b"\xff\x00 bytes").path.read_bytes() == b"\xff\x00 bytes"


def test_runs_are_picked_by_latest_number_and_name(tmp_path):
    assert pick(tmp_path, "latest") is None
    first, named, again = (save(tmp_path, name=name) for name in ("", "nightly", "nightly"))
    last = save(tmp_path)
    assert pick(tmp_path, "latest") == last
    assert pick(tmp_path, "1") == pick(tmp_path, "0001") == first
    assert pick(tmp_path, "0002") == named
    assert pick(tmp_path, "nightly") == again
    assert pick(tmp_path, f"0002_{COMMIT[:9]}") == named
    assert all(pick(tmp_path, which) is None for which in ("9", "night", "", "other"))


def test_numbers_go_on_past_four_digits_and_foreign_files(tmp_path):
    (tmp_path / f"9999_{COMMIT}_20260304_120506.json").write_bytes(b"{}")
    for foreign in (
        "notes.txt",
        "10000_x.json",
        ".10007.tmp",
        f"10001_{COMMIT}_99999999_999999.txt",
    ):
        (tmp_path / foreign).write_bytes(b"")
    assert save(tmp_path).number == 10000
    assert [run.number for run in list_runs(tmp_path)] == [9999, 10000]


def test_many_at_once_take_different_numbers(tmp_path):
    with ThreadPoolExecutor(16) as pool:
        runs = list(pool.map(lambda number: save(tmp_path, data=b"%d" % number), range(48)))
    assert len({run.number for run in runs}) == 48
    assert {run.path.read_bytes() for run in runs} == {b"%d" % number for number in range(48)}
    assert len(list(tmp_path.iterdir())) == 48, "no claim stays"


def test_number_published_between_look_and_claim_is_not_taken_again(tmp_path, monkeypatch):
    """Another run publishes 0001 and drops its claim after we looked and before we claim."""
    looks, entries = [], saved_runs._entries

    def look(folder):
        found = entries(folder)
        looks.append(found)
        if len(looks) == 1:
            (folder / f"0001_{COMMIT}_20260304_120506.json").write_bytes(b"theirs")
        return found

    monkeypatch.setattr(saved_runs, "_entries", look)
    ours = save(tmp_path, data=b"ours")
    assert ours.number == 2
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"theirs", b"ours"}


def test_claim_of_a_killed_run_skips_its_number(tmp_path):
    tmp_path.joinpath(".0001.claim").touch()
    assert save(tmp_path).number == 2
    assert (tmp_path / ".0001.claim").exists(), "it belongs to somebody"


@pytest.mark.parametrize(
    "name", ["", "7", "latest", "a/b", "../x", ".hidden", "a b", "x" * 65, "ä"]
)
def test_names_that_could_be_mistaken_are_refused(name):
    with pytest.raises(UsageFault, match="run-name"):
        require_name(name)


@pytest.mark.parametrize(
    ("told", "name"), [("int8 v2", "int8-v2"), ("ä/b", "b"), ("17", ""), ("latest", ""), ("x", "x")]
)
def test_names_given_to_the_other_plugin_are_made_to_fit(told, name):
    assert as_name(told) == name
    assert not name or require_name(name) == name


def test_pytest_benchmark_never_sees_our_files(tmp_path, monkeypatch):
    """By none of its globs, and its own numbering goes on."""
    monkeypatch.chdir(tmp_path)
    save(saved_runs.RUNS_FOLDER)
    storage = FileStorage(".benchmarks", logging.getLogger("benchmark"), "Linux-CPython")
    assert not storage.query()
    for glob in ("*", "0001", "*/0001", "*/*", "[0-9][0-9][0-9][0-9]_"):
        assert not list(storage.load(glob)), glob
    assert storage._next_num == "0001"


class Options:
    """The part of pytest's configuration that holds options."""

    def __init__(self, **values):
        self.values = values

    def getoption(self, name, default=None):
        return self.values.get(name, default)


@pytest.mark.parametrize(
    ("given", "wishes"),
    [
        ({}, Wishes()),
        ({"benchmark_compare": [], "benchmark_save": None}, Wishes()),
        ({"gate_save": ""}, Wishes(save="")),
        ({"gate_save": "x", "benchmark_save": "y"}, Wishes(save="x")),
        ({"benchmark_save": "speed 1"}, Wishes(save="speed-1")),
        ({"benchmark_autosave": "0123_time"}, Wishes(save="")),
        ({"benchmark_compare": True}, Wishes(compare="latest")),
        ({"benchmark_compare": "0002"}, Wishes(compare="0002")),
        ({"gate_compare": "main", "benchmark_compare": True}, Wishes(compare="main")),
    ],
)
def test_options_of_both_plugins_are_understood(given, wishes):
    found = read_wishes(Options(**given))
    assert found == wishes
    assert bool(found) == (wishes != Wishes())


def test_results_of_an_earlier_run_are_not_taken_for_this_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"an": "earlier run's"}))
    plugin = ComparisonPlugin(Wishes(save="", compare="latest"), results, tmp_path / "baselines")
    plugin.pytest_sessionfinish()
    assert re.search("wrote no results", plugin._lines[0])
    assert not list_runs(saved_runs.RUNS_FOLDER)
