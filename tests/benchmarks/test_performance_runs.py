"""Steps of the performance page: what is kept, what runs again, and what a failure leaves."""

import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.models import PRECISIONS
from benchmarks.output import machine
from benchmarks.peers.install import environment_python
from benchmarks.performance import runs
from benchmarks.performance.__main__ import measure
from benchmarks.performance.runs import Setting, read, read_all, run, why_run
from benchmarks.performance.steps import (
    CACHE,
    KINDS,
    MMLU,
    PEERS,
    RECORDS,
    SIZES,
    TEXT,
    Kind,
    Step,
    plan,
)

MARKS = "$MARKS"
BENCHMARK = """
import argparse
import sys
from pathlib import Path

from benchmarks.output import PageTable, page, write_json

parser = argparse.ArgumentParser()
parser.add_argument("--marks", type=Path)
parser.add_argument("--keep", type=Path)
parser.add_argument("--ends", default="well")
parser.add_argument("--json", type=Path)
options, _ = parser.parse_known_args()
with options.marks.open("a") as marks:
    marks.write("x")
if options.keep:
    options.keep.mkdir(parents=True, exist_ok=True)
    with (options.keep / "sides").open("a") as sides:
        sides.write("y")
if options.ends == "naming places":
    told = f"{options.marks} and {options.keep}/side {Path.home()}/.cache/m "
    told += "/tmp/q/p.onnx C:\\\\a\\\\b"
    write_json(options.json, told, {told: [told]})
    raise SystemExit(told)
if options.ends == "badly":
    print("told", file=sys.stderr)
    raise SystemExit("the model is broken\\n\\n")
if options.ends == "halfway":
    options.json.write_text('{"machine": {')
    raise SystemExit(3)
write_json(options.json, "b", {"page": page([PageTable("T", [{"side": "a", "s": 1.5}])])})
if options.ends == "differing":
    print("FAILED: sides differ", file=sys.stderr)
    print("a table")
    sys.exit(1)
"""


@pytest.fixture
def marks(tmp_path):
    return tmp_path / "marks"


@pytest.fixture
def step(tmp_path, monkeypatch):
    """A step of a benchmark that marks each of its runs."""
    folder = tmp_path / "modules"
    folder.mkdir()
    (folder / "marking_benchmark.py").write_text(BENCHMARK, "utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return Step("marking", "marking_benchmark", "3m", "fp32", ("--marks", MARKS))


@pytest.fixture
def setting(marks):
    peers = {"lm-eval": "0.4.13"}
    return Setting({MARKS: str(marks)}, "code", machine(), peers, {MARKS: "digest"})


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    return folder


def test_a_step_runs_once_and_again_when_asked(step, setting, folder, marks, capsys):
    measure([step], setting, folder, again=False)
    assert "not measured yet" in capsys.readouterr().out
    measure([step], setting, folder, again=False)
    assert "0 of 1 steps run" in capsys.readouterr().out
    assert marks.read_text() == "x"
    measure([step], setting, folder, again=True)
    assert "1 of 1 steps run, 1 of which took" in capsys.readouterr().out
    assert marks.read_text() == "xx"


def test_what_is_kept_says_how_it_was_made(step, setting, folder, marks):
    run(step, setting, folder)
    kept = json.loads((folder / "marking-3m-fp32.json").read_bytes())
    assert kept["page"]["tables"][0]["rows"] == [{"side": "a", "s": 1.5}]
    ran = kept["step"]
    assert ran["arguments"] == ["--marks", MARKS]
    assert ran["data"] == {MARKS: "digest"}
    assert (ran["exit_code"], ran["code"], ran["peers"]) == (0, "code", {"lm-eval": "0.4.13"})
    assert ran["seconds"] > 0
    assert read_all(folder) == [kept]


def newer(setting):
    packages = {**setting.machine["packages"], "numpy": "0.0.1"}
    return replace(setting, machine={**setting.machine, "packages": packages})


CHANGES = {
    "the code changed": lambda setting: replace(setting, code="other"),
    "the peers changed": lambda setting: replace(setting, peers={"lm-eval": "0.4.14"}),
    "the data changed": lambda setting: replace(setting, data={MARKS: "other"}),
    "-> 0.0.1": newer,
}


@pytest.mark.parametrize("why", CHANGES)
def test_a_step_runs_again_where_its_figures_may_be_others(step, setting, folder, why):
    kept = run(step, setting, folder)
    assert why_run(step, setting, kept) == ""
    assert why in why_run(step, CHANGES[why](setting), kept)


def test_a_step_runs_again_with_other_arguments(step, setting, folder):
    kept = run(step, setting, folder)
    other = replace(step, arguments=(*step.arguments, "--threads", "1"))
    assert why_run(other, setting, kept) == "other arguments"


def test_data_are_known_by_what_is_in_them(tmp_path, monkeypatch):
    folder, text = tmp_path / "mmlu", tmp_path / "text.txt"
    (folder / "test").mkdir(parents=True)
    (folder / "test" / "anatomy_test.csv").write_text("a", "utf-8")
    text.write_text("b", "utf-8")
    monkeypatch.setattr(runs, "environment_facts", lambda python: {})
    places = {MMLU: str(folder), TEXT: str(text), PEERS: str(tmp_path)}

    def digests():
        return Setting.here(places, tmp_path).data

    before = digests()
    assert before.keys() == {MMLU, TEXT}
    assert digests() == before
    (folder / "test" / "anatomy_test.csv").write_text("c", "utf-8")
    assert digests() == {**before, MMLU: digests()[MMLU]} != before
    text.write_text("d", "utf-8")
    assert digests()[TEXT] != before[TEXT]


def test_a_commit_alone_changes_no_figure(step, setting, folder):
    kept = run(step, setting, folder)
    kept["machine"] |= {"git_commit": "f" * 40, "time_utc": "2020-01-01T00:00:00Z"}
    assert why_run(step, setting, kept) == ""


def test_a_failed_step_is_kept_with_its_last_line_and_others_run(
    step, setting, folder, marks, capsys
):
    broken = replace(step, size="30m", arguments=(*step.arguments, "--ends", "badly"))
    measure([broken, step], setting, folder, again=False)
    assert "FAILED, exit code 1: the model is broken" in capsys.readouterr().out
    kept = read(folder, broken.name)
    assert (kept["step"]["exit_code"], kept["step"]["said"]) == (1, "the model is broken")
    assert kept["machine"] == setting.machine
    assert read(folder, step.name)["step"]["exit_code"] == 0
    measure([broken, step], setting, folder, again=False)
    assert "failed: exit code 1" in capsys.readouterr().out
    assert marks.read_text() == "xxx"


def test_the_figures_of_a_failed_step_are_kept(step, setting, folder):
    differing = replace(step, arguments=(*step.arguments, "--ends", "differing"))
    kept = run(differing, setting, folder)
    assert kept["step"]["exit_code"] == 1
    assert kept["page"]["tables"][0]["title"] == "T"
    log = (folder / f"{differing.name}.log").read_text("utf-8")
    assert log.splitlines() == ["FAILED: sides differ", "a table"]


def test_what_is_kept_names_no_folder_of_the_machine(step, setting, folder, marks):
    given = (*step.arguments, "--ends", "naming places", "--keep", RECORDS)
    kept = run(replace(step, arguments=given), setting, folder)
    told = f"{MARKS} and {RECORDS}/side ~/.cache/m …/p.onnx …/b"
    assert (kept["benchmark"], kept[told], kept["step"]["said"]) == (told, [told], told)
    assert read(folder, step.name) == kept
    for place in (str(marks), str(Path.home()), "/tmp/q"):
        assert place not in (folder / f"{step.name}.json").read_text("utf-8")


def test_half_a_file_is_none(step, setting, folder):
    kept = run(replace(step, arguments=(*step.arguments, "--ends", "halfway")), setting, folder)
    assert kept["step"]["exit_code"] == 3
    assert "page" not in kept
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".log"]


