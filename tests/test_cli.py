"""The `quantgate` command beside `run`, which `test_command_line` covers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from quantgate.cli import main, suites_tree

ROOT = Path(__file__).parents[1]


def test_inspect_tells_layout_precisions_and_plan(built, capsys):
    assert main(["inspect", str(built["int4"])]) == 0
    text = capsys.readouterr().out
    assert "GroupQueryAttention" in text
    assert "token trees behind a kept prefix" in text
    assert "int4 b32" in text
    assert "acc4: multiplied at accuracy level 4" in text
    assert re.search(r"\| layers +\| qkv +\| o .*\| embedding", text)
    assert re.search(r"\| 0-1 +\| int4", text)
    assert re.search(r"\| outside +\|", text)
    assert "differ" not in text


def test_inspect_of_no_package_is_a_usage_error(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 4
    assert "genai_config.json" in capsys.readouterr().err


def test_inspect_of_damaged_weights_names_the_tensor(built, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(built["int8"], broken)
    (broken / "model.onnx.data").write_bytes(b"short")
    assert main(["inspect", str(broken)]) == 1
    assert "external-data-short" in capsys.readouterr().err


def test_heavy_libraries_stay_out_of_help_and_collection():
    program = (
        "import sys, pytest, quantgate.cli, quantgate.plugin\n"
        "class Heavy:\n"
        "    def pytest_collection_finish(self):\n"
        "        names = {'torch', 'transformers', 'datasets', 'onnxruntime', 'onnx'}\n"
        "        print('loaded:', sorted(names & set(sys.modules)))\n"
        "pytest.main(['--collect-only', '-q', '-m', 'mmlu', 'suites'], plugins=[Heavy()])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert "loaded: []" in done.stdout, done.stdout + done.stderr


def test_suites_are_found_and_shipped():
    assert (suites_tree() / "suites" / "test_mmlu.py").is_file()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    shipped = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert set(shipped) == {"conftest.py", "fixtures", "suites", "baselines", "quantgate.toml"}


def test_build_default_prints_where_the_packages_are(monkeypatch, tmp_path, capsys):
    made = []
    monkeypatch.setattr(
        "quantgate.packages.build.prepare", lambda packages, _: made.extend(packages)
    )
    assert main(["build-default", "--precision", "int4", f"--cache-dir={tmp_path}"]) == 0
    assert [package.recipe.precision for package in made] == ["int4"]
    assert str(tmp_path) in capsys.readouterr().out


@pytest.mark.parametrize("name", ["fp32-ort-cpu", "fp16-ort-cpu", "int8-ort-cpu", "int4-ort-cpu"])
def test_every_carried_case_has_a_committed_baseline(name):
    document = json.loads((ROOT / "baselines" / "embedded" / f"{name}.json").read_bytes())
    held = set() if name == "fp32-ort-cpu" else {"generation"}  # a reference's are its own
    assert set(document["tasks"]) == held | {
        "mmlu",
        "perplexity.strided",
        "perplexity.genai_chunked",
        "kl_divergence",
    }
