"""Where quantgate's time goes: planning, calls of the runtime by part, and what they achieve.

The runtime's calls are timed from outside, where quantgate finds them, a microsecond each; nothing
of quantgate knows of it. What an evaluation takes beyond them is overhead: planning, feeds, what
rows are read for. On the CPU a call returns when its work is done; elsewhere these times mean less.

| backend | part | calls |
|---|---|---|
| `ort` | `body` | `InferenceSession.run_with_ort_values`, `run_with_iobinding` |
| `ort` | `head` | `InferenceSession.run` |
| `ortgenai` | `model` | making a `Generator`, and all that it is called for |
| `torch` | `model` | a `PreTrainedModel`, which the decoder is, and the wrapper that is its head |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.matmul_peak import measure_peak, useful_work
from benchmarks.peers.measuring import Meter
from quantgate.groups import PlanLimits
from quantgate.packages.package import open_package
from quantgate.plan import Plan, make_plan
from quantgate.requests import Request


@dataclass
class Planner:
    """Plans and takes the time.

    Attributes:
        meter: of all planning.
        plans: what was planned.
    """

    meter: Meter = field(default_factory=Meter)
    plans: list[Plan] = field(default_factory=list)

    def __call__(self, requests: Sequence[Request], limits: PlanLimits) -> Plan:
        plan = self.meter.wrap(make_plan)(requests, limits)
        self.plans.append(plan)
        return plan


@dataclass(frozen=True)
class _Call:
    """What is replaced while it is timed.

    Attributes:
        part: of the model that it runs.
        owner: the class or module that has it.
        name: of the function or class.
        makes: whether it makes an object whose calls are the runtime's.
    """

    part: str
    owner: Any
    name: str
    makes: bool = False


@contextmanager
def timed_calls(backend: str) -> Iterator[dict[str, Meter]]:
    """Time the runtime's calls, by part, for as long as the context lasts."""
    meters: dict[str, Meter] = {}
    with ExitStack() as replaced:
        for call in _CALLS[backend]():
            meter = meters.setdefault(call.part, Meter())
            own = getattr(call.owner, call.name)
            timed = _timed_maker(own, meter) if call.makes else meter.wrap(own)
            replaced.enter_context(mock.patch.object(call.owner, call.name, timed))
        yield meters


class _Timed:
    """Hands all on to another object and times the calls."""

    def __init__(self, target: Any, meter: Meter) -> None:
        self._target, self._meter = target, meter

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        return self._meter.wrap(found) if callable(found) else found


def _timed_maker(make: Callable[..., Any], meter: Meter) -> Callable[..., _Timed]:
    def made(*args: Any, **kwargs: Any) -> _Timed:
        return _Timed(meter.wrap(make)(*args, **kwargs), meter)

    return made


def _ort_calls() -> list[_Call]:
    from onnxruntime import InferenceSession

    return [
        _Call("body", InferenceSession, "run_with_ort_values"),
        _Call("body", InferenceSession, "run_with_iobinding"),
        _Call("head", InferenceSession, "run"),
    ]


def _ortgenai_calls() -> list[_Call]:
    import onnxruntime_genai

    return [_Call("model", onnxruntime_genai, "Generator", makes=True)]


def _torch_calls() -> list[_Call]:
    from transformers import PreTrainedModel

    return [_Call("model", PreTrainedModel, "__call__")]


_CALLS: dict[str, Callable[[], list[_Call]]] = {
    "ort": _ort_calls,
    "ortgenai": _ortgenai_calls,
    "torch": _torch_calls,
}


class Ceiling:
    """The machine's best rate of matrix products, measured before an evaluation and after it.

    Args:
        package: whose weights' shapes are measured, and whose work is counted.
        threads: of the products, as many as the evaluation has.
    """

    def __init__(self, package: Path, *, threads: int) -> None:
        self._package, self._threads = open_package(package), threads
        self._before = measure_peak(self._package, threads=threads)

    def facts(self, plans: Sequence[Plan]) -> dict[str, Any]:
        """JSON-ready: useful operations of `plans` by part, tokens, and the best rates found."""
        after = measure_peak(self._package, threads=self._threads)
        work = [useful_work(plan, self._package) for plan in plans]
        return {
            "useful_flops": {
                "body": sum(each.body for each in work),
                "head": sum(each.head for each in work),
            },
            "tokens_requested": sum(plan.requested for plan in plans),
            "tokens_computed": sum(plan.computed for plan in plans),
            "gflops_measured": {
                name: max(rate, after[name]) for name, rate in self._before.items()
            },
        }
