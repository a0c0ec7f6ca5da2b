"""Between the window and the engine: a worker thread that owns the executor.

The worker (:mod:`desktop.bridge_worker`) never touches a QObject but itself. It leaves events in an
outbox and rings once; the bridge, in the window's thread, takes them out and emits its signals there.
So every slot runs in the window's thread, a flood of progress becomes at most 20 signals a second, and
nothing that ends a job or is a result can be lost.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Qt, QThread, QTimer, Signal, Slot

from desktop.bridge_worker import Changed, Command, MakeExecutor, Outbox, Stored, Worker
from engine.errors import EngineError
from engine.job import (
    Cancelled,
    EngineDied,
    EngineReady,
    Failed,
    Finished,
    JobSpec,
    Logged,
    Measured,
    Started,
    Warned,
)

if TYPE_CHECKING:
    from engine.executors import Executor
    from engine.project import Project

log = logging.getLogger("triptych.bridge")

PROGRESS_INTERVAL_MS = 50
CLOSE_WAIT_MS = 30_000


def process_executor(project: Project) -> Executor:
    """The engine in a child process, warming up."""
    from engine.executors.process import ProcessExecutor

    executor = ProcessExecutor(project.store.root)
    executor.start()
    return executor


class Bridge(QObject):
    """The window's side of the engine. Lives in the window's thread; all its signals come from there.

    Parameters
    ----------
    project
        Opened by the caller, closed by the caller after :meth:`close`.
    make_executor
        Called in the worker thread.
    """

    job_added = Signal(str)
    job_changed = Signal(str)
    progressed = Signal(str, float, float, str)
    previewed = Signal(str, object)
    # Not dict: PySide hands one over sorted by its keys, and terms have the order they were given.
    measured = Signal(str, str, object)
    result_added = Signal(int, str)
    warned = Signal(str, str)
    failed = Signal(str, object)
    cancelled = Signal(str)
    finished = Signal(str, dict)
    engine_ready = Signal(dict)
    engine_died = Signal(str)
    logged = Signal(str, str)
    paused_changed = Signal(bool)
    closed = Signal()
    """The worker and the engine ended, after :meth:`stop`."""
    refused = Signal(object)
    """An :class:`EngineError` of the queue itself, not of one job (a full disk, a damaged database)."""

    def __init__(
        self,
        project: Project,
        make_executor: MakeExecutor = process_executor,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._project = project
        self._outbox = Outbox()
        self._worker = Worker(project, make_executor, self._outbox)
        self._worker.rang.connect(self._drain, Qt.ConnectionType.QueuedConnection)
        self._worker.finished.connect(self._on_worker_finished, Qt.ConnectionType.QueuedConnection)
        self._throttle = QTimer(self, interval=PROGRESS_INTERVAL_MS)
        self._throttle.timeout.connect(self._flush_throttled)
        self._preview_interval = PROGRESS_INTERVAL_MS / 1000
        self._previewed_at = float("-inf")
        self._paused = False
        self._engine: dict[str, Any] = {}
        self._running: str | None = None

    @property
    def engine(self) -> dict[str, Any]:
        """What the engine said of itself when it became ready; empty while it starts."""
        return dict(self._engine)

    @property
    def paused(self) -> bool:
        """Whether queued jobs wait."""
        return self._paused

    @property
    def running(self) -> str | None:
        """The job that started and has not ended."""
        return self._running

    def set_preview_rate(self, hertz: float) -> None:
        """Show at most this many previews a second; progress stays at 20."""
        self._preview_interval = 1 / max(hertz, 0.1)

    def start(self) -> None:
        """Start the worker and, in it, the engine."""
        _RUNNING.add(self._worker)
        self._worker.start()

    def submit(self, spec: JobSpec) -> str:
        """Add a job to the project, durable when this returns, and let the engine know.

        Raises
        ------
        EngineError
            The project could not be written; nothing was added.
        """
        job = self._project.add_job(spec)
        self.job_added.emit(job)
        self._worker.poke()
        return job

    def submit_many(self, specs: Sequence[JobSpec]) -> list[str]:
        """Add several jobs in one transaction."""
        jobs = self._project.add_jobs(specs)
        for job in jobs:
            self.job_added.emit(job)
        self._worker.poke()
        return jobs

    def cancel(self, job: str) -> None:
        """Cancel a queued job at once, a running one at its next check."""
        self._on_job(job, lambda scheduler: scheduler.cancel(job))

    def requeue(self, job: str) -> None:
        """Put an interrupted job back into the queue."""
        self._on_job(job, lambda scheduler: scheduler.requeue(job))

    def discard(self, job: str) -> None:
        """Give up a queued or interrupted job; its finished results stay."""
        self._on_job(job, lambda scheduler: scheduler.discard(job))

    def move(self, job: str, before: str | None) -> None:
        """Run a queued job before another one, or last."""
        self._on_job(job, lambda _scheduler: self._project.move_job(job, before))

    def pause(self) -> None:
        """Start no further job; the running one goes on."""
        self._set_paused(True)

    def resume(self) -> None:
        """Go on with the queue."""
        self._set_paused(False)

    def stop(self) -> None:
        """Ask worker and engine to end and return at once; :attr:`closed` follows."""
        self._throttle.stop()
        self._worker.stop()

    def close(self) -> None:
        """End the worker and the engine and wait for both. May be called twice."""
        self.stop()
        if self._worker.isRunning() and not self._worker.wait(CLOSE_WAIT_MS):
            log.critical("the engine's worker did not end within %d s", CLOSE_WAIT_MS // 1000)
            return
        _RUNNING.discard(self._worker)
        self._drain()

    @Slot()
    def _on_worker_finished(self) -> None:
        if self._worker.stopping:
            self.close()
            self.closed.emit()

    def _set_paused(self, paused: bool) -> None:
        if paused == self._paused:
            return
        self._paused = paused
        self._worker.post(lambda s: s.pause() if paused else s.resume())
        self.paused_changed.emit(paused)

    def _on_job(self, job: str, command: Command) -> None:
        self._worker.post(command, job)

    # --- out of the outbox ------------------------------------------------------------------------

    @Slot()
    def _drain(self) -> None:
        for item in self._outbox.take():
            try:
                self._deliver(item)
            except Exception:
                log.exception("an event could not be shown: %r", item)
        if self._outbox.has_throttled() and not self._throttle.isActive():
            self._flush_throttled()
            if not self._worker.stopping:
                self._throttle.start()

    @Slot()
    def _flush_throttled(self) -> None:
        progress, previews = self._outbox.take_throttled(self._previews_due())
        for event in progress:
            self.progressed.emit(event.job, event.done, event.total, event.stage)
        for preview in previews:
            self._previewed_at = time.monotonic()
            self.previewed.emit(preview.job, preview.image)
        if not progress and not self._outbox.has_throttled():
            self._throttle.stop()

    def _previews_due(self) -> bool:
        return time.monotonic() - self._previewed_at >= self._preview_interval

    def _deliver(self, item: Any) -> None:
        match item:
            case Changed(job):
                self.job_changed.emit(job)
            case Stored(result, job):
                self.result_added.emit(result, job)
            case Started(job):
                self._running = job
                self.job_changed.emit(job)
            case Measured(job, series, values):
                self.measured.emit(job, series, dict(values))
            case Warned(job, message):
                self.warned.emit(job, message)
            case Logged(_, level, text):
                self.logged.emit(level, text)
            case Finished(job, metrics):
                self._end(job)
                self.finished.emit(job, dict(metrics))
            case Failed(job, error):
                self._end(job)
                self.failed.emit(job, error)
            case Cancelled(job):
                self._end(job)
                self.cancelled.emit(job)
            case EngineReady(info):
                self._engine = dict(info)
                self.engine_ready.emit(dict(info))
            case EngineDied(reason):
                self._engine = {}
                self.engine_died.emit(reason)
            case EngineError():
                self.refused.emit(item)

    def _end(self, job: str) -> None:
        """What the job showed last comes before its end; then its new state."""
        progress, previews = self._outbox.take_of(job)
        if progress is not None:
            self.progressed.emit(job, progress.done, progress.total, progress.stage)
        if previews is not None:
            self.previewed.emit(job, previews.image)
        if self._running == job:
            self._running = None
        self.job_changed.emit(job)


# A thread may not hold the last reference to its own QThread, and destroying one that runs aborts the
# process: a bridge that was dropped unclosed would do both.
_RUNNING: set[QThread] = set()
