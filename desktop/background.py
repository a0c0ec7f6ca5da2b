"""Short work beside the window's thread: reading a file, importing a library."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from PySide6.QtCore import QObject, QTimer

from engine.errors import EngineError, ErrorCode

log = logging.getLogger("triptych.window")

Result = TypeVar("Result")
POLL_INTERVAL_MS = 15


class Background(QObject):
    """Runs functions on one thread, in order, and hands their results to the window's thread.

    Futures are polled, not signalled: a worker never holds a QObject, so none can die there.
    When this object goes, waiting work is dropped and nobody is called any more.
    """

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="background")
        self._running: list[tuple[Future[Any], Callable[[Any], object], Callable[..., object]]] = []
        self._timer = QTimer(self, interval=POLL_INTERVAL_MS)
        self._timer.timeout.connect(self._collect)
        pool = self._pool
        self.destroyed.connect(lambda: pool.shutdown(wait=True, cancel_futures=True))

    @property
    def busy(self) -> bool:
        """Whether something is still to be handed over."""
        return bool(self._running)

    def run(
        self,
        work: Callable[[], Result],
        done: Callable[[Result], object],
        failed: Callable[[EngineError], object],
    ) -> None:
        """Call ``work`` on the thread, then ``done`` with its result or ``failed`` with the error."""
        self._running.append((self._pool.submit(work), done, failed))
        self._timer.start()

    def _collect(self) -> None:
        while self._running and self._running[0][0].done():
            future, done, failed = self._running.pop(0)
            error = future.exception()
            if error is None:
                done(future.result())
            elif isinstance(error, EngineError):
                failed(error)
            else:
                log.error("background work failed", exc_info=error)
                failed(
                    EngineError(
                        ErrorCode.INTERNAL,
                        f"An unexpected error stopped this: {error}. Nothing was changed.",
                        "The log has the details.",
                        f"{type(error).__name__}: {error}",
                    )
                )
        if not self._running:
            self._timer.stop()
