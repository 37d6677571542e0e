"""Faults that only the whole command line can show: what it returns, says and leaves on disk."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from quantgate.execution.turns import Turns
from quantgate.results import Verdict
from tests.command_line import Workspace
from tests.planted_runs import decide, run_of, save

PASSED, FAILED, REFUSED = 0, 1, 4
BASELINE = "baselines/tiny/int4-ort-cpu.json"
ONE = ("-m", "mmlu", "-k", "int4")  # the quickest run there is
WORKER = "quantgate.execution.worker"
ABSENT = "dml"  # a provider that no machine of these tests has
SUMMARY_BYTES, COMMENT_BYTES = 1_048_576, 65_536  # what GitHub takes
FIGURES = 8_000


def report(*words: object) -> tuple[int, str]:
    """Exit status and output of `quantgate report`."""
    command = [sys.executable, "-m", "quantgate.cli", "report", *map(str, words)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=120)
    return done.returncode, done.stdout + done.stderr


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def occupy(path: Path) -> None:
    """Put a folder with something in it where a file is to be written."""
    path.mkdir(parents=True)
    (path / "kept").write_text("mine", encoding="utf-8")


def test_fault_57_reports_that_cannot_be_written_lose_no_results(gated):
    reports = gated.folder / "reports"
    occupy(reports / "summary.md")
    outcome = gated.run(*ONE)
    assert outcome.status == FAILED, outcome.text
    assert "summary.md not written" in outcome.text
    assert outcome.verdicts() == {"PASS"}, "the results are whole"
    assert (reports / "junit.xml").exists(), "and so is every other report"

    results = reports / "results.json"
    before = results.read_bytes()
    occupy(reports / "report.html")
    status, text = report(results)
    assert status == 1, text
    for name in ("summary.md", "report.html"):
        assert f"{name} not written" in text
        assert (reports / name / "kept").read_text(encoding="utf-8") == "mine"
    status, text = report(results, "--markdown", reports / "summary.md")
    assert status == 1
    assert str(reports / "summary.md") in text
    assert results.read_bytes() == before
    assert not [path for path in files_under(reports) if path.suffix == ".tmp"]

    shutil.rmtree(reports / "summary.md")
    assert report(results, "--markdown", reports / "summary.md") == (0, "")
    assert (reports / "summary.md").read_text(encoding="utf-8").startswith("## PASS")


@pytest.mark.skipif(sys.platform != "linux", reason="limits another process' files")
def test_fault_57_results_cut_off_in_writing_leave_the_older_ones(gated):
    import resource

    assert gated.run(*ONE).status == PASSED
    kept = gated.folder / "kept" / "results.json"
    shutil.copytree(gated.folder / "reports", kept.parent)
    before = kept.read_bytes()
    process = gated.start(*ONE, "--gate-report-dir=kept", PYTHONDONTWRITEBYTECODE="1")
    room = len(before) * 3 // 4  # the operating system cuts the file off there
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (room, room))
    outcome = gated.finish(process)
    assert outcome.status == FAILED, outcome.text
    assert re.search(r"not written: .*results\.json", outcome.text)
    assert "INTERNALERROR" not in outcome.text
    assert kept.read_bytes() == before
    (journal,) = kept.parent.glob("*.jsonl")
    decided = [json.loads(line) for line in journal.read_bytes().splitlines()]
    assert "accuracy" in json.dumps(decided), "what was measured is in the journal"
    assert not [path for path in files_under(kept.parent) if path.suffix == ".tmp"]


@pytest.fixture
def quick(tmp_path, tiny_folder, other_folder, mmlu_folder, text_file) -> Workspace:
    """A workspace whose packages needn't be built, with a cache of its own."""
    return Workspace(
        tmp_path / "quick",
        reference=tiny_folder,
        candidate=other_folder,
        mmlu=mmlu_folder,
        text=text_file,
        cache=tmp_path / "cache",
    )


def test_fault_57_report_folder_that_cannot_be_written_loses_no_verdict(quick):
    (quick.folder / "closed").write_text("a file where the folder is to be", encoding="utf-8")
    outcome = quick.run("-m", "mmlu", "--gate-report-dir=closed")
    assert outcome.status == FAILED, outcome.text
    assert "INTERNALERROR" not in outcome.text
    assert re.search(r"not written: \[storage-\w+\]", outcome.text)
    for case in ("tiny-fp32-ort-cpu", "tiny-int4-ort-cpu"):
        assert re.search(rf"{case}\W+mmlu\W", outcome.text), "both are in the table"


