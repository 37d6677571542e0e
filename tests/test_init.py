"""`quantgate init`: what it finds, what it writes, and that the gate takes it."""

from __future__ import annotations

import re
import shutil
import subprocess

import onnx
import pytest
import yaml

from quantgate.cli import main
from quantgate.corpora import Corpora
from quantgate.manifest.manifest import load_manifest
from tests.github.repository import Repository
from tests.github.test_changed import touched
from tests.quantizing import bnb4
from tests.tiny_models import Tiny, write_package

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ACTION = f"--action=owner/name@{COMMIT}"
REFUSED = 4


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder, and the working one."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def workstation(tmp_path, monkeypatch):
    """No CI, and a cache of one's own."""
    for name in ("CI", "GITHUB_ACTIONS", "GITHUB_BASE_REF"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("QUANTGATE_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def project(folder, built):
    """A repository with packages of one model in three precisions, and nothing else."""
    for name in ("fp32", "int8", "int4"):
        shutil.copytree(built[name], folder / "models" / f"tiny-{name}")
    repository = Repository(folder)
    repository.git("init", "-q", "-b", "trunk")
    repository.commit("packages")
    return folder


def test_precisions_are_read_from_the_graphs_and_the_least_rounded_is_the_reference(
    project, capsys
):
    assert main(["init", "models", "--no-baseline", ACTION]) == 0
    (model,) = load_manifest(project / "quantgate.toml").models
    assert model.name == "tiny"
    assert (model.reference.name, model.reference.precision) == ("fp32", "fp32")
    assert model.reference.path == "models/tiny-fp32"
    variants = {(v.name, v.precision, v.path) for v in model.variants}
    assert variants == {
        ("int4", "int4", "models/tiny-int4"),
        ("int8", "int8", "models/tiny-int8"),
    }
    assert "--gate-update-baselines" in capsys.readouterr().out


def test_a_name_that_lies_about_the_precision_is_not_believed(folder, built, capsys):
    shutil.copytree(built["int4"], folder / "a-fp32")
    shutil.copytree(built["fp16"], folder / "a-int4")
    assert main(["init", "--no-baseline", ACTION]) == 0
    (model,) = load_manifest(folder / "quantgate.toml").models
    assert (model.reference.path, model.reference.precision) == ("a-int4", "fp16")
    assert (model.variants[0].path, model.variants[0].precision) == ("a-fp32", "int4")


@pytest.mark.parametrize("vocabulary", [268, 4000])
def test_packed_floats_are_a_variant_of_four_bits(folder, vocabulary, capsys):
    """Also where most weights are those of a head that was left as it is."""
    source = write_package(folder / "tiny-fp32", Tiny(vocabulary=vocabulary))
    bnb4(source, folder / "tiny-a", left=["logits"])
    assert main(["init", "--no-baseline", ACTION]) == 0
    (model,) = load_manifest(folder / "quantgate.toml").models
    assert model.reference.path == "tiny-fp32"
    assert [(v.path, v.precision) for v in model.variants] == [("tiny-a", "nf4")]


def test_a_package_that_is_not_understood_is_no_reference(folder, capsys):
    source = write_package(folder / "tiny-b", Tiny())
    strange = bnb4(source, folder / "tiny-a", left=["logits"])
    model = onnx.load(strange / "model.onnx", load_external_data=False)
    for node in model.graph.node:
        node.op_type = node.op_type.replace("MatMulBnb4", "MatMulFpQ4")
    (strange / "model.onnx").write_bytes(model.SerializeToString())
    assert main(["init", "--no-baseline", ACTION]) == 0
    (model,) = load_manifest(folder / "quantgate.toml").models
    assert model.reference.path == "tiny-b"
    assert [(v.path, v.precision) for v in model.variants] == [("tiny-a", "auto")]


def test_the_reference_may_be_named(project):
    words = ["--reference", "models/tiny-int8"]
    assert main(["init", "models", "--no-baseline", ACTION, *words]) == 0
    (model,) = load_manifest(project / "quantgate.toml").models
    assert model.reference.name == "int8"
    assert {variant.name for variant in model.variants} == {"fp32", "int4"}


def test_packages_of_different_models_are_not_held_against_each_other(folder, built):
    shutil.copytree(built["fp32"], folder / "one" / "fp32")
    shutil.copytree(built["int4"], folder / "one" / "int4")
    write_package(folder / "two" / "fp32", Tiny(vocabulary=2000))
    assert main(["init", "--no-baseline", ACTION]) == 0
    models = {model.name: model for model in load_manifest(folder / "quantgate.toml").models}
    assert models.keys() == {"one", "two"}
    assert models["one"].reference.name == "fp32"
    assert models["two"].reference is None


def test_what_is_written_holds_the_gate_s_rules(project):
    assert main(["init", "models", "--no-baseline", ACTION]) == 0
    workflows = project / ".github" / "workflows"
    gate = yaml.safe_load((workflows / "quantgate.yml").read_text(encoding="utf-8"))
    (job,) = gate["jobs"].values()
    assert job["steps"][1]["uses"] == f"owner/name@{COMMIT}"
    assert job["steps"][1]["with"]["manifest"] == "quantgate.toml"
    assert gate[True]["push"]["branches"] == ["trunk"]
    comment = (workflows / "quantgate-comment.yml").read_text(encoding="utf-8")
    assert f"owner/name/actions/comment@{COMMIT}" in comment
    assert not re.search("@[A-Z_]+@", comment + str(gate))
    assert "reports/" in (project / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_windows_fit_the_shortest_context(folder, tmp_path):
    write_package(folder / "short", Tiny(context=256))
    assert main(["init", "--no-baseline", ACTION]) == 0
    tasks = load_manifest(folder / "quantgate.toml").tasks
    assert (tasks.perplexity.window, tasks.kl_divergence.window) == (256, 256)
    assert tasks.perplexity.stride == 128
    assert tasks.mmlu.overflow == "drop_shots"


def test_data_of_one_s_own_are_pinned(project, mmlu_folder, text_file):
    shutil.copyfile(text_file, project / "text.txt")
    words = [f"--mmlu={mmlu_folder}", "--text=text.txt"]
    assert main(["init", "models", "--no-baseline", ACTION, *words]) == 0
    data = load_manifest(project / "quantgate.toml").data
    assert data.text == "text.txt"
    assert len(data.mmlu_sha256) == len(data.text_sha256) == 64
    corpora = Corpora(load_manifest(project / "quantgate.toml"))
    assert corpora.mmlu.files_digest == data.mmlu_sha256
    assert corpora.text.files_digest == data.text_sha256


def test_files_that_are_there_stay_unless_told(project, capsys):
    (project / "quantgate.toml").write_text("mine", encoding="utf-8")
    (project / ".gitignore").write_text("*.tmp", encoding="utf-8")
    assert main(["init", "models", "--no-baseline", ACTION]) == REFUSED
    assert "files-there" in capsys.readouterr().err
    assert (project / "quantgate.toml").read_text(encoding="utf-8") == "mine"
    assert not (project / ".github").exists()
    assert main(["init", "models", "--no-baseline", "--force", ACTION]) == 0
    ignored = (project / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert ignored == ["*.tmp", "reports/", ".benchmarks/", ".quantgate/"]
    assert main(["init", "models", "--no-baseline", "--force", ACTION]) == 0
    assert (project / ".gitignore").read_text(encoding="utf-8").count("reports/") == 1


def test_baselines_that_are_there_are_not_measured_over(project, capsys):
    stored = project / "baselines" / "tiny" / "int4-ort-cpu.json"
    stored.parent.mkdir(parents=True)
    stored.write_text("{}", encoding="utf-8")
    assert main(["init", "models", ACTION]) == REFUSED
    assert "baselines" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["models", "--action=owner/name@main"], "action-unpinned"),
        (["models", "--action=owner/name"], "action-unpinned"),
        (["models", ACTION, "--reference=elsewhere"], "reference-unknown"),
        (["models", ACTION, "--text=gone.txt"], "gone.txt"),
        (["models", ACTION, "--branch=${{ secrets.X }}"], "workflow-expression"),
        ([".github", ACTION], "no-packages"),
    ],
)
def test_what_can_t_be_used_is_refused_before_anything_is_written(project, capsys, words, code):
    (project / ".github").mkdir()
    assert main(["init", "--no-baseline", *words]) == REFUSED
    assert code in capsys.readouterr().err
    assert not (project / "quantgate.toml").exists()


def test_a_broken_package_is_left_out_and_told(project, capsys):
    (project / "models" / "tiny-int8" / "genai_config.json").write_text("{", encoding="utf-8")
    assert main(["init", "models", "--no-baseline", ACTION]) == 0
    assert "left out" in capsys.readouterr().out
    (model,) = load_manifest(project / "quantgate.toml").models
    assert [variant.name for variant in model.variants] == ["int4"]


def test_a_manifest_below_the_root_is_named_in_workflows_at_the_root(folder, built):
    subprocess.run(["git", "init", "-q", "-b", "main", folder], check=True)
    shutil.copytree(built["fp32"], folder / "sub dir" / "tiny-fp32")
    assert main(["init", "sub dir", "--into", "sub dir", "--no-baseline", ACTION]) == 0
    text = (folder / ".github" / "workflows" / "quantgate.yml").read_text(encoding="utf-8")
    (job,) = yaml.safe_load(text)["jobs"].values()
    assert job["steps"][1]["with"]["manifest"] == "sub dir/quantgate.toml"
    (model,) = load_manifest(folder / "sub dir" / "quantgate.toml").models
    assert model.variants[0].path == "tiny-fp32"


def test_the_first_baseline_is_measured_and_a_request_then_touches_what_it_changes(
    project, text_file, mmlu_folder, workstation, capfd
):
    shutil.rmtree(project / "models" / "tiny-int8")
    text = text_file.read_text(encoding="utf-8")
    (project / "text.txt").write_text(text[: len(text) // 2], encoding="utf-8")
    words = [f"--mmlu={mmlu_folder}", "--text=text.txt"]
    status = main(["init", "models", ACTION, *words])
    out = capfd.readouterr().out
    assert "BASELINES UPDATED" in out, out
    assert "wrote quantgate.toml" in out.partition("test session starts")[0]
    assert status in (0, 1), out  # a random model answers by chance, which a gate may refuse
    assert (project / "baselines" / "tiny" / "int4-ort-cpu.json").is_file()
    repository = Repository(project)
    repository.commit("gate")
    repository.publish()
    assert touched(repository).groups == ()
    (project / "models" / "tiny-int4" / "README").write_text("x", encoding="utf-8")
    assert touched(repository).groups == ("tiny-int4",)
