"""`quantgate doctor`: what would fail a run is told with the command that mends it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time

import pytest

from quantgate.baselines.store import BaselineStore
from quantgate.cli import main
from quantgate.doctor import caches, machine
from quantgate.doctor.findings import Level
from tests.command_line import Workspace
from tests.storing import CASE, answers, measure, update

SOUND, AILING = 0, 1


@pytest.fixture
def workspace(tmp_path, built, mmlu_folder, text_file, monkeypatch):
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_BASE_REF"):
        monkeypatch.delenv(name, raising=False)
    made = Workspace(
        tmp_path / "workspace",
        reference=built["fp32"],
        candidate=built["int4"],
        mmlu=mmlu_folder,
        text=text_file,
        cache=tmp_path / "cache",
    )
    monkeypatch.chdir(made.folder)
    return made


@pytest.fixture
def ask(workspace, capsys):
    """Ask the doctor; its status and words."""

    def ask(*words):
        status = main(["doctor", f"--cache-dir={workspace.cache}", *words])
        return status, capsys.readouterr().out

    return ask


def failures(text):
    return [line for line in text.splitlines() if line.startswith("  FAIL")]


def test_a_sound_project_is_told_to_be_one_and_quickly(ask):
    ask()  # the first call imports runtimes
    begin = time.monotonic()
    status, text = ask()
    assert status == SOUND, text
    assert time.monotonic() - begin < 10
    assert not failures(text)
    assert "cpu loads and runs" in text
    assert "tiny int4" in text
    assert "isn't pinned" in text
    assert "text_sha256 = " in text
    assert "0 of 2 cases have one" in text
    assert "GiB of memory available" in text


def test_no_manifest_is_no_fault_but_a_named_one_must_be_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", f"--cache-dir={tmp_path}"]) == SOUND
    assert main(["doctor", "--manifest", "gone.toml"]) == AILING
    assert "manifest-unreadable" in capsys.readouterr().out


def test_nothing_is_written(workspace, ask):
    before = sorted(workspace.folder.parent.rglob("*"))
    ask()
    assert sorted(workspace.folder.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("edit", "told", "fix"),
    [
        (("window = 128", "window = 4096"), "longer than its context", "tasks.perplexity"),
        (('text = "text.txt"', 'text = "gone.txt"'), "gone.txt", "fix:"),
        (("[runtime]", f'text_sha256 = "{"0" * 64}"\n[runtime]'), "dataset-pin", "fix:"),
        (("threads = 2", "threads = 2\nthread = 1"), "manifest-unknown-key", "correct line"),
        (('name = "int4"', 'name = "int4"\nproviders = ["cuda"]'), "provider-unavailable", "pip"),
        (("kl_mean]", "kl_meen]"), "policy-metric", "correct the name"),
    ],
)
def test_what_would_fail_a_run_is_told_with_its_cure(workspace, ask, edit, told, fix):
    workspace.edit(*edit)
    status, text = ask()
    assert status == AILING, text
    line, *_ = [each for each in failures(text) if told in each]
    assert fix in text.partition(line)[2].splitlines()[1]
    assert text.rstrip().endswith("would fail a run")


def test_a_damaged_package_is_found_without_loading_it(workspace, ask, built):
    broken = workspace.folder / "broken"
    shutil.copytree(built["int4"], broken)
    data = broken / "model.onnx.data"
    data.write_bytes(data.read_bytes()[:-100])
    workspace.edit(str(built["int4"]), str(broken))
    status, text = ask()
    assert status == AILING
    assert "external-data-short" in text


def test_weights_beyond_the_memory_are_told(workspace, ask, monkeypatch):
    import psutil

    real = psutil.virtual_memory()
    monkeypatch.setattr(psutil, "virtual_memory", lambda: real._replace(available=1000))
    status, text = ask()
    assert status == AILING
    assert "memory-short" in text


def test_a_damaged_baseline_is_told(workspace, ask):
    path = workspace.folder / "baselines" / "tiny" / "int4-ort-cpu.json"
    path.parent.mkdir(parents=True)
    path.write_text("<<<<<<< HEAD", encoding="utf-8")
    status, text = ask()
    assert status == AILING
    assert "int4-ort-cpu.json" in "".join(failures(text))


@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_items_of_a_baseline_are_told_and_missing_ones_noted(workspace, ask, damage):
    store = BaselineStore(workspace.folder / "baselines")
    update(store, measure(detail=answers({"law": 8})))
    items = store.items_path(CASE)
    if damage == "gone":
        items.unlink()
        status, text = ask()
        assert status == SOUND, text
        line, *_ = [each for each in text.splitlines() if "lacks the items of mmlu" in each]
        assert line.startswith("  note")
        return
    items.write_bytes(items.read_bytes()[:-20])
    status, text = ask()
    assert status == AILING, text
    (line,) = failures(text)
    assert "baseline-items" in line
    assert items.name in line


def test_a_base_that_can_t_be_reached_is_told(workspace, ask):
    status, text = ask("--baseline-ref=origin/main")
    assert status == AILING
    assert "git" in text
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.org"]
    for words in (["init", "-q"], ["add", "quantgate.toml"], ["commit", "-q", "-m", "x"]):
        subprocess.run([*git, *words], cwd=workspace.folder, check=True)
    status, text = ask("--baseline-ref=origin/main")
    assert status == AILING
    assert "git fetch origin" in text
    subprocess.run(
        [*git, "update-ref", "refs/remotes/origin/main", "HEAD"], cwd=workspace.folder, check=True
    )
    status, text = ask("--baseline-ref=origin/main")
    assert status == SOUND, text
    assert "merge base with origin/main is there" in text


@pytest.mark.parametrize("needed", [True, False])
def test_a_missing_runtime_fails_only_who_needs_it(monkeypatch, needed):
    monkeypatch.setitem(
        machine.RUNTIMES, "torch", ("no_such_torch", ("none",), "pip install torch")
    )
    found = list(machine.check_runtimes({"torch"} if needed else {"ort"}))
    (missing,) = [each for each in found if "no no_such_torch" in each.what]
    assert missing.level is (Level.FAIL if needed else Level.NOTE)
    assert missing.fix == "pip install torch"


def test_a_provider_that_is_listed_and_doesn_t_run_is_found_out(monkeypatch):
    import onnxruntime

    listed = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    found = {each.what.partition(":")[0]: each for each in machine.check_providers({"cuda"})}
    assert found["cpu loads and runs"].level is Level.OK
    assert found["cuda"].level is Level.FAIL
    optional = {each.what.partition(":")[0]: each for each in machine.check_providers({"cpu"})}
    assert optional["cuda"].level is Level.NOTE


def test_a_lock_of_a_living_run_is_told_and_one_without_holder_is_not(tmp_path):
    from filelock import FileLock

    turns = tmp_path / "turns"
    turns.mkdir()
    (turns / "a.owner").write_text("held by process 1 on elsewhere", encoding="utf-8")
    with FileLock(turns / "a.lock"):
        (held,) = [f for f in caches.check_caches(tmp_path) if "at work" in f.what]
    assert held.level is Level.NOTE
    assert not [f for f in caches.check_caches(tmp_path) if "at work" in f.what]


def test_fault_59_a_lock_of_a_dead_owner_is_a_fault_with_its_cure(tmp_path):
    import socket

    from filelock import FileLock

    dead = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    turns = tmp_path / "turns"
    turns.mkdir()
    owner = f"held by process {dead.stdout.strip()} on {socket.gethostname()}"
    (turns / "a.owner").write_text(owner, encoding="utf-8")
    with FileLock(turns / "a.lock"):  # as a network file system keeps it
        found = [f for f in caches.check_caches(tmp_path) if f.level is Level.FAIL]
    assert "stale lock" in found[0].what
    assert f"rm {turns / 'a.lock'}" in found[0].fix


def test_what_killed_runs_left_is_told_with_the_command_that_removes_it(tmp_path):
    folder = tmp_path / "packages"
    folder.mkdir()
    left = folder / ".int4-abc.4194303-a1b2.tmp"
    left.mkdir()
    (told,) = [f for f in caches.check_caches(tmp_path) if str(left) in f.what]
    assert (told.level, told.fix) == (Level.NOTE, f"rm -r {left}")


def test_a_full_disk_and_a_read_only_cache_are_faults(tmp_path, monkeypatch):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: full)
    monkeypatch.setattr(caches.os, "access", lambda place, mode: False)
    found = [f.what for f in caches.check_caches(tmp_path / "not" / "yet") if f.level is Level.FAIL]
    assert len(found) == 2
    assert any("can't be written" in each for each in found)


def test_a_hostile_path_can_t_move_the_terminal(workspace, ask, built):
    hostile = workspace.folder / "a\x1b[31m\nok"
    shutil.copytree(built["int4"], hostile)
    (hostile / "genai_config.json").write_text("{", encoding="utf-8")
    workspace.edit(f'"{built["int4"]}"', json.dumps(str(hostile)))
    status, text = ask()
    assert status == AILING
    assert "\x1b" not in text
