"""Which models a pull request touches: left out only where git proves that nothing differs."""

from __future__ import annotations

import pytest

from quantgate.errors import UsageFault
from quantgate.github.changed import select
from quantgate.github.settings import MOST_LINES, changed_settings
from quantgate.manifest.manifest import load_manifest
from tests.github.repository import Repository

TWO_MODELS = """
schema_version = 1
[data]
mmlu = "data/mmlu"
text = "data/text.txt"
[[models]]
name = "a"
[models.reference]
name = "fp32"
precision = "fp32"
path = "models/a/fp32"
[[models.variants]]
name = "int4"
precision = "int4"
path = "models/a/int4"
[[models.variants]]
name = "int8"
precision = "int8"
path = "models/a/int8"
[[models]]
name = "b"
[[models.variants]]
name = "int4"
precision = "int4"
build = { source = "checkpoints/b", precision = "int4" }
[[models]]
name = "c"
[[models.variants]]
name = "int4"
precision = "int4"
build = { source = "embedded", precision = "int4" }
"""
FILES = (
    "models/a/fp32/model.onnx",
    "models/a/int4/model.onnx",
    "models/a/int4/sub/weights.data",
    "models/a/int8/model.onnx",
    "checkpoints/b/config.json",
    "data/mmlu/test/x.csv",
    "data/text.txt",
    "baselines/a/int4-ort-cpu.json",
    "baselines/a/int4-ort-cpu.items.safetensors",
    "baselines/b/int4-ort-cpu.json",
    "models/README.md",
    "constraints.txt",
)
ALL = ("a-fp32", "a-int4", "a-int8", "b-int4", "c-int4")


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    (folder / "quantgate.toml").write_text(TWO_MODELS, encoding="utf-8")
    made = Repository(folder)
    made.git("init", "-q", "-b", "main")
    made.commit("first")
    made.publish()
    return made


def touched(repository, base="origin/main", **keywords):
    return select(load_manifest(repository.folder / "quantgate.toml"), base, **keywords)


def test_nothing_changed_selects_nothing(repository):
    selection = touched(repository)
    assert (selection.groups, selection.everything, selection.expression) == ((), False, "")


@pytest.mark.parametrize(
    ("changed", "groups"),
    [
        ("models/README.md", ()),
        ("models/a/int4/model.onnx", ("a-int4",)),
        ("models/a/int4/sub/weights.data", ("a-int4",)),
        ("models/a/int4/a new file", ("a-int4",)),
        ("models/a/fp32/model.onnx", ("a-fp32", "a-int4", "a-int8")),
        ("checkpoints/b/config.json", ("b-int4",)),
        ("baselines/a/int4-ort-cpu.json", ("a-int4",)),
        ("baselines/a/int4-ort-cpu.items.safetensors", ("a-int4",)),
        ("baselines/a/strange.json", ALL),
        ("data/mmlu/test/x.csv", ALL),
        ("data/text.txt", ALL),
        ("quantgate.toml", ALL),
        (".github/workflows/gate.yml", ALL),
        ("constraints.txt", ALL),
    ],
)
@pytest.mark.parametrize("committed", [True, False])
def test_a_change_touches_what_rests_on_it(repository, changed, groups, committed):
    path = repository.folder / changed
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as stream:
        stream.write("\n# changed\n")
    if committed:
        repository.commit("change")
    selection = touched(repository, watched=[repository.folder / "constraints.txt"])
    assert selection.groups == groups
    assert selection.everything == (groups == ALL)
    assert all(selection.reasons)


def test_a_deleted_file_and_an_ignored_one_count(repository):
    (repository.folder / "models/a/int8/model.onnx").unlink()
    (repository.folder / ".gitignore").write_text("*.data\n", encoding="utf-8")
    (repository.folder / "models/a/int4/ignored.data").write_text("x", encoding="utf-8")
    repository.commit("change")
    assert touched(repository).groups == ("a-int4", "a-int8")


def test_what_the_base_branch_changed_meanwhile_is_not_the_request_s(repository):
    repository.git("checkout", "-q", "-b", "request")
    (repository.folder / "models/a/int8/model.onnx").write_text("mine", encoding="utf-8")
    repository.commit("mine")
    repository.git("checkout", "-q", "main")
    (repository.folder / "models/a/int4/model.onnx").write_text("theirs", encoding="utf-8")
    repository.commit("theirs")
    repository.publish()
    repository.git("checkout", "-q", "request")
    assert touched(repository).groups == ("a-int8",)


def test_a_linked_package_is_touched_by_what_it_leads_to(repository):
    store = repository.folder / "store"
    (repository.folder / "models/a/int8").rename(store)
    (repository.folder / "models/a/int8").symlink_to("../../store")
    repository.commit("link")
    repository.publish()
    assert touched(repository).groups == ()
    (store / "model.onnx").write_text("other", encoding="utf-8")
    assert touched(repository).groups == ("a-int8",)


