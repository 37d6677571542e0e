"""A run beside an earlier one, as a user meets it: kept files, tables, and nothing to compare."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from quantgate.cli import main
from quantgate.comparing.after_run import after_run
from quantgate.comparing.plugin import Wishes
from quantgate.comparing.saved_runs import save_run
from quantgate.comparing.sides import direction_of
from quantgate.results import Direction
from tests.command_line import Workspace
from tests.tiny_models import Tiny, write_package

PASSED, REFUSED = 0, 4
SUITES = ("-m", "mmlu or perplexity or benchmark")
BENCHMARK = """\
import pytest

@pytest.mark.benchmark
def test_speed(benchmark):
    benchmark.pedantic(sum, args=([1, 2],), rounds=3)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, mmlu_folder, text_file):
    """A folder with two tiny packages that differ in their heads."""
    folder = tmp_path_factory.mktemp("earlier")
    made = Workspace(
        folder / "workspace",
        reference=write_package(folder / "reference", Tiny(context=1024)),
        candidate=write_package(folder / "int4", Tiny(context=1024, head="nbits")),
        mmlu=mmlu_folder,
        text=text_file,
        cache=folder / "cache",
    )
    (made.folder / "test_speed.py").write_text(BENCHMARK)
    return made


def kept(workspace):
    return sorted((workspace.folder / ".quantgate" / "runs").iterdir())