def test_a_stopped_run_goes_on_where_it_was_stopped(step, setting, folder, marks, monkeypatch):
    second = replace(step, precision="int4")
    call = runs._call

    def stopped(command, log):
        if "int4" in log.name:
            raise KeyboardInterrupt
        return call(command, log)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "_call", stopped)
        with pytest.raises(KeyboardInterrupt):
            measure([step, second], setting, folder, again=False)
    assert read(folder, second.name) is None
    measure([step, second], setting, folder, again=False)
    assert marks.read_text() == "xx"
    assert read(folder, second.name)["step"]["exit_code"] == 0


def test_records_of_sides_outlive_a_run_unless_it_is_done_afresh(step, setting, folder):
    keeping = replace(step, arguments=(*step.arguments, "--keep", RECORDS))
    sides = folder / "records" / keeping.name / "sides"
    run(keeping, setting, folder)
    run(keeping, setting, folder)
    assert sides.read_text() == "yy"
    run(keeping, setting, folder, afresh=True)
    assert sides.read_text() == "y"


@pytest.mark.parametrize("content", ["[]", "{}", "no JSON", '{"step": {}}'])
def test_a_file_of_something_else_is_refused(folder, content):
    (folder / "marking-3m-fp32.json").write_text(content, "utf-8")
    with pytest.raises(SystemExit, match="wasn't written by this command"):
        read_all(folder)


def test_steps_are_the_sizes_and_precisions_that_a_benchmark_has():
    kinds = [
        Kind("all", "m", "", "", (), by_size={"30m": ("--share", "50")}),
        Kind("candidates", "m", "", "", (), precisions=("int4",)),
        Kind("one", "m", "", "", (), precisions=(), sized=False),
    ]
    steps = plan(kinds, ["3m", "30m"], ["fp32", "int4"], ["--threads", "2"])
    assert [step.name for step in steps] == [
        *("all-3m-fp32", "all-3m-int4", "all-30m-fp32", "all-30m-int4"),
        *("candidates-3m-int4", "candidates-30m-int4"),
        "one",
    ]
    assert steps[1].arguments == ("--size", "3m", "--precisions", "int4", "--threads", "2")
    assert steps[2].arguments[:4] == ("--share", "50", "--size", "30m")
    assert steps[-1].arguments == ("--sizes", "3m", "30m", "--threads", "2")
    alone = plan(kinds, ["3m"], ["fp32"], [])
    assert [step.name for step in alone] == ["all-3m-fp32", "one"]


STEPS = plan(KINDS, SIZES, PRECISIONS, ("--threads", "2", "--cache", CACHE))


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_benchmark_takes_the_arguments_of_its_step(step, tmp_path, monkeypatch):
    module = importlib.import_module(step.module)
    python = environment_python(tmp_path)
    python.parent.mkdir()
    python.touch()
    command = step.command({CACHE: "cache", PEERS: str(tmp_path)})
    assert command[1] == "-m"
    monkeypatch.setattr(sys, "argv", [*command[2:], "--json", "found.json"])
    options = module._options()
    assert options.threads == 2
    assert str(options.cache) == "cache"
    assert str(options.json) == "found.json"
    if step.precision:
        assert (options.size, options.precisions) == (step.size, [step.precision])
