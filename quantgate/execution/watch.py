"""Watches a child: how much memory it holds, and whether it still is."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psutil

INTERVAL_SECONDS = 0.1
MIB = 2**20


class Watch:
    """Reads the resident memory of a child until it is stopped, or the child ends or exceeds it.

    Args:
        pid: a child that nobody waits for before the watch is stopped.
        limit_mib: most resident memory; 0 for none.
        kill: called when the child holds more, and when it has ended: what it started may live
            on, and would hold its pipes open.

    Attributes:
        last_mib: resident memory at the last reading.
        peak_mib: the highest so far.
        exceeded: the child was killed for it.
    """

    def __init__(self, pid: int, limit_mib: int, kill: Callable[[], None]) -> None:
        self.last_mib = 0
        self.peak_mib = 0
        self.exceeded = False
        self._limit = limit_mib
        self._kill = kill
        self._process = psutil.Process(pid)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self._read():
            if self._stop.wait(INTERVAL_SECONDS):
                return
        self._kill()

    def _read(self) -> bool:
        """Read once; whether the child may go on."""
        try:
            resident = self._process.memory_info().rss
            if not resident and self._process.status() == psutil.STATUS_ZOMBIE:
                return False
        except psutil.Error:  # it has ended
            return False
        self.last_mib = resident // MIB
        self.peak_mib = max(self.peak_mib, self.last_mib)
        self.exceeded = bool(self._limit) and self.last_mib > self._limit
        return not self.exceeded

    def stop(self) -> None:
        """End the watch."""
        self._stop.set()
        self._thread.join()
