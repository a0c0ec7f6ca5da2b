"""Videos: frames by their number, upright, each with its own time, read with PyAV (FFmpeg)."""

from __future__ import annotations

import contextlib
import logging
import operator
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from engine.errors import EngineError, bad_file, invalid_input

log = logging.getLogger("triptych.video")

MOST_PIXELS = 100_000_000
"""Videos whose frames have more are refused."""

_NO_VIDEOS = ("image2", "tty", "hls", "concat", "dash")
"""What FFmpeg opens as well: photos, texts drawn as a terminal would, lists of other files."""


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes
    ----------
    index
        From 0, in the order in which frames are shown.
    seconds
        When it is shown, after the first one. Not ``index / rate`` where the rate varies.
    pixels
        ``(h, w, 3)`` uint8, RGB, upright; the caller's own.
    """

    index: int
    seconds: float
    pixels: NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Table:
    """What the packets say, without decoding: times of all frames, and where decoding can begin."""

    times: NDArray[np.int64]
    """``(N,)``, ascending, in units of the stream."""
    keys: NDArray[np.int64]
    """``(M, 2)``: number of each frame that needs no other, and the time to seek for to get it."""
    packets: int
    """All there are, also those that are not to be shown."""


class VideoFile:
    """A video on disk; use it with ``with``.

    Rotation from the file's metadata is applied; of several video streams the first is read, cover
    pictures do not count; pixels that are not square stay as they are stored. Frames of another
    size than the first are scaled to it.

    Attributes
    ----------
    path
    width, height
        Of the frames, in pixels, after rotation.
    rate
        Frames a second on average.
    rotation
        Degrees by which the stored frames are turned anticlockwise: 0, 90, 180 or 270.
    frame_count
        As the file says; ``None`` where it does not. ``len(times)`` is exact.
    duration
        Seconds, as the file says; ``None`` where it does not.

    Raises
    ------
    EngineError
        ``bad_file`` when it is not there, no video, without a video stream, without a frame, in a
        format that cannot be decoded, or larger than :data:`MOST_PIXELS`.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._container, self._stream = self._open()
        try:
            self._look_at_the_first_frame()
        except BaseException:
            self._container.close()
            raise
        self._following: tuple[int, Iterator[tuple[int, VideoFrame]]] | None = None

    def _look_at_the_first_frame(self) -> None:
        stream = self._stream
        if stream.width * stream.height > MOST_PIXELS:
            raise bad_file(
                f"The frames of {self.path.name} have {stream.width} x {stream.height} pixels, more "
                f"than {MOST_PIXELS // 1_000_000} megapixels; it was not decoded.",
                "Scale it down.",
            )
        try:
            first = next(_decoded(self._container, stream), None)
        except av.FFmpegError as error:
            raise bad_file(
                f"The video {self.path.name} is damaged: not even its first frame can be decoded. "
                "Nothing was read.",
                "Get the file again.",
                str(error),
            ) from error
        if first is None:
            raise bad_file(f"The video {self.path.name} has no frames; nothing was read.")
        self.rotation = round(first.rotation / 90) % 4 * 90
        self._stored = first.width, first.height
        self.width, self.height = self._stored if self.rotation % 180 == 0 else self._stored[::-1]
        self.rate = float(stream.average_rate or stream.guessed_rate or 25)
        self.frame_count: int | None = stream.frames or None
        self.duration: float | None = None
        if stream.duration and stream.time_base:
            self.duration = float(stream.duration * stream.time_base)
        elif self._container.duration:
            self.duration = self._container.duration / 1e6
        self._unit = float(stream.time_base or 0)
        self._first_time = first.pts

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file; iterators from :meth:`frames` go on."""
        self._following = None
        self._container.close()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.width, self.height

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """Seconds of each frame after the first, ``(N,)``; reads the whole file, decodes nothing.

        Where the file has no times: by the average rate.
        """
        table = self._table
        if table is None:
            return np.arange(sum(1 for _ in self._numbered(0)), dtype=np.float64) / self.rate
        return np.asarray((table.times - table.times[0]) * self._unit, np.float64)

    @cached_property
    def longest_group(self) -> int:
        """Frames that have to be decoded, at worst, to get one; reads the whole file like ``times``."""
        table = self._table
        if table is None:
            return len(self.times)
        return int(np.diff(table.keys[:, 0], append=len(table.times)).max())

    def frames(self, start: int = 0, stop: int | None = None, step: int = 1) -> Iterator[Frame]:
        """Frames ``start``, ``start + step``, ... before ``stop``, like a slice; one in memory at once.

        Raises
        ------
        EngineError
            ``invalid_input`` for negative numbers or a step under 1; ``bad_file``, while iterating,
            where the file is damaged or cut off: frames before that are valid.
        """
        if start < 0 or step < 1 or (stop is not None and stop < 0):
            raise invalid_input(
                f"Frames from {start} to {stop} in steps of {step} cannot be read.",
                "Start and stop count from 0, and the step is at least 1.",
            )
        return self._slice(start, stop, step)

    def _slice(self, start: int, stop: int | None, step: int) -> Iterator[Frame]:
        if stop is not None and start >= stop:
            return
        wanted = start
        for index, frame in self._numbered(start):
            if index >= wanted:
                yield self._shown(index, frame)
                wanted += step * ((index - wanted) // step + 1)
            if stop is not None and wanted >= stop:
                return

    def frame_at(self, index: int) -> Frame:
        """The frame with a number; seeks, and is quick for the frames after the last one asked for.

        Raises
        ------
        EngineError
            ``invalid_input`` when there is no such frame, ``bad_file`` where the file is damaged.
        """
        index = operator.index(index)
        count = len(self.times)
        if not 0 <= index < count:
            raise invalid_input(
                f"The video {self.path.name} has no frame {index}: it has {count}, counted from 0."
            )
        if self._following is None or not self._reaches(self._following[0], index):
            # Without times there is no seeking, so the file is opened anew.
            own = None if self._table is None else self._container
            self._following = 0, self._numbered(index, own)
        for number, frame in self._following[1]:
            self._following = number + 1, self._following[1]
            if number == index:
                return self._shown(number, frame)
            if number > index:
                break
        self._following = None
        raise bad_file(
            f"Frame {index} of {self.path.name} cannot be decoded; it was left out.",
            "The file is damaged there. Other frames can be read.",
        )

    def _reaches(self, following: int, index: int) -> bool:
        """Whether decoding on from a frame is no longer than from the key frame before ``index``."""
        if index < following:
            return False
        return self._table is None or self._key(self._table, index)[0] <= following

    def _shown(self, index: int, frame: VideoFrame) -> Frame:
        width, height = self._stored
        pixels = np.asarray(frame.to_ndarray(format="rgb24", width=width, height=height), np.uint8)
        if self.rotation:
            pixels = np.ascontiguousarray(np.rot90(pixels, self.rotation // 90))
        seconds = index / self.rate
        if frame.pts is not None and self._first_time is not None:
            seconds = (frame.pts - self._first_time) * self._unit
        return Frame(index, seconds, pixels)

    def _numbered(
        self, start: int, container: InputContainer | None = None
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their numbers, from ``start``; by default from a container of their own."""
        with contextlib.ExitStack() as stack:
            if container is None:
                container, stream = self._open()
                stack.callback(container.close)
            else:
                stream = container.streams.video[self._stream_number(container)]
            table = self._table if start or container is self._container else None
            if table is not None:
                if start >= len(table.times):
                    return
                _, when = self._key(table, start)
                container.seek(when, stream=stream)
            yield from self._counted(container, stream, table, start)

    def _counted(
        self, container: InputContainer, stream: VideoStream, table: _Table | None, start: int
    ) -> Iterator[tuple[int, VideoFrame]]:
        index, last = -1, None
        try:
            for frame in _decoded(container, stream):
                last = frame.pts
                if table is None:
                    index += 1
                elif last is not None:
                    index = int(np.searchsorted(table.times, last))
                    if index < start:
                        continue
                yield index, frame
        except av.FFmpegError as error:
            raise self._broken(index + 1, error) from error
        if self._is_cut_off(container, index + 1, last):
            raise self._broken(index + 1, None)

    def _is_cut_off(self, container: InputContainer, count: int, last: int | None) -> bool:
        """Whether the file announces more than there was: frames, and the time of the last one."""
        if self.frame_count is not None:
            # Frames that are not to be shown are announced as well.
            table = self._table if count < self.frame_count else None
            return table is not None and table.packets < self.frame_count
        # A length belongs to the longest stream, so it says something only where there is one.
        if len(container.streams) > 1 or None in (self.duration, last, self._first_time):
            return False
        end = ((last or 0) - (self._first_time or 0)) * self._unit
        return end < (self.duration or 0) - 2 / self.rate - 0.5

    def _broken(self, index: int, error: Exception | None) -> EngineError:
        what = "is damaged" if error else "is cut off"
        kept = f"the {index} before it are valid" if index else "nothing was read"
        return bad_file(
            f"The video {self.path.name} {what} at frame {index} (counted from 0); {kept}.",
            "Get the file again, or go on with the part that can be read.",
            str(error or f"announced: {self.frame_count} frames, {self.duration} seconds"),
        )

    @staticmethod
    def _key(table: _Table, index: int) -> tuple[int, int]:
        place = int(np.searchsorted(table.keys[:, 0], index, side="right")) - 1
        number, when = table.keys[max(place, 0)].tolist()
        return number, when

    @cached_property
    def _table(self) -> _Table | None:
        """``None`` where packets lack times: then frames can only be counted from the beginning."""
        container, stream = self._open()
        times: list[int] = []
        keys: list[tuple[int, int]] = []
        packets = 0
        with container, contextlib.suppress(av.FFmpegError):  # cut off: what is there counts
            for packet in container.demux(stream):
                packets += packet.size > 0
                if not packet.size or packet.is_discard:
                    continue
                if packet.pts is None:
                    return None
                times.append(packet.pts)
                if packet.is_keyframe:
                    # The time that formats sort by is that of decoding, where there is one.
                    keys.append((packet.pts, packet.pts if packet.dts is None else packet.dts))
        ordered = np.unique(np.array(times, np.int64))
        if not len(ordered) or not keys:
            return None
        starts = np.array(sorted(keys), np.int64)
        starts[:, 0] = np.searchsorted(ordered, starts[:, 0])
        return _Table(ordered, starts, packets)

    def _stream_number(self, container: InputContainer) -> int:
        for number, stream in enumerate(container.streams.video):
            if not stream.disposition & Disposition.attached_pic:
                return number
        raise bad_file(
            f"The file {self.path.name} has no video in it (only sound or a cover); nothing was read."
        )

    def _open(self) -> tuple[InputContainer, VideoStream]:
        name = self.path.name
        if not self.path.is_file():
            raise bad_file(
                f"The video {name} is not there; nothing was read.", f"Looked for {self.path}."
            )
        try:
            # Lists of other files, and addresses on a network, are not followed.
            container = av.open(self.path, options={"protocol_whitelist": "file"})
        except (av.FFmpegError, OSError, ValueError) as error:
            raise self._no_video(str(error)) from error
        try:
            formats = container.format.name.split(",")
            if any(part in _NO_VIDEOS or part.endswith("_pipe") for part in formats):
                raise self._no_video(container.format.name)
            stream = container.streams.video[self._stream_number(container)]
            if stream.codec_context is None:
                raise bad_file(
                    f"The video {name} is in a format that cannot be decoded here; nothing was read.",
                    "Convert it to H.264 in an MP4 file.",
                )
            stream.thread_type = "AUTO"
        except BaseException:
            container.close()
            raise
        return container, stream

    def _no_video(self, detail: str) -> EngineError:
        return bad_file(
            f"The file {self.path.name} is not a video that can be read; nothing was read.",
            "Use MP4, MOV, MKV, WebM or AVI.",
            detail,
        )


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """Frames as they are shown; before an error, all that were whole before it."""
    try:
        for packet in container.demux(stream):
            yield from packet.decode()
    except av.FFmpegError:
        with contextlib.suppress(av.FFmpegError):
            yield from stream.codec_context.decode(None)
        raise
