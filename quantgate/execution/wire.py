"""Messages between a session and the host of its backend, as frames.

    session                                     host
    open {protocol, quantgate, spec, anchor} -> opened {identity, limits} | fault
    score {number, ...}                      -> readings {number, ...} | fault
    generate {number, ...}                   -> generated {number, ...} | fault
    close                                    -> (the host ends)

Every message but `close` is answered once, in order; `open` has number 0, orders count from 1.
`generate` and its answer are in `generation_wire`.
Folders in a spec are labels that the host resolves; all other data is in the frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, fields
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantgate import __version__
from quantgate.backends.base import BackendSpec
from quantgate.cost_model import CostModel
from quantgate.errors import GateError, InvalidMeasurement, UsageFault
from quantgate.execution.frames import Frame, decoder
from quantgate.execution.orders import Comparison, Order, Readings
from quantgate.groups import Group, PlanLimits
from quantgate.rows import Row, Segment, Wanted

PROTOCOL = 3
OPENING = 0  # number of the message that opens the backend

_FAULTS = {kind.__name__: kind for kind in (UsageFault, InvalidMeasurement)}


def open_frame(spec: BackendSpec, anchor: BackendSpec | None) -> Frame:
    """Ask to open `spec`, and to hold the head of `anchor` ready."""
    values = {
        "protocol": PROTOCOL,
        "quantgate": __version__,
        "spec": _spec_values(spec),
        "anchor": _spec_values(anchor) if anchor else None,
    }
    return Frame("open", values)


@decoder
def opening(frame: Frame) -> tuple[BackendSpec, BackendSpec | None]:
    """The specs of an `open` frame.

    Raises:
        InvalidMeasurement: `protocol-mismatch` or `frame-malformed`.
    """
    values = frame.values
    asked = (frame.kind, values.get("protocol"), values.get("quantgate"))
    if asked != ("open", PROTOCOL, __version__):
        raise InvalidMeasurement(
            "protocol-mismatch",
            need=f"to be opened by quantgate {__version__}, protocol {PROTOCOL}",
            found=f"{frame.kind!r} from quantgate {asked[2]}, protocol {asked[1]}",
            fix="install the same quantgate on both sides",
        )
    anchor = values["anchor"]
    return BackendSpec(**values["spec"]), BackendSpec(**anchor) if anchor else None


def opened_frame(identity: Mapping[str, Any], limits: PlanLimits) -> Frame:
    """Answer `open`."""
    values = {"number": OPENING, "identity": dict(identity), "limits": asdict(limits)}
    return Frame("opened", values)


@decoder
def opened(frame: Frame) -> tuple[dict[str, Any], PlanLimits]:
    """Identity and limits of an `opened` frame."""
    limits = dict(frame.values["limits"])
    return dict(frame.values["identity"]), PlanLimits(
        **{**limits, "cost": CostModel(**limits["cost"])}
    )


def order_frame(number: int, order: Order) -> Frame:
    """Ask for the readings of `order`."""
    arrays: dict[str, NDArray[Any]] = {
        "rows": order.rows,
        "targets": order.targets,
        "keep": order.keep,
    }
    batch = order.batch
    values: dict[str, Any] = {
        "number": number,
        "padded": batch.padded,
        "room": batch.room,
        "tokens": None,
    }
    if order.comparison is not None:
        values["tokens"] = order.comparison.tokens
        arrays["compared"] = order.comparison.rows
        if order.comparison.hidden is not None:
            arrays["hidden"] = order.comparison.hidden
    return Frame("score", values, {**_batch_arrays(batch), **arrays})


@decoder
def order_of(frame: Frame) -> Order:
    """The order of a `score` frame."""
    values, arrays = frame.values, frame.arrays
    comparison = None
    if values["tokens"] is not None:
        comparison = Comparison(arrays["compared"], arrays.get("hidden"), values["tokens"])
    return Order(
        batch=Group(_ids(arrays["prefix"]), tuple(_rows(arrays)), values["padded"], values["room"]),
        rows=arrays["rows"],
        targets=arrays["targets"],
        keep=arrays["keep"],
        comparison=comparison,
    )


def readings_frame(number: int, readings: Readings) -> Frame:
    """Answer `score`."""
    arrays = {each.name: getattr(readings, each.name) for each in fields(readings)}
    kept = {name: array for name, array in arrays.items() if array is not None}
    return Frame("readings", {"number": number}, kept)


@decoder
def readings_of(frame: Frame) -> Readings:
    """The readings of a `readings` frame."""
    arrays: dict[str, Any] = {"hidden": None, **frame.arrays}
    return Readings(**arrays)


def fault_frame(number: int, fault: GateError) -> Frame:
    """Answer with a fault instead."""
    values = {name: getattr(fault, name) for name in ("code", "need", "found", "fix")}
    return Frame("fault", {"number": number, "type": type(fault).__name__, **values})


@decoder
def fault_of(frame: Frame) -> GateError:
    """The fault of a `fault` frame, of its own type."""
    values = frame.values
    kind = _FAULTS.get(values["type"], InvalidMeasurement)
    return kind(values["code"], need=values["need"], found=values["found"], fix=values["fix"])


def _spec_values(spec: BackendSpec) -> dict[str, Any]:
    values = {each.name: getattr(spec, each.name) for each in fields(spec)}
    return {**values, "options": dict(spec.options)}


def _batch_arrays(batch: Group) -> dict[str, NDArray[np.int64]]:
    """A batch's rows end to end, with the number of tokens, segments and wanted of each."""
    segments = [segment for row in batch.rows for segment in row.segments]
    return {
        "prefix": _table([batch.prefix]).reshape(-1),
        "counts": _table([(len(r.ids), len(r.segments), len(r.wanted)) for r in batch.rows], 3),
        "ids": _table([id_ for row in batch.rows for id_ in row.ids]),
        "positions": _table([position for row in batch.rows for position in row.positions]),
        "segments": _table([(s.start, s.stop, len(s.ancestors)) for s in segments], 3),
        "ancestors": _table([span for segment in segments for span in segment.ancestors], 2),
        "wanted": _table([(w.offset, w.sequence, w.position) for w in batch.wanted], 3),
    }


def _table(values: list[Any], width: int = 0) -> NDArray[np.int64]:
    table = np.array(values, dtype=np.int64)
    return table.reshape(-1, width) if width else table


def _rows(arrays: Mapping[str, NDArray[Any]]) -> Iterator[Row]:
    ids, positions, ancestors = (
        iter(arrays[name].tolist()) for name in ("ids", "positions", "ancestors")
    )
    segments = (
        Segment(start, stop, tuple((left, right) for left, right in _next(ancestors, count)))
        for start, stop, count in arrays["segments"].tolist()
    )
    wanted = (Wanted(*each) for each in arrays["wanted"].tolist())
    for tokens, spans, wants in arrays["counts"].tolist():
        yield Row(
            _next(ids, tokens),
            _next(positions, tokens),
            _next(segments, spans),
            _next(wanted, wants),
        )


def _next(values: Iterator[Any], count: int) -> tuple[Any, ...]:
    """The next `count` values, all of them."""
    taken = tuple(islice(values, count))
    if len(taken) != count:
        raise ValueError(f"{len(taken)} of {count} entries")
    return taken


def _ids(array: NDArray[Any]) -> tuple[int, ...]:
    return tuple(array.tolist())
