"""What the comparison prints and keeps of its sides, and when it fails."""

import json
import sys
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peers import comparison, divergence, divergence_side, ours_divergence
from benchmarks.peers.divergence_figures import differences, failures
from benchmarks.peers.inputs import Model
from benchmarks.peers.kept import KeptSide, first_seconds, keeping, making_seconds
from benchmarks.peers.processes import Side

RECORD: dict[str, Any] = {
    "count": 3072,
    "threads": {"busy": 1.9},
    "memory": {"peak_mib": 900.0, "beyond_mib": 200.0, "loaded_mib": 700.0},
    "ids": "abc",
    "kept_bytes": 0,
    "reference_perplexity": 50_000.0,
    "perplexity": 50_100.0,
    "kl_mean": 0.004,
}


@dataclass(frozen=True)
class Planted(Side):
    """A side whose record is known."""

    record: dict[str, Any]

    def run(self, folder: Path) -> dict[str, Any]:
        return self.record


def planted(name: str, seconds: float, *, making: float | None = None, **figures: Any) -> Planted:
    record = {**RECORD, "seconds": seconds, **figures}
    if making is not None:
        record |= {"making": {"seconds": making}, "kept_bytes": 7 * 2**20}
    return Planted(name, (), record)


SIDES = (
    planted("quantgate-ort", 4.0, making=6.0),
    planted("two-model-ort", 13.0),
    planted("two-model-hf", 12.0),
    planted("two-model-ort-kept", 8.0, making=9.0),
)


@pytest.fixture
def measure(monkeypatch, tmp_path):
    """Runs the command on planted sides: its exit code, and what it wrote."""

    def run(*sides: Side, arguments: tuple[str, ...] = ()) -> tuple[int, dict[str, Any]]:
        file = tmp_path / "found.json"
        model = Model("int4", Path(), Path(), Path())
        monkeypatch.setattr(comparison, "models", lambda *_: iter([model]))
        monkeypatch.setattr(divergence, "_sides", lambda *_: list(sides))
        command = ["divergence", "--peers", "env", "--text", "text", "--json", str(file)]
        monkeypatch.setattr(sys, "argv", [*command, "--rounds", "2", *arguments])
        return divergence.main(), json.loads(file.read_text("utf-8"))

    return run


def test_ratios_are_to_the_fastest_script_of_the_backend(measure, capsys):
    code, found = measure(*SIDES)
    assert code == 0
    targets = {t["what"]: (t["ratio"], t["wanted"], t["reached"]) for t in found["page"]["targets"]}
    where = "int4 against fp32, 3072 tokens: quantgate-ort against"
    assert targets == {
        f"{where} two-model-hf, time, reference kept": (3.0, 3.0, True),
        f"{where} two-model-ort-kept, time, both keep it": (2.0, 1.0, True),
        f"{where} two-model-hf, time, nothing kept yet": (1.2, 1.0, True),
    }
    assert "two-model-hf" in capsys.readouterr().out


def test_the_making_of_the_reference_is_told_apart(measure):
    _, found = measure(*SIDES)
    costs, figures = found["page"]["tables"]
    rows = {row["side"]: row for row in costs["rows"]}
    kept = rows["quantgate-ort"]
    assert (kept["s"], kept["reference s"], kept["first s"], kept["kept MiB"]) == (4, 6, 10, 7)
    assert kept["s/token"] == pytest.approx(4 / 3072)
    assert [rows["two-model-hf"][name] for name in ("reference s", "first s", "kept MiB")] == [
        None,
        None,
        None,
    ]
    assert [row["side"] for row in figures["rows"]] == [side.name for side in SIDES]
    assert {row["kl_mean"] for row in figures["rows"]} == {"0.004"}


@pytest.mark.parametrize(
    ("figures", "code"),
    [
        ({}, 0),
        ({"reference_perplexity": 50_000.0 * (1 + 5e-6)}, 0),
        ({"reference_perplexity": 50_000.0 * (1 + 2e-5)}, 1),
        ({"perplexity": 50_100.0 * (1 + 5e-4)}, 0),
        ({"perplexity": 50_100.0 * (1 + 2e-3)}, 1),
        ({"kl_mean": 0.004 * 1.03}, 0),
        ({"kl_mean": 0.004 * 1.07}, 1),
        ({"kl_mean": 0.004 * 8}, 1),
        ({"kl_mean": 0.0}, 1),
        ({"kl_mean": float("nan")}, 1),
        ({"ids": "abd"}, 1),
    ],
)
def test_sides_that_disagree_fail_the_command(measure, capsys, figures, code):
    found, document = measure(*SIDES, planted("two-model-ortgenai", 20.0, **figures))
    assert found == code
    assert ("FAILED: int4: " in capsys.readouterr().err) == bool(code)
    assert len(document["results"]["int4"]["failures"]) == code


