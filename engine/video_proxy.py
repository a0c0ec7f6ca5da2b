"""Small copies of videos in which every frame is found quickly: for scrubbing, not for measuring.

A proxy has the same frames as its original, one for one: frame ``n`` of the one is frame ``n`` of the
other, whatever the times between them. It is made of frames by their number, at a constant rate.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import bad_file
from engine.video import VideoFile
from engine.video_writing import write_video

HEIGHT = 270
"""Most pixels; a third of the area of 480p, enough for a hand that is moving."""
GROUP = 6
"""Frames between those that need no other: at most so many are decoded for one."""
ENCODING = {
    "crf": "27", "g": str(GROUP), "keyint_min": str(GROUP), "sc_threshold": "0", "bf": "0",
    "preset": "superfast", "tune": "fastdecode", "threads": "1",
}  # fmt: skip
COSTLY = 10_000_000
"""Pixels to be decoded for one frame, at worst, from which a proxy is worth while: some 50 ms."""
MOST_BYTES = 4 << 30
"""Of all proxies of a project."""

Check = Callable[[], object]
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class Proxy:
    """A proxy on disk.

    Attributes
    ----------
    path
        The small video.
    width, height
        Of the original's frames, to which boxes belong.
    """

    path: Path
    width: int
    height: int


def make_proxy(
    source: Path,
    target: Path,
    check: Check = lambda: None,
    progress: Progress = lambda done, total: None,
) -> int:
    """Write the proxy of a video, 270 pixels high at the most; returns the number of frames.

    Parameters
    ----------
    source, target
        Files; ``target`` appears when it is whole.
    check
        Called for every frame; what it raises ends the work and leaves nothing behind.
    progress
        ``f(frames done, frames in all)``.

    Raises
    ------
    EngineError
        ``bad_file`` when the video cannot be read to its end: a proxy that lacks frames would show the
        wrong ones.
    """
    with VideoFile(source) as video:
        total = len(video.times)
        width, height = video.size
        scale = min(1.0, HEIGHT / height)
        size = max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)

        def frames() -> Iterator[NDArray[np.uint8]]:
            count, small = 0, np.zeros((size[1], size[0], 3), np.uint8)
            for frame in video.frames():
                check()
                for _ in range(frame.index - count):
                    yield small  # a frame that cannot be decoded has its place too
                small = np.asarray(
                    cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA), np.uint8
                )
                yield small
                count = frame.index + 1
                progress(count, total)
            for _ in range(total - count):
                yield small

        return write_video(target, frames(), 25, ENCODING)


def worth_a_proxy(video: VideoFile) -> bool:
    """Whether going to a frame takes long enough to be felt; reads the packets of the whole file."""
    return video.longest_group * video.width * video.height > COSTLY


class ProxyCache:
    """Proxies of videos in a folder that does not grow beyond a limit: the longest unused go first.

    A proxy belongs to a path, its size and the time it was changed: of a video that is exchanged
    another one is made.

    Parameters
    ----------
    folder
        Made when the first proxy is.
    most_bytes
        Of all of them; the one that was made last stays in any case.
    """

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self._folder, self._most = folder, most_bytes

    def find(self, source: Path) -> Proxy | None:
        """The proxy of a video, if there is one."""
        with contextlib.suppress(OSError):
            for path in self._folder.glob(f"{_key(source)}-*x*.mp4"):
                width, height = path.stem.split("-")[1].split("x")
                os.utime(path)  # it is in use
                return Proxy(path, int(width), int(height))
        return None

    def make(
        self, source: Path, check: Check = lambda: None, progress: Progress = lambda done, total: None
    ) -> Proxy | None:
        """The proxy of a video, made if it is not there; ``None`` where none is worth while.

        Raises
        ------
        EngineError
            What :func:`make_proxy` raises, also when the folder cannot be written.
        """
        found = self.find(source)
        if found is not None:
            return found
        with VideoFile(source) as video:
            if not worth_a_proxy(video):
                return None
            width, height = video.size
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{_key(source)}-{width}x{height}.mp4"
        except OSError as error:
            raise bad_file(
                f"No quick copy of {source.name} could be made; going to a frame takes longer.",
                "Check that the project's folder may be written.",
                str(error),
            ) from error
        make_proxy(source, path, check, progress)
        self._shrink(path)
        return Proxy(path, width, height)

    def _shrink(self, newest: Path) -> None:
        with contextlib.suppress(OSError):
            files = sorted(self._folder.glob("*.mp4"), key=lambda path: path.stat().st_mtime)
            size = sum(path.stat().st_size for path in files)
            for path in files:
                if size <= self._most:
                    break
                if path != newest:
                    size -= path.stat().st_size
                    path.unlink()


def _key(source: Path) -> str:
    """Raises ``OSError`` when the video is not there."""
    facts = source.stat()
    told = (str(source.resolve()), facts.st_size, facts.st_mtime_ns, HEIGHT, sorted(ENCODING.items()))
    return hashlib.sha256(repr(told).encode()).hexdigest()[:24]
