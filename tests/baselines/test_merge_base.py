"""Baselines as of the merge base, so that a branch can't loosen its own gate."""

from __future__ import annotations

from pathlib import Path

import pytest

from quantgate import storage
from quantgate.baselines.store import BaselineStore
from quantgate.cases import Case, Package
from quantgate.errors import UsageFault
from quantgate.results import Limits, Tolerance
from tests.storing import CASE, FACTS, answers, git, limits, measure, update


@pytest.fixture
def pull_request(tmp_path):
    """A repository whose `main` holds a baseline and whose branch loosens it."""
    repository = tmp_path / "répo with space"
    repository.mkdir()
    store = BaselineStore(repository / "baselines")
    git(repository, "init", "-q", "-b", "main")
    update(store, measure(0.8))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "baseline")
    git(repository, "checkout", "-q", "-b", "branch")
    wide = Limits(baseline=Tolerance(kind="absolute", value=0.5))
    update(store, measure(0.4), limits=lambda *_: wide, reason="loosen")
    git(repository, "commit", "-q", "-a", "-m", "loosen")
    return store


def test_fault_47_gate_reads_the_merge_base(pull_request):
    assert pull_request.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.4
    gate = BaselineStore(pull_request.root, git_ref="main")
    entry = gate.read(CASE).tasks["mmlu"].metrics["accuracy"]
    assert (entry.value, entry.tolerance.value) == (0.8, 0.01)
    assert gate.changed_since_ref() == ["tiny/int4-ort-cpu.json"]


def test_fault_47_merge_base_and_not_the_tip(pull_request):
    repository = pull_request.root.parent
    git(repository, "checkout", "-q", "main")
    update(pull_request, measure(0.9), reason="main went on")
    git(repository, "commit", "-q", "-a", "-m", "later")
    git(repository, "checkout", "-q", "branch")
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert gate.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


def test_fault_47_uncommitted_new_and_deleted_files_are_named(pull_request):
    git(pull_request.root.parent, "checkout", "-q", "main")
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert gate.changed_since_ref() == []
    storage.write_atomically(pull_request.root / "new" / "größe.json", b"{}")
    pull_request.path(CASE).unlink()
    assert gate.changed_since_ref() == ["new/größe.json", "tiny/int4-ort-cpu.json"]


def test_fault_47_deleting_the_folder_does_not_help(pull_request):
    git(pull_request.root.parent, "rm", "-q", "-r", "baselines")
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert gate.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


def test_fault_47_new_baseline_of_the_request_does_not_count(pull_request):
    other = Case(
        model="tiny", variant="int8", precision="int8", backend="ort", provider="cpu",
        package=Package(path=Path("model")),
    )  # fmt: skip
    measured = measure(case_id=other.id)
    pull_request.update(other, [measured], limits, reason="new", provenance=FACTS)
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert pull_request.read(other) is not None
    assert gate.read(other) is None
    assert "tiny/int8-ort-cpu.json" in gate.changed_since_ref()


def test_fault_47_hook_variables_do_not_mislead(pull_request, monkeypatch, tmp_path):
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    gate = BaselineStore(pull_request.root, git_ref="main")
    assert gate.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8


@pytest.mark.parametrize("ref", ["no-such-branch", "--output=stolen", ""])
def test_fault_47_unknown_ref(pull_request, ref):
    with pytest.raises(UsageFault, match="no such commit"):
        BaselineStore(pull_request.root, git_ref=ref)
    assert not (pull_request.root.parent / "stolen").exists()


def test_fault_47_no_common_history(pull_request):
    repository = pull_request.root.parent
    git(repository, "checkout", "-q", "--orphan", "island")
    git(repository, "commit", "-q", "-m", "island")
    with pytest.raises(UsageFault, match="fetch-depth"):
        BaselineStore(pull_request.root, git_ref="main")


def test_fault_47_outside_a_repository(store, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(store.root.parent.parent))
    with pytest.raises(UsageFault, match="git repository"):
        BaselineStore(store.root, git_ref="main")


def test_fault_47_without_git(pull_request, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageFault) as caught:
        BaselineStore(pull_request.root, git_ref="main")
    assert caught.value.code == "baseline-git"


def test_fault_47_items_come_from_the_merge_base(tmp_path):
    store = BaselineStore(tmp_path / "baselines")
    git(tmp_path, "init", "-q", "-b", "main")
    update(store, measure(0.8, detail=answers({"law": 40})))
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "baseline")
    agreed = store.items(CASE, "mmlu")
    git(tmp_path, "checkout", "-q", "-b", "branch")
    update(store, measure(0.4, detail=answers({"law": 40}, seed=1)), reason="loosen")
    gate = BaselineStore(store.root, git_ref="main")
    assert gate.items(CASE, "mmlu").chosen.tolist() == agreed.chosen.tolist()
    assert store.items(CASE, "mmlu").chosen.tolist() != agreed.chosen.tolist()
    assert gate.changed_since_ref() == [
        "tiny/int4-ort-cpu.items.safetensors",
        "tiny/int4-ort-cpu.json",
    ]
    store.items_path(CASE).unlink()
    store.path(CASE).unlink()
    assert gate.items(CASE, "mmlu") is not None
    assert gate.check(CASE) == []


