"""The journal survives crashes, bit flips and full disks."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantgate import journal as module
from quantgate.errors import InvalidMeasurement
from quantgate.journal import Journal, load

RECORDS = [{"case": "größe", "value": 0.1 + 0.2, "items": [1, None, True]}, {"b": 2}, {"c": {}}]


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    for record in RECORDS:
        journal.append(record)
    return journal


def test_records_come_back_in_order_and_exact(journal):
    contents = journal.load()
    assert contents.records == RECORDS
    assert contents.warnings == []
    assert contents.good_bytes == journal.path.stat().st_size


def test_every_line_is_json(journal):
    lines = journal.path.read_text("utf-8").splitlines()
    assert [json.loads(line)["record"] for line in lines] == RECORDS


def test_no_file_is_an_empty_journal(tmp_path):
    assert load(tmp_path / "none").records == []


def test_fault_56_half_a_last_line_at_any_length(journal):
    whole = journal.path.read_bytes()
    start = whole[:-1].rindex(b"\n") + 1
    for length in range(start + 1, len(whole)):
        journal.path.write_bytes(whole[:length])
        contents = load(journal.path)
        assert contents.records == RECORDS[:-1]
        assert len(contents.warnings) == 1
        assert contents.good_bytes == start


def test_fault_56_append_after_a_crash_cuts_the_half_line_off(journal):
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-5])
    Journal(journal.path).append({"after": "the crash"})
    contents = load(journal.path)
    assert contents.records == [*RECORDS[:-1], {"after": "the crash"}]
    assert contents.warnings == []


def test_fault_56_append_to_the_same_journal_after_damage(journal):
    journal.path.write_bytes(journal.path.read_bytes() + b'{"record":')
    journal.append({"d": 4})
    assert load(journal.path).records == [*RECORDS, {"d": 4}]


def test_fault_60_bit_flip_anywhere_loses_only_its_line(journal):
    whole = journal.path.read_bytes()
    first, second = whole.index(b"\n") + 1, whole.index(b"\n", whole.index(b"\n") + 1)
    for place in range(first, second):
        data = bytearray(whole)
        data[place] ^= 1
        journal.path.write_bytes(data)
        contents = load(journal.path)
        assert contents.records == [RECORDS[0], RECORDS[2]], chr(data[place])
        assert contents.warnings
        assert str(journal.path) in contents.warnings[0]


def test_fault_60_whole_records_after_a_damaged_one_survive_an_append(journal):
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + b"rubbish\n" + lines[2])
    Journal(journal.path).append({"d": 4})
    contents = load(journal.path)
    assert contents.records == [RECORDS[0], RECORDS[2], {"d": 4}]
    assert len(contents.warnings) == 1


@pytest.mark.parametrize(
    "line", [b"\n", b"[]\n", b"{}\n", b'{"record":1,"sha256":""}\n', b"\xff\n"]
)
def test_fault_60_foreign_lines_are_skipped(journal, line):
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + line + lines[2])
    assert load(journal.path).records == [RECORDS[0], RECORDS[2]]


@pytest.mark.parametrize("value", [float("nan"), object()])
def test_fault_57_what_cannot_be_serialized_leaves_the_file(journal, value):
    before = journal.path.read_bytes()
    with pytest.raises((ValueError, TypeError)):
        journal.append({"x": value})
    assert journal.path.read_bytes() == before


def test_fault_55_full_disk_leaves_whole_records(journal, monkeypatch):
    before = journal.path.read_bytes()
    real, left = os.write, [10]

    def fill(handle, data):
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = real(handle, data[: left[0]])
        left[0] -= written
        return written

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "write", fill)
        with pytest.raises(InvalidMeasurement) as caught:
            journal.append({"d": 4})
    assert caught.value.code == "storage-full"
    assert journal.path.read_bytes() == before
    journal.append({"d": 4})
    assert journal.load().records == [*RECORDS, {"d": 4}]


def test_fault_50_records_survive_a_killed_process(tmp_path):
    path = tmp_path / "journal.jsonl"
    program = (
        "import os, sys; from pathlib import Path; from quantgate.journal import Journal;"
        "journal = Journal(Path(sys.argv[1]));"
        "[journal.append({'item': i}) for i in range(5)]; os.abort()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True, check=False, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.returncode != 0
    assert load(path).records == [{"item": i} for i in range(5)]
