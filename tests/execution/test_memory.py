"""Memory that a model needs at the least: counted from its files, held against what there is."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest

from quantgate.errors import InvalidMeasurement
from quantgate.execution.memory import MIB, require_memory, weights_bytes

SIZES = {
    "model.onnx": 3 * MIB,
    "model.onnx.data": 40 * MIB,
    "part.safetensors": 7 * MIB,
    "tokenizer.json": 900 * MIB,  # no weights
}
WEIGHTS_MIB = 50


@pytest.fixture
def folder(tmp_path):
    """Sparse files, and a folder of another model beside them."""
    for name, size in {**SIZES, "other/model.onnx.data": 900 * MIB}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)
    (tmp_path / "named.data").mkdir()
    return tmp_path


@pytest.fixture
def available(monkeypatch):
    """Sets what the machine says is available."""

    def say(bytes_free: int) -> None:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=bytes_free))

    return say


def test_fault_69_weights_are_those_of_the_folder_itself(folder):
    assert weights_bytes(folder) == WEIGHTS_MIB * MIB


@pytest.mark.parametrize("limit_mib", [0, WEIGHTS_MIB, 10_000])
def test_fault_69_weights_that_just_fit_are_let_through(folder, available, limit_mib):
    available(WEIGHTS_MIB * MIB)
    require_memory(folder, limit_mib=limit_mib)


@pytest.mark.parametrize("limit_mib", [0, 10_000])
def test_fault_69_one_byte_too_few_is_refused(folder, available, limit_mib):
    available(WEIGHTS_MIB * MIB - 1)
    with pytest.raises(InvalidMeasurement) as caught:
        require_memory(folder, limit_mib=limit_mib)
    assert caught.value.code == "memory-short"
    told = str(caught.value)
    assert f"50 MiB for the weights in {folder} alone" in told
    assert "49 MiB available" in told
    assert ("10,000 MiB by --gate-memory-limit" in told) == bool(limit_mib)


def test_fault_69_the_limit_binds_where_there_is_more_memory(folder, available):
    available(64_000 * MIB)
    with pytest.raises(InvalidMeasurement, match="49 MiB by --gate-memory-limit") as caught:
        require_memory(folder, limit_mib=WEIGHTS_MIB - 1)
    assert caught.value.code == "memory-short"


def test_a_folder_without_weights_needs_none(tmp_path, available):
    available(0)
    require_memory(tmp_path, limit_mib=1)