def test_fault_47_an_ignored_submodule_is_still_named(pull_request):
    repository = pull_request.root.parent
    place = "baselines/sub"
    settings = f'[submodule "s"]\n\tpath = {place}\n\turl = ../s\n\tignore = all\n'
    (repository / ".gitmodules").write_text(settings, encoding="utf-8")
    git(repository, "add", ".gitmodules")
    for commit in ("main", "branch"):
        digest = git(repository, "rev-parse", commit)
        git(repository, "update-index", "--add", "--cacheinfo", f"160000,{digest},{place}")
        git(repository, "commit", "-q", "-m", f"submodule at {commit}")
    assert BaselineStore(pull_request.root, git_ref="HEAD~1").changed_since_ref() == ["sub"]


@pytest.fixture
def upstream(tmp_path) -> tuple[Path, str]:
    """A repository whose `main` went on after a pull request was merged with it for testing."""
    home = tmp_path / "upstream"
    home.mkdir()
    git(home, "init", "-q", "-b", "main")
    git(home, "config", "uploadpack.allowAnySHA1InWant", "true")
    store = BaselineStore(home / "baselines")
    update(store, measure(0.8, detail=answers({"law": 4})))
    git(home, "add", "-A")
    git(home, "commit", "-q", "-m", "baseline")
    git(home, "checkout", "-q", "-b", "request")
    update(store, measure(0.4), limits=wide, reason="loosen")
    git(home, "add", "-A")
    git(home, "commit", "-q", "-m", "loosen")
    git(home, "checkout", "-q", "--detach", "main")
    git(home, "merge", "-q", "--no-ff", "request", "-m", "merge")
    merge = git(home, "rev-parse", "HEAD")
    git(home, "update-ref", "refs/pull/1/merge", merge)
    git(home, "checkout", "-q", "main")
    update(store, measure(0.9), reason="main went on")
    git(home, "add", "-A")
    git(home, "commit", "-q", "-m", "later")
    return home, merge


def wide(task, metric):
    return Limits(baseline=Tolerance(kind="absolute", value=0.5))


def check_out(folder: Path, upstream: tuple[Path, str], *depth: str) -> BaselineStore:
    """What actions/checkout does: fetch the merge commit alone and detach there."""
    home, merge = upstream
    folder.mkdir()
    git(folder, "init", "-q", ".")
    git(folder, "remote", "add", "origin", home.as_uri())
    wanted = f"+{merge}:refs/remotes/pull/1/merge"
    every = () if depth else ("+refs/heads/*:refs/remotes/origin/*",)
    git(folder, "fetch", "-q", "--no-tags", *depth, "origin", *every, wanted)
    git(folder, "checkout", "-q", "--force", "refs/remotes/pull/1/merge")
    return BaselineStore(folder / "baselines")


def test_fault_47_detached_merge_commit_of_a_pull_request(tmp_path, upstream):
    store = check_out(tmp_path / "job", upstream)
    assert store.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.4
    gate = BaselineStore(store.root, git_ref="origin/main")
    assert gate.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8
    assert gate.items(CASE, "mmlu") is not None
    assert gate.changed_since_ref() == [
        "tiny/int4-ort-cpu.items.safetensors",
        "tiny/int4-ort-cpu.json",
    ]


def test_fault_47_shallow_clone_is_refused_with_the_command_that_mends_it(tmp_path, upstream):
    folder = tmp_path / "job"
    store = check_out(folder, upstream, "--depth=1")
    with pytest.raises(UsageFault) as caught:
        BaselineStore(store.root, git_ref="origin/main")
    git(folder, "fetch", "-q", "origin", "main")  # the tip alone is no common history
    with pytest.raises(UsageFault) as later:
        BaselineStore(store.root, git_ref="origin/main")
    assert "shallow" in later.value.found
    for fault in (caught.value, later.value):
        assert fault.code == "baseline-git"
        assert "fetch-depth: 0" in fault.fix
    command = caught.value.fix.split("`")[1]
    assert command == later.value.fix.split("`")[1]
    words = command.split()
    assert words[:2] == ["git", "fetch"]
    git(folder, *words[1:])
    gate = BaselineStore(store.root, git_ref="origin/main")
    assert gate.read(CASE).tasks["mmlu"].metrics["accuracy"].value == 0.8
