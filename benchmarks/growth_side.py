"""One point of a growth curve, in a process of its own: one side, one package, so much work.

* `quantgate-ort`: plan, packed rows behind kept prefixes, scored rows in blocks, as its suites run;
* `full-forward-ort`: the package's own file in one session, one prompt or window a run, the logits
  of all positions; of a question the last row's log-softmax, of a window PyTorch's of all rows.

Timed is the scoring with a loaded and warm model; memory is the peak beyond it.

    python -m benchmarks.growth_side --side quantgate-ort --package DIR --work questions --count 50
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from benchmarks.asking import ask, warm_up
from benchmarks.full_forward import FullForward, last_row_logprobs
from benchmarks.peers.measuring import Memory, Meter, side_facts
from benchmarks.peers.record import write_record
from benchmarks.random_work import questions, windows
from quantgate.backends.base import BackendSpec
from quantgate.execution.inline import InlineSession
from quantgate.packages.package import OnnxPackage, open_package
from quantgate.requests import Loglikelihood, Request

OURS, FULL = "quantgate-ort", "full-forward-ort"
WARM_UP: Final = (1, 2, 3)
WORK: Final[dict[str, Callable[[int, int], Sequence[Request]]]] = {
    "questions": questions,
    "windows": windows,
}


class Scorer(Protocol):
    """A loaded and warm model."""

    def logprobs(self, requests: Sequence[Request]) -> list[float]:
        """Log-probabilities of all targets in nats, request by request."""
        ...


class Ours:
    """quantgate's session, in this process."""

    def __init__(self, package: OnnxPackage, threads: int) -> None:
        self._session = InlineSession(BackendSpec("ort", str(package.folder), threads=threads))
        self._vocabulary = package.config.vocab_size
        warm_up(self._session, WARM_UP)

    def logprobs(self, requests: Sequence[Request]) -> list[float]:
        """Those of the targets, from answers."""
        found: list[float] = ask(self._session, requests, self._vocabulary).logprobs.tolist()
        return found


class Full:
    """One forward for each prompt or window."""

    def __init__(self, package: OnnxPackage, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self._model = FullForward(package, threads=threads)
        self._of_window(WARM_UP, WARM_UP[1:])

    def logprobs(self, requests: Sequence[Request]) -> list[float]:
        """Those of the letters after each question once, of all targets of each window."""
        letters: dict[tuple[int, ...], list[int]] = {}
        found: list[float] = []
        for request in requests:
            if isinstance(request, Loglikelihood):
                letters.setdefault(request.context, []).append(request.continuation[0])
            else:
                found += self._of_window(request.ids, request.targets)
        for context, tokens in letters.items():
            logits = self._model.logits(context)
            found += last_row_logprobs(logits, np.array(tokens)).tolist()
        return found

    def _of_window(self, ids: Sequence[int], targets: Sequence[int]) -> list[float]:
        """After every id but the last, the log-probability of the one that follows."""
        import torch

        logits = torch.from_numpy(self._model.logits(ids)[0]).float()
        logprobs = torch.log_softmax(logits, dim=-1)
        picked = logprobs[: len(targets)].gather(1, torch.tensor(targets)[:, None])
        found: list[float] = picked[:, 0].tolist()
        return found


SIDES: Final[dict[str, Callable[[OnnxPackage, int], Scorer]]] = {OURS: Ours, FULL: Full}


def main() -> None:
    """Load, score, write the record."""
    options = _options()
    package = open_package(options.package)
    loading, scoring = Meter(), Meter()
    scorer = loading.wrap(SIDES[options.side])(package, options.threads)
    requests = WORK[options.work](options.count, package.config.vocab_size)
    memory = Memory.after_loading()
    logprobs = scoring.wrap(scorer.logprobs)(requests)
    facts = side_facts(
        loading=loading,
        scoring=scoring,
        memory=memory,
        asked=options.threads,
        found=options.threads,
    )
    found: dict[str, Any] = {
        **facts,
        "count": options.count,
        "tokens": sum(map(len, {request.ids for request in requests})),
        "mean_logprob": float(np.mean(logprobs)),
    }
    write_record(options.json, options.work, options.side, found)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", choices=SIDES, required=True)
    parser.add_argument("--package", type=Path, required=True)
    parser.add_argument("--work", choices=WORK, required=True)
    parser.add_argument("--count", type=int, required=True, help="questions, or windows")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
