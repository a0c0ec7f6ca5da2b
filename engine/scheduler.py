"""Takes jobs from a project's queue to an executor, and what happens back into the project.

The queue of truth is the project's: an executor is given one job at a time, so that whatever waits
survives the end of every process and can still be moved.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from engine.errors import EngineError
from engine.job import (
    Cancelled,
    EngineDied,
    Event,
    Failed,
    Finished,
    JobSpec,
    JobState,
    Output,
)

if TYPE_CHECKING:
    from engine.executors import Executor
    from engine.project import Project

log = logging.getLogger("triptych.scheduler")


class Scheduler:
    """Runs a project's queue.

    One thread calls :meth:`step` again and again; the other methods may be called from any thread
    and do not wait for it. The scheduler closes the executor, not the project.

    Parameters
    ----------
    project
        Has the queue and gets states and results.
    executor
        Runs the jobs.
    listener
        Called by :meth:`step`, with every event, after what it says is in the project. It hears one
        terminal event of each job that ends in this session.
    """

    def __init__(self, project: Project, executor: Executor, listener: Callable[[Event], None]) -> None:
        self._project = project
        self._executor = executor
        self._listener = listener
        self._lock = threading.RLock()
        self._running: str | None = None
        self._paused = False
        self._closed = False
        # What the executor said and the project does not know yet, and what the project knows and
        # the listener does not.
        self._unrecorded: deque[Event] = deque()
        self._unannounced: deque[Event] = deque()

    # --- the queue --------------------------------------------------------------------------------

    def enqueue(self, spec: JobSpec) -> str:
        """Put a job at the end of the queue; return its id."""
        return self._project.add_job(spec)

    def enqueue_many(self, specs: Iterable[JobSpec]) -> list[str]:
        """Put jobs at the end of the queue, all or none; return their ids."""
        return self._project.add_jobs(specs)

    def requeue(self, job: str) -> None:
        """Queue an interrupted job again."""
        self._project.requeue(job)

    def discard(self, job: str) -> None:
        """Cancel a job that is queued or interrupted."""
        with self._lock:
            self._project.discard(job)
            self._unannounced.append(Cancelled(job))

    def cancel(self, job: str) -> None:
        """Cancel a job: at once when it waits, soon when it runs; one that has ended stays so."""
        with self._lock:
            state = self._project.job(job).state
            if state in (JobState.QUEUED, JobState.INTERRUPTED):
                self.discard(job)
            elif state is JobState.RUNNING:
                try:
                    self._project.set_job_state(job, JobState.CANCELLING)
                finally:  # a full disk must not keep it running
                    self._executor.cancel(job)

    def pause(self) -> None:
        """Start no further job; the running one goes on."""
        self._paused = True

    def resume(self) -> None:
        """Start jobs again."""
        self._paused = False

    @property
    def paused(self) -> bool:
        """Whether :meth:`pause` holds."""
        return self._paused

    @property
    def running(self) -> str | None:
        """The job that the executor has."""
        return self._running

    # --- the loop ---------------------------------------------------------------------------------

    def step(self, timeout: float) -> bool:
        """Start the next job when none runs, and handle what happened; tell whether anything did.

        Waits up to ``timeout`` seconds for something to happen.

        Raises
        ------
        EngineError
            When the project cannot be written (disk full, say). Nothing is lost: a later step takes
            up where this one stopped. Wait a little before it.
        """
        if self._closed:
            return False
        busy = self._dispatch()
        if not (self._unrecorded or self._unannounced):
            self._unrecorded.extend(self._executor.events(timeout))
        while self._unrecorded or self._unannounced:
            busy = True
            if not self._unannounced:
                self._record_next()
            while self._unannounced:
                self._listener(self._unannounced.popleft())
        return busy

    def close(self) -> None:
        """End the executor; a job that still runs is interrupted, for the user to resume or discard.

        The listener hears nothing of it. More than once is harmless.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._unrecorded.extend(self._executor.events(0.0))
            while self._unrecorded:
                self._record_next()
        except EngineError as error:
            log.warning("left for the next start to repair: %s", error)
        finally:
            self._executor.close()
        try:
            # What the executor says now of its running job is its own end, not the job's; unless
            # the job was just ready.
            last = self._executor.events(0.0)
            self._unrecorded.extend(event for event in last if isinstance(event, Output | Finished))
            while self._unrecorded:
                self._record_next()
            self._leave_running()
        except EngineError as error:
            log.warning("left for the next start to repair: %s", error)

    def _dispatch(self) -> bool:
        with self._lock:
            if self._running is not None or self._paused:
                return False
            job = self._project.next_queued()
            if job is None:
                return False
            self._project.set_job_state(job.id, JobState.RUNNING)
            self._running = job.id
            try:
                self._executor.submit(job.spec, job.id)
            except EngineError as error:
                self._unrecorded.append(Failed(job.id, error))
            return True

    def _record_next(self) -> None:
        """Write what happened next into the project; if that fails, it stays to be done."""
        event = self._unrecorded[0]
        if self._record(event):
            self._unannounced.append(event)
        self._unrecorded.popleft()

    def _record(self, event: Event) -> bool:
        """Write what an event says into the project; whether it is news."""
        if isinstance(event, Output):
            self._project.add_result(event.job, event.name, event.artifact, event.manifest)
        elif isinstance(event, EngineDied):
            self._adopt()
        elif isinstance(event, Finished | Failed | Cancelled):
            with self._lock:
                if event.job != self._running:
                    log.error("%s ended twice: %s", event.job, event)
                    return False
                self._end(event)
        return True

    def _end(self, event: Finished | Failed | Cancelled) -> None:
        match event:
            case Finished():
                self._project.set_job_state(event.job, JobState.SUCCEEDED, metrics=event.metrics)
            case Failed():
                self._project.set_job_state(event.job, JobState.FAILED, error=event.error)
            case Cancelled():
                self._project.set_job_state(event.job, JobState.CANCELLED)
        self._running = None

    def _leave_running(self) -> None:
        """The executor is gone: say so of the job it had, if any."""
        if self._running is not None:
            cancelling = self._project.job(self._running).state is JobState.CANCELLING
            state = JobState.CANCELLED if cancelling else JobState.INTERRUPTED
            self._project.set_job_state(self._running, state)
            self._running = None

    def _adopt(self) -> None:
        """Announce what a dead engine process stored and did not live to say."""
        for result in self._project.adopt():
            manifest = self._project.manifest(result.id)
            self._unannounced.append(Output(result.job, result.name, result.artifact, manifest))
