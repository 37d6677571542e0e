"""Takes turns at work that several processes would do twice: who comes second finds it done.

A turn only saves work: results are addressed by content, so two processes that both had one would
leave the same bytes. That is why a turn that doesn't come in time is done without.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from quantgate.backends.base import BackendSpec
from quantgate.storage import canonical_json, sha256_bytes

PATIENCE_SECONDS = 3600.0


class Turns:
    """Turns under `root`, one lock file per model.

    Args:
        root: folder of the lock files.
        patience: seconds to wait for a turn.
    """

    def __init__(self, root: Path, patience: float = PATIENCE_SECONDS) -> None:
        self._root = root
        self._patience = patience
        self.warnings: list[str] = []

    @contextmanager
    def take(self, spec: BackendSpec) -> Iterator[None]:
        """Hold the turn of a model; the operating system ends the turn of a process that dies."""
        content = {"backend": spec.backend, "folder": spec.folder, "provider": spec.provider}
        with self._hold(content, spec.folder):
            yield

    @contextmanager
    def device(self, provider: str) -> Iterator[None]:
        """Hold a device's turn: its memory is for one model at a time."""
        with self._hold({"device": provider}, f"the device of {provider}"):
            yield

    @contextmanager
    def _hold(self, content: dict[str, str], what: str) -> Iterator[None]:
        from filelock import FileLock, Timeout

        name = sha256_bytes(canonical_json(content))[:20]
        owner = self._root / f"{name}.owner"
        lock = FileLock(self._root / f"{name}.lock", timeout=self._patience)
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
        except (Timeout, OSError) as error:
            self.warnings.append(
                f"went on without a turn at {what} after {self._patience:.0f} s: "
                f"{_read(owner) or error}"
            )
            yield
            return
        try:
            with suppress(OSError):
                owner.write_text(f"held by process {os.getpid()} on {socket.gethostname()}")
            yield
        finally:
            lock.release()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
