"""A child process that hosts a backend: frames to and from it, its memory, and how it ended."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import partial
from io import FileIO
from typing import cast

from quantgate.errors import InvalidMeasurement
from quantgate.execution import frames
from quantgate.execution.device_memory import DeviceMemory
from quantgate.execution.frames import Buffer, Frame
from quantgate.execution.watch import Watch
from quantgate.execution.worker import DUMP_SIGNAL

COMMAND = ("-P", "-W", "ignore", "-m", "quantgate.execution.worker")
LAST_WORDS = 2000  # characters
READ_BYTES = 2**16
# A killed process ends at once unless a driver holds it, and then waiting longer doesn't help.
KILLED_SECONDS = 10.0
DUMP_SECONDS = 2.0

Received = Frame | InvalidMeasurement | None


class Child:
    """A running worker. Frames queue up in both directions, so that neither side blocks the other.

    Args:
        memory_mib: most resident memory; it is killed over it; 0 for no limit.
        device: reads its memory on devices; None looks for none.
    """

    def __init__(self, memory_mib: int, device: DeviceMemory | None = None) -> None:
        # Without a name nobody can find the file, and nothing is left of it afterwards.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(  # noqa: S603  this interpreter and a module of its own
            [sys.executable, *COMMAND],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
            env={"HF_HUB_OFFLINE": "1", **os.environ},
            # Ctrl-C in a terminal goes to its whole process group; the parent decides alone.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        kill = partial(_kill_group, self._process)
        self.watch = Watch(self._process.pid, memory_mib, kill, device)
        self._inbox: queue.SimpleQueue[tuple[float, Received]] = queue.SimpleQueue()
        self._outbox: queue.SimpleQueue[list[Buffer] | None] = queue.SimpleQueue()
        self._streams = (
            cast("FileIO", self._process.stdin),
            cast("FileIO", self._process.stdout),
        )
        # They must not hold this object: it is told to end when nobody else does.
        self._threads = (
            threading.Thread(target=_write, args=(self._streams[0], self._outbox), daemon=True),
            threading.Thread(target=_read, args=(self._streams[1], self._inbox), daemon=True),
        )
        for thread in self._threads:
            thread.start()
        self._ended = threading.Lock()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, buffers: list[Buffer]) -> None:
        """Queue what `frames.encode` made; doesn't wait."""
        self._outbox.put(buffers)

    def receive(self, seconds: float | None) -> tuple[float, Received]:
        """Wait for what comes next.

        Args:
            seconds: longest wait; None for as long as it takes.

        Returns:
            When it came (`time.monotonic`), and a frame; the fault of a malformed one; None once
            the child has ended or closed its pipe.

        Raises:
            queue.Empty: nothing came in time.
        """
        return self._inbox.get(timeout=seconds)

    def dump_stacks(self) -> None:
        """Have every thread's stack written to the child's errors, and wait until it was."""
        if DUMP_SIGNAL is None:
            return
        deadline = time.monotonic() + DUMP_SECONDS
        before = size = self._error_bytes()
        self._process.send_signal(DUMP_SIGNAL)
        while time.monotonic() < deadline and (size == before or size != self._error_bytes()):
            size = self._error_bytes()
            time.sleep(0.05)

    def _error_bytes(self) -> int:
        return os.fstat(self._errors.fileno()).st_size

    def wait(self, seconds: float) -> bool:
        """Wait until the child has ended by itself; whether it has.

        Its exit status stays with the system, so that its group can still be named.
        """
        deadline = time.monotonic() + seconds
        while not _has_ended(self._process):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.005)
        return True

    def end(self) -> None:
        """Kill the child and whatever it started, and free all it held here; once is enough."""
        if not self._ended.acquire(blocking=False):
            return
        _kill_group(self._process)
        self.watch.stop()  # before its number is free for another process
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(KILLED_SECONDS)
        self._outbox.put(None)
        self._words = self._read_words()
        for thread, stream in zip(self._threads, self._streams, strict=True):
            thread.join(KILLED_SECONDS)
            if not thread.is_alive():  # else closing would wait for it
                stream.close()
        self._errors.close()

    def _read_words(self) -> str:
        self._errors.seek(max(0, self._error_bytes() - READ_BYTES))
        raw = self._errors.read().decode("utf-8", "replace")
        text = "".join(c if c.isprintable() or c == "\n" else " " for c in raw).strip()
        # A stack is written innermost call first, after those of other threads.
        stack = text.rfind("Current thread 0x")
        if stack < 0:
            return text[-LAST_WORDS:]
        fatal = re.search(r"^Fatal Python error: .*\n", text, re.MULTILINE)
        return ((fatal[0] if fatal else "") + text[stack:])[:LAST_WORDS]

    @property
    def last_words(self) -> str:
        """The end of its standard error, or the stack that was dumped; known once it was ended."""
        return self._words or "nothing"

    @property
    def outcome(self) -> str:
        """How its process ended, by name."""
        code = self._process.returncode
        if code is None:
            return "can't be killed"
        if code >= 0:
            return f"exited with code {code}"
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    if process.returncode is None and hasattr(os, "waitid"):
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with suppress(ChildProcessError):  # somebody else has waited for it
            return os.waitid(os.P_PID, process.pid, options) is not None
    return process.poll() is not None


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError, PermissionError):  # macOS says the latter of zombies
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # it leads a group of its own
        else:
            process.kill()


def _write(stream: FileIO, outbox: queue.SimpleQueue[list[Buffer] | None]) -> None:
    while (buffers := outbox.get()) is not None:
        try:
            frames.write(stream, buffers)
        except OSError:  # the child is gone, which the reader tells
            return


def _read(stream: FileIO, inbox: queue.SimpleQueue[tuple[float, Received]]) -> None:
    while True:
        received: Received
        try:
            received = frames.read(stream)
        except (EOFError, OSError):
            received = None
        except InvalidMeasurement as fault:
            received = fault
        inbox.put((time.monotonic(), received))
        if not isinstance(received, Frame):
            return
