"""Speed of MMLU 5-shot scoring: one full forward per question, against quantgate.

Both sides run in one process on the same packages, ids and session settings, on the CPU:

* *full forward*: the package's own model file, one prompt at a time, empty cache, the logits of all
  positions returned, the last row's log-softmax over the four letters;
* *quantgate*: requests, plan, packed rows behind kept prefixes, head rows, log-likelihoods: what
  its MMLU suite runs.

Timed is the evaluation loop, planning included; loading and tokenisation are told separately. Each
round runs every subject on both sides in turn, so a drift of the machine meets both; a side's time
is the median over rounds. Both sides must agree: an fp32 log-likelihood that differs by `MAX_DELTA`
or more ends with exit code 1. The share of the machine's peak is useful work per second over a
measured single-precision matrix-product rate (`matmul_peak`, which has the formula); int4 packages
compute in int8 and may exceed it.

    python -m benchmarks.mmlu_speed --data-dir DIR [--questions 50] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.asking import warm_up
from benchmarks.full_forward import FullForward, letter_ids
from benchmarks.matmul_peak import measure_peak, useful_flops
from benchmarks.mmlu_rounds import FULL, OURS, SIDES, Sides, Subject
from benchmarks.models import PRECISIONS, add_model_arguments, model_arguments
from benchmarks.output import print_table, write_json
from quantgate.backends.base import BackendSpec
from quantgate.corpus.mmlu import read_mmlu
from quantgate.execution.inline import InlineSession
from quantgate.packages.package import OnnxPackage
from quantgate.packages.tokenizer import load_tokenizer
from quantgate.plan import make_plan
from quantgate.tasks.mmlu import MmluTask
from quantgate.tasks.mmlu_items import MmluOptions
from quantgate.token_trie import sort_sequences

SUBJECTS = ("abstract_algebra", "anatomy", "nutrition", "professional_law")
OPTIONS = MmluOptions(template="hendrycks", shots=5, decision="loglikelihood", overflow="error")
MAX_DELTA = 1e-4

T = TypeVar("T")


def main() -> int:
    """Measure, print, and say by the exit code whether both sides agree."""
    options = _options()
    packages = model_arguments(options, options.data_dir).packages(options.precisions)
    results = {name: _measure(package, options) for name, package in packages.items()}
    for name, result in results.items():
        _report(name, result)
    told = {name: getattr(options, name) for name in ("questions", "subjects", "threads", "rounds")}
    write_json(options.json, "mmlu_speed", {"options": told, "results": results})
    differs = "fp32" in results and not results["fp32"]["max_delta"] < MAX_DELTA
    if differs:
        print(f"FAILED: the sides differ by {MAX_DELTA:g} nats or more in fp32", file=sys.stderr)
    return int(differs)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="MMLU, as quantgate reads it")
    parser.add_argument("--questions", type=int, default=50, help="of each subject")
    parser.add_argument("--subjects", nargs="+", default=list(SUBJECTS))
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS))
    parser.add_argument("--threads", type=int, default=2, help="of every session")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="keep everything measured here")
    add_model_arguments(parser)
    return parser.parse_args()


def _measure(package: OnnxPackage, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one package, JSON-ready; the peak is measured before and after."""
    full, full_load = _timed(lambda: FullForward(package, threads=options.threads))
    ours, ours_load = _timed(lambda: _load_ours(package, options.threads))
    tokenizer, tokenizer_load = _timed(lambda: load_tokenizer(package.folder))
    sides = Sides(full, ours, tokenizer)
    subjects, encoding = _timed(lambda: [_subject(s, sides, options) for s in options.subjects])
    before = measure_peak(package, threads=options.threads)
    for subject in subjects:
        sides.warm_up(subject)
    for _ in range(options.rounds):
        for subject in subjects:
            sides.round(subject)
    after = measure_peak(package, threads=options.threads)
    ours.close()
    return {
        **_times(subjects),
        **_work(subjects, package),
        **_agreement(subjects),
        "load_seconds": {FULL: full_load, OURS: ours_load},
        "encode_seconds": encoding,
        "tokenizer_load_seconds": tokenizer_load,
        "gflops_measured": {name: max(rate, after[name]) for name, rate in before.items()},
    }


def _timed(make: Callable[[], T]) -> tuple[T, float]:
    started = time.perf_counter()
    made = make()
    return made, time.perf_counter() - started


def _load_ours(package: OnnxPackage, threads: int) -> InlineSession:
    session = InlineSession(BackendSpec("ort", str(package.folder), threads=threads))
    warm_up(session)
    return session


