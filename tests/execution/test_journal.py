"""The journal of batches survives kills, bit flips, neighbours and refusing disks."""

import random
import shutil
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from quantgate.execution import journal as module
from quantgate.execution.journal import BatchJournal
from quantgate.execution.orders import Readings

ROOT = Path(__file__).parents[2]
NOTHING = np.empty(0)


def readings_of(number, rows=40, width=32):
    """Random readings that every process makes the same from `number`."""
    generator = np.random.default_rng(number)
    return Readings(
        logprobs=-generator.exponential(size=rows),
        top=generator.integers(0, 1 << 40, rows),
        hidden=generator.normal(size=(rows, width)).astype(np.float16),
        kl=generator.exponential(size=rows),
        abs_log_ratio=generator.exponential(size=rows),
        same_top=generator.integers(0, 2, rows).astype(np.float64),
    )


def equal(left, right):
    """Whether two readings have the same types, shapes and bits."""

    def bits(array):
        return None if array is None else (array.dtype.str, array.shape, array.tobytes())

    pairs = [(getattr(left, f.name), getattr(right, f.name)) for f in fields(Readings)]
    return all(bits(a) == bits(b) for a, b in pairs)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "journal.sqlite"


@pytest.fixture
def journal(path):
    with BatchJournal(path) as journal:
        yield journal