ROLLING = """\
[policy.perplexity.word_perplexity]
reference = { relative = 5.0 }

[policy.perplexity.byte_perplexity]
reference = { relative = 5.0 }

[policy.perplexity.bits_per_byte]"""


def test_figure_that_is_not_finite_is_invalid_and_the_others_are_decided(quick, tmp_path):
    """A text that isn't written in words has no finite perplexity a word."""
    (tmp_path / "written.txt").write_text("大きさ" * 400 + "\n", encoding="utf-8")
    quick.edit('text = "text.txt"', f'text = "{(tmp_path / "written.txt").as_posix()}"')
    quick.edit("stride = 64", 'stride = 64\nprotocols = ["rolling"]')
    strided = "[policy.perplexity.perplexity]\nbaseline = { relative = 0.001 }"
    quick.edit(strided, ROLLING)
    outcome = quick.run("-m", "perplexity", "-k", "int4")
    assert outcome.status == FAILED, outcome.text
    found = {metric: each for (_, _, metric), each in outcome.decisions("int4").items()}
    verdicts = {metric: each["verdict"] for metric, each in found.items()}
    assert verdicts == {
        "word_perplexity": "INVALID",
        "byte_perplexity": "PASS",
        "bits_per_byte": "PASS",
    }
    assert found["word_perplexity"]["reason"].startswith(
        "word_perplexity is inf, which is no finite number"
    )
    assert "Out of range float" not in outcome.text


def test_fault_62_tolerance_below_the_measured_noise_is_inconclusive(gated):
    path = gated.folder / BASELINE
    document = json.loads(path.read_bytes())
    figure = document["tasks"]["kl_divergence"]["metrics"]["kl_mean"]
    figure["tolerance"] = {"kind": "absolute", "value": 1e-300}
    path.write_text(json.dumps(document), encoding="utf-8")
    words = ("-m", "kl_divergence", "-k", "int4")
    outcome = gated.run(*words, "--gate-repeat=1")
    assert outcome.status == PASSED, outcome.text
    (score,) = (
        score
        for measurement in outcome.results["measurements"]
        for score in measurement["scores"]
        if (measurement["case_id"], score["metric"]) == ("tiny-int4-ort-cpu", "kl_mean")
    )
    assert score["noise"] > 0, "4-bit products with rounded activations are never all alike"
    assert outcome.verdicts() == {"INCONCLUSIVE"}
    assert "INCONCLUSIVE tiny-int4-ort-cpu kl_divergence kl_mean: " in outcome.text
    assert "is below the measured noise" in outcome.text
    strict = gated.run(*words, "--gate-repeat=1", "--gate-strict")
    assert strict.status == FAILED
    assert strict.verdicts() == {"INCONCLUSIVE"}


def test_fault_69_model_larger_than_the_memory_is_not_opened(gated, built):
    large = gated.folder / "large"
    shutil.copytree(built["int4"], large)
    with (large / "unused.data").open("wb") as file:
        file.truncate(2 * psutil.virtual_memory().total)  # sparse: it takes no room
    gated.edit(str(built["int4"]), str(large))
    outcome = gated.run("-m", "mmlu")
    assert outcome.status == FAILED
    assert outcome.verdicts("int4") == {"INVALID"}
    (told,) = outcome.decisions("int4").values()
    assert "memory-short" in told["reason"]
    assert str(large) in told["reason"]
    assert outcome.verdicts("fp32-ort-") == {"PASS"}, "the others are measured"


def models_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The child processes that hold a model."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if WORKER in " ".join(child.cmdline())]


