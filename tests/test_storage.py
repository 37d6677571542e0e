"""Whole files or none: atomic writes, staged folders, digests, strict JSON."""

import errno
import json
import os
import subprocess
import sys
import textwrap
from multiprocessing import get_context
from pathlib import Path

import pytest

from quantgate import storage
from quantgate.errors import InvalidMeasurement


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.name.endswith(".tmp")]


def test_write_replaces_the_whole_file(tmp_path):
    path = tmp_path / "new" / "folder" / "file.json"
    storage.write_atomically(path, b"first, and longer")
    storage.write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_written_file_has_the_users_usual_mode(tmp_path):
    path = tmp_path / "file"
    storage.write_atomically(path, b"x")
    (tmp_path / "usual").write_bytes(b"x")
    assert path.stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.parametrize("failing", ["write", "fsync"])
@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "storage-full"),
        (errno.EDQUOT, "storage-full"),
        (errno.EROFS, "storage-read-only"),
        (errno.EACCES, "storage-denied"),
        (errno.EIO, "storage-failed"),
    ],
)
def test_fault_55_failed_write_leaves_the_old_file(tmp_path, monkeypatch, failing, number, code):
    path = tmp_path / "results.json"
    path.write_bytes(b"old")

    def refuse(*_):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(storage.os, failing, refuse)
        with pytest.raises(InvalidMeasurement) as caught:
            storage.write_atomically(path, b"new")
    assert caught.value.code == code
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(sys.platform == "win32", reason="needs a file size limit")
def test_fault_55_real_limit_of_the_system(tmp_path):
    path = tmp_path / "results.json"
    path.write_bytes(b"old")
    program = textwrap.dedent(
        """
        import resource, sys
        from pathlib import Path
        from quantgate.errors import InvalidMeasurement
        from quantgate.storage import write_atomically
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            write_atomically(Path(sys.argv[1]), bytes(5000))
        except InvalidMeasurement as fault:
            print(fault.code)
        """
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert done.stdout.strip() == "storage-full"
    assert path.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_fault_55_short_writes_are_carried_on(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(storage.os, "write", lambda handle, data: real(handle, data[:3]))
    storage.write_atomically(tmp_path / "file", b"ten bytes!")
    assert (tmp_path / "file").read_bytes() == b"ten bytes!"


def test_fault_55_free_space_is_checked_before(tmp_path):
    folder = tmp_path / "not" / "yet" / "there"
    storage.require_free_space(folder, 1)
    with pytest.raises(InvalidMeasurement, match="free bytes") as caught:
        storage.require_free_space(folder, 1 << 62)
    assert caught.value.code == "storage-full"
    assert not folder.exists()


RESERVES = pytest.mark.skipif(
    not hasattr(os, "posix_fallocate"), reason="the system reserves nothing"
)


@pytest.fixture
def sparse(tmp_path) -> Path:
    """A file of which only the first bytes were written."""
    path = tmp_path / "rows.npy"
    with path.open("wb") as file:
        file.write(b"head")
        file.truncate(1 << 20)
    return path


@RESERVES
def test_fault_55_reserved_file_has_no_holes(sparse):
    storage.reserve(sparse)
    found = sparse.stat()
    assert found.st_blocks * 512 >= found.st_size == 1 << 20
    assert sparse.read_bytes() == b"head" + bytes((1 << 20) - 4)


def refuse_to_reserve(monkeypatch, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(storage.os, "posix_fallocate", refuse)


@RESERVES
@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "storage-full"), (errno.EIO, "storage-failed")]
)
def test_fault_55_what_cannot_be_reserved_is_told(sparse, monkeypatch, number, code):
    refuse_to_reserve(monkeypatch, number)
    with pytest.raises(InvalidMeasurement) as caught:
        storage.reserve(sparse)
    assert caught.value.code == code
    assert str(sparse) in str(caught.value)


@RESERVES
@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_file_system_that_reserves_nothing_is_used_as_it_is(sparse, monkeypatch, number):
    refuse_to_reserve(monkeypatch, number)
    storage.reserve(sparse)


def test_system_that_reserves_nothing_is_used_as_it_is(sparse, monkeypatch):
    monkeypatch.delattr(storage.os, "posix_fallocate", raising=False)
    storage.reserve(sparse)


def test_staged_folder_appears_whole(tmp_path):
    final = tmp_path / "cache" / "digest"
    with storage.staged_directory(final) as staged:
        (staged / "deep").mkdir()
        (staged / "deep" / "file").write_bytes(b"bytes")
        assert not final.exists()
        assert staged.parent == final.parent
    assert (final / "deep" / "file").read_bytes() == b"bytes"
    assert leftovers(tmp_path) == []


