"""`quantgate report`: any report again, from a file that may be a stranger's."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from quantgate.cli import USAGE_ERROR, main
from quantgate.report import files
from tests.hostile import HOSTILE, SECRETS, hostile_run
from tests.planted_runs import FAILING, save


def run(*words):
    return main(["report", *map(str, words)])


def test_draws_what_is_asked_for_and_nothing_else(tmp_path):
    results = save(tmp_path / "results.json", FAILING)
    out = tmp_path / "out"
    words = ("--markdown", out / "s.md", "--comment", out / "c.md", "--junit", out / "j.xml")
    url = "https://github.com/o/r/actions/runs/1"
    assert run(results, *words, "--lm-eval", out / "lm", "--report-url", url) == 0
    assert {str(each.relative_to(out)) for each in out.rglob("*") if each.is_file()} == {
        "s.md", "c.md", "j.xml", "lm/tiny-int4-ort-cpu.json",
    }  # fmt: skip
    assert (out / "s.md").read_text(encoding="utf-8").startswith("## REGRESSION")
    assert url in (out / "c.md").read_text(encoding="utf-8")
    assert ET.parse(out / "j.xml").getroot().tag == "testsuites"
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["results.json"]


def test_draws_everything_beside_the_file_where_nothing_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(files.REPORTS, "report.html", lambda run: b"<!doctype html>")
    assert run(save(tmp_path / "results.json", FAILING)) == 0
    assert (tmp_path / "summary.md").exists()
    assert str(tmp_path / "junit.xml") in capsys.readouterr().out


def test_fault_57_a_failing_report_gives_a_status(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(files.REPORTS, "report.html", lambda run: 1 / 0)
    assert run(save(tmp_path / "results.json", FAILING)) == 1
    assert "report.html not written: ZeroDivisionError" in capsys.readouterr().out
    assert (tmp_path / "summary.md").exists()


def test_fault_70_a_hostile_file_writes_only_where_told(tmp_path):
    results = save(tmp_path / "results.json", hostile_run("../../evil"))
    out = tmp_path / "out"
    assert run(results, "--lm-eval", out, "--comment", out / "c.md") == 0
    assert {each.parent for each in tmp_path.rglob("*") if each.is_file()} == {tmp_path, out}


@pytest.mark.parametrize("data", [b"not json", b"[" * 100_000, b'{"schema_version": 1}'])
def test_fault_70_what_is_no_results_file_is_refused(tmp_path, capsys, data):
    path = tmp_path / "results.json"
    path.write_bytes(data)
    assert run(path, "--comment", tmp_path / "c.md") == USAGE_ERROR
    assert "name a results.json of quantgate" in capsys.readouterr().err
    assert not (tmp_path / "c.md").exists()


def test_an_address_that_is_none_is_refused_before_anything_is_written(tmp_path, capsys):
    results = save(tmp_path / "results.json", FAILING)
    words = ("--markdown", tmp_path / "s.md", "--comment", tmp_path / "c.md")
    assert run(results, *words, "--report-url", "javascript:x") == USAGE_ERROR
    assert "report-url" in capsys.readouterr().err
    assert not (tmp_path / "s.md").exists()


def test_fault_70_and_73_every_hostile_name_through_the_command_line(tmp_path):
    runs = [hostile_run(text) for text in HOSTILE.values()]
    whole = replace(
        runs[0],
        measurements=tuple(each for run in runs for each in run.measurements),
        decisions=tuple(each for run in runs for each in run.decisions),
    )
    results, out = save(tmp_path / "results.json", whole), tmp_path / "out"
    command = [sys.executable, "-m", "quantgate.cli", "report", str(results)]
    words = ["--markdown", "s.md", "--comment", "c.md", "--junit", "j.xml", "--lm-eval", "lm"]
    named = [word if word.startswith("--") else str(out / word) for word in words]
    done = subprocess.run([*command, *named], capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    files = [each for each in out.rglob("*") if each.is_file()]
    assert len(files) == 3 + len(HOSTILE)
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert not [secret for secret in SECRETS if secret in text], path
        assert "\x1b" not in text
        if path.suffix == ".json":
            json.loads(text)
    cases = ET.parse(out / "j.xml").getroot().iter("testcase")
    assert len(list(cases)) == len(whole.decisions)