def test_fault_69_device_is_waited_for_and_no_model_opened_before(gated, tmp_path):
    """Two sessions with one device: who comes second begins when the first is done."""
    gated.cache = tmp_path / "cache"
    turns = gated.cache / "turns"
    with Turns(turns).device(ABSENT):
        process = gated.start(*ONE, f"--gate-provider={ABSENT}")
        give_up = time.monotonic() + 60
        while len(list(turns.glob("*.owner"))) < 2:  # ours, and theirs at the reference
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < give_up
            time.sleep(0.05)
        until = time.monotonic() + 2
        while time.monotonic() < until:
            assert process.poll() is None, "it must wait for the device"
            assert not models_of(process)
            time.sleep(0.1)
    outcome = gated.finish(process)
    assert outcome.status == FAILED, outcome.text
    assert outcome.verdicts() == {"INVALID"}, "it is not on this machine"
    assert "provider-unavailable" in outcome.text
    assert "went on without a turn" not in outcome.text


def test_fault_71_thousands_of_regressions_fit_and_say_what_is_left_out(tmp_path):
    decisions = [
        decide(
            Verdict.REGRESSION,
            f"subject.s{number:05d}",
            case_id=f"model-{number % 7}-int4-ort-cpu",
            delta=-(number + 1) / FIGURES,
            reason="worse than the baseline allows, " + "word " * 20,
        )
        for number in range(FIGURES)
    ]
    results = save(tmp_path / "results.json", run_of(decisions))
    places = {"--markdown": tmp_path / "summary.md", "--comment": tmp_path / "comment.md"}
    words = [word for pair in places.items() for word in pair]
    assert report(results, *words) == (0, "")
    limits = {"--markdown": SUMMARY_BYTES, "--comment": COMMENT_BYTES}
    for name, path in places.items():
        data = path.read_bytes()
        assert limits[name] // 2 < len(data) < limits[name]
        text = data.decode("utf-8")
        shown = list(dict.fromkeys(re.findall(r"^\|.*\bs(\d{5})\b", text, re.MULTILINE)))
        left = re.search(rf"([\d,]+) of {FIGURES:,} rows are left out here", text)
        assert len(shown) + int(left[1].replace(",", "")) == FIGURES
        worst = [f"{number:05d}" for number in reversed(range(FIGURES))]
        assert shown == worst[: len(shown)], "the worst are kept"


# Neither looks like a known kind of token: only what is never read stays out of reports.
SECRETS = ("sesame-hub-4711", "sesame-forge-4711", "sesame-proxy-4711", "sesame-remote-4711")
TYPED = ("sesame-typed-4711", "hf_SesameSesameSesame4711")


ENVIRONMENT = {
    "HF_TOKEN": SECRETS[0],
    "GITHUB_TOKEN": SECRETS[1],
    "HTTPS_PROXY": f"http://someone:{SECRETS[2]}@proxy.example.org:3128",
}
WHY = f"see https://someone:{TYPED[0]}@example.org/runs?access_token={TYPED[0]} with {TYPED[1]}"
UPDATE = ("--gate-update-baselines", f"--gate-reason={WHY}")


def secrets_in(text: str) -> list[str]:
    return [secret for secret in (*SECRETS, *TYPED) if secret in text]


def test_fault_73_secrets_of_environment_and_arguments_reach_no_report(workspace):
    remote = f"https://someone:{SECRETS[3]}@example.org/o/r.git"
    for words in (("init", "-q"), ("remote", "add", "origin", remote)):
        subprocess.run(["git", *words], cwd=workspace.folder, check=True)
    workspace.page = True
    outcome = workspace.run(*ONE, *UPDATE, **ENVIRONMENT)
    assert outcome.status == PASSED, outcome.text
    assert "https://***@example.org" in outcome.results["run"]["options"]["--gate-reason"]
    assert not secrets_in(outcome.text)
    written = files_under(workspace.folder / "reports")
    assert {"results.json", "summary.md", "report.html", "junit.xml"} <= {f.name for f in written}
    for path in written:
        assert not secrets_in(path.read_text(encoding="utf-8")), path


def test_fault_73_secrets_of_a_reason_reach_no_baseline(workspace):
    outcome = workspace.run(*ONE, *UPDATE)
    assert outcome.status == PASSED, outcome.text
    assert not secrets_in((workspace.folder / BASELINE).read_text(encoding="utf-8"))


def test_fault_73_credentials_of_an_address_in_the_place_of_a_path_are_not_printed(workspace):
    address = f"https://someone:{TYPED[0]}@example.org/model"
    outcome = workspace.run(*ONE, f"--gate-model=int4={address}")
    assert outcome.status == REFUSED
    assert "example.org/model" in outcome.text
    assert not secrets_in(outcome.text)
