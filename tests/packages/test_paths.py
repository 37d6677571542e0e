"""Names in a package lead to files of the package, or nowhere."""

import os
from pathlib import Path

import pytest

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.packages.package import open_package
from quantgate.packages.paths import contained_file

needs_links = pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"outside")
    (tmp_path / "package" / "sub").mkdir(parents=True)
    (tmp_path / "package" / "weights").write_bytes(b"inside")
    (tmp_path / "package" / "sub" / "weights").write_bytes(b"inside")
    return tmp_path / "package"


@pytest.mark.parametrize("name", ["weights", "sub/weights", "./weights", "sub//weights"])
def test_file_inside_is_returned(folder, name):
    assert contained_file(folder, name, what="test").read_bytes() == b"inside"


ESCAPES = {
    "absolute": "/etc/passwd",
    "parent": "../secret",
    "parent_and_back": "sub/../../secret",
    "parent_within": "sub/../weights",
    "windows_parent": r"..\secret",
    "drive": r"C:\secret",
    "drive_relative": "C:secret",
    "unc": r"\\server\share\secret",
    "unc_slashes": "//server/share/secret",
    "windows_root": r"\secret",
    "nul": "weights\0.txt",
    "empty": "",
}


@pytest.mark.parametrize("name", ESCAPES.values(), ids=ESCAPES)
def test_fault_03_name_that_leaves_the_folder(folder, name):
    with pytest.raises(UsageFault, match="escapes the model folder") as caught:
        contained_file(folder, name, what="external data of tensor 'w'")
    assert caught.value.code == "path-escapes"
    assert "tensor 'w'" in caught.value.need


def test_fault_03_nothing_is_opened(folder, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("opened")

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr("io.open", refuse)
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(UsageFault):
        contained_file(folder, "../secret", what="test")


def test_fault_02_missing_file_names_the_path_tried(folder):
    with pytest.raises(InvalidMeasurement) as caught:
        contained_file(folder, "gone.data", what="external data of tensor 'w'")
    assert caught.value.code == "file-missing"
    assert str(folder / "gone.data") in caught.value.found


def test_fault_06_folder_instead_of_a_file(folder):
    with pytest.raises(UsageFault) as caught:
        contained_file(folder, "sub", what="decoder.filename")
    assert caught.value.code == "path-is-directory"


@needs_links
def test_fault_04_link_out_of_the_folder(folder):
    (folder / "link").symlink_to(folder.parent / "secret")
    with pytest.raises(UsageFault, match="secret") as caught:
        contained_file(folder, "link", what="test")
    assert caught.value.code == "path-escapes"


@needs_links
def test_fault_04_link_through_a_linked_folder(folder):
    (folder / "up").symlink_to(folder.parent, target_is_directory=True)
    with pytest.raises(UsageFault):
        contained_file(folder, "up/secret", what="test")


@needs_links
def test_fault_04_link_inside_is_followed(folder):
    (folder / "link").symlink_to("weights")
    assert contained_file(folder, "link", what="test").read_bytes() == b"inside"


def hub_layout(source: Path, repository: Path, subfolder: str = "") -> Path:
    """`source`'s files as a hub cache keeps them: blobs, and a snapshot of links to them."""
    snapshot = repository / "snapshots" / "0123abc" / subfolder
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    for path in source.iterdir():
        blob = repository / "blobs" / f"{path.name}.sha"
        blob.write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(os.path.relpath(blob, snapshot))
    return snapshot


@needs_links
@pytest.mark.parametrize("subfolder", ["", "cpu/int4"])
def test_fault_04_hub_cache_is_accepted_and_hashed_by_content(tiny_folder, tmp_path, subfolder):
    snapshot = hub_layout(tiny_folder, tmp_path / "models--a--b", subfolder)
    assert open_package(snapshot).digest == open_package(tiny_folder).digest


@needs_links
def test_fault_04_hub_cache_reaches_no_other_repository(tiny_folder, tmp_path):
    snapshot = hub_layout(tiny_folder, tmp_path / "models--a--b")
    other = tmp_path / "models--c--d" / "blobs" / "weights"
    other.parent.mkdir(parents=True)
    other.write_bytes((tiny_folder / "model.onnx.data").read_bytes())
    (snapshot / "model.onnx.data").unlink()
    (snapshot / "model.onnx.data").symlink_to(other)
    with pytest.raises(UsageFault) as caught:
        open_package(snapshot)
    assert caught.value.code == "path-escapes"


@needs_links
def test_fault_04_changed_blob_changes_the_digest(tiny_folder, tmp_path):
    snapshot = hub_layout(tiny_folder, tmp_path / "models--a--b")
    before = open_package(snapshot).digest
    blob = (snapshot / "model.onnx.data").resolve()
    data = bytearray(blob.read_bytes())
    data[100] ^= 1
    blob.write_bytes(data)
    assert open_package(snapshot).digest != before