def child(program, path, *arguments):
    """A process that runs `program` on the journal at `path` once a line comes on its stdin."""
    prelude = """
        import sys
        from pathlib import Path
        from quantgate.execution.journal import BatchJournal
        from tests.execution.test_journal import readings_of
        path, arguments = Path(sys.argv[1]), sys.argv[2:]
        print("ready", flush=True)
        sys.stdin.readline()
    """
    source = textwrap.dedent(prelude) + textwrap.dedent(program)
    command = [sys.executable, "-c", source, str(path), *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def start(*children):
    """Let the processes go at the same moment."""
    for process in children:
        assert process.stdout.readline() == "ready\n"
    for process in children:
        process.stdin.write("\n")
        process.stdin.flush()


def outputs(*children):
    """Wait for the processes and return what they printed."""
    start(*children)
    texts = [process.communicate(timeout=60)[0] for process in children]
    assert [process.returncode for process in children] == [0] * len(children)
    return texts


def stored(path, statement, *values):
    """Run one statement on the file, past the journal."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        return database.execute(statement, values).fetchall()


SPECIAL = np.array(
    [0x7FF8000000000001, 0x7FF0000000000ABC, 0xFFF8DEADBEEF0000, 1 << 63, 1, 0x7FF << 52],
    dtype=np.uint64,
).view(np.float64)  # quiet and signalling NaN with payloads, -0.0, a subnormal, infinity


@pytest.mark.parametrize(
    "hidden",
    [
        None,
        np.empty((0, 32), np.float32),
        np.arange(12, dtype=np.float32).reshape(4, 3) / 7,
        np.array([[0x7E01, 0x8000, 0x0001]], np.uint16).view(np.float16),
        np.arange(12, dtype=np.float64).reshape(3, 4).T[::2],
    ],
    ids=["none", "empty", "float32", "float16", "strided"],
)
def test_readings_come_back_bit_for_bit(path, hidden):
    given = Readings(SPECIAL, np.array([-1, 1 << 62]), hidden, SPECIAL[:2], SPECIAL[2:4], NOTHING)
    with BatchJournal(path) as journal:
        journal.open_run({"a": 1}).store(3, given)
    with BatchJournal(path) as journal:
        found = journal.open_run({"a": 1}).load(3)
    assert equal(found, given)
    assert found.logprobs.view(np.uint64).tolist() == SPECIAL.view(np.uint64).tolist()
    assert found.logprobs.flags.writeable


def test_only_stored_batches_are_done(journal):
    run = journal.open_run({"a": 1})
    for number in (4, np.int64(0), 7):
        run.store(number, readings_of(int(number)))
    assert run.done == {0, 4, 7}
    assert run.load(5) is None
    assert equal(run.load(np.int64(7)), readings_of(7))
    assert journal.warnings == []


def test_reading_alone_makes_no_file(journal, path):
    run = journal.open_run({"a": 1})
    assert run.load(0) is None
    assert run.done == frozenset()
    journal.forget()
    assert not path.parent.exists()


def test_a_closed_journal_opens_again(journal):
    run = journal.open_run({"a": 1})
    run.store(0, readings_of(0))
    journal.close()
    journal.close()
    assert run.done == {0}


def test_a_run_outlives_its_journal_object_without_a_leak(path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = BatchJournal(path).open_run({"a": 1})
        run.store(0, readings_of(0))
        assert equal(run.load(0), readings_of(0))
        del run
    assert not Path(f"{path}-wal").exists()  # its last connection was closed


def test_a_key_is_its_content_whatever_the_order(journal):
    journal.open_run({"model": "x", "plan": [1, 2]}).store(0, readings_of(0))
    assert journal.open_run({"plan": [1, 2], "model": "x"}).done == {0}


@pytest.mark.parametrize(
    "other", [{"model": "y", "plan": 1}, {"model": "x", "plan": 2}, {"model": "x"}, {}]
)
def test_fault_61_another_digest_is_another_run(path, other):
    with BatchJournal(path) as journal:
        journal.open_run({"model": "x", "plan": 1}).store(0, readings_of(0))
    with BatchJournal(path) as journal:
        run = journal.open_run(other)
        assert run.load(0) is None
        assert run.done == frozenset()


def test_fault_61_interleaved_runs_stay_apart(journal):
    runs = [journal.open_run({"seed": seed}) for seed in range(3)]
    for number in range(5):
        for seed, run in enumerate(runs):
            run.store(number, readings_of(100 * seed + number))
    for seed, run in enumerate(runs):
        assert run.done == set(range(5))
        assert all(equal(run.load(n), readings_of(100 * seed + n)) for n in range(5))


def test_fault_60_a_row_in_anothers_place_is_a_miss(journal, path):
    run, other = journal.open_run({"a": 1}), journal.open_run({"a": 2})
    run.store(0, readings_of(0))
    other.store(5, readings_of(5))
    stored(path, "UPDATE batches SET number = 1 WHERE number = 0")
    names = "(SELECT run FROM batches WHERE number = 1)"
    stored(path, f"UPDATE batches SET run = {names} WHERE number = 5")
    assert run.done == {1, 5}
    assert run.load(1) is None
    assert run.load(5) is None
    assert len(journal.warnings) == 2


def flip(payload, place):
    return payload[:place] + bytes([payload[place] ^ 1]) + payload[place + 1 :]


DAMAGES = {
    "flipped-first": lambda length, digest, payload: (length, digest, flip(payload, 0)),
    "flipped-last": lambda length, digest, payload: (length, digest, flip(payload, -1 % length)),
    "cut": lambda length, digest, payload: (length, digest, payload[:-1]),
    "longer": lambda length, digest, payload: (length, digest, payload + b"\0"),
    "number": lambda length, digest, payload: (length, digest, 17),
    "text": lambda length, digest, payload: (length, digest, "text"),
    "digest": lambda length, digest, payload: (length, flip(digest, 5), payload),
    "length": lambda length, digest, payload: (length + 1, digest, payload),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_fault_60_a_damaged_row_is_a_miss_and_is_replaced(journal, path, damage):
    run = journal.open_run({"a": 1})
    for number in range(2):
        run.store(number, readings_of(number))
    (row,) = stored(path, "SELECT length, sha256, payload FROM batches WHERE number = 0")
    statement = "UPDATE batches SET length = ?, sha256 = ?, payload = ? WHERE number = 0"
    stored(path, statement, *damage(*row))
    assert run.load(0) is None
    assert len(journal.warnings) == 1
    assert "batch 0" in journal.warnings[0]
    assert str(path) in journal.warnings[0]
    run.store(0, readings_of(0))
    assert equal(run.load(0), readings_of(0))
    assert equal(run.load(1), readings_of(1))
    assert len(journal.warnings) == 1


def test_fault_60_a_whole_row_of_foreign_content_is_a_miss(journal, path):
    run = journal.open_run({"a": 1})
    run.store(0, readings_of(0))
    for payload in (b"no safetensors", module.save({"other": NOTHING})):
        values = (len(payload), run._digest(0, payload), payload)
        stored(path, "UPDATE batches SET length = ?, sha256 = ?, payload = ?", *values)
        assert run.load(0) is None
    assert len(journal.warnings) == 2


def test_fault_60_bit_flips_anywhere_in_the_file_never_give_other_readings(tmp_path):
    whole, path = tmp_path / "whole.sqlite", tmp_path / "flipped" / "journal.sqlite"
    with BatchJournal(whole) as journal:
        for number in range(6):
            journal.open_run({"a": 1}).store(number, readings_of(number))
    data = whole.read_bytes()
    chance = random.Random(60)
    # Headers, schema and cells are few bytes among many: half of the flips go where they are.
    telling = [place for place, byte in enumerate(data) if byte and place % 16384 < 200]
    misses = 0
    for trial in range(60):
        path.parent.mkdir()
        place = chance.choice(telling) if trial % 2 else chance.randrange(len(data))
        flipped = bytearray(data)
        flipped[place] ^= 1 << chance.randrange(8)
        path.write_bytes(flipped)
        with BatchJournal(path) as journal:
            run = journal.open_run({"a": 1})
            assert len(run.done) <= 6
            for number in range(6):
                found = run.load(number)
                misses += found is None
                assert found is None or equal(found, readings_of(number)), place
                run.store(number, readings_of(number))
                again = run.load(number)
                given_up = any("the journal failed" in line for line in journal.warnings)
                assert equal(again, readings_of(number)) if again else given_up, place
        shutil.rmtree(path.parent)
    assert misses > 5  # the flips did hit


@pytest.mark.parametrize("rubbish", [b"no database " * 5000, b"SQLite format 3\0" + b"\x07" * 200])
def test_fault_60_a_file_that_is_no_database_is_set_aside(journal, path, rubbish):
    path.parent.mkdir()
    path.write_bytes(rubbish)
    run = journal.open_run({"a": 1})
    run.store(0, readings_of(0))
    assert equal(run.load(0), readings_of(0))
    (aside,) = path.parent.glob("journal.sqlite.damaged-*")
    assert aside.read_bytes() == rubbish
    assert len(journal.warnings) == 1
    assert aside.name in journal.warnings[0]


@pytest.mark.parametrize("length", [0, 700, 16384, 40000])
def test_fault_60_a_truncated_database_starts_afresh(journal, path, length):
    run = journal.open_run({"a": 1})
    for number in range(12):
        run.store(number, readings_of(number))
    journal.close()
    assert path.stat().st_size > 40000
    with path.open("r+b") as stream:
        stream.truncate(length)
    for number in range(12):
        found = run.load(number)
        assert found is None or equal(found, readings_of(number))
        run.store(number, readings_of(number))
    assert all(equal(run.load(number), readings_of(number)) for number in range(12))
    assert bool(journal.warnings) == bool(length)  # an empty file is an empty database


@pytest.mark.parametrize(
    "statement", ["PRAGMA user_version = 99", "CREATE TABLE other (a)", "DROP TABLE batches"]
)
def test_fault_60_another_schema_is_set_aside_whole(journal, path, statement):
    run = journal.open_run({"a": 1})
    run.store(0, readings_of(0))
    journal.close()
    stored(path, statement)
    before = stored(path, "SELECT sql FROM sqlite_master")
    assert run.load(0) is None
    run.store(0, readings_of(1))
    assert equal(run.load(0), readings_of(1))
    (aside,) = path.parent.glob("journal.sqlite.damaged-*")
    assert stored(aside, "SELECT sql FROM sqlite_master") == before
    if statement != "DROP TABLE batches":
        assert stored(aside, "SELECT count(*) FROM batches") == [(1,)]
    assert len(journal.warnings) == 1


def test_fault_58_another_versions_database_in_use_is_left_alone(journal, path, monkeypatch):
    monkeypatch.setattr("quantgate.execution.journal_file.ALONE_SECONDS", 0.1)
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as neighbour:
        neighbour.execute("PRAGMA journal_mode=WAL")
        neighbour.execute("PRAGMA user_version = 2")
        neighbour.execute("CREATE TABLE later (a)")
        run = journal.open_run({"a": 1})
        run.store(0, readings_of(0))
        assert run.load(0) is None
        assert len(journal.warnings) == 1
        neighbour.execute("INSERT INTO later VALUES (1)")
    assert stored(path, "SELECT * FROM later") == [(1,)]
    assert not list(path.parent.glob("*.damaged-*"))


WRITER = """
    first, count, own = map(int, arguments)
    with BatchJournal(path) as journal:
        shared, alone = journal.open_run({"shared": 1}), journal.open_run({"own": own})
        for number in range(first, first + count):
            shared.store(number, readings_of(number))
            alone.store(number, readings_of(1000 * own + number))
        print(journal.warnings, flush=True)
"""


def check_written(path, first_and_count):
    with BatchJournal(path) as journal:
        shared = journal.open_run({"shared": 1})
        wanted = {n for first, count in first_and_count for n in range(first, first + count)}
        assert shared.done == wanted
        assert all(equal(shared.load(number), readings_of(number)) for number in wanted)
        for own, (first, count) in enumerate(first_and_count):
            run = journal.open_run({"own": own})
            assert run.done == set(range(first, first + count))
            assert all(equal(run.load(n), readings_of(1000 * own + n)) for n in run.done)
        assert journal.warnings == []


def test_fault_58_processes_that_begin_and_write_one_file_together(path):
    ranges = [(0, 40), (20, 40), (20, 40)]
    children = [child(WRITER, path, *span, own) for own, span in enumerate(ranges)]
    assert outputs(*children) == ["[]\n"] * 3
    check_written(path, ranges)


def test_fault_58_processes_that_meet_a_damaged_file_set_it_aside_once(path):
    path.parent.mkdir()
    path.write_bytes(b"no database " * 5000)
    ranges = [(0, 10), (5, 10), (5, 10)]
    texts = outputs(*[child(WRITER, path, *span, own) for own, span in enumerate(ranges)])
    assert len(list(path.parent.glob("*.damaged-*"))) == 1
    assert sum("moved to" in text for text in texts) == 1
    assert not any("failed" in text for text in texts)
    check_written(path, ranges)


def test_fault_58_threads_share_one_journal(journal):
    runs = [journal.open_run({"thread": t}) for t in range(4)]

    def work(index):
        for number in range(20):
            runs[index].store(number, readings_of(100 * index + number))
            assert runs[index].load(number) is not None

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert journal.warnings == []
    for index, run in enumerate(runs):
        assert all(equal(run.load(n), readings_of(100 * index + n)) for n in range(20))


def test_fault_59_a_locked_file_ends_the_journal_and_not_the_run(journal, path, monkeypatch):
    monkeypatch.setattr("quantgate.execution.journal_file.BUSY_SECONDS", 0.05)
    run = journal.open_run({"a": 1})
    run.store(0, readings_of(0))
    with closing(sqlite3.connect(path, isolation_level=None)) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")
        run.store(1, readings_of(1))
        neighbour.execute("ROLLBACK")
    assert len(journal.warnings) == 1
    assert "locked" in journal.warnings[0]
    with BatchJournal(path) as later:
        assert later.open_run({"a": 1}).done == {0}


KILLED = """
    from itertools import count
    run = BatchJournal(path).open_run({"round": arguments[0]})
    made = [readings_of(number, 4000, 64) for number in range(4)]
    for number in count():
        run.store(number, made[number % 4])
        print(number, flush=True)
"""


def test_fault_56_a_writer_killed_at_any_moment_loses_no_stored_batch(path):
    """Twenty kills of writers on one file, whose log each finds as the one before left it.

    They do little but write, so that most kills come in the middle of it.
    """
    chance = random.Random(56)
    made = [readings_of(number, 4000, 64) for number in range(4)]
    processes = [child(KILLED, path, "0")]
    for number in range(20):
        processes.append(child(KILLED, path, number + 1))  # starts while this one is killed
        process = processes.pop(0)
        start(process)
        told = [process.stdout.readline() for _ in range(number % 10)]
        time.sleep(chance.random() * 0.01)
        process.kill()
        told += process.stdout.readlines()  # not `communicate`, which skips what is buffered
        process.communicate()
        assert process.returncode < 0
        with BatchJournal(path) as journal:
            run = journal.open_run({"round": str(number)})
            assert {int(line) for line in told} <= run.done
            assert run.done <= set(range(len(told) + 1))  # one may be stored and not yet told
            assert len(run.done) >= number % 10
            for batch in run.done:
                assert equal(run.load(batch), made[batch % 4])
            assert journal.warnings == []
        if path.exists():  # the first may be killed before its first store
            assert stored(path, "PRAGMA integrity_check") == [("ok",)]
    processes[0].kill()
    processes[0].communicate()


FORGETTER = """
    journal = BatchJournal(path)
    run = journal.open_run({"a": "forgotten"})
    while True:
        for number in range(4):
            run.store(number, readings_of(number, 2000, 64))
        run.finish()
        journal.forget()
        print("forgotten", flush=True)
"""


def test_fault_56_killed_while_it_forgets_the_file_stays_sound(path):
    with BatchJournal(path) as journal:
        journal.open_run({"a": "kept"}).store(0, readings_of(0))
    chance = random.Random(57)
    processes = [child(FORGETTER, path) for _ in range(3)]
    for process in processes:
        start(process)
        time.sleep(chance.random() * 0.15)
        process.kill()
        process.communicate()
        assert stored(path, "PRAGMA integrity_check") == [("ok",)]
        with BatchJournal(path) as journal:
            assert equal(journal.open_run({"a": "kept"}).load(0), readings_of(0))
            run = journal.open_run({"a": "forgotten"})
            assert all(equal(run.load(n), readings_of(n, 2000, 64)) for n in run.done)
            assert journal.warnings == []


FULL = """
    import resource
    with BatchJournal(path) as journal:
        run = journal.open_run({"a": 1})
        run.store(0, readings_of(0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
        for number in range(1, 4):
            run.store(number, readings_of(number, 4000, 64))
        assert run.load(1) is None
        assert len(journal.warnings) == 1, journal.warnings
        print(journal.warnings[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX's")
def test_fault_55_a_full_disk_ends_the_journal_with_one_warning(path):
    """The system stops a write half-way; what was stored before is whole."""
    (text,) = outputs(child(FULL, path))
    assert "the journal failed" in text
    with BatchJournal(path) as journal:
        run = journal.open_run({"a": 1})
        assert run.done == {0}
        assert equal(run.load(0), readings_of(0))
        run.store(1, readings_of(1, 4000, 64))
        assert run.done == {0, 1}
        assert journal.warnings == []


@pytest.mark.parametrize("place", ["file/journal.sqlite", "folder"])
def test_fault_55_a_place_that_refuses_ends_the_journal_with_one_warning(tmp_path, place):
    (tmp_path / "file").write_bytes(b"not a folder")
    (tmp_path / "folder").mkdir()
    with BatchJournal(tmp_path / place) as journal:
        run = journal.open_run({"a": 1})
        for number in range(3):
            run.store(number, readings_of(number))
            assert run.load(number) is None
        assert run.done == frozenset()
        journal.forget()
        assert len(journal.warnings) == 1
        assert str(tmp_path / place) in journal.warnings[0]


def test_forget_drops_the_runs_finished_here_and_frees_their_space(path):
    with BatchJournal(path) as first, BatchJournal(path) as second:
        for number in range(20):
            first.open_run({"a": 1}).store(number, readings_of(number, 2000, 64))
            first.open_run({"a": 2}).store(number, readings_of(number))
        kept, broken_off = second.open_run({"a": 3}), first.open_run({"a": 4})
        kept.store(0, readings_of(0))
        broken_off.store(0, readings_of(0))
        for key in (1, 2):
            first.open_run({"a": key}).finish()
        before = sum(file.stat().st_size for file in path.parent.iterdir())
        first.forget()
        assert first.open_run({"a": 1}).done == frozenset()
        assert first.open_run({"a": 2}).done == frozenset()
        assert equal(kept.load(0), readings_of(0))
        assert equal(broken_off.load(0), readings_of(0))
        assert first.warnings == second.warnings == []
    assert before > 4_000_000
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 200_000


def test_forget_prunes_what_anybody_left_a_month_ago(path):
    with BatchJournal(path) as left:
        run = left.open_run({"left": 1})
        for number in range(3):
            run.store(number, readings_of(number))
    for number, days in enumerate((29, 31, 400)):
        age = int(time.time()) - days * 86400
        stored(path, "UPDATE batches SET stored_at = ? WHERE number = ?", age, number)
    with BatchJournal(path) as journal:
        journal.forget()
        assert journal.open_run({"left": 1}).done == {0}
