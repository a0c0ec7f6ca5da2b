"""Frames survive the pipe, and nothing else does."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import EngineError, ErrorCode
from engine.job import JobSpec, Preview, event_from_message, event_to_message
from engine.pipe import MAX_BUFFERS, MAX_TEXT, PipeError, portable, read_frame, write_frame

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)
MESSAGES = st.tuples(
    st.dictionaries(st.text(), JSON, max_size=5), st.lists(st.binary(max_size=100), max_size=4)
)


class Trickle(io.RawIOBase):
    """A stream that gives and takes a few bytes at a time, as pipes may."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        part = self.data[: min(3, len(buffer))]
        buffer[: len(part)] = part
        del self.data[: len(part)]
        return len(part)

    def write(self, data) -> int:
        self.data += bytes(data[:3])
        return min(3, len(data))


@given(st.lists(MESSAGES, max_size=4))
def test_messages_arrive_as_they_were_sent(messages: list) -> None:
    for stream in (io.BytesIO(), Trickle()):
        for header, buffers in messages:
            write_frame(stream, header, buffers)
        if isinstance(stream, io.BytesIO):
            stream.seek(0)
        for header, buffers in messages:
            assert read_frame(stream) == (header, buffers)
        assert read_frame(stream) is None


@given(MESSAGES, st.data())
def test_a_stream_that_ends_inside_a_message_is_noticed(message: tuple, data: st.DataObject) -> None:
    stream = io.BytesIO()
    write_frame(stream, *message)
    whole = stream.getvalue()
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(PipeError, match="ended"):
        read_frame(io.BytesIO(whole[:cut]))


@given(st.binary(min_size=1, max_size=200))
def test_garbage_is_never_a_crash(garbage: bytes) -> None:
    # 12 bytes of it announce a message that cannot be, or one that is not there.
    with pytest.raises(PipeError):
        read_frame(io.BytesIO(garbage))


@pytest.mark.parametrize(("text", "buffers"), [(MAX_TEXT + 1, 0), (0, MAX_BUFFERS + 1)])
def test_sizes_beyond_the_limits_are_refused(text: int, buffers: int) -> None:
    with pytest.raises(PipeError, match="announces"):
        read_frame(io.BytesIO(struct.pack("<IQ", text, buffers)))


@pytest.mark.parametrize(
    "text",
    [
        b"[]",
        b"{}",
        b'{"header": [], "sizes": []}',
        b'{"header": {}, "sizes": [1]}',
        b'{"header": {}, "sizes": [-1, 1]}',
        b'{"header": {}, "sizes": "x"}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_parts_that_do_not_fit_are_refused(text: bytes) -> None:
    with pytest.raises(PipeError):
        read_frame(io.BytesIO(struct.pack("<IQ", len(text), 0) + text))


def test_nothing_is_written_of_a_message_that_cannot_be_sent() -> None:
    stream = io.BytesIO()
    with pytest.raises(TypeError):
        write_frame(stream, {"value": object()})
    with pytest.raises(PipeError, match="too large"):
        write_frame(stream, {}, [np.broadcast_to(np.uint8(0), MAX_BUFFERS + 1).data])
    assert stream.getvalue() == b""


@pytest.mark.parametrize("shape", [(4, 5, 3), (2, 4, 5, 3), (0, 4, 5, 3)])
def test_previews_keep_shape_and_pixels(rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    stream = io.BytesIO()
    # Every second column: not contiguous in memory.
    write_frame(stream, *event_to_message(Preview("job", image[..., ::2, :])))
    stream.seek(0)
    frame = read_frame(stream)
    assert frame
    event = event_from_message(*frame)
    assert isinstance(event, Preview)
    np.testing.assert_array_equal(event.image, image[..., ::2, :])


def test_a_spec_is_what_arrives() -> None:
    assert portable(JobSpec("kind", {"pair": (1, 2)}, seed=3)) == JobSpec(
        "kind", {"pair": [1, 2]}, seed=3
    )


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}])
def test_parameters_that_are_not_json_are_refused(value: object) -> None:
    with pytest.raises(EngineError) as caught:
        portable(JobSpec("kind", {"value": value}))
    assert caught.value.code is ErrorCode.INVALID_INPUT


def test_a_huge_spec_is_refused() -> None:
    with pytest.raises(EngineError, match="MB"):
        portable(JobSpec("kind", {"text": "x" * (MAX_TEXT // 2)}))
