"""Memory of the process that holds a model, and size of its files, beside the reference's.

In MiB, of a child process of its own that does nothing else:

- `loading_mib`: highest resident memory until the model is loaded and has room for the sequence;
- `resident_mib`: what it holds then;
- `peak_mib`: highest resident memory while it reads the prompt and generates;
- `peak_device_mib`: highest memory on NVIDIA devices from its start to the last id, as their driver
  counts it, the runtime's own share included; only where it runs there and the driver tells;
- `disk_mib`: the package's files.

All include what Python and the runtime take without any model, tens of MiB. Memory is read every
tenth of a second. A *saving* is the reference's figure over the candidate's: above 1 where the
candidate needs less. Without a reference it is 1 and is not gated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from quantgate.errors import InvalidMeasurement, UsageFault
from quantgate.execution.orders import GenerateOrder, Session
from quantgate.packages.sizes import Sizes
from quantgate.results import Direction, Score
from quantgate.tasks.prompt_ids import Prompts

MIB: Final = 2**20
DEVICE_SAVING: Final = "device_saving"
_NVIDIA: Final = ("cuda", "tensorrt")  # in names of providers and devices


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one model takes; memory in MiB, on devices 0 where none is known."""

    loading_mib: int
    resident_mib: int
    peak_mib: int
    sizes: Sizes
    device_mib: int = 0

    @property
    def figures(self) -> dict[str, float]:
        """MiB by what every case has: `peak`, `resident`, `loading`, `disk`."""
        return {
            "peak": float(self.peak_mib),
            "resident": float(self.resident_mib),
            "loading": float(self.loading_mib),
            "disk": self.sizes.total / MIB,
        }


def memory_scores(ours: Footprint, theirs: Footprint) -> tuple[Score, ...]:
    """Savings first, then what the candidate takes."""
    anchors = theirs.figures
    savings = {f"{what}_saving": anchors[what] / mib for what, mib in ours.figures.items()}
    figures = {f"{what}_mib": mib for what, mib in ours.figures.items()}
    if ours.device_mib:
        figures["peak_device_mib"] = float(ours.device_mib)
    if ours.device_mib and theirs.device_mib:
        savings[DEVICE_SAVING] = theirs.device_mib / ours.device_mib
    return (
        *(_score(name, value, "ratio", Direction.HIGHER) for name, value in savings.items()),
        *(_score(name, value, "MiB", Direction.LOWER) for name, value in figures.items()),
    )


def _score(metric: str, value: float, unit: str, direction: Direction) -> Score:
    return Score(metric=metric, value=value, n=1, unit=unit, direction=direction)


def memory_detail(ours: Footprint, theirs: Footprint, reference: str) -> dict[str, Any]:
    """Both sides, files by part in bytes."""
    return {"reference": reference, "candidate": _told(ours), "held_against": _told(theirs)}


def _told(each: Footprint) -> Mapping[str, Any]:
    device = {"peak_device": float(each.device_mib)} if each.device_mib else {}
    return {"mib": {**each.figures, **device}, "bytes": asdict(each.sizes)}


def unknown_device(
    ours: Footprint, theirs: Footprint, identity: Mapping[str, Any], *, gated: bool
) -> tuple[str, ...]:
    """Say that nobody knows what a model holds on its NVIDIA device; () where it is known.

    Args:
        ours: what was measured.
        theirs: the reference's.
        identity: the backend's, with its provider.
        gated: a policy limits it, so that silence would leave it ungated.

    Raises:
        InvalidMeasurement: `device-memory-unknown` where it is gated, for want of either side.
    """
    provider = str(identity.get("provider", ""))
    known = ours.device_mib and (theirs.device_mib or not gated)
    if known or not any(name in provider.lower() for name in _NVIDIA):
        return ()
    whose = "its reference" if ours.device_mib else "the model"
    fault = InvalidMeasurement(
        "device-memory-unknown",
        need=f"what {whose} holds on a device, as the driver counts it ({provider})",
        found="a driver that doesn't tell, no way to ask it, or nothing on a device",
        fix="install nvidia-ml-py, and give a container the host's process numbers (--pid=host)",
    )
    if gated:
        raise fault
    return (str(fault),)


def watch(session: Session, prompts: Prompts, new_tokens: int, sizes: Sizes) -> Footprint:
    """Generate with a model and return what it takes.

    Args:
        session: just opened, and not yet asked anything.
        prompts: whose prompt is read.
        new_tokens: to generate.
        sizes: of its files.

    Raises:
        UsageFault: `memory-inline` where the model runs in this process.
    """
    from quantgate.execution.process import ProcessSession

    if not isinstance(session, ProcessSession):
        raise UsageFault(
            "memory-inline",
            need="a process of its own for each model, whose memory can be read",
            found="--gate-execution inline",
            fix='run without it, or deselect with -m "not memory"',
        )
    prompt, capacity = prompts.prompt, len(prompts.prompt) + new_tokens
    # One id, so that the peak is that of loading and not of reading the prompt.
    session.generate(GenerateOrder((prompt[:1],), 1, (), capacity))
    loading, resident = session.peak_mib, session.loaded_mib
    session.restart_peak()
    session.generate(GenerateOrder((prompt,), new_tokens, (), capacity))
    return Footprint(
        loading_mib=max(loading, resident),
        resident_mib=resident,
        peak_mib=max(session.peak_mib, resident),
        sizes=sizes,
        device_mib=session.device_peak_mib,
    )
