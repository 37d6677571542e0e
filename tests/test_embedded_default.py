"""What a newcomer sees: the carried model's suites are green, and damage to it makes them red."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantgate.cases import BuildRecipe, Package
from quantgate.packages.build import package_folder, prepare
from tests.command_line import UNTIMED
from tests.damage import damage_package, re_export

PRECISIONS = ("fp32", "fp16", "int8", "int4")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Shared by the runs below; QUANTGATE_TEST_CACHE may name one that outlives the session."""
    kept = os.environ.get("QUANTGATE_TEST_CACHE")
    return Path(kept) if kept else tmp_path_factory.mktemp("embedded-cache")


@pytest.fixture(scope="module")
def int4(cache):
    package = Package(recipe=BuildRecipe(source=None, precision="int4"))
    prepare([package], cache)
    return package_folder(package, cache)


def run_gate(folder, cache, *words):
    """The README's command in a checkout, with reports of its own."""
    ci = {"CI", "GITHUB_ACTIONS", "GITHUB_BASE_REF", "TF_BUILD", "GITLAB_CI"}
    command = [sys.executable, "-m", "pytest", f"--gate-cache-dir={cache}", "-m", UNTIMED]
    done = subprocess.run(
        [*command, f"--gate-report-dir={folder}", *words],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in ci},
        capture_output=True,
        encoding="utf-8",
        timeout=900,
        check=False,
    )
    results = json.loads((folder / "results.json").read_bytes())
    verdicts = {
        (each["case_id"], each["task"], each["metric"]): each["verdict"]
        for each in results["decisions"]
    }
    return done, verdicts


def manifest_with(folder, package):
    """The carried manifest with another package in the place of int4."""
    text = (ROOT / "quantgate.toml").read_text(encoding="utf-8")
    recipe = 'build = { source = "embedded", precision = "int4" }'
    assert recipe in text
    path = folder / "quantgate.toml"
    path.write_text(text.replace(recipe, f'path = "{package}"'), encoding="utf-8")
    return path


def test_carried_model_is_green_in_all_suites(tmp_path, cache):
    done, verdicts = run_gate(tmp_path, cache)
    assert done.returncode == 0, done.stdout
    assert set(verdicts.values()) == {"PASS"}
    cases = {case for case, task, _ in verdicts if task != "agreement"}
    assert cases == {f"embedded-{name}-ort-cpu" for name in PRECISIONS}
    suites = {task.partition(".")[0] for _, task, _ in verdicts}
    assert suites == {"mmlu", "perplexity", "kl_divergence", "agreement", "generation"}
    engines = {tuple(case.split("-")[1:3]) for case, task, _ in verdicts if task == "agreement"}
    assert engines == {
        *((name, "torch") for name in ("fp32", "fp16")),
        *((name, backend) for name in PRECISIONS for backend in ("ort", "ortgenai")),
    }


def test_damaged_package_is_red_and_says_what_got_worse(tmp_path, cache, int4):
    damaged = tmp_path / "damaged"
    damage_package(int4, damaged, blocks=96, factor=6.0, seed=0)
    done, verdicts = run_gate(
        tmp_path,
        cache,
        "-k",
        "int4",
        f"--gate-config={manifest_with(tmp_path, damaged)}",
        f"--gate-baselines={ROOT / 'baselines'}",
    )
    assert done.returncode == 1, done.stdout
    assert verdicts["embedded-int4-ort-cpu", "kl_divergence", "kl_mean"] == "REGRESSION"
    assert "times the baseline" in done.stdout
    command = 'quantgate run -m kl_divergence -k "[embedded-int4-ort-cpu]"'
    assert f"accept: {command} --gate-update-baselines" in done.stdout


def test_re_exported_package_stays_green(tmp_path, cache, int4):
    copy = tmp_path / "copy"
    re_export(int4, copy)
    done, verdicts = run_gate(
        tmp_path,
        cache,
        "-k",
        "int4",
        f"--gate-config={manifest_with(tmp_path, copy)}",
        f"--gate-baselines={ROOT / 'baselines'}",
    )
    assert done.returncode == 0, done.stdout
    assert set(verdicts.values()) == {"PASS"}
