"""The command: which sides it runs, what it keeps, prints and writes, and when it fails."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.peers import comparison, whole_mmlu
from benchmarks.peers.inputs import Model
from benchmarks.peers.install import environment_python
from benchmarks.peers.processes import Side
from benchmarks.peers.recorded import RecordedSide
from tests.tiny_corpora import SUBJECTS
from tests.whole_records import SHARE, ours, record

# Writes a prepared record and leaves a mark, so that runs can be counted.
COPIES = """
import pathlib, sys
source, marks, _, target = map(pathlib.Path, sys.argv[1:])
marks.write_text(marks.read_text() + "x" if marks.exists() else "x")
target.write_text(source.read_text("utf-8"), "utf-8")
"""


@pytest.fixture
def command(tmp_path, monkeypatch, tiny_folder, hugging_face_folder, mmlu_folder):
    """Runs the command on planted records: its exit code and what it wrote."""
    model = Model("fp32", hugging_face_folder, tiny_folder, tiny_folder)
    monkeypatch.setattr(comparison, "models", lambda *_: iter([model]))
    python = environment_python(tmp_path / "peers")
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(whole_mmlu, "environment_facts", lambda _: {"lm-eval": "0.4.13"})

    def planted(name: str, found: dict) -> Side:
        file = tmp_path / f"{name}.json"
        file.write_text(json.dumps(found), "utf-8")
        marks = tmp_path / f"{name}.marks"
        return Side(name, (sys.executable, "-c", COPIES, str(file), str(marks)))

    def run(*arguments: str, **records: dict) -> tuple[int, dict]:
        sides = {
            name.replace("__", " ").replace("_", "-"): found for name, found in records.items()
        }
        found = [planted(name, each) for name, each in sides.items()]
        monkeypatch.setattr(whole_mmlu, "_ours", lambda *_: found[:1])
        monkeypatch.setattr(whole_mmlu, "_full_forward", lambda *_: found[1])
        monkeypatch.setattr(whole_mmlu, "_peers", lambda *_: found[2:])
        told = ["--peers", tmp_path / "peers", "--data-dir", mmlu_folder, "--share", SHARE]
        told += ["--json", tmp_path / "found.json", *arguments]
        monkeypatch.setattr(sys, "argv", ["whole_mmlu", *map(str, told)])
        status = whole_mmlu.main()
        return status, json.loads((tmp_path / "found.json").read_text("utf-8"))

    return run


@pytest.fixture
def records() -> dict[str, dict]:
    return {
        "quantgate_ort": ours(10.0, body=9.0),
        "full_forward_ort": record(60.0),
        "olive_ort__b1": record(45.0),
        "lm_eval_ortgenai__b1": record(180.0),
    }


def test_a_run_prints_and_writes_times_and_ratios(command, records, capsys):
    status, written = command(**records)
    assert status == 0
    printed = capsys.readouterr().out
    times, parts = written["page"]["tables"]
    assert [row["side"] for row in times["rows"]] == [
        "quantgate-ort", "full-forward-ort", "olive-ort b1",
    ]  # fmt: skip
    assert [row["side"] for row in parts["rows"]] == ["quantgate-ort"]
    ratio = 45.0 * 660 / 450 / 10.0
    targets = {target["what"]: target for target in written["page"]["targets"]}
    against = targets["MMLU, 135m fp32: quantgate-ort against olive-ort b1, the fastest of all"]
    assert against["ratio"] == pytest.approx(ratio)
    assert against["reached"]
    assert f"{ratio:.4g}" in printed
    assert written["options"]["subjects"] == sorted(SUBJECTS)
    assert written["results"]["fp32"]["scale"]["by_tokens"] == {"1": pytest.approx(660 / 450)}


def test_four_forwards_a_question_run_only_where_they_are_asked_for(command, records):
    _, written = command("--sides", "quantgate-ort", "lm-eval-ortgenai b1", **records)
    times, _ = written["page"]["tables"]
    assert [row["side"] for row in times["rows"]] == ["quantgate-ort", "lm-eval-ortgenai b1"]


def test_a_flag_asks_for_all_of_them(command, records):
    _, written = command("--four-forwards", **records)
    times, _ = written["page"]["tables"]
    assert len(times["rows"]) == len(records)


def test_a_side_that_failed_fails_the_command(command, records, capsys, monkeypatch):
    run = RecordedSide.run

    def crashes(side, folder):
        return {"failed": "no memory"} if side.name == "olive-ort b1" else run(side, folder)

    monkeypatch.setattr(RecordedSide, "run", crashes)
    status, written = command(**records)
    assert status == 1
    assert "FAILED: fp32: olive-ort b1 failed" in capsys.readouterr().err
    assert not any("olive" in target["what"] for target in written["page"]["targets"])


def test_a_side_that_reads_too_many_questions_otherwise_fails_the_command(command, records, capsys):
    records["olive_ort__b1"]["subjects"]["anatomy"]["read"][0] = "other"
    status, written = command(**records)
    assert status == 1
    assert "FAILED: a side reads over 2% of the questions as other ids" in capsys.readouterr().err
    (row,) = (r for r in written["page"]["tables"][0]["rows"] if r["side"] == "olive-ort b1")
    assert row["other ids"] == 1


def test_records_are_kept_for_the_code_that_measured_them(command, records, tmp_path, monkeypatch):
    keep = tmp_path / "keep"
    command("--keep", keep, **records)
    monkeypatch.setattr(whole_mmlu, "sides_digest", lambda root: "changed")
    command("--keep", keep, **records)
    marks = {path.stem: path.read_text("utf-8") for path in tmp_path.glob("*.marks")}
    assert marks == {"quantgate-ort": "xx", "olive-ort b1": "xx", "full-forward-ort": "xx"}


def test_an_unknown_side_is_refused(command, records):
    with pytest.raises(SystemExit, match="no side named olive-otr b1"):
        command("--sides", "quantgate-ort", "olive-otr b1", **records)


def test_a_second_run_measures_only_what_is_new(command, records, tmp_path):
    keep = tmp_path / "keep"
    command("--keep", keep, "--sides", "quantgate-ort", "olive-ort b1", **records)
    assert len(list(keep.iterdir())) == 2
    _, written = command("--keep", keep, **records)
    assert len(list(keep.iterdir())) == 3
    marks = {path.stem: path.read_text("utf-8") for path in tmp_path.glob("*.marks")}
    assert marks == {"quantgate-ort": "x", "olive-ort b1": "x", "full-forward-ort": "x"}
    made = {row["side"]: row["measured"] for row in written["page"]["tables"][0]["rows"]}
    assert len(made) == 3
    assert all(each.endswith(" UTC") for each in made.values())


def test_another_share_is_asked_of_the_peers_again(command, records, tmp_path):
    keep = tmp_path / "keep"
    command("--keep", keep, **records)
    with pytest.raises(SystemExit, match="other questions"):
        command("--keep", keep, "--share", 3, **records)  # what is planted has a share of two
    marks = {path.stem: path.read_text("utf-8") for path in tmp_path.glob("*.marks")}
    assert marks == {"quantgate-ort": "x", "olive-ort b1": "xx", "full-forward-ort": "xx"}


def test_sides_that_differ_fail_in_fp32(command, records, capsys):
    records["olive_ort__b1"] = record(45.0, shift=2e-3)
    status, _ = command(**records)
    assert status == 1
    assert "differ by 0.001 nats" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sides", "olive-ort b1"), "name a side of quantgate"),
        (("--share", "0"), "--share is at least 1"),
        (("--keep", "kept", "--rounds", "2"), "--keep keeps one round"),
        (("--peers", "nowhere"), "make it with"),
    ],
)
def test_what_can_not_be_measured_is_refused_at_once(command, records, capsys, arguments, message):
    with pytest.raises(SystemExit) as refused:
        command(*arguments, **records)
    assert refused.value.code == 2
    assert message in capsys.readouterr().err


def test_commands_give_all_questions_to_ours_and_the_part_to_the_peers(
    tmp_path, monkeypatch, mmlu_folder
):
    told = ["--peers", tmp_path / "peers", "--data-dir", mmlu_folder, "--share", "4"]
    python = environment_python((tmp_path / "peers").resolve())
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setattr(sys, "argv", ["whole_mmlu", *map(str, told)])
    options = whole_mmlu._options()
    options.subjects = list(SUBJECTS)
    model = Model("fp32", Path("source"), Path("package"), Path("ready"))
    mine = [side.command for side in whole_mmlu._ours(options, model)]
    theirs = {side.name: side.command for side in whole_mmlu._peers(options, model, tmp_path)}
    assert len(mine) == 3
    for words in mine:
        assert words[words.index("--data") + 1] == str(mmlu_folder.resolve())
        assert words[words.index("--package") + 1] == "package"
        assert "--questions" not in words
    assert set(theirs) >= {"lm-eval-hf b1", "olive-ort b1", "olive-ortgenai b1"}
    for words in theirs.values():
        data = Path(words[words.index("--data") + 1])
        assert words[words.index("--shots") + 1] == "5"
        for subject in SUBJECTS:  # of eight questions
            lines = (data / subject / "test.jsonl").read_text("utf-8").splitlines()
            assert len(lines) == 2
    forward = whole_mmlu._full_forward(options, model).command
    assert forward[forward.index("--share") + 1] == "4"
