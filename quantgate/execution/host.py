"""Hosts a backend: opens what it is told to, answers orders with readings. Knows no transport."""

from __future__ import annotations

import traceback
from collections.abc import Callable

from quantgate.errors import GateError, InvalidMeasurement
from quantgate.execution import generation_wire, wire
from quantgate.execution.frames import Frame, malformed
from quantgate.execution.inline import InlineSession

Send = Callable[[Frame], None]


def serve(receive: Callable[[], Frame], send: Send) -> None:
    """Answer frames until one says `close`, or until opening has failed.

    Args:
        receive: gives the next frame.
        send: sends an answer, whole or, where it can't be encoded, nothing of it.
    """
    session: InlineSession | None = None

    def opened(frame: Frame) -> Frame:
        nonlocal session
        candidate = InlineSession(*wire.opening(frame))
        answer = wire.opened_frame(candidate.identity, candidate.limits)
        session = candidate
        return answer

    _answer(receive(), wire.OPENING, opened, send)
    if session is None:
        return
    opened_session = session

    def answered(frame: Frame) -> Frame:
        return _carried_out(opened_session, frame)

    while (frame := receive()).kind != "close":
        _answer(frame, int(frame.values.get("number", -1)), answered, send)
    opened_session.close()


def _carried_out(session: InlineSession, frame: Frame) -> Frame:
    number = frame.values["number"]
    if frame.kind == "score":
        (readings,) = session.run([wire.order_of(frame)])
        return wire.readings_frame(number, readings)
    if frame.kind == "generate":
        generated = session.generate(generation_wire.order_of(frame))
        return generation_wire.generated_frame(number, generated)
    raise malformed(f"an order of kind {frame.kind!r}")


def _answer(frame: Frame, number: int, answer: Callable[[Frame], Frame], send: Send) -> None:
    try:
        send(answer(frame))
    except GateError as fault:
        send(wire.fault_frame(number, fault))
    except Exception as error:  # noqa: BLE001  a backend's libraries raise types of their own
        send(wire.fault_frame(number, _unexpected(error)))


def _unexpected(error: Exception) -> InvalidMeasurement:
    """Name an error that nobody foresaw, with where it was raised."""
    raised = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{raised.filename}:{raised.lineno} in {raised.name}"
    return InvalidMeasurement(
        "child-error",
        need="a backend that runs or names its fault",
        found=f"{type(error).__name__}: {str(error)[:2000]} ({where}: {raised.line})",
        fix="report this with the package's layout (quantgate inspect)",
    )
