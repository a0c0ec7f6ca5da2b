"""Messages on the pipe between our processes: JSON and raw buffers, nothing executable.

A frame is a 4-byte length of the JSON text and an 8-byte length of all buffers (both little
endian), then the JSON text ``{"header": ..., "sizes": [...]}``, then the buffers.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from typing import IO, Any

from engine.errors import invalid_input
from engine.job import JobSpec

MAX_TEXT = 64 * 2**20
MAX_BUFFERS = 2**30
_PREFIX = struct.Struct("<IQ")


class PipeError(Exception):
    """The bytes on the pipe are not frames, or end inside one."""


def portable(spec: JobSpec) -> JobSpec:
    """The job as it arrives at the other end of a pipe, for example with lists for tuples.

    Raises
    ------
    EngineError
        ``invalid_input`` when its parameters are not JSON values, or too many.
    """
    try:
        text = json.dumps(spec.to_json())
    except (TypeError, ValueError, RecursionError) as error:
        raise invalid_input(
            f"The parameters of the job are not JSON values ({error}); nothing was started.",
            "Use numbers, texts, lists and dictionaries.",
        ) from error
    if len(text) > MAX_TEXT // 2:
        raise invalid_input(
            f"The job's description has {len(text) / 2**20:.0f} MB; nothing was started.",
            "Give large data as an input file.",
        )
    return JobSpec.from_json(json.loads(text))


def write_frame(
    stream: IO[bytes], header: Mapping[str, Any], buffers: Sequence[bytes | memoryview] = ()
) -> None:
    """Write one message completely.

    Raises
    ------
    PipeError
        When the message is over the limits; nothing was written then.
    TypeError
        When the header holds something that JSON cannot; nothing was written then.
    OSError
        When nobody reads any more.
    """
    sizes = [memoryview(buffer).nbytes for buffer in buffers]
    text = json.dumps({"header": dict(header), "sizes": sizes}, separators=(",", ":")).encode()
    if len(text) > MAX_TEXT or sum(sizes) > MAX_BUFFERS:
        raise PipeError(f"a message of {len(text)} + {sum(sizes)} bytes is too large")
    _write_all(stream, memoryview(_PREFIX.pack(len(text), sum(sizes)) + text))
    for buffer in buffers:
        _write_all(stream, memoryview(buffer).cast("B"))


def read_frame(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]] | None:
    """Read one message: its header and buffers; ``None`` when the stream ends between messages.

    Raises
    ------
    PipeError
        When the stream ends inside a message, or carries something else.
    """
    prefix = _read_exactly(stream, _PREFIX.size, may_end=True)
    if prefix is None:
        return None
    text_size, buffers_size = _PREFIX.unpack(prefix)
    if text_size > MAX_TEXT or buffers_size > MAX_BUFFERS:
        raise PipeError(f"a message announces {text_size} + {buffers_size} bytes")
    try:
        message = json.loads(_read_exactly(stream, text_size) or b"")
        header, sizes = message["header"], message["sizes"]
        if not isinstance(header, dict) or sum(sizes) != buffers_size or min(sizes, default=0) < 0:
            raise PipeError("the parts of a message do not fit together")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PipeError(f"a message is not readable: {error}") from error
    return header, [_read_exactly(stream, size) or b"" for size in sizes]


def _write_all(stream: IO[bytes], data: memoryview) -> None:
    while data:
        data = data[stream.write(data) or 0 :]


def _read_exactly(stream: IO[bytes], size: int, *, may_end: bool = False) -> bytes | None:
    parts: list[bytes] = []
    missing = size
    while missing:
        part = stream.read(missing)
        if not part:
            if may_end and not parts:
                return None
            raise PipeError(f"the stream ended {missing} bytes before the end of a message")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)
