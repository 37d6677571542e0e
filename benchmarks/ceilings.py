"""How near quantgate comes to what this machine can do: matrix products, and bytes of memory.

*Ceilings*, with the same threads as everything else: the best rate of fp32 matrix products
(`matmul_peak`), and the best rate at which memory is read or moved (`bandwidth`), each measured
before and after the work.

*Scoring* is held against the first, at fp32. Of the body, all layers before the head:

    share = 2 (linear * computed tokens + pair * visible pairs) / seconds in the body's runs / best

(terms as in `matmul_peak`), and of scoring as a whole, the head's useful work and every second
from requests to answers counted. *Outside the runtime* is the part of those seconds in which
neither body nor head ran. The work is one subject of five-shot questions, and windows of 1024,
both from random ids (`random_work`).

*Decoding* is held against the second:

    share = bytes of the projections' weights * tokens / seconds / best

Weights that a cache holds aren't read from memory, so the share of a small model may exceed 1.

    python -m benchmarks.ceilings [--sizes 3m 30m 135m] [--threads 2] [--rounds 3] [--json FILE]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.achieved import Decoded, Scored, measure_decoding, measure_scoring
from benchmarks.bandwidth import measure_bandwidth
from benchmarks.matmul_peak import measure_peak
from benchmarks.models import PRECISIONS, add_sizes_arguments, packages_by_size
from benchmarks.output import PageTable, PageTarget, page, print_page, write_json
from benchmarks.random_work import questions, windows
from quantgate.packages.package import OnnxPackage
from quantgate.requests import Request

REFERENCE: Final = "fp32"
TARGET_SIZE: Final = "135m"
WANTED: Final = 0.6

Rates = dict[str, float]
Named = tuple[str, str]


def main() -> None:
    """Measure and print."""
    options = _options()
    packages = packages_by_size(options, PRECISIONS)
    references = {size: each[REFERENCE] for size, each in packages.items()}
    before = _ceilings(references.values(), options.threads)
    scored = {
        (size, name): measure_scoring(package, requests, options.threads, options.rounds)
        for size, package in references.items()
        for name, requests in _work(options, package.config.vocab_size).items()
    }
    decoded = {
        (size, precision): measure_decoding(package, options.new, options.threads, options.rounds)
        for size, each in packages.items()
        for precision, package in each.items()
    }
    after = _ceilings(references.values(), options.threads)
    gflops, gb = (best_rates(pair) for pair in zip(before, after, strict=True))
    content = page_content(gflops, gb, scored, decoded)
    print_page(content)
    results = {
        "gflops_measured": gflops,
        "gb_per_s_measured": gb,
        "scoring": [{"size": s, "work": w, **asdict(each)} for (s, w), each in scored.items()],
        "decoding": [{"size": s, "precision": p, **asdict(e)} for (s, p), e in decoded.items()],
    }
    names = ("sizes", "questions", "windows", "new", "threads", "rounds")
    told = {name: getattr(options, name) for name in names}
    write_json(options.json, "ceilings", {"options": told, "results": results, "page": content})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_sizes_arguments(parser)
    parser.add_argument("--questions", type=int, default=50, help="of the subject")
    parser.add_argument("--windows", type=int, default=2, help="of 1024 tokens")
    parser.add_argument("--new", type=int, default=128, help="tokens to generate")
    parser.add_argument("--threads", type=int, default=2, help="of every session")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="keep everything measured here")
    return parser.parse_args()


def _work(options: argparse.Namespace, vocabulary: int) -> dict[str, Sequence[Request]]:
    return {
        f"{options.questions} questions": questions(options.questions, vocabulary),
        f"{options.windows} windows": windows(options.windows, vocabulary),
    }


def _ceilings(packages: Iterable[OnnxPackage], threads: int) -> tuple[Rates, Rates]:
    """GFLOP/s of matrix products of all packages' shapes, and GB/s of memory."""
    products = best_rates(measure_peak(each, threads=threads) for each in packages)
    return products, measure_bandwidth(threads)


def best_rates(measured: Iterable[Mapping[str, float]]) -> Rates:
    """The best of several measurements, name by name."""
    found: Rates = {}
    for rates in measured:
        for name, rate in rates.items():
            found[name] = max(rate, found.get(name, 0.0))
    return found


def page_content(
    gflops: Mapping[str, float],
    gb: Mapping[str, float],
    scored: Mapping[Named, Scored],
    decoded: Mapping[Named, Decoded],
) -> dict[str, Any]:
    """Tables and targets.

    Args:
        gflops: of matrix products by how they were measured, with `peak`.
        gb: GB/s of memory, likewise.
        scored: by model and work.
        decoded: by model and precision.
    """
    tables = [
        _ceilings_table(gflops, gb),
        _scoring_table(scored, gflops["peak"]),
        _decoding_table(decoded, gb["peak"]),
    ]
    targets = [
        PageTarget(
            f"scoring body ({work}) at {size} {REFERENCE} over the best matrix products",
            each.body_gflops / gflops["peak"],
            WANTED,
        )
        for (size, work), each in scored.items()
        if size == TARGET_SIZE
    ]
    return page(tables, targets=targets)


def _ceilings_table(gflops: Mapping[str, float], gb: Mapping[str, float]) -> PageTable:
    measured = (("fp32 matrix product", "GFLOP/s", gflops), ("memory", "GB/s", gb))
    rows = [
        {
            "ceiling": what,
            "best": rates["peak"],
            "unit": unit,
            "measured by": max(rates.keys() - {"peak"}, key=lambda name: rates[name]),
        }
        for what, unit, rates in measured
    ]
    return PageTable("Ceilings of this machine", rows)


def _scoring_table(scored: Mapping[Named, Scored], best: float) -> PageTable:
    rows = [
        {
            "model": size,
            "work": work,
            "tokens": each.tokens,
            "s": each.seconds,
            "body s": each.body_seconds,
            "body GFLOP/s": each.body_gflops,
            "body of ceiling": each.body_gflops / best,
            "whole of ceiling": each.gflops / best,
            "outside the runtime": each.outside,
        }
        for (size, work), each in scored.items()
    ]
    note = "Useful operations a second over the best rate of matrix products; tokens computed."
    return PageTable(f"Scoring against the matrix products, {REFERENCE}", rows, note)


def _decoding_table(decoded: Mapping[Named, Decoded], best: float) -> PageTable:
    rows = [
        {
            "model": size,
            "precision": precision,
            "weights MB/token": each.weight_bytes / 1e6,
            "tokens/s": each.tokens_per_s,
            "GB/s": each.gb_per_s,
            "of ceiling": each.gb_per_s / best,
        }
        for (size, precision), each in decoded.items()
    ]
    note = "Weights, read once a token, over the best rate of memory; above 1, a cache holds them."
    return PageTable("Decoding against the memory", rows, note)


if __name__ == "__main__":
    main()