def test_a_package_outside_the_repository_is_always_measured(repository, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    manifest = repository.folder / "quantgate.toml"
    manifest.write_text(TWO_MODELS.replace("models/a/int8", "../elsewhere"), encoding="utf-8")
    repository.commit("elsewhere")
    repository.publish()
    selection = touched(repository)
    assert selection.groups == ("a-int8",)
    assert "git can't tell" in selection.reasons[0]


def test_a_submodule_s_entry_touches_the_packages_in_it(repository):
    commit = repository.git("rev-parse", "HEAD")
    repository.git("rm", "-r", "-q", "--cached", "models/a")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},models/a")
    repository.git("commit", "-q", "-m", "submodule")
    repository.publish()
    other = repository.git("rev-parse", "HEAD")
    repository.git("update-index", "--cacheinfo", f"160000,{other},models/a")
    repository.git("commit", "-q", "-m", "newer submodule")
    assert {"a-fp32", "a-int4", "a-int8"} <= set(touched(repository).groups)


def test_a_submodule_that_git_is_told_to_ignore_hides_no_package(repository):
    (repository.folder / ".gitmodules").write_text(
        '[submodule "m"]\n\tpath = models/a/int4\n\turl = ../m\n\tignore = all\n', encoding="utf-8"
    )
    repository.git("rm", "-r", "-q", "--cached", "models/a/int4")
    commit = repository.git("rev-parse", "HEAD")
    repository.git("update-index", "--add", "--cacheinfo", f"160000,{commit},models/a/int4")
    repository.git("add", ".gitmodules")
    repository.git("commit", "-q", "-m", "submodule")
    repository.publish()
    assert touched(repository).groups == ()
    other = repository.git("rev-parse", "HEAD")
    repository.git("update-index", "--cacheinfo", f"160000,{other},models/a/int4")
    repository.git("commit", "-q", "-m", "newer submodule")
    assert touched(repository).groups == ("a-int4",)
    repository.git("config", "-f", ".gitmodules", "submodule.m.url", "../elsewhere")
    assert touched(repository).groups == ALL


def test_fault_67_without_models_the_run_is_left_to_fail(repository):
    manifest = repository.folder / "quantgate.toml"
    manifest.write_text(TWO_MODELS.partition("[[models]]")[0], encoding="utf-8")
    for base, why in (("origin/main", "quantgate.toml differs"), (None, "no base")):
        selection = touched(repository, base)
        assert (selection.groups, selection.everything, selection.expression) == ((), True, "")
        assert why in selection.reasons[0]
    repository.commit("no models")
    repository.publish()
    selection = touched(repository)
    assert (selection.everything, selection.reasons) == (
        True,
        ("all: quantgate.toml names no models",),
    )


def test_what_is_watched_outside_the_repository_is_beyond_git(repository, tmp_path):
    assert touched(repository, watched=[repository.folder / "not-there.txt"]).groups == ()
    selection = touched(repository, watched=[tmp_path / "pins.txt"])
    assert (selection.groups, selection.everything) == (ALL, True)
    assert "git can't tell" in selection.reasons[0]


def test_without_a_base_everything_is_measured(repository):
    selection = touched(repository, base=None)
    assert selection.groups == ALL
    assert selection.expression == ""


@pytest.mark.parametrize("base", ["origin/gone", "--upload-pack=touch pwned", "$(touch pwned)"])
def test_a_base_that_is_not_there_is_refused_not_passed_over(repository, base):
    with pytest.raises(UsageFault, match="baseline-git"):
        touched(repository, base=base)
    assert not (repository.folder / "pwned").exists()


def test_the_expression_selects_no_other_model_of_a_like_name(repository):
    selection = touched(repository)
    assert selection.expression == ""
    (repository.folder / "models/a/int4/model.onnx").write_text("x", encoding="utf-8")
    (repository.folder / "checkpoints/b/config.json").write_text("x", encoding="utf-8")
    assert touched(repository).expression == "[a-int4- or [b-int4-"


def test_fault_47_what_a_request_changes_in_the_manifest_is_told(repository):
    manifest = repository.folder / "quantgate.toml"
    assert changed_settings(manifest, "origin/main") == []
    policy = "[policy.mmlu.accuracy]\nbaseline = { absolute = 0.9 }\n[[models]]"
    text = TWO_MODELS.replace("[[models]]", policy, 1).replace("models/a/int8", "models/a/int4")
    manifest.write_text(text, encoding="utf-8")
    repository.commit("loosen")
    assert changed_settings(manifest, "origin/main") == [
        "models[a].variants[int8].path: 'models/a/int8' -> 'models/a/int4'",
        "policy.mmlu.accuracy.baseline.absolute: absent -> 0.9",
    ]
    repository.publish()
    assert changed_settings(manifest, "origin/main") == []


def test_fault_47_a_new_manifest_and_one_that_was_broken_are_told(repository):
    new = repository.folder / "new.toml"
    new.write_text("schema_version = 1", encoding="utf-8")
    assert changed_settings(new, "origin/main") == ["new.toml is new"]
    new.write_text("[[", encoding="utf-8")
    repository.commit("broken")
    repository.publish()
    new.write_text("\n".join(f"k{n} = {n}" for n in range(90)), encoding="utf-8")
    (line,) = changed_settings(new, "origin/main")
    assert "couldn't be read" in line
    manifest = repository.folder / "quantgate.toml"
    with manifest.open("a", encoding="utf-8") as stream:
        stream.write("\n".join(f"k{n} = {n}" for n in range(90)))
    lines = changed_settings(manifest, "origin/main")
    assert (len(lines), lines[-1]) == (MOST_LINES + 1, f"and {90 - MOST_LINES} more")
