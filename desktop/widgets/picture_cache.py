"""Pictures of files, loaded beside the window's thread and kept within a byte budget."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PySide6.QtCore import QObject, QSize, Qt, QTimer, Signal
from PySide6.QtGui import QImage, QImageReader

WORKERS = 2
MAX_WAITING = 512
COLLECT_INTERVAL_MS = 15


def load_picture(path: Path, edge: int | None = None) -> QImage:
    """A picture scaled to fit a square of ``edge`` pixels, never enlarged; null when unreadable."""
    reader = QImageReader(str(path))
    reader.setAutoTransform(True)
    size = reader.size()
    if edge is not None and size.isValid() and max(size.width(), size.height()) > edge:
        reader.setScaledSize(size.scaled(QSize(edge, edge), Qt.AspectRatioMode.KeepAspectRatio))
    # The format that paints fastest, so that the window's thread converts nothing.
    return reader.read().convertToFormat(QImage.Format.Format_ARGB32_Premultiplied)


class _Loader:
    """Loads on worker threads, newest request first: what is on screen now, not what was passed.

    Holds no QObject, so that no worker can ever own the last reference to one.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="pictures")
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, tuple[Path, int | None]] = OrderedDict()
        self.done: deque[tuple[str, QImage]] = deque()

    def request(self, key: str, path: Path, edge: int | None) -> list[str]:
        """Queue a load; returns the keys given up because too many were waiting."""
        dropped = []
        with self._lock:
            self._waiting[key] = (path, edge)
            while len(self._waiting) > MAX_WAITING:
                dropped.append(self._waiting.popitem(last=False)[0])
        self._pool.submit(self._load_newest)
        return dropped

    def _load_newest(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            key, (path, edge) = self._waiting.popitem()
        self.done.append((key, load_picture(path, edge)))

    def close(self) -> None:
        """Drop what waits and end the workers."""
        with self._lock:
            self._waiting.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)


class PictureCache(QObject):
    """Pictures by key.

    Parameters
    ----------
    edge
        Longest side in pixels; larger pictures are reduced. ``None`` keeps them as they are.
    budget
        Bytes of pixels kept; the least recently painted go first.

    Signals
    -------
    ready(str)
        The picture of this key can be painted now, or is known to be unreadable.
    """

    ready = Signal(str)

    def __init__(self, edge: int | None, budget: int = 64 << 20, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._edge = edge
        self._budget = budget
        self._bytes = 0
        self._kept: OrderedDict[str, QImage] = OrderedDict()
        self._broken: set[str] = set()
        self._wanted: set[str] = set()
        self._loader = _Loader()
        self._timer = QTimer(self, interval=COLLECT_INTERVAL_MS)
        self._timer.timeout.connect(self._collect)
        # Not a bound method: the object is half gone when this runs.
        self.destroyed.connect(self._loader.close)

    def image(self, key: str, path: Path) -> QImage | None:
        """The picture if it is there; otherwise it is loaded and ``ready`` follows."""
        found = self._kept.get(key)
        if found is not None:
            self._kept.move_to_end(key)
            return found
        if key not in self._wanted and key not in self._broken:
            self._wanted.add(key)
            self._wanted.difference_update(self._loader.request(key, path, self._edge))
            self._timer.start()
        return None

    def is_broken(self, key: str) -> bool:
        """Whether the file could not be read as a picture."""
        return key in self._broken

    @property
    def used_bytes(self) -> int:
        """Bytes of pixels now kept."""
        return self._bytes

    def _collect(self) -> None:
        while self._loader.done:
            key, image = self._loader.done.popleft()
            self._wanted.discard(key)
            if image.isNull():
                self._broken.add(key)
            else:
                self._keep(key, image)
            self.ready.emit(key)
        if not self._wanted:
            self._timer.stop()

    def _keep(self, key: str, image: QImage) -> None:
        self._kept[key] = image
        self._bytes += image.sizeInBytes()
        while self._bytes > self._budget and len(self._kept) > 1:
            _, oldest = self._kept.popitem(last=False)
            self._bytes -= oldest.sizeInBytes()
