"""Speed of greedy generation: quantgate's ORT loop against onnxruntime-genai's own.

Both sides are loaded in one process from the same package, with the same threads, on the CPU:

* *onnxruntime-genai*: its Generator in the loop of its own benchmark: append the prompt, then
  generate id after id, greedily and with `min_length` at its most, so that no end of text ends it;
  but for the number of threads the package's own settings;
* *quantgate*: what `OrtBackend.decoding` does, as its generation and speed suites use it.

Sides take turns, and every other round the other one begins, so a drift of the machine meets both;
a pause before each lets the other's threads come to rest.
Time to first token ends when the first id is known; tokens per second are those of the ids after
it. The ratio is that of tokens per second, quantgate over onnxruntime-genai: its median over
rounds, with the bootstrap interval of 95 %, and its range. Ids are compared: only an end-of-text
id, kernels that round and ties may make them part.

    python -m benchmarks.generation --package DIR [DIR ...] [--new 256] [--rounds 31] [--json FILE]
    python -m benchmarks.generation --train-on DIR [--size 135m] [--precisions fp32 int4]
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from benchmarks.models import PRECISIONS, add_model_arguments, model_arguments
from benchmarks.output import PageTable, PageTarget, page, print_page, write_json
from quantgate.backends.ort import OrtBackend
from quantgate.packages.package import OnnxPackage, open_package
from quantgate.stats.medians import median_shift
from quantgate.tasks.turns import REST_SECONDS

OURS, GENAI = "quantgate-ort", "onnxruntime-genai"
WANTED = 0.95
SEED = 20260711

Ids = Sequence[int]


@dataclass(frozen=True, slots=True)
class Turn:
    """One generation: its ids, seconds to the first and seconds of all others."""

    ids: list[int]
    first_s: float
    rest_s: float

    @property
    def tokens_per_s(self) -> float:
        """Of the ids after the first."""
        return (len(self.ids) - 1) / self.rest_s


@dataclass(slots=True)
class Side:
    """One way to generate, and its turns so far."""

    generate: Callable[[Ids, int], Turn]
    turns: list[Turn] = field(default_factory=list)


def main() -> None:
    """Measure and print."""
    options = _options()
    results = {name: _measure(package, options) for name, package in _packages(options).items()}
    told = {name: getattr(options, name) for name in ("prompt", "new", "threads", "rounds")}
    content = page_content(results, told)
    print_page(content)
    write_json(options.json, "generation", {"options": told, "results": results, "page": content})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--package", type=Path, nargs="+", default=None, help="decoder packages to run instead"
    )
    parser.add_argument("--precisions", nargs="+", default=list(PRECISIONS))
    parser.add_argument("--prompt", type=int, default=128, help="tokens to append")
    parser.add_argument("--new", type=int, default=256, help="tokens to generate")
    parser.add_argument("--threads", type=int, default=2, help="of every session")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--json", type=Path, default=None, help="keep everything measured here")
    add_model_arguments(parser)
    options = parser.parse_args()
    if not (options.package or options.model or options.train_on):
        parser.error("name a --package, a --model, or text to --train-on")
    if options.rounds < 2:
        parser.error("--rounds is at least 2: one ratio has no interval")
    return options


def _packages(options: argparse.Namespace) -> dict[str, OnnxPackage]:
    """What to measure, by the name that it is told under."""
    if options.package:
        return {str(folder): open_package(folder) for folder in options.package}
    model = options.model.name if options.model else options.size
    found = model_arguments(options, Path()).packages(options.precisions)
    return {f"{model} {precision}": package for precision, package in found.items()}


def _measure(package: OnnxPackage, options: argparse.Namespace) -> dict[str, Any]:
    """Everything about one package, JSON-ready; an untimed round goes before the others."""
    random = np.random.default_rng(SEED)
    prompt = random.integers(0, package.config.vocab_size, options.prompt).tolist()
    sides = {
        OURS: Side(_ours(package, options.threads)),
        GENAI: Side(_genai(package, options.threads)),
    }
    for number in range(options.rounds + 1):
        for side in list(sides.values())[:: 1 if number % 2 else -1]:
            sleep(REST_SECONDS)
            turn = side.generate(prompt, options.new)
            if number:
                side.turns.append(turn)
    ours, genai = sides[OURS].turns, sides[GENAI].turns
    return {
        "package": package.digest,
        "tokens_per_s": {name: [t.tokens_per_s for t in s.turns] for name, s in sides.items()},
        "first_token_s": {name: [t.first_s for t in s.turns] for name, s in sides.items()},
        "round_ratios": [a.tokens_per_s / b.tokens_per_s for a, b in zip(ours, genai, strict=True)],
        "same_ids": _agreed(ours[-1].ids, genai[-1].ids),
        "ids": options.new,
    }


def _ours(package: OnnxPackage, threads: int) -> Callable[[Ids, int], Turn]:
    backend = OrtBackend(package, threads=threads)

    def generate(prompt: Ids, new: int) -> Turn:
        decoding = backend.decoding(len(prompt) + new)
        began = perf_counter()
        ids = [decoding.append(prompt)]
        first = perf_counter()
        for _ in range(new - 1):
            ids.append(decoding.step(ids[-1]))
        ended = perf_counter()
        decoding.close()
        return Turn(ids, first - began, ended - first)

    return generate


def _genai(package: OnnxPackage, threads: int) -> Callable[[Ids, int], Turn]:
    import onnxruntime_genai

    config = onnxruntime_genai.Config(str(package.folder))
    session = {"intra_op_num_threads": threads}
    config.overlay(json.dumps({"model": {"decoder": {"session_options": session}}}))
    model = onnxruntime_genai.Model(config)

    def generate(prompt: Ids, new: int) -> Turn:
        longest = len(prompt) + new
        params = onnxruntime_genai.GeneratorParams(model)
        params.set_search_options(
            batch_size=1, do_sample=False, max_length=longest, min_length=longest
        )
        generator = onnxruntime_genai.Generator(model, params)
        began = perf_counter()
        generator.append_tokens(np.array(prompt, dtype=np.int32))
        generator.generate_next_token()
        first = perf_counter()
        for _ in range(new - 1):
            generator.generate_next_token()
        ended = perf_counter()
        ids = [int(number) for number in generator.get_sequence(0)[len(prompt) :]]
        if len(ids) != new:
            raise SystemExit(f"onnxruntime-genai generated {len(ids)} of {new} tokens")
        return Turn(ids, first - began, ended - first)

    return generate


def _agreed(one: Ids, other: Ids) -> int:
    """Length of the common beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=True)))


