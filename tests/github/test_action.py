"""The action's own shell steps, run against a scratch repository as a runner would run them."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.damage import damage_package, re_export
from tests.github.job import ROOT, Job, read_action
from tests.github.repository import Repository
from tests.github.runs import results

ACTIONS = (ROOT / "action.yml", ROOT / "actions" / "comment" / "action.yml")
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")
BASELINE = "baselines/tiny/int4-ort-cpu.json"
# A branch of a stranger's choosing; git allows all of it.
HOSTILE = "x'\"$(touch${IFS}pwned)`touch${IFS}pwned`;touch${IFS}pwned;&|<>{}%0A"


@pytest.fixture(scope="session")
def action_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("action-cache")


@pytest.fixture(scope="session")
def gated(tmp_path_factory, built, mmlu_folder, text_file, action_cache):
    """A repository whose baselines are stored, in `origin/main`; copy it before changing it."""
    repository = Repository.begin(
        tmp_path_factory.mktemp("gated") / "repository",
        reference=built["fp32"],
        candidate=built["int4"],
        mmlu=mmlu_folder,
        text=text_file,
    )
    update(repository, action_cache, "first")
    repository.commit("baselines")
    repository.publish()
    return repository


@pytest.fixture
def repository(gated, tmp_path):
    return gated.copy(tmp_path / "workspace")


@pytest.fixture
def job(repository, tmp_path, action_cache):
    """A job on a pull request to `main`."""
    temp = tmp_path / "temp"
    temp.mkdir()
    (temp / "quantgate-cache").symlink_to(action_cache, target_is_directory=True)
    return Job(
        workspace=repository.folder,
        temp=temp,
        inputs={"arguments": "-m\nperplexity\n\n--gate-threads=2"},
        environment={"GITHUB_BASE_REF": "main", "GITHUB_EVENT_NAME": "pull_request"},
    )


def update(repository, cache, reason):
    """Store baselines as a person does, by hand."""
    words = [sys.executable, "-m", "quantgate.cli", "run", "-m", "perplexity"]
    words += ["--gate-update-baselines", f"--gate-reason={reason}", "--gate-threads=2"]
    ours = ("GITHUB_", "CI", "TF_BUILD", "GITLAB_CI")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [*words, f"--gate-cache-dir={cache}"],
        cwd=repository.folder,
        env=kept,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert "BASELINES UPDATED" in done.stdout, done.stdout + done.stderr


def swap(repository, make):
    """Put what `make(source, target)` makes in the place of the INT4 package, and commit it."""
    package = repository.folder / "models" / "int4"
    source = package.rename(repository.folder.parent / "int4-before")
    make(source, package)
    return repository.commit("swap the package")


def damage(source, target):
    damage_package(source, target, blocks=64, factor=8.0, seed=0)


def test_an_equal_candidate_passes_and_only_it_is_measured(repository, job):
    swap(repository, re_export)
    assert job.run() == 0, job.log
    assert job.outputs["verdict"] == "PASS"
    assert int(job.outputs["pass"]) > 0
    assert (job.outputs["regression"], job.outputs["invalid"]) == ("0", "0")
    assert "PASS" in job.summary
    assert "tiny-int4: its package models/int4 differs" in job.summary
    results = json.loads(Path(job.outputs["results"]).read_bytes())
    assert {each["case_id"] for each in results["decisions"]} == {"tiny-int4-ort-cpu"}
    uploads = {given["name"]: given["path"] for name, given in job.used if "upload" in name}
    assert uploads["quantgate-results"] == job.outputs["results"]
    assert uploads["quantgate-report"] == job.outputs["report"]


def test_fault_47_a_worse_candidate_fails_though_its_request_rewrites_the_baseline(repository, job):
    repository.git("checkout", "-q", "-b", HOSTILE)
    swap(repository, damage)
    path = repository.folder / BASELINE
    document = json.loads(path.read_bytes())
    loosened = [each for each in metrics(document) if each["value"] < 10**5]
    assert loosened
    for metric in loosened:
        metric["value"] *= 1000.0  # a perplexity: whatever is measured is better
    path.write_text(json.dumps(document), encoding="utf-8")
    manifest = repository.folder / "quantgate.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace("relative = 5.0", "relative = 9.0"), encoding="utf-8")
    repository.commit("accept it myself")
    job.environment["GITHUB_HEAD_REF"] = HOSTILE
    assert job.run() == 1, job.log
    assert job.outputs["verdict"] == "REGRESSION"
    assert int(job.outputs["regression"]) > 0
    assert "REGRESSION" in job.summary
    assert "tiny-int4-ort-cpu" in job.summary
    assert "::error title=REGRESSION tiny-int4-ort-cpu" in job.log
    assert "changed against origin/main" in job.log
    assert "policy.perplexity.perplexity.reference.relative: 5.0 -> 9.0" in job.summary
    assert "::warning title=quantgate.toml differs from the base::policy.perplexity" in job.log
    assert list(Path(job.outputs["report"]).glob("results.json"))
    assert not list(repository.folder.rglob("pwned"))


def test_what_touches_no_model_is_not_measured(repository, job):
    (repository.folder / "README.md").write_text("hello", encoding="utf-8")
    repository.commit("words")
    assert job.run() == 0, job.log
    assert job.outputs["verdict"] == "UNCHANGED"
    assert job.outputs["report"] == job.outputs["results"] == ""
    assert "nothing to measure" in job.summary
    assert not any("upload" in name for name, _ in job.used)


@pytest.mark.parametrize(
    ("inputs", "changed"),
    [
        ({"arguments": "-m\nperplexity\n--gate-text=data/text.txt"}, "data/text.txt"),
        ({"arguments": "--gate-text\r\ndata/text.txt\r\n"}, "data/text.txt"),
        ({"arguments": "--gate-data-dir=data/mmlu"}, "data/mmlu/test/x.csv"),
        ({"arguments": "--gate-reference=models/other"}, "models/other/model.onnx"),
        ({"arguments": "--gate-baselines=full/"}, "full/tiny/int4-ort-cpu.json"),
        ({"constraints": "requirements/gate pins.txt"}, "requirements/gate pins.txt"),
        ({"install": "./tool[cpu]"}, "tool/pyproject.toml"),
        ({"install": "dist/quantgate.whl"}, "dist/quantgate.whl"),
    ],
)
def test_what_the_inputs_name_touches_every_variant(repository, job, inputs, changed):
    (repository.folder / changed).parent.mkdir(parents=True, exist_ok=True)
    (repository.folder / changed).write_text("before", encoding="utf-8")
    repository.commit("before")
    repository.publish()
    job.inputs = defaults() | inputs
    assert find(job)["run"] == "false"
    (repository.folder / changed).write_text("after", encoding="utf-8")
    repository.commit("after")
    found = find(job)
    assert (found["run"], found["expression"]) == ("true", "")
    assert "differs from the base" in found["reasons"]


def test_a_package_from_an_earlier_step_is_always_measured(job):
    job.inputs = defaults() | {"arguments": "--gate-model=int4=out/int4"}
    found = find(job)
    assert (found["run"], found["expression"]) == ("true", "")


@pytest.mark.parametrize("given", ["$(touch pwned)", "'; touch pwned; '", '"`touch pwned`', "\\"])
def test_no_input_that_is_looked_into_runs_anything(job, given):
    job.inputs = defaults() | {
        "arguments": f"--gate-text={given}\n{given}",
        "constraints": given,
        "install": f"{given}[cpu]",
    }
    assert find(job)["run"] == "false"
    assert not list(job.workspace.rglob("pwned"))


def test_fault_67_a_request_that_deletes_every_model_fails(repository, job):
    manifest = repository.folder / "quantgate.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.partition("[[models]]")[0], encoding="utf-8")
    repository.commit("no models")
    assert job.run() == 1, job.log
    assert job.outputs["verdict"] == "ERROR"
    assert "nothing was evaluated" in job.log


@pytest.mark.parametrize("models", ["changed", "all"])
def test_fault_67_models_that_come_from_the_arguments_are_measured(repository, job, models):
    manifest = repository.folder / "quantgate.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.partition("[[models]]")[0], encoding="utf-8")
    repository.commit("no models")
    repository.publish()
    job.inputs |= {"models": models, "strict": "false"}
    job.inputs["arguments"] += "\n--gate-model=int4=models/int4"
    assert job.run() == 0, job.log
    assert job.outputs["verdict"] == "NO_BASELINE"


def test_old_results_in_the_checkout_are_never_taken_for_the_run_s(repository, job):
    reports = repository.folder / "reports"
    reports.mkdir(exist_ok=True)
    (reports / "results.json").write_bytes(results())
    job.temp.joinpath("quantgate-reports").mkdir()
    (job.temp / "quantgate-reports" / "results.json").write_bytes(results())
    (job.temp / "quantgate-reports" / "summary.md").write_text("all is well", encoding="utf-8")
    manifest = repository.folder / "quantgate.toml"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(text.replace('text = "text.txt"', 'text = "gone.txt"'), encoding="utf-8")
    repository.commit("break it")
    assert job.run() == 4, job.log
    assert job.outputs["verdict"] == "ERROR"
    assert "all is well" not in job.summary
    assert "gone.txt" in job.summary


@pytest.mark.parametrize("base", ["origin/gone", "$(touch pwned)", "--help"])
def test_a_base_that_can_t_be_read_fails_before_anything_is_measured(job, base):
    job.inputs["base"] = base
    assert job.run() == 4, job.log
    assert "baseline-git" in job.log
    assert not list(job.workspace.rglob("pwned"))


def test_a_base_branch_of_a_hostile_name_is_only_a_name(repository, job):
    repository.publish(HOSTILE)
    (repository.folder / "README.md").write_text("hello", encoding="utf-8")
    repository.commit("words")
    job.environment["GITHUB_BASE_REF"] = HOSTILE
    assert job.run() == 0, job.log
    assert job.outputs["verdict"] == "UNCHANGED"
    assert not list(job.workspace.rglob("pwned"))


def test_fault_72_a_package_of_a_hostile_name_sets_no_output_and_runs_nothing(repository, job):
    name = "int4\n$(touch pwned)\nverdict=PASS\n::set-output name=verdict::PASS\n<b>"
    (repository.folder / "models" / "int4").rename(repository.folder / "models" / name)
    manifest = repository.folder / "quantgate.toml"
    text = manifest.read_text(encoding="utf-8")
    quoted = json.dumps(f"models/{name}")
    manifest.write_text(text.replace('"models/int4"', quoted), encoding="utf-8")
    repository.commit("rename")
    repository.publish()
    (repository.folder / "models" / name / "genai_config.json").write_text("{", encoding="utf-8")
    repository.commit("break it")
    assert job.run() == 4, job.log
    assert job.outputs["verdict"] == "ERROR"
    assert job.steps["changed"].keys() == {"run", "expression", "reasons", "settings"}
    told = job.log.partition("::stop-commands::")[2]
    token, _, rest = told.partition("\n")
    assert len(token) == 64
    _, end, after = rest.partition(f"\n::{token}::\n")
    assert end
    assert "::set-output" not in after
    assert not list(job.workspace.rglob("pwned"))


@pytest.mark.parametrize(
    "given",
    ["a b", "$(touch pwned)", "'; touch pwned; '", "*", "-m", "\\", '"'],
)
def test_arguments_reach_the_run_word_for_word(job, tmp_path, given):
    program(tmp_path / "bin" / "python", 'printf "%s\\n" "$@" > "$RUNNER_TEMP/words"')
    step = step_named("Run the gate")
    job.inputs = defaults() | {"arguments": f"first\n{given}\r\n\nlast"}
    job.steps["changed"] = {"run": "true", "expression": "[a-b- or [c-d-"}
    assert job.shell(step, path=f"{tmp_path / 'bin'}:") == 0, job.log
    words = (job.temp / "words").read_text(encoding="utf-8").splitlines()
    begin = words.index("first")
    assert words[begin : begin + 3] == ["first", given, "last"]
    assert words[-3:] == ["--gate-strict", "-k", "[a-b- or [c-d-"]
    assert not list(job.workspace.rglob("pwned"))


@pytest.mark.parametrize("status", [0, 1, 2, 4, 5])
def test_the_exit_status_of_the_run_is_the_job_s_though_its_log_is_piped(job, tmp_path, status):
    program(tmp_path / "bin" / "python", f"echo said; exit {status}")
    job.inputs = defaults()
    job.steps["changed"] = {"run": "true", "expression": ""}
    step = step_named("Run the gate")
    # The random token comes from python, too; with a stand-in there is none.
    step["run"] = re.sub(r'token="\$\(.*\)"', "token=fixed", step["run"])
    assert job.shell(step, path=f"{tmp_path / 'bin'}:") == 0
    assert job.steps["gate"]["status"] == str(status)
    assert (job.temp / "quantgate.log").read_text(encoding="utf-8") == "said\n"
    job.steps["outputs"] = {"status": str(status), "verdict": "REGRESSION"}
    assert job.shell(step_named("Verdict")) == status


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        ({}, ["-c", f"{ROOT}/constraints.txt", "--", f"{ROOT}[cpu]"]),
        (
            {"install": "a[b]; touch pwned", "constraints": "c d.txt"},
            ["-c", "c d.txt", "--", "a[b]; touch pwned"],
        ),
        ({"runtime": "cuda"}, ["-c", f"{ROOT}/constraints.txt", "--", f"{ROOT}[cuda]"]),
    ],
)
def test_pip_gets_the_specification_as_one_word_and_the_pins(job, tmp_path, inputs, expected):
    program(tmp_path / "bin" / "python", 'printf "%s\\n" "$@" > "$RUNNER_TEMP/words"')
    job.inputs = defaults() | inputs
    assert job.shell(step_named("Install"), path=f"{tmp_path / 'bin'}:") == 0
    words = (job.temp / "words").read_text(encoding="utf-8").splitlines()
    assert words == ["-I", "-m", "pip", "install", *expected]
    assert not list(job.workspace.rglob("pwned"))


@pytest.mark.parametrize("path", ACTIONS, ids=["gate", "comment"])
def test_actions_are_pinned_and_no_expression_stands_in_a_shell_step(path):
    for step in read_action(path)["runs"]["steps"]:
        if "uses" in step:
            assert PINNED.fullmatch(step["uses"]), step["uses"]
        else:
            assert step["shell"] == "bash"
            assert "${{" not in step["run"]


def test_a_module_of_the_checkout_stands_in_for_none_of_the_library(repository, job):
    for name in ("secrets", "pip", "argparse", "json", "quantgate", "sitecustomize", "conftest"):
        (repository.folder / f"{name}.py").write_text("raise SystemExit(77)", encoding="utf-8")
    repository.commit("words")
    assert job.run() == 0, job.log
    assert job.outputs["verdict"] == "UNCHANGED"


def metrics(document):
    """Every mapping in a baseline that holds a figure."""
    if isinstance(document, dict):
        if isinstance(document.get("value"), float) and "kind" not in document:
            yield document
        for each in document.values():
            yield from metrics(each)


def find(job):
    """What the step that finds the changed models says."""
    assert job.shell(step_named("Find the changed models")) == 0, job.log
    return job.steps["changed"]


def step_named(name):
    return next(dict(s) for s in read_action()["runs"]["steps"] if s["name"] == name)


def defaults():
    return {name: str(each.get("default", "")) for name, each in read_action()["inputs"].items()}


def program(path, line):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/bash\n{line}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
