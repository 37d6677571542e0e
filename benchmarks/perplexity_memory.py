"""Peak memory and time of strided perplexity: full logits per window, against quantgate.

* *full logits*: the package's own model file, each window's logits `[1, window, vocabulary]`
  handed to NumPy and, where torch is installed, to `torch.log_softmax` over all rows in float32 (as
  the scripts in use do), then the scored targets picked out;
* *quantgate*: planned rows, the head run on scored rows only, in blocks; NumPy.

Each side runs in a process of its own. The text is encoded here, once; both sides read the ids from
a file, so neither counts a tokenizer. Both are measured from their first token on with the model
loaded and warm. Two figures each: the peak of the process while it evaluates, and what of it lies
beyond the memory held before (model, runtime, and torch where it is used). Sides alternate over
rounds; time is the median, memory the largest. The perplexities must agree: fp32 within
`MAX_RELATIVE`, or the exit code is 1.

    python -m benchmarks.perplexity_memory --text FILE [--tokens 8192] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.models import PRECISIONS, add_model_arguments, model_arguments
from benchmarks.output import print_table, write_json
from quantgate.corpus.text import read_text
from quantgate.packages.package import OnnxPackage
from quantgate.packages.tokenizer import load_tokenizer

FULL, OURS = SIDES = ("full logits", "quantgate")
MAX_RELATIVE = 1e-6


def main() -> int:
    """Measure, print, and say by the exit code whether both sides agree."""
    options = _options()
    packages = model_arguments(options, options.text).packages(options.precisions)
    results = {name: _measure(package, options) for name, package in packages.items()}
    for name, result in results.items():
        _report(name, result)
    told = {name: getattr(options, name) for name in ("tokens", "window", "stride", "threads")}
    write_json(options.json, "perplexity_memory", {"options": told, "results": results})
    differs = "fp32" in results and results["fp32"]["relative_difference"] > MAX_RELATIVE
    if differs:
        print(f"FAILED: fp32 perplexities differ by over {MAX_RELATIVE:g}", file=sys.stderr)
    return int(differs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", type=Path, required=True, help="text, a paragraph a line")
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--stride", type=int, default=512)
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="keep everything measured here")
    add_model_arguments(parser)
    return parser.parse_args()


def _measure(package: OnnxPackage, options: argparse.Namespace) -> dict[str, Any]:
    """Both sides of one package, JSON-ready."""
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        ids = Path(folder, "ids.npy")
        np.save(ids, _encode(package, options))
        for _ in range(options.rounds):
            for side in SIDES:
                runs[side].append(_child(side, package, ids, options))
    sides = {side: _summary(found) for side, found in runs.items()}
    full, ours = sides[FULL]["perplexity"], sides[OURS]["perplexity"]
    return {"sides": sides, "relative_difference": abs(full / ours - 1), "runs": runs}


def _encode(package: OnnxPackage, options: argparse.Namespace) -> np.ndarray:
    corpus = read_text(str(options.text.resolve()), base=Path())
    (ids,) = load_tokenizer(package.folder).encode([corpus.text])
    return np.array(ids[: options.tokens], dtype=np.int64)


def _child(
    side: str, package: OnnxPackage, ids: Path, options: argparse.Namespace
) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.perplexity_side", "--side", side]
    command += ["--package", str(package.folder), "--ids", str(ids)]
    for name in ("window", "stride", "threads"):
        command += [f"--{name}", str(getattr(options, name))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median time, largest memory, and the perplexity, which every run must repeat."""
    return {
        "perplexity": runs[0]["perplexity"],
        "repeats": all(run["perplexity"] == runs[0]["perplexity"] for run in runs),
        "scored": runs[0]["scored"],
        "torch": runs[0]["torch"],
        "seconds": statistics.median(run["seconds"] for run in runs),
        "loading_peak_mib": max(run["loading_peak_mib"] for run in runs),
        "loaded_mib": max(run["loaded_mib"] for run in runs),
        "peak_mib": max(run["peak_mib"] for run in runs),
        "beyond_mib": max(run["peak_mib"] - run["loaded_mib"] for run in runs),
    }


def _report(precision: str, result: dict[str, Any]) -> None:
    sides = result["sides"]
    print(f"\n{precision}, {sides[FULL]['scored']} scored tokens, ", end="")
    print("log-softmax by " + ("torch" if sides[FULL]["torch"] else "NumPy") + f" in {FULL}")
    print_table(
        [
            {
                "side": name,
                "perplexity": f"{side['perplexity']:.6f}",
                "s": side["seconds"],
                "ms/token": 1000 * side["seconds"] / side["scored"],
                "loading peak MiB": side["loading_peak_mib"],
                "loaded MiB": side["loaded_mib"],
                "peak MiB": side["peak_mib"],
                "beyond loaded MiB": side["beyond_mib"],
                "repeats": side["repeats"],
            }
            for name, side in sides.items()
        ]
    )
    print(f"relative difference of the perplexities: {result['relative_difference']:.2g}")
    for what, key in (("time", "seconds"), ("peak", "peak_mib"), ("beyond loaded", "beyond_mib")):
        print(f"ratio, {what}: {sides[FULL][key] / sides[OURS][key]:.1f}x")


if __name__ == "__main__":
    sys.exit(main())