def page_content(results: Mapping[str, dict[str, Any]], told: Mapping[str, int]) -> dict[str, Any]:
    """A table and a target for each package, told by the last part of its name."""
    named = [(Path(name).name, result) for name, result in results.items()]
    targets = [
        PageTarget(
            f"{name}: tokens/s, {OURS} over {GENAI}'s own loop",
            statistics.median(result["round_ratios"]),
            WANTED,
            ours=OURS,
            peer=GENAI,
        )
        for name, result in named
    ]
    return page([_table(name, result, told) for name, result in named], targets=targets)


def _table(name: str, result: dict[str, Any], told: Mapping[str, int]) -> PageTable:
    ratios = result["round_ratios"]
    median = median_shift(ratios, [0.0, 0.0])
    rows = [
        {
            "side": side,
            "first token ms": 1000 * statistics.median(result["first_token_s"][side]),
            "tokens/s": statistics.median(result["tokens_per_s"][side]),
            "lowest": min(result["tokens_per_s"][side]),
            "highest": max(result["tokens_per_s"][side]),
        }
        for side in (GENAI, OURS)
    ]
    note = (
        f"{told['prompt']} tokens appended, {told['new']} generated, {told['threads']} threads; "
        f"ratio {median.value:.3f}, between {median.low:.3f} and {median.high:.3f} with 95 % "
        f"confidence, median of {told['rounds']} rounds ({min(ratios):.3f} to {max(ratios):.3f}); "
        f"the first {result['same_ids']} of {result['ids']} ids are the same."
    )
    return PageTable(name, rows, note)


if __name__ == "__main__":
    main()
