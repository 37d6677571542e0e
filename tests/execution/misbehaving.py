"""Backends that misbehave in a child process.

A child whose `PYTHONPATH` names the folder that `plant` makes knows three backends more: `planted`,
a package that does something bad at a given batch, `wide`, whose rows are large and computed
without a model, and `writer`, which generates without one and does something bad at a given id.
Product code knows nothing of them.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from quantgate.backends import registry
from quantgate.backends.base import BLOCK_ROWS, BackendSpec, IdentityHead, ScoredBlock
from quantgate.cost_model import CostModel
from quantgate.errors import UsageFault
from quantgate.groups import Group, PlanLimits

ROOT = Path(__file__).parents[2]
GARBAGE = b"\x00\xffnot a frame\n" * 1000
real_open = registry.open_backend


def plant(folder: Path) -> str:
    """Write what a starting interpreter imports; returns the `PYTHONPATH` to give it."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "from quantgate.backends import registry\n"
        "from tests.execution.misbehaving import open_backend\n"
        "registry.open_backend = open_backend\n"
    )
    return f"{folder}{os.pathsep}{ROOT}"


def open_backend(spec: BackendSpec):
    if spec.backend == "wide":
        return Wide(**spec.options)
    if spec.backend == "writer":
        return Writer(**spec.options)
    if spec.backend != "planted":
        return real_open(spec)
    options = dict(spec.options)
    deed, at = options.pop("does"), options.pop("at", 1)
    if at == 0:
        misbehave(deed)
    return Planted(real_open(replace(spec, backend="ort", options=options)), deed, at)


class Planted:
    """A real backend until its batch number `at`."""

    def __init__(self, backend, deed: str, at: int) -> None:
        self.backend, self.deed, self.at, self.count = backend, deed, at, 0

    def __getattr__(self, name):
        return getattr(self.backend, name)

    def score(self, batch: Group) -> Iterator[ScoredBlock]:
        self.count += 1
        if self.count == self.at:
            misbehave(self.deed)
        return self.backend.score(batch)


class Wide:
    """Rows of `width` numbers that depend on the ids alone; they are their own logits."""

    def __init__(self, width: int) -> None:
        self.width = width
        self.identity = {"backend": "wide"}
        self.limits = PlanLimits(True, True, 10**6, CostModel(1, 1, 1))
        self.head = IdentityHead()

    def score(self, batch: Group) -> Iterator[ScoredBlock]:
        left = len(batch.wanted)
        random = np.random.default_rng(batch.rows[0].ids)
        while left:
            rows = random.standard_normal((min(left, BLOCK_ROWS), self.width), np.float32)
            yield ScoredBlock(rows, rows)
            left -= len(rows)

    def close(self) -> None: ...


VOCABULARY = 97


def next_id(ids: Sequence[int]) -> int:
    """What follows a sequence; every id in it, and its place, matter."""
    return sum((place + 3) * (id_ + 1) ** 2 for place, id_ in enumerate(ids)) % VOCABULARY


class Writer:
    """Generates by `next_id`, until it has generated `at` - 1 ids.

    Attributes:
        calls: what was asked of it, in order: `("append", ids)`, `("step", id)`, `("close",)`.
    """

    def __init__(self, does: str = "", at: int = 0, context: int = 1000) -> None:
        self.deed, self.at, self.count = does, at, 0
        self.identity = {"backend": "writer"}
        self.limits = PlanLimits(True, True, context, CostModel(1, 1, 1))
        self.head = IdentityHead()
        self.calls: list[tuple[object, ...]] = []

    def decoding(self, capacity: int) -> Writing:
        self.calls.append(("decoding", capacity))
        return Writing(self)

    def close(self) -> None: ...


class Writing:
    """A sequence of a `Writer`."""

    def __init__(self, writer: Writer) -> None:
        self.writer, self.ids = writer, []

    def append(self, ids: Sequence[int], /) -> int:
        self.writer.calls.append(("append", tuple(ids)))
        return self._next(ids)

    def step(self, id_: int, /) -> int:
        self.writer.calls.append(("step", id_))
        return self._next([id_])

    def _next(self, ids: Sequence[int]) -> int:
        self.writer.count += 1
        if self.writer.count == self.writer.at:
            misbehave(self.writer.deed)
        self.ids.extend(ids)
        return next_id(self.ids)

    def close(self) -> None:
        self.writer.calls.append(("close",))


def misbehave(deed: str) -> None:
    deeds = {
        "segfault": lambda: ctypes.string_at(0),
        "abort": lambda: ctypes.CDLL(None).abort(),
        "killed": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "exit": lambda: os._exit(3),
        "leave": lambda: _raise(SystemExit(5)),
        "hang": lambda: _deep(60),
        "hang_holding_the_interpreter": lambda: ctypes.PyDLL(None).sleep(600),
        "compute": _compute,
        "print": _print,
        "corrupt": _corrupt,
        "error": lambda: _raise(ValueError("seven is no even number")),
        "memory_error": lambda: np.empty(2**50, np.int8).fill(1),
        "refuse": lambda: _raise(UsageFault("odd", need="a", found="b \n ü", fix="c")),
        "grow": _grow,
        "swell": lambda: _swell(0.5),
        "swell_briefly": lambda: _swell(0),
        "multiply": _multiply,
    }
    deeds[deed]()


def _raise(error: BaseException) -> None:
    raise error


def _deep(levels: int) -> None:
    """Hang under a stack that is longer than a message may be."""
    if levels:
        _deep(levels - 1)
    else:
        _innermost()


def _innermost() -> None:
    time.sleep(600)


def _compute() -> None:
    """Minutes within one call of native code that lets other threads run."""
    matrix = np.ones((20_000, 20_000), np.float32)
    matrix @ matrix


def _print() -> None:
    print("printed by Python", flush=True)
    os.write(1, GARBAGE)
    os.system("echo printed by a grandchild")


def _corrupt() -> None:
    """Write into every pipe of the process but the standard ones."""
    for number in range(3, 32):
        try:
            os.write(number, GARBAGE)
        except OSError:
            continue


def _grow() -> None:
    kept = []
    for _ in range(80):
        kept.append(np.ones(2**22))  # 32 MiB
        time.sleep(0.01)


def _swell(seconds: float) -> None:
    """Hold 300 MiB and give them back."""
    held = np.ones(300 * 2**17)
    time.sleep(seconds)
    del held


def _multiply() -> None:
    """Leave a process of its own behind and crash."""
    number = os.fork()
    if not number:
        time.sleep(600)
        os._exit(0)
    Path(os.environ["PLANTED_PID_FILE"]).write_text(str(number))
    ctypes.string_at(0)
