"""Pictures of boxes, cut out of the videos beside the window's thread and kept within a byte budget."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QRect, Qt, Signal
from PySide6.QtGui import QImage

from desktop.background import Background
from desktop.widgets.video_frames import FrameReader
from engine.errors import EngineError
from engine.tracks.cameras import Camera
from engine.tracks.crops import Crop

EDGE = 160
"""Longest side of a picture, pixels."""
MARGIN = 0.08
"""Of the box's size, around it: looks are easier to compare with a little of what is behind."""
BUDGET = 48 << 20
MOST_WAITING = 256
MOST_OPEN = 4
"""Videos that stay open for the next picture."""


class _Waiting:
    """What is to be cut out, the newest request first, each request in its own order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heap: list[tuple[int, int, Crop]] = []
        self._count = itertools.count()

    def add(self, crops: Sequence[Crop]) -> list[Crop]:
        """Add a request; returns what is given up because too much is waiting."""
        with self._lock:
            turn = next(self._count)
            for crop in crops:
                heapq.heappush(self._heap, (-turn, next(self._count), crop))
            kept = heapq.nsmallest(MOST_WAITING, self._heap)
            dropped, self._heap = heapq.nsmallest(len(self._heap), self._heap)[MOST_WAITING:], kept
            return [crop for _, _, crop in dropped]

    def next(self) -> Crop | None:
        with self._lock:
            return heapq.heappop(self._heap)[2] if self._heap else None

    def clear(self) -> None:
        with self._lock:
            self._heap.clear()


class _Cutter:
    """Reads frames and cuts; used by one worker thread, holds no QObject."""

    def __init__(self, videos: dict[int, Path], waiting: _Waiting) -> None:
        self._videos, self._waiting = videos, waiting
        self._readers: OrderedDict[Path, FrameReader] = OrderedDict()

    def cut(self) -> tuple[Crop, QImage, str] | None:
        """The next picture that waits, or why there is none."""
        crop = self._waiting.next()
        if crop is None:
            return None
        try:
            frame = self._reader(self._videos[crop.camera]).read(self._videos[crop.camera], crop.frame)
        except EngineError as error:
            return crop, QImage(), error.message
        picture = frame.copy(_place(crop, frame.width(), frame.height()))
        if max(picture.width(), picture.height()) > EDGE:
            picture = picture.scaled(
                EDGE,
                EDGE,
                Qt.AspectRatioMode.KeepAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        return crop, picture, ""

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()
        self._readers.clear()

    def _reader(self, path: Path) -> FrameReader:
        reader = self._readers.setdefault(path, FrameReader())
        self._readers.move_to_end(path)
        while len(self._readers) > MOST_OPEN:
            self._readers.popitem(last=False)[1].close()
        return reader


class CropLoader(QObject):
    """Pictures of :class:`~engine.tracks.crops.Crop`; one for the page, for everybody who shows some.

    ``request`` what is to be shown, paint what ``image`` has, and paint again with ``ready``.

    Signals
    -------
    ready(Crop)
        Its picture is there now, or is known not to come: see :meth:`why_not`.
    """

    ready = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._background = Background(self)
        self._videos: dict[int, Path] = {}
        self._waiting = _Waiting()
        self._cutter = _Cutter({}, self._waiting)
        self._kept: OrderedDict[Crop, QImage] = OrderedDict()
        self._bytes = 0
        self._wanted: set[Crop] = set()
        self._failed: dict[Crop, str] = {}

    def open(self, folder: Path | None, cameras: Sequence[Camera] = ()) -> None:
        """The videos of another scene; pictures of the one before are forgotten."""
        videos: dict[int, Path] = {}
        if folder is not None:
            videos = {at: folder / camera.video for at, camera in enumerate(cameras) if camera.video}
        if videos == self._videos:
            return
        self._videos = videos
        self._waiting.clear()
        self._background.run(self._cutter.close, lambda _: None, lambda _: None)
        self._waiting = _Waiting()
        self._cutter = _Cutter(self._videos, self._waiting)
        self._kept.clear()
        self._wanted.clear()
        self._failed.clear()
        self._bytes = 0

    def has_video(self, camera: int) -> bool:
        """Whether there can be pictures of a camera."""
        return camera in self._videos

    @property
    def busy(self) -> bool:
        """Whether pictures are on their way."""
        return self._background.busy

    @property
    def used_bytes(self) -> int:
        """Of pictures that are kept."""
        return self._bytes

    def image(self, crop: Crop) -> QImage | None:
        """The picture, if it is there."""
        found = self._kept.get(crop)
        if found is not None:
            self._kept.move_to_end(crop)
        return found

    def why_not(self, crop: Crop) -> str:
        """Why there will be no picture; empty where there is one, or may be."""
        if crop.camera not in self._videos:
            return "no video"
        return self._failed.get(crop, "")

    def request(self, crops: Sequence[Crop]) -> None:
        """Load what is not there, before everything that was asked for earlier."""
        new = [
            crop
            for crop in crops
            if crop.camera in self._videos
            and not (crop in self._kept or crop in self._wanted or crop in self._failed)
        ]
        self._wanted.update(new)
        self._wanted.difference_update(self._waiting.add(new))
        for _ in new:
            self._background.run(self._cutter.cut, partial(self._came, self._cutter), lambda _: None)

    def _came(self, cutter: _Cutter, cut: tuple[Crop, QImage, str] | None) -> None:
        if cut is None or cutter is not self._cutter:
            return
        crop, picture, why = cut
        self._wanted.discard(crop)
        if why:
            self._failed[crop] = why
        else:
            self._kept[crop] = picture
            self._bytes += picture.sizeInBytes()
            while self._bytes > BUDGET and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].sizeInBytes()
        self.ready.emit(crop)


def _place(crop: Crop, width: int, height: int) -> QRect:
    """The box with its margin, inside a picture; at least a pixel."""
    left, top, wide, high = crop.xywh
    x1 = min(max(round(left - MARGIN * wide), 0), width - 1)
    y1 = min(max(round(top - MARGIN * high), 0), height - 1)
    x2 = min(max(round(left + (1 + MARGIN) * wide), x1 + 1), width)
    y2 = min(max(round(top + (1 + MARGIN) * high), y1 + 1), height)
    return QRect(x1, y1, x2 - x1, y2 - y1)
