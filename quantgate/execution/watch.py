"""Watches a child: how much memory it holds, and whether it still is.

Linux keeps the highest resident memory of a process itself (`VmHWM` in `proc_pid_status(5)`), so
no peak is missed there; elsewhere, and on devices, the peak is the highest of ten readings a
second.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from quantgate.execution.device_memory import DeviceMemory

INTERVAL_SECONDS = 0.1
KIB = 2**10
MIB = 2**20

_KERNELS_PEAK = re.compile(rb"^VmHWM:\s*(\d+) kB$", re.MULTILINE)
_FORGET_PEAK = "5"  # what `clear_refs` takes for it, proc_pid_clear_refs(5)


class Watch:
    """Reads the resident memory of a child until it is stopped, or the child ends or exceeds it.

    Args:
        pid: a child that nobody waits for before the watch is stopped.
        limit_mib: most resident memory; 0 for none.
        kill: called when the child holds more, and when it has ended: what it started may live
            on, and would hold its pipes open.
        device: reads its memory on devices; None looks for none.

    Attributes:
        last_mib: resident memory at the last reading.
        peak_mib: the highest up to the last reading, from the beginning or `restart_peak`.
        device_peak_mib: the highest on devices up to the last reading; 0 where none is known.
        exceeded: the child was killed for it.
    """

    def __init__(
        self,
        pid: int,
        limit_mib: int,
        kill: Callable[[], None],
        device: DeviceMemory | None = None,
    ) -> None:
        self.last_mib = 0
        self.peak_mib = 0
        self.device_peak_mib = 0
        self.exceeded = False
        self._limit = limit_mib
        self._kill = kill
        self._device = device
        self._process = psutil.Process(pid)
        self._folder = Path(f"/proc/{pid}")
        self._kernel_knows = self._folder.exists()
        self._reading = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while self.read():
            self.exceeded = bool(self._limit) and self.last_mib > self._limit
            if self.exceeded:
                break
            if self._stop.wait(INTERVAL_SECONDS):
                return
        if not self._stop.is_set():
            self._kill()

    def read(self) -> bool:
        """Read once more; whether the child is still there to be read."""
        with self._reading:
            if self._stop.is_set():  # its number may be another's
                return False
            try:
                resident = self._process.memory_info().rss
                if not resident and self._process.status() == psutil.STATUS_ZOMBIE:
                    return False
            except psutil.Error:  # it has ended
                return False
            self.last_mib = resident // MIB
            self.peak_mib = max(self.peak_mib, self.last_mib, self._kernels_peak_mib())
            if self._device is not None:
                held = self._device.held_mib(self._process.pid)
                self.device_peak_mib = max(self.device_peak_mib, held)
            return True

    def _kernels_peak_mib(self) -> int:
        if self._kernel_knows:
            with suppress(OSError):
                found = _KERNELS_PEAK.search((self._folder / "status").read_bytes())
                return int(found[1]) * KIB // MIB if found else 0
        return 0

    def restart_peak(self) -> None:
        """Look for the peak anew, from what the child holds now."""
        with self._reading:
            if self._stop.is_set():
                return
            try:
                (self._folder / "clear_refs").write_text(_FORGET_PEAK)
            except OSError:
                self._kernel_knows = False  # of the time since now
            self.peak_mib = 0
        self.read()

    def stop(self) -> None:
        """End the watch."""
        with self._reading:
            self._stop.set()
        self._thread.join()
