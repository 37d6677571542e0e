"""How a session in a child process ended, in words."""

from __future__ import annotations

from quantgate.errors import InvalidMeasurement
from quantgate.execution.bounds import Bounds
from quantgate.execution.child import Child

SEE_INSIDE = "look for the cause in its last words, or run with --gate-execution inline"
FIXES = {
    "SIGKILL": "free memory or use a machine with more: what kills so is mostly the kernel when "
    "memory runs out (dmesg tells)",
    "SIGTERM": "find who ends processes here, for example a job scheduler's limit",
}


def closed(name: str) -> InvalidMeasurement:
    """The session was closed by its owner."""
    return InvalidMeasurement(
        "session-closed",
        need=f"an open session of {name}",
        found="one that was closed",
        fix="open another",
    )


def died(child: Child, name: str, item: str, *, gone: bool) -> InvalidMeasurement:
    """The child is gone; `gone` tells whether it ended by itself or only closed its pipe."""
    outcome = child.outcome if gone else "closed its pipe and went on running"
    fixes = [fix for signal, fix in FIXES.items() if signal in outcome]
    return InvalidMeasurement(
        "child-died",
        need=f"{name} to answer: {item}",
        found=f"its process {outcome} during {item}; {_memory(child)}; {_words(child)}",
        fix=fixes[0] if fixes else SEE_INSIDE,
    )


def hung(child: Child, name: str, item: str, limit: str, elapsed: float) -> InvalidMeasurement:
    """The child took longer than `limit`, told as `5 s a batch`."""
    return InvalidMeasurement(
        "child-hung",
        need=f"{name} to answer: {item}, within {limit}",
        found=f"no answer after {elapsed:.1f} s in {item}; {_memory(child)}; {_words(child)}",
        fix="look where it stands, or allow more with --gate-batch-timeout, --gate-session-timeout",
    )


def over_memory(child: Child, name: str, item: str, bounds: Bounds) -> InvalidMeasurement:
    """The child held more memory than it may."""
    return InvalidMeasurement(
        "child-memory",
        need=f"{name} within {bounds.memory_mib} MiB of resident memory",
        found=f"{child.watch.peak_mib} MiB during {item}",
        fix="allow more with --gate-memory-limit, or find what it allocates",
    )


def _memory(child: Child) -> str:
    return f"resident memory {child.watch.last_mib} MiB, at most {child.watch.peak_mib} MiB"


def _words(child: Child) -> str:
    return f"its last words: {child.last_words}"
