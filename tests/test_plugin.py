"""The installed plugin in other people's projects: what isn't the gate's stays as it was."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PASSED, REFUSED = 0, 4
MANIFEST = """\
schema_version = 1

[[models]]
name = "tiny"

[[models.variants]]
name = "int4"
precision = "int4"
path = "nowhere"
"""
FOREIGN = """\
import pytest


@pytest.mark.memory
@pytest.mark.parametrize("case", ["tall", "wide"])
def test_of_parameters(case):
    assert case in {"tall", "wide"}

class TestOwn:
    @pytest.fixture
    def case(self):
        return "own"

    @pytest.mark.speed
    def test_of_fixture(self, case):
        assert case == "own"
"""
GATED = """\
import pytest

@pytest.mark.mmlu
def test_gated(gate):
    pass
"""


def run(folder: Path, *words: str) -> tuple[int, str]:
    """Exit status and output of pytest in `folder`."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
        cwd=folder,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("manifest", [None, MANIFEST], ids=["alone", "beside_a_manifest"])
def test_fault_76_tests_with_names_of_the_gate_are_left_alone(tmp_path, manifest):
    (tmp_path / "test_own.py").write_text(FOREIGN, encoding="utf-8")
    if manifest:
        (tmp_path / "quantgate.toml").write_text(manifest, encoding="utf-8")
    status, text = run(tmp_path)
    assert status == PASSED, text
    assert "3 passed" in text


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one_process", "two_workers"])
def test_gated_test_without_a_manifest_is_refused(tmp_path, workers):
    (tmp_path / "test_gated.py").write_text(GATED, encoding="utf-8")
    status, text = run(tmp_path, "-p", "fixtures.gate", *workers)
    assert status == REFUSED, text
    assert "quantgate.toml is needed for the suites" in text
    assert "INTERNALERROR" not in text


@pytest.mark.parametrize("flag", ["--gate-strict", "--gate-no-html"])
def test_folder_behind_an_option_without_a_value_is_one_of_tests(tmp_path, flag):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "test_own.py").write_text(FOREIGN, encoding="utf-8")
    (tmp_path / "gate.toml").write_text(MANIFEST, encoding="utf-8")
    status, text = run(tmp_path, "--gate-config=gate.toml", flag, "own")
    assert "in one word" not in text
    assert "3 passed" in text
    assert status != REFUSED, text
