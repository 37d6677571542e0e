"""A kept run comes back whole, or not at all."""

import errno
import gc
import json
import os
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from quantgate.errors import InvalidMeasurement
from quantgate.traces import META, TraceStore

KEY = {"identity": {"package": "0" * 64}, "task": "text", "ids": "1" * 64}
ROWS = np.arange(4000, dtype=np.float16).reshape(100, 40)
MAPS = Path("/proc/self/maps")


def keep(store: TraceStore, key=KEY, rows=ROWS) -> None:
    with store.write(key) as writer:
        writer.save("strided", rows[:, 0].astype(np.float64))
        hidden = writer.allocate("hidden", rows.shape, rows.dtype)
        hidden[:50] = rows[:50]
        hidden[50:] = rows[50:]


def loaded(store: TraceStore, key=KEY):
    trace = store.load(key)
    assert trace is not None
    return trace.arrays


def test_arrays_come_back_exact(tmp_path):
    store = TraceStore(tmp_path)
    assert store.load(KEY) is None
    keep(store)
    arrays = loaded(TraceStore(tmp_path))
    assert sorted(arrays) == ["hidden", "strided"]
    assert np.array_equal(arrays["hidden"], ROWS)
    assert arrays["hidden"].dtype == np.float16
    assert not arrays["hidden"].flags.writeable
    assert store.warnings == []


def test_rows_are_read_a_few_at_a_time(tmp_path):
    store = TraceStore(tmp_path)
    keep(store)
    trace = store.load(KEY)
    rows = trace.rows("hidden")
    places = np.array([99, 0, 0, 50, 49])
    found = rows[places]
    assert np.array_equal(found, ROWS[places])
    assert found.dtype == np.float16
    assert np.array_equal(rows[np.arange(100)], ROWS)


@pytest.mark.skipif(not MAPS.exists(), reason="no /proc here")
def test_rows_take_no_memory_between_accesses(tmp_path):
    store = TraceStore(tmp_path)
    with store.write(KEY) as writer:
        hidden = writer.allocate("hidden", ROWS.shape, ROWS.dtype)
        hidden[np.arange(100)] = ROWS
        assert str(tmp_path) not in MAPS.read_text()
    rows = store.load(KEY).rows("hidden")
    gc.collect()
    assert np.array_equal(rows[np.arange(7)], ROWS[:7])
    assert str(tmp_path) not in MAPS.read_text()


@pytest.mark.parametrize("changed", ["identity", "task", "ids"])
def test_fault_61_other_key_is_another_trace(tmp_path, changed):
    store = TraceStore(tmp_path)
    keep(store)
    assert store.load({**KEY, changed: "other"}) is None
    assert store.warnings == []


def test_failed_run_leaves_no_trace(tmp_path):
    store = TraceStore(tmp_path)

    def fail():
        with store.write(KEY) as writer:
            writer.save("strided", ROWS)
            raise KeyError("planted")

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []
    assert store.load(KEY) is None


@pytest.mark.parametrize("place", [0, 60, -1, -3000])
@pytest.mark.parametrize("name", ["hidden.npy", "strided.npy"])
def test_fault_60_trace_with_a_flipped_byte_is_a_miss_with_a_warning(tmp_path, name, place):
    store = TraceStore(tmp_path)
    keep(store)
    path = store.folder(KEY) / name
    data = bytearray(path.read_bytes())
    data[max(place, -len(data))] ^= 1
    path.write_bytes(data)
    assert store.load(KEY) is None
    (warning,) = store.warnings
    assert str(path) in warning


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"5", b"null", b'{"files": []}', b'{"files": {}}', b"\xff", b'{"files": 1}'],
)
def test_fault_60_damaged_index_is_a_miss_with_a_warning(tmp_path, content):
    store = TraceStore(tmp_path)
    keep(store)
    (store.folder(KEY) / META).write_bytes(content)
    assert store.load(KEY) is None
    assert len(store.warnings) == 1


@pytest.mark.parametrize("name", ["hidden.npy", META])
def test_fault_60_missing_file_is_a_miss_with_a_warning(tmp_path, name):
    store = TraceStore(tmp_path)
    keep(store)
    (store.folder(KEY) / name).unlink()
    assert store.load(KEY) is None
    assert len(store.warnings) == 1


def test_fault_60_damaged_trace_can_be_written_again(tmp_path):
    store = TraceStore(tmp_path)
    keep(store)
    path = store.folder(KEY) / "hidden.npy"
    path.write_bytes(path.read_bytes()[:-1])
    assert store.load(KEY) is None
    keep(store)
    assert np.array_equal(loaded(store)["hidden"], ROWS)


def test_fault_14_pickled_array_is_not_unpickled(tmp_path):
    store = TraceStore(tmp_path)
    keep(store)
    folder = store.folder(KEY)
    np.save(folder / "hidden.npy", np.array([{"an": "object"}], dtype=object), allow_pickle=True)
    meta = json.loads((folder / META).read_bytes())
    from quantgate.storage import sha256_file

    meta["files"]["hidden.npy"] = sha256_file(folder / "hidden.npy")
    (folder / META).write_text(json.dumps(meta), "utf-8")
    assert store.load(KEY) is None
    assert len(store.warnings) == 1


def test_fault_52_rows_that_the_disk_cannot_take_are_refused_before(tmp_path):
    store = TraceStore(tmp_path)
    with pytest.raises(InvalidMeasurement) as caught, store.write(KEY) as writer:
        writer.allocate("hidden", (10**12, 4096), np.dtype(np.float16))
    assert caught.value.code == "storage-full"


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system reserves nothing")
def test_fault_55_rows_have_their_place_before_they_come(tmp_path):
    """A disk that fills later can't kill the process that writes them."""
    store = TraceStore(tmp_path)
    with store.write(KEY) as writer:
        writer.allocate("hidden", (1000, 1000), np.dtype(np.float16))
        (path,) = tmp_path.rglob("hidden.npy")
        assert path.stat().st_blocks * 512 >= path.stat().st_size > 2_000_000


def test_fault_55_disk_that_fills_while_rows_get_their_place_is_full(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    store = TraceStore(tmp_path)
    with pytest.raises(InvalidMeasurement) as caught:
        keep(store)
    assert caught.value.code == "storage-full"
    assert list(tmp_path.iterdir()) == []


def _keep_many(root: Path, barrier) -> None:
    barrier.wait()
    store = TraceStore(root)
    for number in range(10):
        keep(store, {**KEY, "number": number})
        assert np.array_equal(loaded(store, {**KEY, "number": number})["hidden"], ROWS)


def test_fault_58_two_processes_write_one_trace(tmp_path):
    context = get_context("spawn")
    barrier = context.Barrier(2)
    workers = [context.Process(target=_keep_many, args=(tmp_path, barrier)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 10