def tables(text):
    """Titles of the comparisons that were printed."""
    return re.findall(r"^compared: (.*?)\s*$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def first(workspace):
    """The first run, which also stores baselines: its outcome, and the bytes of its results."""
    outcome = workspace.run(
        *SUITES, "--benchmark-autosave", "--gate-update-baselines", "--gate-reason=first",
        "test_speed.py", "--benchmark-compare",
    )  # fmt: skip
    return outcome, (workspace.folder / "reports" / "results.json").read_bytes()


@pytest.fixture(scope="module")
def second(workspace, first):
    """A run of other weights in the candidate, with the same options."""
    other = workspace.folder.parent / "other"
    write_package(other, Tiny(context=1024, head="bias"))
    workspace.edit(str(workspace.folder.parent / "int4"), str(other))
    return workspace.run(*SUITES, "--benchmark-autosave", "test_speed.py", "--benchmark-compare")


@pytest.fixture(scope="module")
def third(workspace, second):
    """The same on two workers, where pytest-benchmark is not there."""
    words = ("-n", "2", "-p", "no:benchmark", "--gate-save=third", "--gate-compare")
    return workspace.run("-m", "mmlu or perplexity", *words)


def test_first_run_has_nothing_to_compare_and_is_no_error(workspace, first):
    outcome, results = first
    assert outcome.status == PASSED, outcome.text
    assert "not compared: no run is kept in" in outcome.text
    assert not tables(outcome.text)
    (path, *_) = kept(workspace)
    assert re.fullmatch(r"0001_unversioned_\d{8}_\d{6}\.json", path.name)
    assert path.read_bytes() == results


def test_second_run_shows_times_and_figures_beside_the_first(second):
    assert second.results is not None, second.text
    assert re.search(r"Name \(time in \w+\)", second.text), "pytest-benchmark's table"
    assert "test_speed (NOW)" in second.text
    assert tables(second.text) == ["this run with run 0001"]
    table = second.text.partition("compared: ")[2]
    assert re.search(r"perplexity strided .* nats/token .*\| (worse|better|within noise)", table)
    assert re.search(r"mmlu accuracy .* \d+ lost, \d+ won", table)
    assert "tiny-int4-ort-cpu: other files, digest" in table
    reference = table.partition("tiny-fp32-ort-cpu")[2].partition("tiny-int4-ort-cpu")[0]
    assert reference.count("| same") == 3, "the reference hasn't changed"


def test_workers_without_pytest_benchmark_show_it_once(workspace, third):
    assert third.results is not None, third.text
    assert tables(third.text) == ["this run with run 0002"]
    assert "worse" not in third.text.partition("compared: ")[2]
    assert "Name (time" not in third.text
    assert kept(workspace)[2].name.endswith("_third.json")
    assert len(kept(workspace)) == 3
    assert json.loads(kept(workspace)[2].read_bytes()) == third.results


def test_pytest_benchmark_keeps_its_own_files(workspace, third):
    names = [path.name[:4] for path in workspace.folder.glob(".benchmarks/*/*.json")]
    assert sorted(names) == ["0001", "0002"]


@pytest.mark.parametrize(
    ("which", "told"),
    [("nightly", "compare-unknown.*run 0003 \\(third\\)"), ("0004", "run-not-json")],
)
def test_run_that_can_not_be_compared_with_is_told_and_loses_nothing(
    workspace, third, tmp_path, which, told
):
    runs = tmp_path / "runs"
    shutil.copytree(workspace.folder / ".quantgate" / "runs", runs)
    save_run(runs, b"cut sho", commit=None)
    results = workspace.folder / "reports" / "results.json"
    done = after_run(
        results, Wishes(save="x", compare=which), runs=runs, baselines=tmp_path / "none"
    )
    assert done.comparison is None
    assert re.search(rf"not compared: \[{told}", done.lines[0])
    assert (runs / done.lines[1].rpartition("/")[2]).read_bytes() == results.read_bytes()


def test_interrupted_run_is_compared_but_not_kept(workspace, third, tmp_path):
    """It would be the next run's anchor, and lacks what it came not to."""
    document = json.loads((workspace.folder / "reports" / "results.json").read_bytes())
    document["run"]["configuration"]["complete"] = False
    results = tmp_path / "results.json"
    results.write_text(json.dumps(document))
    runs = workspace.folder / ".quantgate" / "runs"
    wishes = Wishes(save="", compare="0001")
    done = after_run(results, wishes, runs=runs, baselines=tmp_path / "none")
    assert done.comparison is not None
    assert "interrupted" in done.lines[0]
    assert len(kept(workspace)) == 3


def test_compare_shows_two_kept_runs(workspace, third, monkeypatch, capsys):
    monkeypatch.chdir(workspace.folder)
    page, markdown = workspace.folder / "page.html", workspace.folder / "page.md"
    words = ["--metric", "*", "--html", str(page), "--markdown", str(markdown)]
    assert main(["compare", "1", "third", *words]) == PASSED
    text = capsys.readouterr().out
    assert tables(text) == ["run 0003 (third) with run 0001"]
    for shown in (text, page.read_text("utf-8"), markdown.read_text("utf-8").replace("\\_", "_")):
        assert "tiny-int4-ort-cpu" in shown
        assert "accuracy_macro" in shown
        assert "lost, " in shown


def test_compare_pairs_baselines_with_a_run(workspace, third, monkeypatch, capsys):
    monkeypatch.chdir(workspace.folder)
    assert main(["compare", "baselines", "0001"]) == PASSED
    text = capsys.readouterr().out
    assert text.count("nothing changed") == 6, text
    assert main(["compare", "baselines", "latest", "--case-a", "tiny-fp32-ort-cpu",
                 "--case-b", "tiny-int4-ort-cpu"]) == PASSED  # fmt: skip
    text = capsys.readouterr().out
    assert "tiny-fp32-ort-cpu -> tiny-int4-ort-cpu" in text
    assert text.count("nats/token") == 2, "both perplexities are paired"


def test_compare_of_nothing_is_a_usage_error(workspace, third, monkeypatch, capsys):
    monkeypatch.chdir(workspace.folder)
    assert main(["compare", "latest", "nightly"]) == REFUSED
    assert "compare-unknown" in capsys.readouterr().err


def test_history_draws_the_kept_runs(workspace, third, monkeypatch, capsys):
    monkeypatch.chdir(workspace.folder)
    svg = workspace.folder / "history.svg"
    words = ["--metric", "accuracy", "--case", "*int4*", "--svg", str(svg)]
    assert main(["history", *words]) == PASSED
    text = capsys.readouterr().out
    assert [line[:8] for line in text.splitlines() if re.match(r"\|   000\d", line)] == [
        "|   0001",
        "|   0002",
        "|   0003",
    ]
    assert "0003 third" in svg.read_text("utf-8")
    assert main(["history", "--case", "nobody's"]) == REFUSED
    assert "history-empty" in capsys.readouterr().err


def test_directions_by_name_are_those_of_every_measured_figure(second):
    scores = [score for m in second.results["measurements"] for score in m["scores"]]
    assert len(scores) > 10
    for score in scores:
        assert direction_of(score["metric"]) is Direction(score["direction"]), score["metric"]


def test_name_that_is_none_is_refused_before_a_model_loads(workspace, third):
    outcome = workspace.run("--gate-save", "a/b")
    assert outcome.status == REFUSED
    assert "run-name" in outcome.text
    assert outcome.results is None


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_first_run_is_no_error_where_warnings_are(tmp_path, workers):
    """In a user's own folder, under the strictest settings, without any benchmark."""
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    words = ["-p", "no:cacheprovider", "--benchmark-compare", "--benchmark-autosave", *workers]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": ""},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == PASSED, done.stdout + done.stderr
    assert "1 passed" in done.stdout
