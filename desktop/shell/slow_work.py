"""Work that takes seconds or minutes, beside the window's thread, with progress and cancel."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from PySide6.QtCore import QObject, QTimer, Signal

from desktop.background import Background
from desktop.shell.model_desk import Meter
from engine.errors import EngineError

Result = TypeVar("Result")
POLL_MS = 100
MEASURED_AFTER_S = 1.0


class SlowWork(QObject):
    """One piece of work at a time. When this object goes, its work is asked to stop and waited for.

    Attributes
    ----------
    progressed
        Done, total (0 while it is not known), and the stage.
    said
        A line that the work wrote.
    """

    progressed = Signal(float, float, str)
    said = Signal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._meters: list[Meter] = []
        self._began: tuple[str, float, float] = ("", 0.0, 0.0)
        self._timer = QTimer(self, interval=POLL_MS)
        self._timer.timeout.connect(self._poll)
        meters = self._meters
        # Before the thread's owner is deleted, which waits for the thread.
        self.destroyed.connect(lambda: [meter.cancel() for meter in meters])
        self._background = Background(self)

    @property
    def busy(self) -> bool:
        """Whether it works."""
        return bool(self._meters)

    def start(
        self,
        work: Callable[[Meter], Result],
        done: Callable[[Result], object],
        failed: Callable[[EngineError], object],
    ) -> None:
        """Call ``work`` on a thread, then ``done`` or ``failed`` on this one."""
        meter = Meter()
        self._meters.append(meter)
        self._began = ("", 0.0, time.monotonic())

        def end(tell: Callable[[], object]) -> None:
            self._poll()
            self._meters.remove(meter)
            if not self._meters:
                self._timer.stop()
            tell()

        self._background.run(
            lambda: work(meter),
            lambda result: end(lambda: done(result)),
            lambda error: end(lambda: failed(error)),
        )
        self._timer.start()

    def cancel(self) -> None:
        """Ask the work to stop; ``failed`` gets its error."""
        for meter in self._meters:
            meter.cancel()

    def seconds_left(self, done: float, total: float, stage: str) -> float | None:
        """How long this stage takes still; ``None`` while that cannot be told."""
        if stage != self._began[0] or done < self._began[1]:
            self._began = (stage, done, time.monotonic())
        passed, moved = time.monotonic() - self._began[2], done - self._began[1]
        if passed < MEASURED_AFTER_S or moved <= 0 or total <= 0:
            return None
        return passed * max(0.0, total - done) / moved

    def _poll(self) -> None:
        for meter in self._meters[:1]:
            while meter.lines:
                self.said.emit(meter.lines.popleft())
            done, total, stage = meter.progress
            if stage or total:
                self.progressed.emit(done, total, stage)
