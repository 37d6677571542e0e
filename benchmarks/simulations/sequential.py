"""How often a sequential run stops with another verdict than the complete run's, and what it saves.

    python -m benchmarks.simulations.sequential [--runs 10000]

Every setting is one population: the harms of all N items of a complete run, whose verdict is known.
A run takes them in an order of its own, by the same blocks, stages and tests as the gate. Printed
are the share of runs that stopped with a wrong verdict, which must stay below the level, and the
share of items that were asked. Settings marked with an asterisk lie beyond what is claimed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from benchmarks.simulations.early_stops import HEADER, simulate_answers, simulate_windows
from benchmarks.simulations.populations import answer_settings, window_settings
from quantgate.sequential.betting import LEVEL


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables; 1 where a claimed rate is above the level."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=10_000, help="runs per setting, a multiple of 50"
    )
    runs = parser.parse_args(arguments).runs
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(f"{runs:,} runs a setting, level {LEVEL:.0%}\n\nanswers\n{HEADER}", flush=True)
    failed = False
    with ProcessPoolExecutor(2) as pool:
        answers = pool.map(partial(simulate_answers, runs=runs), answer_settings())
        windows = pool.map(partial(simulate_windows, runs=runs), window_settings())
        for outcomes in answers:
            print("\n".join(map(str, outcomes)), flush=True)
            failed |= any(max(outcome.wrong) > LEVEL for outcome in outcomes)
        print(f"\nwindows\n{HEADER}")
        for outcome in windows:
            print(outcome, flush=True)
            failed |= outcome.claimed and max(outcome.wrong) > LEVEL
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
