"""What is hashed is what is loaded: a file that changes in between is told (row 5)."""

import os

import pytest

from quantgate.backends import ort
from quantgate.errors import InvalidMeasurement
from quantgate.packages.package import open_package
from quantgate.packages.stamps import hash_stamped, require_stamp, stamps
from quantgate.plan import make_plan
from quantgate.requests import Loglikelihood
from tests.running import backend_of, score_all

FILES = ("model.onnx", "model.onnx.data", "genai_config.json")


def rewrite(path) -> None:
    """Change one byte and put the time of change back."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content) + b"\0")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path) -> None:
    """Put another file of the same size, content and time in its place."""
    before = path.stat()
    twin = path.with_name("twin")
    twin.write_bytes(path.read_bytes())
    os.utime(twin, ns=(before.st_atime_ns, before.st_mtime_ns))
    twin.replace(path)


def touch(path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


CHANGES = {"size": rewrite, "inode": replace, "mtime_ns": touch}


def code_and_text(call) -> tuple[str, str]:
    with pytest.raises(InvalidMeasurement) as caught:
        call()
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", CHANGES)
def test_fault_05_change_before_hashing(own_package, name, change):
    package = open_package(own_package)
    CHANGES[change](own_package / name)
    code, text = code_and_text(lambda: package.digest)
    assert code == "files-changed"
    assert name in text
    assert change in text


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_fault_05_change_after_hashing(own_package, name, change):
    backend = backend_of(own_package)
    assert backend.identity["package"] == open_package(own_package).digest
    change(own_package / name)
    assert code_and_text(lambda: backend.identity)[0] == "files-changed"


@pytest.mark.parametrize("part", ["body", "head"])
def test_fault_05_change_while_a_session_is_made(own_package, part, monkeypatch):
    backend = backend_of(own_package)
    make = ort.make_session
    made = []

    def interfering(*arguments, **options):
        made.append(make(*arguments, **options))
        if len(made) == (1 if part == "head" else 2):
            replace(own_package / "model.onnx.data")
        return made[-1]

    monkeypatch.setattr(ort, "make_session", interfering)
    plan = make_plan([Loglikelihood((1, 2, 3), (4,))], backend.limits)
    assert code_and_text(lambda: score_all(backend, plan))[0] == "files-changed"


def test_fault_05_file_that_vanishes(own_package):
    package = open_package(own_package)
    (own_package / "model.onnx.data").unlink()
    assert code_and_text(package.require_unchanged)[0] == "files-changed"


def test_fault_05_file_that_grows_while_it_is_hashed(tmp_path, monkeypatch):
    path = tmp_path / "weights"
    path.write_bytes(b"a" * 100)
    before = stamps([path])[path]
    import hashlib

    whole = hashlib.file_digest

    def growing(file, kind):
        found = whole(file, kind)
        with path.open("ab") as again:
            again.write(b"b")
        return found

    monkeypatch.setattr(hashlib, "file_digest", growing)
    assert code_and_text(lambda: hash_stamped(path, before))[0] == "files-changed"


def test_untouched_files_keep_their_stamps(own_package):
    package = open_package(own_package)
    assert package.digest == open_package(own_package).digest
    package.require_unchanged()
    for path in package.files:
        path.read_bytes()
        require_stamp(path, package.stamps[path])


def test_stamps_of_missing_files_are_left_out(tmp_path):
    assert stamps([tmp_path / "gone"]) == {}
