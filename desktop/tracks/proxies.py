"""Proxies of the open scene's videos, made one after the other beside everything else."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, QTimer, Signal

from desktop.background import Background
from engine.errors import EngineError, ErrorCode
from engine.tracks.cameras import Camera

if TYPE_CHECKING:
    from engine.video_proxy import Proxy

log = logging.getLogger("triptych.tracks")

TOLD_MS = 250
NICE = 15
"""Of the thread that makes them, where the system lets threads have one."""


class _Work:
    """One scene's proxies, on the worker thread; holds no QObject."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.stopped = threading.Event()
        self.done = 0.0
        """Share of the video at work."""

    def make(self, video: Path) -> Proxy | None:
        from engine.video_proxy import ProxyCache

        with contextlib.suppress(OSError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        self.done = 0.0
        self._check()
        return ProxyCache(self._folder).make(video, self._check, self._progress)

    def _check(self) -> None:
        if self.stopped.is_set():
            raise EngineError(ErrorCode.CANCELLED, "Quick copies of videos are not made any more.")

    def _progress(self, done: int, total: int) -> None:
        self.done = done / max(total, 1)


class ProxyMaker(QObject):
    """See the module.

    Signals
    -------
    made(int, Proxy)
        Of a camera.
    progressed(str)
        What is being done; empty when that is over.
    """

    made = Signal(int, object)
    progressed = Signal(str)

    def __init__(self, folder: Path, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._folder = folder
        self._background = Background(self)
        self._work = _Work(folder)
        self._videos: list[tuple[int, Camera, Path]] = []
        self._waiting: list[tuple[int, Camera, Path]] = []
        self._made: dict[int, Proxy] = {}
        self._timer = QTimer(self, interval=TOLD_MS)
        self._timer.timeout.connect(self._tell)
        self._stop_when_gone()

    def _stop_when_gone(self) -> None:
        # Not a bound method: the object is half gone then. Before the worker, which waits for its end.
        box = self._box = [self._work]
        self.destroyed.connect(lambda: box[0].stopped.set())

    @property
    def busy(self) -> bool:
        """Whether one is being made."""
        return self._background.busy

    def open(self, folder: Path | None, cameras: Sequence[Camera] = ()) -> None:
        """Make those of another scene; what is under way for the one before is stopped."""
        videos = [] if folder is None else [
            (at, camera, folder / camera.video) for at, camera in enumerate(cameras) if camera.video
        ]  # fmt: skip
        if [row[2] for row in videos] == [row[2] for row in self._videos]:
            for position, proxy in self._made.items():
                self.made.emit(position, proxy)
            return
        self.stop()
        self._work = self._box[0] = _Work(self._folder)
        self._videos, self._waiting, self._made = videos, list(videos), {}
        self._next()

    def stop(self) -> None:
        """Make no more; those that are there stay."""
        self._work.stopped.set()
        self._waiting = []
        self._timer.stop()
        self.progressed.emit("")

    def _next(self) -> None:
        if not self._waiting:
            if self._timer.isActive():
                self._timer.stop()
                self.progressed.emit("")
            return
        position, _, path = self._waiting[0]
        work = self._work
        self._timer.start()
        self._background.run(
            partial(work.make, path), partial(self._came, work, position), partial(self._lost, work)
        )

    def _came(self, work: _Work, position: int, proxy: Proxy | None) -> None:
        if work is self._work and not work.stopped.is_set():
            del self._waiting[0]
            if proxy is not None:
                self._made[position] = proxy
                self.made.emit(position, proxy)
            self._next()

    def _lost(self, work: _Work, error: EngineError) -> None:
        if work is self._work and not work.stopped.is_set():
            # The wall says so where the video itself cannot be read.
            log.warning("no quick copy of %s: %s", self._waiting[0][2].name, error.message)
            del self._waiting[0]
            self._next()

    def _tell(self) -> None:
        if self._waiting and self._work.done:
            name = self._waiting[0][1].name
            self.progressed.emit(f"Quick copy of {name}: {self._work.done:.0%}")