def test_staged_folder_vanishes_on_error(tmp_path):
    def fail():
        with storage.staged_directory(tmp_path / "digest") as staged:
            (staged / "file").write_bytes(b"half")
            raise KeyError("planted")

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_fault_55_full_disk_inside_a_staged_folder_is_named(tmp_path):
    def fill():
        with storage.staged_directory(tmp_path / "digest"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(InvalidMeasurement) as caught:
        fill()
    assert caught.value.code == "storage-full"
    assert list(tmp_path.iterdir()) == []


def test_staged_folder_passes_other_errors_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), storage.staged_directory(tmp_path / "digest"):
        (tmp_path / "missing").read_bytes()


def test_fault_58_earlier_run_is_kept(tmp_path):
    final = tmp_path / "digest"
    with storage.staged_directory(final) as slow:
        (slow / "file").write_bytes(b"slow")
        with storage.staged_directory(final) as quick:
            (quick / "file").write_bytes(b"quick")
    assert (final / "file").read_bytes() == b"quick"
    assert leftovers(tmp_path) == []


def test_staged_folder_is_not_put_over_a_file(tmp_path):
    (tmp_path / "digest").write_bytes(b"a file")
    with (
        pytest.raises(InvalidMeasurement, match="digest"),
        storage.staged_directory(tmp_path / "digest"),
    ):
        pass
    assert (tmp_path / "digest").read_bytes() == b"a file"
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX's")
def test_staged_folder_may_hold_read_only_files(tmp_path):
    with storage.staged_directory(tmp_path / "digest") as staged:
        (staged / "file").write_bytes(b"bytes")
        (staged / "file").chmod(0o444)
    assert (tmp_path / "digest" / "file").read_bytes() == b"bytes"


def _write_many(path: Path, byte: bytes, barrier) -> None:
    barrier.wait()
    for _ in range(40):
        storage.write_atomically(path, byte * 20_000)


def _publish_many(folder: Path, barrier) -> None:
    barrier.wait()
    for number in range(20):
        with storage.staged_directory(folder / f"{number}") as staged:
            (staged / "file").write_bytes(b"same bytes")


def run_two(target, *arguments) -> None:
    context = get_context("spawn")
    barrier = context.Barrier(2)
    workers = [context.Process(target=target, args=(*a, barrier)) for a in arguments]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]


def test_fault_58_two_processes_write_one_file(tmp_path):
    path = tmp_path / "file"
    run_two(_write_many, (path, b"a"), (path, b"b"))
    data = path.read_bytes()
    assert len(data) == 20_000
    assert len(set(data)) == 1
    assert leftovers(tmp_path) == []


def test_fault_58_two_processes_publish_one_folder(tmp_path):
    run_two(_publish_many, (tmp_path,), (tmp_path,))
    files = sorted(path.read_bytes() for path in tmp_path.glob("*/file"))
    assert files == [b"same bytes"] * 20
    assert leftovers(tmp_path) == []


def test_fault_59_leftovers_of_another_process_are_let_alone(tmp_path):
    other = tmp_path / ".file.json.1-00.tmp"
    other.write_bytes(b"somebody's")
    storage.write_atomically(tmp_path / "file.json", b"ours")
    assert other.read_bytes() == b"somebody's"


@pytest.mark.parametrize("name", ["with space.json", "größe-模型.json", "😀" * 60])
def test_fault_75_any_name_can_be_written(tmp_path, name):
    storage.write_atomically(tmp_path / name, b"x")
    assert (tmp_path / name).read_bytes() == b"x"
    with storage.staged_directory(tmp_path / f"{name}.d") as staged:
        (staged / "file").write_bytes(b"x")
    assert leftovers(tmp_path) == []


def test_digests_are_sha256(tmp_path):
    # FIPS 180-2, appendix B.1: the digest of "abc".
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "abc").write_bytes(b"abc")
    assert storage.sha256_bytes(b"abc") == known
    assert storage.sha256_file(tmp_path / "abc") == known


def test_canonical_json_is_one_text():
    assert storage.canonical_json({"b": [1, 2.5], "a": "ü"}) == '{"a":"ü","b":[1,2.5]}'.encode()
    assert json.loads(storage.canonical_json({"x": 0.1})) == {"x": 0.1}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\udcff"])
def test_canonical_json_refuses_what_json_has_no_word_for(value):
    with pytest.raises(ValueError, match=r"JSON compliant|surrogates"):
        storage.canonical_json({"x": value})
