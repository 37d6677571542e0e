"""The child process: `python -m quantgate.execution.worker` hosts one backend over its own pipes.

Frames come on standard input and go to what was standard output. Both descriptors are moved out
of the way first: whatever a native library prints lands in standard error, and none of it can
break the stream. The process ends with its parent: the end of its input, however it came about,
ends it at once, amid a computation too.
"""

from __future__ import annotations

import faulthandler
import os
import queue
import signal
import sys
import threading
from io import FileIO

from quantgate.execution import frames
from quantgate.execution.frames import Frame
from quantgate.execution.host import serve

DUMP_SIGNAL = getattr(signal, "SIGUSR1", None)


def main() -> None:
    """Serve the parent until it closes the session or is gone."""
    faulthandler.enable(sys.stderr)
    if DUMP_SIGNAL is not None:
        faulthandler.register(DUMP_SIGNAL, sys.stderr)
    incoming, outgoing = _own_pipes()
    inbox: queue.SimpleQueue[Frame] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(incoming, inbox), daemon=True).start()
    serve(inbox.get, lambda frame: frames.write(outgoing, frames.encode(frame)))
    # Tearing down native libraries takes long, may crash, and frees nothing that exiting doesn't.
    sys.stderr.flush()
    os._exit(0)


def _own_pipes() -> tuple[FileIO, FileIO]:
    """Take the frames' pipes for this module alone; heirs of the process don't get them."""
    incoming = FileIO(os.dup(0), "rb")
    outgoing = FileIO(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return incoming, outgoing


def _listen(incoming: FileIO, inbox: queue.SimpleQueue[Frame]) -> None:
    """Pass frames on; the end of the stream, or nonsense in it, ends the process."""
    try:
        while True:
            inbox.put(frames.read(incoming))
    except EOFError:
        os._exit(0)
    except BaseException:  # noqa: BLE001  without its listener the process would never end
        faulthandler.dump_traceback()
        os._exit(1)


if __name__ == "__main__":
    main()
