"""Memory of the process that holds a model, and size of its files, beside the reference's.

In MiB, of a child process of its own that does nothing else:

- `loading_mib`: highest resident memory until the model is loaded and has room for the sequence;
- `resident_mib`: what it holds then;
- `peak_mib`: highest resident memory while it reads the prompt and generates;
- `disk_mib`: the package's files.

All include what Python and the runtime take without any model, tens of MiB. Memory is read every
tenth of a second. A *saving* is the reference's figure over the candidate's: above 1 where the
candidate needs less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from quantgate.errors import UsageFault
from quantgate.execution.orders import GenerateOrder, Session
from quantgate.packages.sizes import Sizes
from quantgate.results import Direction, Score
from quantgate.tasks.prompt_ids import Prompts

MIB: Final = 2**20


@dataclass(frozen=True, slots=True)
class Footprint:
    """What one model takes; memory in MiB."""

    loading_mib: int
    resident_mib: int
    peak_mib: int
    sizes: Sizes

    @property
    def figures(self) -> dict[str, float]:
        """MiB by what is gated: `peak`, `resident`, `loading`, `disk`."""
        return {
            "peak": float(self.peak_mib),
            "resident": float(self.resident_mib),
            "loading": float(self.loading_mib),
            "disk": self.sizes.total / MIB,
        }


def memory_scores(ours: Footprint, theirs: Footprint) -> tuple[Score, ...]:
    """Savings first, then what the candidate takes."""
    anchors = theirs.figures
    savings = [
        Score(
            metric=f"{what}_saving",
            value=anchors[what] / mib,
            n=1,
            unit="ratio",
            direction=Direction.HIGHER,
        )
        for what, mib in ours.figures.items()
    ]
    figures = [
        Score(metric=f"{what}_mib", value=mib, n=1, unit="MiB", direction=Direction.LOWER)
        for what, mib in ours.figures.items()
    ]
    return (*savings, *figures)


def memory_detail(ours: Footprint, theirs: Footprint, reference: str) -> dict[str, Any]:
    """Both sides, files by part in bytes."""
    return {"reference": reference, "candidate": _told(ours), "held_against": _told(theirs)}


def _told(each: Footprint) -> Mapping[str, Any]:
    return {"mib": each.figures, "bytes": asdict(each.sizes)}


def watch(session: Session, prompts: Prompts, new_tokens: int) -> tuple[int, int, int]:
    """Return the peak while loading, what is resident then, and the peak while generating; in MiB.

    Args:
        session: just opened, and not yet asked anything.
        prompts: whose prompt is read.
        new_tokens: to generate.

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
    return max(loading, resident), resident, max(session.peak_mib, resident)
