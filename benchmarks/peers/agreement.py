"""Whether quantgate's figures are lm-eval's: MMLU by letter, rolling perplexity by page.

lm-eval runs its own `hf` model on its own `mmlu` (template `lm_eval` here) and `wikitext` (protocol
`rolling` here) tasks; only the data sets are local. Asked for, or the exit code is 1:

* every letter's log-likelihood within `MAX_DELTA` nats, each subject's accuracy equal;
* every page's words and bytes equal; word and byte perplexity within `MAX_RELATIVE`, relative.

    python -m benchmarks.peers.agreement --peers ENV --model DIR --data-dir DIR --text FILE \\
        [--questions 50] [--pages 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.output import print_table, write_json
from benchmarks.peers.local_data import SUBJECTS, write_mmlu, write_wikitext
from benchmarks.peers.processes import Side, add_peers_argument, ours, peer

MAX_DELTA = 1e-3
MAX_RELATIVE = 1e-4
PERPLEXITIES = ("word_perplexity", "byte_perplexity", "bits_per_byte")


def main() -> int:
    """Compare, print, and say by the exit code whether all is equal."""
    options = _options()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.data_dir:
            results["mmlu"] = _mmlu(options, folder)
        if options.text:
            results["rolling"] = _rolling(options, folder)
    write_json(options.json, "peers_agreement", results)
    apart = [name for name, result in results.items() if not result["agrees"]]
    if apart:
        print(f"FAILED: {' and '.join(apart)} differ from lm-eval's", file=sys.stderr)
    return int(bool(apart))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_peers_argument(parser)
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face folder")
    parser.add_argument("--backend", default="torch", help="quantgate's backend")
    parser.add_argument("--package", type=Path, default=None, help="for another than torch")
    parser.add_argument("--data-dir", type=Path, default=None, help="MMLU, the CSV layout")
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS))
    parser.add_argument("--questions", type=int, default=None, help="of each subject; default all")
    parser.add_argument("--text", type=Path, default=None, help="WikiText, a paragraph a line")
    parser.add_argument("--pages", type=int, default=None, help="default all")
    parser.add_argument("--window", type=int, default=1024, help="ids a rolling window reads")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, default=None, help="keep everything measured here")
    options = parser.parse_args()
    if not options.data_dir and not options.text:
        parser.error("name --data-dir, --text or both")
    if options.backend != "torch" and not options.package:
        parser.error(f"--backend {options.backend} needs --package")
    return options


def _run(side: Side, folder: Path) -> dict[str, Any]:
    record = side.run(folder)
    if "failed" in record:
        raise SystemExit(f"{side.name}: {record['failed']}")
    return record


def _mmlu(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    data = write_mmlu(options.data_dir, options.subjects, folder / "mmlu")
    common: list[object] = ["--subjects", *options.subjects, "--threads", options.threads]
    if options.questions is not None:
        common += ["--questions", options.questions]
    theirs = _theirs("mmlu", options, folder, ["--data", data, *common])
    mine = _ours("mmlu", options, folder, ["--data", options.data_dir.resolve(), *common])
    rows = [
        _subject(name, theirs["subjects"][name], mine["subjects"][name])
        for name in options.subjects
    ]
    print(f"\nMMLU, {theirs['count']} questions, differences in nats")
    print_table(rows)
    agrees = all(
        row["largest difference"] < MAX_DELTA and row["lm-eval"] == row["quantgate"] for row in rows
    )
    return {"agrees": agrees, "table": rows, "lm-eval": theirs, "quantgate": mine}


def _subject(name: str, theirs: dict[str, Any], mine: dict[str, Any]) -> dict[str, Any]:
    values = [np.array(side["loglikelihoods"]) for side in (theirs, mine)]
    if values[0].shape != values[1].shape or theirs["gold"] != mine["gold"]:
        raise SystemExit(f"{name}: the sides scored other questions")
    return {
        "subject": name,
        "questions": len(theirs["gold"]),
        "lm-eval": theirs["accuracy"],
        "quantgate": mine["accuracy"],
        "other answers": sum(a != b for a, b in zip(theirs["chosen"], mine["chosen"], strict=True)),
        "largest difference": float(np.abs(values[0] - values[1]).max()),
    }


def _rolling(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    data = write_wikitext(options.text, folder / "wikitext")
    common: list[object] = ["--threads", options.threads]
    if options.pages is not None:
        common += ["--pages", options.pages]
    window = options.window
    theirs = _theirs("rolling", options, folder, ["--data", data, "--max-length", window, *common])
    original = ["--data", options.text.resolve(), "--window", window]
    mine = _ours("rolling", options, folder, [*original, *common])
    rows = [
        {
            "figure": name,
            "lm-eval": f"{theirs[name]:.9g}",
            "quantgate": f"{mine[name]:.9g}",
            "relative difference": abs(mine[name] / theirs[name] - 1),
        }
        for name in PERPLEXITIES
    ]
    same_counts = [_counts(page) for page in theirs["pages"]] == [
        _counts(page) for page in mine["pages"]
    ]
    print(f"\nrolling, {theirs['count']} pages, windows of {options.window}, ", end="")
    print("words and bytes of every page " + ("equal" if same_counts else "DIFFERENT"))
    print_table(rows)
    agrees = same_counts and all(row["relative difference"] < MAX_RELATIVE for row in rows)
    return {"agrees": agrees, "table": rows, "lm-eval": theirs, "quantgate": mine}


def _counts(page: dict[str, Any]) -> tuple[int, int]:
    return page["words"], page["bytes"]


def _theirs(
    measure: str, options: argparse.Namespace, folder: Path, arguments: list[object]
) -> dict[str, Any]:
    arguments = ["--model", options.model.resolve(), *arguments]
    return _run(
        peer(options.peers, f"{measure}_side", "lm-eval-hf", arguments, batch_size=1), folder
    )


def _ours(
    measure: str, options: argparse.Namespace, folder: Path, arguments: list[object]
) -> dict[str, Any]:
    model = options.model if options.backend == "torch" else options.package
    return _run(ours(measure, options.backend, ["--model", model.resolve(), *arguments]), folder)


if __name__ == "__main__":
    sys.exit(main())
