"""Frames of one camera's video for the wall: at once from its proxy, exactly when the hand rests."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QSize, QTimer
from PySide6.QtGui import QImage

from desktop.background import Background
from desktop.widgets.video_frames import FrameReader
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.video_proxy import Proxy

REST_MS = 120
"""Without another frame wanted, until the exact one is read."""
FOLLOWING = 3
"""Frames after the last exact one that are decoded on the way, so that no proxy is needed."""

FrameCame = Callable[[int, QImage | None, QSize], object]
"""``f(frame, picture, size)``: the size of the video's frames, which is not that of a proxy's; without
a picture where the video cannot be read."""


class _Reading(QObject):
    """One file on a thread of its own; of waiting frames only the newest is read."""

    def __init__(
        self,
        path: Path,
        done: Callable[[int, QImage], object],
        failed: Callable[[EngineError], object],
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._path, self._done, self._failed = path, done, failed
        self._reader, self._background = FrameReader(), Background(self)
        self._wanted: int | None = None
        self.busy = False

    def want(self, frame: int) -> None:
        """Read a frame, unless a newer one is wanted before."""
        self._wanted = frame
        self._next()

    def close(self) -> None:
        """Let the file go."""
        self._wanted = None
        self._background.run(self._reader.close, lambda _: None, lambda _: None)

    def _next(self) -> None:
        if self.busy or self._wanted is None:
            return
        frame, self._wanted, self.busy = self._wanted, None, True
        work = partial(self._reader.read, self._path, frame)
        self._background.run(work, partial(self._came, frame), self._lost)

    def _came(self, frame: int, image: QImage) -> None:
        self.busy = False
        self._done(frame, image)
        self._next()

    def _lost(self, error: EngineError) -> None:
        self.busy, self._wanted = False, None
        self._failed(error)


class FrameSource(QObject):
    """See the module.

    Parameters
    ----------
    path
        The video.
    done
        Gets frames.
    """

    def __init__(self, path: Path, done: FrameCame, parent: QObject) -> None:
        super().__init__(parent)
        self._done = done
        self._exact = _Reading(path, self._exact_came, self._lost, self)
        self._quick: _Reading | None = None
        self._size = QSize()
        self._frame = self._exact_at = -1
        self._rest = QTimer(self, interval=REST_MS, singleShot=True)
        self._rest.timeout.connect(lambda: self._exact.want(self._frame))
        self.failed = ""

    @property
    def busy(self) -> bool:
        """Whether a frame is on its way."""
        quick = self._quick is not None and self._quick.busy
        return quick or self._exact.busy or self._rest.isActive()

    def use(self, proxy: Proxy) -> None:
        """Show frames of a proxy while the hand moves."""
        if self._quick is not None:
            self._quick.close()
            self._quick.deleteLater()
        self._size = QSize(proxy.width, proxy.height)
        self._quick = _Reading(proxy.path, self._quick_came, self._proxy_lost, self)

    def want(self, frame: int) -> None:
        """Show a frame, unless a newer one is wanted before."""
        if self.failed or (frame == self._frame == self._exact_at):
            return
        self._frame = frame
        follows = 0 <= frame - self._exact_at <= FOLLOWING
        if self._quick is None or (follows and not self._exact.busy):
            self._exact.want(frame)
        else:
            self._quick.want(frame)
            self._rest.start()

    def close(self) -> None:
        """Let the files go."""
        self._rest.stop()
        self._exact.close()
        if self._quick is not None:
            self._quick.close()

    def _exact_came(self, frame: int, image: QImage) -> None:
        self._exact_at = frame
        if self._quick is None or frame == self._frame:
            self._rest.stop()
            self._done(frame, image, image.size())

    def _quick_came(self, frame: int, image: QImage) -> None:
        if self._exact_at != self._frame:
            self._done(frame, image, self._size)

    def _proxy_lost(self, error: EngineError) -> None:
        """It can go at any time: the video is still there."""
        self._quick = None
        self._exact.want(self._frame)

    def _lost(self, error: EngineError) -> None:
        self._rest.stop()
        self.failed = error.message
        self._done(-1, None, QSize())
