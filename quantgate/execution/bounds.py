"""How long a child process may take and how much memory it may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """Limits of one session.

    Attributes:
        batch_seconds: for one batch and, separately, for opening the model; 0 sets none.
        session_seconds: for opening and all batches together, idle time not counted; 0 sets none.
        memory_mib: resident memory; 0 sets none.
    """

    batch_seconds: float = 1800.0
    session_seconds: float = 0.0
    memory_mib: int = 0
