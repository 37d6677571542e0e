"""All reports beside the results: whole, or missing and told so; the results stay."""

import errno
import json
import xml.etree.ElementTree as ET

import pytest

from quantgate.report import files, results_json
from quantgate.report.files import write_reports, write_reports_of
from tests.planted_runs import CASE, FAILING


@pytest.fixture
def html(monkeypatch):
    """A face of its own, so that these tests are about files."""
    monkeypatch.setitem(files.REPORTS, "report.html", lambda run: b"<!doctype html>")


@pytest.fixture
def results(tmp_path):
    path = tmp_path / "reports" / "results.json"
    path.parent.mkdir()
    document = {
        "schema_version": 1,
        "run": dict(FAILING.facts),
        "measurements": [results_json._strict(each, "m") for each in FAILING.measurements],
        "decisions": [results_json._strict(each, "d") for each in FAILING.decisions],
    }
    path.write_bytes(results_json.serialize(document))
    return path


def names(folder):
    return {str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file()}


ALL = {"results.json", "summary.md", "report.html", "junit.xml", f"lm_eval/{CASE}.json"}


@pytest.mark.usefixtures("html")
def test_every_report_lies_beside_the_results(results):
    before = results.read_bytes()
    made = write_reports_of(results)
    assert made.failures == ()
    assert names(results.parent) == ALL
    assert {str(each.relative_to(results.parent)) for each in made.written} == ALL - {
        "results.json"
    }
    assert results.read_bytes() == before
    text = (results.parent / "summary.md").read_text(encoding="utf-8")
    assert text.startswith("## REGRESSION")
    ET.fromstring((results.parent / "junit.xml").read_bytes())
    assert json.loads((results.parent / "lm_eval" / f"{CASE}.json").read_bytes())["results"]


@pytest.mark.usefixtures("html")
@pytest.mark.parametrize("name", ["summary.md", "report.html", "junit.xml"])
def test_fault_57_a_failing_report_loses_nothing_else(results, monkeypatch, name):
    stale = results.parent / name
    stale.write_text("of an earlier run", encoding="utf-8")
    before = results.read_bytes()

    def broken(run):
        raise RuntimeError("no\x1b[31m luck with hf_abcdefghijklmnopqrst")

    monkeypatch.setitem(files.REPORTS, name, broken)
    made = write_reports_of(results)
    assert made.failures == (f"{name} not written: RuntimeError: no luck with ***",)
    assert results.read_bytes() == before
    assert names(results.parent) == ALL - {name}, "an earlier run's report isn't taken for this one"


@pytest.mark.usefixtures("html")
def test_fault_57_a_full_disk_is_told_for_each_report(results, monkeypatch):
    def full(path, data):
        raise files_full(path)

    def files_full(path):
        from quantgate.storage import storage_fault

        return storage_fault(OSError(errno.ENOSPC, "No space left on device"), path)

    monkeypatch.setattr(files, "write_atomically", full)
    made = write_reports(results.parent, FAILING)
    assert made.written == ()
    assert len(made.failures) == 4
    assert all("storage-full" in line for line in made.failures)
    assert names(results.parent) == {"results.json"}


@pytest.mark.parametrize("data", [b"", b"[]", b'{"schema_version": 99}', b"\xff\xfe"])
def test_fault_57_an_unreadable_file_is_told(tmp_path, data):
    path = tmp_path / "results.json"
    path.write_bytes(data)
    made = write_reports_of(path)
    assert made.written == ()
    assert len(made.failures) == 1
    assert made.failures[0].startswith("no report could be drawn")
    assert path.read_bytes() == data
