"""All 57 subjects of MMLU 5-shot: quantgate on every question, its peers on a fixed part, scaled.

Every side is a process of its own with the same number of threads. quantgate's sides answer all
questions; every other side answers a fixed tenth (`shares`; `--share`) with the same shots, and its
time is multiplied by the ratio of prompt tokens. `full-forward-ort` is the usual script, one full
forward per question. Timed is each tool's own evaluation loop, without loading and tokenisation. Of
the questions in common, all fp32 log-likelihoods must agree within `MAX_DELTA` nats, or the exit
code is 1. Left out are questions that a tool's own tokenizer reads as other ids (onnxruntime-genai
takes two line ends before a digit for two tokens where Hugging Face's tokenizers have one for
both); with more than `MOST_READ_OTHERWISE` of them the exit code is 1, too.

This takes hours. With `--keep` each side's record is kept as it comes (`recorded`), and a side that
has one isn't run again. lm-eval's ONNX engines do four forwards a question, so they are left out
unless `--four-forwards` or `--sides` asks for them.

    python -m benchmarks.peers.whole_mmlu --peers ENV --data-dir DIR [--size 135m] [--keep DIR] \\
        [--precisions fp32 int4] [--sides quantgate-ort "olive-ort b1" ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.code import engine_digest, sides_digest
from benchmarks.models import PRECISIONS
from benchmarks.output import page, print_page
from benchmarks.peers.comparison import compare_sides, conclude
from benchmarks.peers.full_forward_side import NAME as FULL_FORWARD
from benchmarks.peers.in_common import is_whole
from benchmarks.peers.inputs import BACKENDS, REFERENCE, Model, add_common_arguments
from benchmarks.peers.install import environment_python
from benchmarks.peers.local_data import write_mmlu
from benchmarks.peers.mmlu import MAX_DELTA, PEERS
from benchmarks.peers.processes import ROOT, Side, ours, peer
from benchmarks.peers.recorded import (
    RecordedSide,
    environment_facts,
    model_digest,
    own_facts,
    record_path,
)
from benchmarks.peers.whole_page import WholeRun
from quantgate.corpus.mmlu import MmluCorpus, read_mmlu

SHOTS = 5
MOST_READ_OTHERWISE = 0.02
FOUR_FORWARDS = ("lm-eval-ort b1", "lm-eval-ortgenai b1")
TOLD = ("name", "subjects", "share", "threads")


def main() -> int:
    """Measure, print, and say by the exit code whether all sides agree."""
    options = _options()
    corpus = read_mmlu(str(options.data_dir.resolve()), base=Path(), subjects=options.subjects)
    options.subjects = sorted(corpus.shots)
    compared = list(compare_sides(options, options.data_dir, partial(_sides, options, corpus)))
    runs = [WholeRun(options.name, each, options.share) for each in compared]
    content = page(
        tables=[table for run in runs for table in run.tables()],
        targets=[target for run in runs for target in run.targets()],
    )
    print_page(content)
    return conclude(
        options,
        "peers_whole_mmlu",
        TOLD,
        {run.measured.precision: run.results() for run in runs},
        failures=[*(failure for each in compared for failure in each.failures), *_apart(runs)],
        page=content,
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="MMLU, the CSV layout")
    parser.add_argument("--subjects", nargs="+", default=[], help="default: all")
    parser.add_argument(
        "--share", type=int, default=10, help="the peers answer one in so many questions"
    )
    parser.add_argument(
        "--four-forwards", action="store_true", help=f"{' and '.join(FOUR_FORWARDS)}, too"
    )
    parser.add_argument("--keep", type=Path, default=None, help="folder of records made before")
    add_common_arguments(parser)
    parser.set_defaults(precisions=list(PRECISIONS), rounds=1)
    options = parser.parse_args()
    options.name = options.model.name if options.model else options.size
    if options.share < 1:
        parser.error("--share is at least 1")
    if options.keep is not None and options.rounds > 1:
        parser.error("--keep keeps one round")
    if options.sides is not None and not any(map(is_whole, options.sides)):
        parser.error("name a side of quantgate, too: its record tells how to scale the others")
    python = environment_python(options.peers.resolve())
    if not python.exists():
        parser.error(f"no {python}: make it with python -m benchmarks.peers.install --env DIR")
    return options


def _apart(runs: list[WholeRun]) -> list[str]:
    apart = any(
        run.measured.precision == REFERENCE and not run.max_delta < MAX_DELTA for run in runs
    )
    otherwise = any(run.most_read_otherwise > MOST_READ_OTHERWISE for run in runs)
    return [
        *[f"the sides differ by {MAX_DELTA:g} nats or more in fp32"] * apart,
        *[f"a side reads over {MOST_READ_OTHERWISE:.0%} of the questions as other ids"] * otherwise,
    ]


def _sides(
    options: argparse.Namespace, corpus: MmluCorpus, model: Model, folder: Path
) -> list[Side]:
    """All sides that exist, or those measured unasked, with their records' places."""
    known = [*_ours(options, model), _full_forward(options, model), *_peers(options, model, folder)]
    if options.sides is None and not options.four_forwards:
        known = [side for side in known if side.name not in FOUR_FORWARDS]
    return [
        RecordedSide(side.name, side.command, _place(options, corpus, model, side.name))
        for side in known
    ]


def _place(
    options: argparse.Namespace, corpus: MmluCorpus, model: Model, side: str
) -> Callable[[], Path] | None:
    """Tells where a side's record is kept, by what is installed when it is asked."""
    if options.keep is None:
        return None
    folder = options.keep.resolve()
    asked = {
        "questions": corpus.digest,
        "share": 1 if is_whole(side) else options.share,
        "shots": SHOTS,
        "threads": options.threads,
    }

    def place() -> Path:
        ran_with = _ran_with(options, side)
        return record_path(folder, side, model=model_digest(model), asked=asked, ran_with=ran_with)

    return place


def _ran_with(options: argparse.Namespace, side: str) -> Mapping[str, Any]:
    measured_by = {"benchmarks": sides_digest(ROOT)}
    if side == FULL_FORWARD:
        return {**own_facts(), **measured_by}
    if is_whole(side):
        return {**own_facts(), **measured_by, "code": engine_digest(ROOT)}
    return {**environment_facts(environment_python(options.peers.resolve())), **measured_by}


def _common(options: argparse.Namespace) -> list[object]:
    return ["--subjects", *options.subjects, "--shots", SHOTS, "--threads", options.threads]


def _ours(options: argparse.Namespace, model: Model) -> Iterator[Side]:
    for backend in BACKENDS:
        arguments: list[object] = ["--model", model.for_ours(backend), "--package", model.package]
        arguments += ["--data", options.data_dir.resolve(), *_common(options)]
        yield ours("mmlu", backend, arguments)


def _full_forward(options: argparse.Namespace, model: Model) -> Side:
    command = [sys.executable, "-m", "benchmarks.peers.full_forward_side"]
    arguments: list[object] = ["--model", model.package, "--data", options.data_dir.resolve()]
    arguments += ["--share", options.share, *_common(options)]
    return Side(FULL_FORWARD, (*command, *map(str, arguments)))


def _peers(options: argparse.Namespace, model: Model, folder: Path) -> Iterator[Side]:
    data = write_mmlu(options.data_dir, options.subjects, folder / "part", share=options.share)
    for engine, batch_sizes in PEERS.items():
        for size in batch_sizes:
            arguments = ["--model", model.for_peer(engine), "--data", data, *_common(options)]
            yield peer(options.peers, "mmlu_side", engine, arguments, batch_size=size)


if __name__ == "__main__":
    sys.exit(main())