def test_a_side_that_failed_is_named_and_left_out(measure, capsys):
    broken = Planted("two-model-ort", (), {"failed": "exit code 1: no such graph"})
    code, found = measure(*SIDES[:1], broken, *SIDES[2:])
    costs, _ = found["page"]["tables"]
    assert code == 1
    assert "two-model-ort" not in {row["side"] for row in costs["rows"]}
    assert costs["note"].endswith("Failed: two-model-ort.")
    said = capsys.readouterr().err
    assert "no such graph" in said
    assert "FAILED: int4: two-model-ort failed" in said
    # The script on PyTorch may be slower than the one that failed.
    peers = [target["peer"] for target in found["page"]["targets"]]
    assert peers == ["two-model-ort-kept"]


def test_the_reference_is_no_candidate(measure, capsys):
    with pytest.raises(SystemExit):
        measure(*SIDES, arguments=("--precisions", "int4", "fp32"))
    assert "fp32 is their reference" in capsys.readouterr().err


def test_differences_are_relative_to_the_smallest():
    records = {"a": {**RECORD, "kl_mean": 0.002}, "b": RECORD}
    assert differences(records)["kl_mean"] == pytest.approx(1.0)
    assert differences({"a": RECORD, "b": RECORD})["perplexity"] == 0
    assert failures({"a": RECORD}) == []


SCRIPT = """
import json, sys
from pathlib import Path

log, record = Path(sys.argv[1]), Path(sys.argv[sys.argv.index("--json") + 1])
make = "--make" in sys.argv
with log.open("a") as file:
    file.write("make\\n" if make else "run\\n")
if make and log.name == "broken":
    sys.exit("no such model")
record.write_text(json.dumps({"seconds": 5.0 if make else 2.0}))
"""


def test_what_is_kept_is_made_once(tmp_path):
    log, store = tmp_path / "log", tmp_path / "kept" / "side"
    side = keeping(Side("side", (sys.executable, "-c", SCRIPT, str(log))), store)
    records = [side.run(tmp_path) for _ in range(3)]
    assert log.read_text().split() == ["make", "run", "run", "run"]
    assert records == [{"seconds": 2.0, "making": {"seconds": 5.0}}] * 3
    assert (making_seconds(records), first_seconds(records)) == (5.0, 7.0)
    assert (making_seconds([{"seconds": 3.0}]), first_seconds([{"seconds": 3.0}])) == (0.0, 3.0)


def test_a_reference_that_could_not_be_made_fails_the_side(tmp_path):
    log = tmp_path / "broken"
    side = keeping(Side("side", (sys.executable, "-c", SCRIPT, str(log))), tmp_path / "kept/side")
    found = [side.run(tmp_path) for _ in range(2)]
    assert log.read_text().split() == ["make"]
    assert all(set(each) == {"failed"} and "no such model" in each["failed"] for each in found)


def test_the_commands_of_all_sides_can_be_read(monkeypatch, tmp_path, tiny_folder, text_file):
    """Each side's own parser takes what the comparison tells it."""
    source, package, ready = tiny_folder, tmp_path / "package", tmp_path / "ready"
    reference = Model("fp32", source, package / "fp32", ready / "fp32")
    candidate = Model("int4", source, package / "int4", ready / "int4")
    monkeypatch.setattr(divergence, "models", lambda *_: iter([reference]))
    options = Namespace(
        text=text_file, tokens=100, window=32, stride=16, threads=2, peers=tmp_path / "env"
    )
    sides = divergence._sides(options, candidate, tmp_path)
    assert len(json.loads((tmp_path / "ids.json").read_text("utf-8"))) == 100
    names = [side.name for side in sides]
    assert names == ["quantgate-ort", "quantgate-ortgenai", *divergence_side.SCRIPTS]
    found = {side.name: _read(side, monkeypatch) for side in sides}
    kept = [side.name for side in sides if isinstance(side, KeptSide)]
    assert kept == [name for name in names if name.startswith("quantgate") or "kept" in name]
    assert len({found[name].store for name in kept}) == len(kept)
    assert found["two-model-hf"].reference == source
    assert found["two-model-hf"].model == ready / "int4"
    assert found["two-model-ort"].reference == ready / "fp32"
    assert found["quantgate-ort"].reference == package / "fp32"
    assert (found["quantgate-ort"].precision, found["quantgate-ort"].tokens) == ("int4", 100)
    assert {(each.window, each.stride, each.threads) for each in found.values()} == {(32, 16, 2)}


def _read(side: Side, monkeypatch) -> Namespace:
    _, _, module, *arguments = side.command
    modules = {each.__name__: each for each in (divergence_side, ours_divergence)}
    making = ["--make"] if isinstance(side, KeptSide) else []
    monkeypatch.setattr(sys, "argv", [module, *arguments, *making, "--json", "record.json"])
    return modules[module]._options()