def _subject(name: str, sides: Sides, options: argparse.Namespace) -> Subject:
    corpus = read_mmlu(
        str(options.data_dir.resolve()), base=Path(), subjects=[name], limit=options.questions
    )
    task = MmluTask(corpus, OPTIONS)
    limits = sides.ours.limits
    items = task.encode(sides.tokenizer, limits.context)
    letter_ids(items)  # refused here, before anything is timed
    return Subject(name, task, items, make_plan(items.requests, limits))


def _times(subjects: list[Subject]) -> dict[str, Any]:
    """Seconds by side: of each round over all subjects, and their medians."""
    rounds = {
        side: [sum(times) for times in zip(*(s.seconds[side] for s in subjects), strict=True)]
        for side in SIDES
    }
    planning = [sum(times) for times in zip(*(s.planning for s in subjects), strict=True)]
    return {
        "rounds_seconds": rounds,
        "seconds": {side: statistics.median(times) for side, times in rounds.items()},
        "round_ratios": [a / b for a, b in zip(rounds[FULL], rounds[OURS], strict=True)],
        "planning_seconds": statistics.median(planning),
        "by_subject": [_subject_line(subject) for subject in subjects],
    }


def _subject_line(subject: Subject) -> dict[str, Any]:
    count = len(subject.items.items)
    theirs, ours = (statistics.median(subject.seconds[side]) for side in SIDES)
    return {
        "subject": subject.name,
        "questions": count,
        "tokens": subject.prompt_tokens,
        "computed": subject.plan.computed,
        f"{FULL} s/q": theirs / count,
        f"{OURS} s/q": ours / count,
        "ratio": theirs / ours,
    }


def _work(subjects: list[Subject], package: OnnxPackage) -> dict[str, Any]:
    """Tokens and operations over all subjects."""
    plans = [subject.plan for subject in subjects]
    return {
        "questions": sum(len(subject.items.items) for subject in subjects),
        "tokens_requested": sum(subject.prompt_tokens for subject in subjects),
        "tokens_computed": sum(plan.computed for plan in plans),
        "tokens_distinct": sum(sort_sequences(plan.sequences).distinct_tokens for plan in plans),
        "useful_flops": sum(useful_flops(plan, package) for plan in plans),
    }


def _agreement(subjects: list[Subject]) -> dict[str, Any]:
    """How far the sides' log-likelihoods and answers are apart."""
    theirs, ours = (np.concatenate([s.values[side] for s in subjects]) for side in SIDES)
    return {
        "max_delta": float(np.abs(theirs - ours).max()),
        "answers_that_differ": int((theirs.argmax(1) != ours.argmax(1)).sum()),
    }


def _report(precision: str, result: dict[str, Any]) -> None:
    seconds, count = result["seconds"], result["questions"]
    tokens = {FULL: result["tokens_requested"], OURS: result["tokens_computed"]}
    print(f"\n{precision}, {count} questions; median of {len(result['round_ratios'])} rounds")
    print_table(result["by_subject"])
    print()
    print_table(
        [
            {
                "side": side,
                "s": seconds[side],
                "s/question": seconds[side] / count,
                "tokens computed": tokens[side],
                "computed/s": tokens[side] / seconds[side],
                "prompt tokens/s": result["tokens_requested"] / seconds[side],
                "load s": result["load_seconds"][side],
            }
            for side in SIDES
        ]
    )
    achieved = result["useful_flops"] / seconds[OURS] / 1e9
    peak = result["gflops_measured"]["peak"]
    low, high = min(result["round_ratios"]), max(result["round_ratios"])
    print(f"tokens requested {tokens[FULL]}, distinct {result['tokens_distinct']}")
    print(f"planning {result['planning_seconds']:.3f} s of quantgate's time")
    print(
        f"both sides alike: tokenisation {result['encode_seconds']:.3f} s, after loading ", end=""
    )
    print(f"the tokenizer in {result['tokenizer_load_seconds']:.3f} s")
    print(f"fp32 matrix products at best: {peak:.1f} GFLOP/s; quantgate's useful work: ", end="")
    print(f"{achieved:.1f} GFLOP/s, {achieved / peak:.0%} of it")
    print(f"largest difference {result['max_delta']:.2g} nats; answers that differ ", end="")
    print(f"{result['answers_that_differ']} of {count}")
    print(f"ratio: {seconds[FULL] / seconds[OURS]:.1f}x (rounds {low:.1f}x to {high:.1f}x)")


if __name__ == "__main__":
    sys.exit(main())
