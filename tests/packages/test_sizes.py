"""Sizes on disk by part, held against the files that the test package is written as."""

import pytest

from quantgate.errors import GateError
from quantgate.packages.sizes import package_sizes, source_sizes
from quantgate.packages.tokenizer import TOKENIZER_FILES

WEIGHTS = "model.onnx.data"


def total(folder) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_parts_of_a_package_add_up_to_its_folder(own_package):
    (own_package / "notes").mkdir()
    (own_package / "notes" / "README.md").write_bytes(b"x" * 1234)
    found = package_sizes(own_package)
    assert found.graph == (own_package / "model.onnx").stat().st_size
    assert found.weights == (own_package / WEIGHTS).stat().st_size
    names = [own_package / name for name in TOKENIZER_FILES]
    assert found.tokenizer == sum(path.stat().st_size for path in names if path.is_file()) > 0
    assert found.rest == 1234 + (own_package / "genai_config.json").stat().st_size
    assert found.total == total(own_package)


def test_a_file_that_is_linked_to_counts_once(own_package, tmp_path):
    """As in the hub's cache, where a snapshot's files are links."""
    before = package_sizes(own_package)
    (own_package / "again.data").symlink_to(own_package / WEIGHTS)
    assert package_sizes(own_package) == before


def test_weights_of_a_hugging_face_folder_are_its_safetensors(hugging_face_folder):
    found = source_sizes(hugging_face_folder)
    assert found.graph == 0
    weights = hugging_face_folder.glob("*.safetensors")
    assert found.weights == sum(path.stat().st_size for path in weights) > 0
    assert found.total == total(hugging_face_folder)


def test_no_package_has_no_size(tmp_path):
    for sizes in (package_sizes, source_sizes):
        with pytest.raises(GateError):
            sizes(tmp_path)
