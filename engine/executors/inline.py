"""Jobs on a thread of this process: for scripts, tests, and the command line without a window."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Sequence
from dataclasses import replace

from engine.errors import EngineError, ErrorCode, invalid_input
from engine.executors.event_queue import EventQueue
from engine.job import Cancelled, Event, JobSpec, Preview, is_terminal
from engine.pipe import portable
from engine.runner import JobStore, run_job


class InlineExecutor:
    """Runs jobs one after another on its own thread.

    Parameters
    ----------
    store
        Takes the results.
    plugins
        Modules to import before the first job, because they register job kinds.
    """

    def __init__(self, store: JobStore, *, plugins: Sequence[str] = ()) -> None:
        self._store = store
        self._plugins = tuple(plugins)
        self._events = EventQueue()
        self._changed = threading.Condition()
        self._waiting: dict[str, JobSpec] = {}
        self._running: str | None = None
        self._cancel = threading.Event()
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, spec: JobSpec, job_id: str | None = None) -> str:
        """See :meth:`engine.executors.Executor.submit`."""
        job_id = job_id or uuid.uuid4().hex
        spec = portable(spec)
        with self._changed:
            if self._closed:
                raise EngineError(
                    ErrorCode.ENGINE_DIED, "The engine was shut down; the job was not started."
                )
            if job_id == self._running or job_id in self._waiting:
                raise invalid_input(f"The job {job_id} is being run already.")
            self._waiting[job_id] = spec
            self._changed.notify_all()
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="inline-jobs", daemon=True)
                self._thread.start()
        return job_id

    def cancel(self, job_id: str) -> None:
        """See :meth:`engine.executors.Executor.cancel`."""
        with self._changed:
            if self._waiting.pop(job_id, None) is not None:
                self._events.put(Cancelled(job_id))
            elif job_id == self._running:
                self._cancel.set()

    def events(self, timeout: float) -> list[Event]:
        """See :meth:`engine.executors.Executor.events`."""
        return self._events.get(timeout)

    def close(self) -> None:
        """See :meth:`engine.executors.Executor.close`. Blocks until the running handler answers."""
        with self._changed:
            self._closed = True
            for job_id in self._waiting:
                self._events.put(Cancelled(job_id))
            self._waiting.clear()
            self._cancel.set()
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()
        self._events.close()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._waiting) or self._closed)
                if self._closed:
                    return
                self._running = job_id = next(iter(self._waiting))
                spec = self._waiting.pop(job_id)
                self._cancel.clear()
            run_job(spec, job_id, self._store, self._emit, self._cancel.is_set, self._plugins)

    def _emit(self, event: Event) -> None:
        if isinstance(event, Preview):
            # The handler may go on painting into its array while the consumer looks at it.
            event = replace(event, image=event.image.copy())
        if is_terminal(event):
            with self._changed:
                self._running = None
        self._events.put(event)
