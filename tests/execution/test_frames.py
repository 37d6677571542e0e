"""Frames carry arrays bit for bit, and refuse nonsense before they allocate for it."""

import io
import json
import struct
import time

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantgate.errors import InvalidMeasurement
from quantgate.execution import frames
from quantgate.execution.frames import Frame


def bytes_of(frame: Frame) -> bytes:
    return b"".join(bytes(buffer) for buffer in frames.encode(frame))


def crossed(frame: Frame) -> Frame:
    return frames.read(io.BytesIO(bytes_of(frame)))


def raw_frame(header: object, body: bytes = b"") -> io.BytesIO:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return io.BytesIO(b"QGF1" + struct.pack("<I", len(text)) + text + body)


class Dribble(io.RawIOBase):
    """A stream that gives and takes a few bytes at a time, as a pipe may."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = bytearray(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        part = self.content[: min(3, len(buffer))]
        buffer[: len(part)] = part
        del self.content[: len(part)]
        return len(part)

    def write(self, data) -> int:
        self.content += bytes(data[:3])
        return len(data[:3])


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 64), (2, 3), (2, 0, 5)])
@pytest.mark.parametrize("name", sorted(frames.DTYPES))
def test_arrays_cross_bit_for_bit(name, shape):
    dtype = ml_dtypes.bfloat16 if name == "bfloat16" else name
    count = int(np.prod(shape))
    size = np.dtype(dtype).itemsize
    raw = np.random.default_rng(3).integers(0, 2 if name == "bool" else 256, count * size, np.uint8)
    array = raw.view(dtype).reshape(shape)  # NaN payloads, infinities and subnormals among them
    found = crossed(Frame("x", {"a": [1, "ü"]}, {"one": array, "two": array}))
    assert found.kind == "x"
    assert found.values == {"a": [1, "ü"]}
    for other in found.arrays.values():
        assert other.dtype == array.dtype
        assert other.shape == array.shape
        assert other.tobytes() == array.tobytes()


def test_arrays_of_any_layout_and_byte_order_cross():
    table = np.arange(12.0).reshape(3, 4)
    for array in (table.T, table[:, ::2], table[::-1], table.astype(">f8")):
        found = crossed(Frame("x", {}, {"a": array})).arrays["a"]
        assert np.array_equal(found, array)


def test_frames_survive_streams_that_give_and_take_little():
    array = np.arange(100.0)
    pipe = Dribble()
    for number in range(3):
        frames.write(pipe, frames.encode(Frame("x", {"n": number}, {"a": array + number})))
    for number in range(3):
        found = frames.read(pipe)
        assert found.values == {"n": number}
        assert np.array_equal(found.arrays["a"], array + number)
    with pytest.raises(EOFError):
        frames.read(pipe)


@given(st.integers(0, 10**6))
def test_a_frame_cut_short_is_an_end_of_stream(cut):
    whole = bytes_of(Frame("x", {"n": 1}, {"a": np.arange(5)}))
    with pytest.raises(EOFError):
        frames.read(io.BytesIO(whole[: cut % len(whole)]))


def header_with(shape: object, dtype: object = "int64") -> dict:
    return {"kind": "x", "values": {}, "arrays": {"a": [dtype, shape]}}


NONSENSE = {
    "magic": io.BytesIO(b"HTTP/1.1 200 OK\r\n\r\n"),
    "long header": io.BytesIO(b"QGF1" + struct.pack("<I", 2**31)),
    "no JSON": raw_frame(b"\xff{}"),
    "deep JSON": raw_frame(b"[" * 200_000),
    "no object": raw_frame([1]),
    "no kind": raw_frame({"values": {}, "arrays": {}}),
    "kind no text": raw_frame({"kind": 1, "values": {}, "arrays": {}}),
    "values no object": raw_frame({"kind": "x", "values": [], "arrays": {}}),
    "arrays no object": raw_frame({"kind": "x", "values": {}, "arrays": []}),
    "array of objects": raw_frame(header_with([1], "object")),
    "array of a list type": raw_frame(header_with([1], ["int64"])),
    "negative shape": raw_frame(header_with([-1])),
    "boolean shape": raw_frame(header_with([True])),
    "shape of floats": raw_frame(header_with([1.0])),
    "many dimensions": raw_frame(header_with([1] * 9)),
    "huge": raw_frame(header_with([2**40])),
    "product that wraps around": raw_frame(header_with([2**32, 2**32])),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_a_named_fault_at_once(what):
    began = time.monotonic()
    with pytest.raises(InvalidMeasurement, match="frame-malformed"):
        frames.read(NONSENSE[what])
    assert time.monotonic() - began < 1


@given(st.binary(max_size=200))
def test_random_bytes_never_raise_anything_else(noise):
    for content in (noise, b"QGF1" + struct.pack("<I", len(noise)) + noise):
        with pytest.raises((EOFError, InvalidMeasurement)):
            frames.read(io.BytesIO(content))


def test_what_is_too_large_is_refused_by_its_sender(monkeypatch):
    monkeypatch.setattr(frames, "MAX_ARRAYS", 1000)
    with pytest.raises(InvalidMeasurement, match=r"frame-too-large.*1000 bytes.*1008 bytes"):
        frames.encode(Frame("x", {}, {"a": np.zeros(100), "b": np.zeros(26)}))
    with pytest.raises(InvalidMeasurement, match="frame-too-large"):
        frames.encode(Frame("x", {"text": "x" * frames.MAX_HEADER}))


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["a"]), np.zeros(1, complex)])
def test_types_that_mean_nothing_elsewhere_do_not_travel(array):
    with pytest.raises(TypeError, match="array type"):
        frames.encode(Frame("x", {}, {"a": array}))
