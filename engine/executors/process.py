"""Jobs in a child process, which may be killed and starts again.

The window's interpreter lock stays free, and a crash, a runaway library or a driver fault costs one
job, not the window. Threads per child: one reads its events, one its log lines, one writes its
commands. Everything they know is in :class:`ProcessExecutor`, behind one lock.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.child import command, environment
from engine.errors import EngineError, ErrorCode, invalid_input
from engine.executors.event_queue import EventQueue
from engine.job import (
    Cancelled,
    EngineDied,
    EngineReady,
    Event,
    Failed,
    JobSpec,
    Logged,
    event_from_message,
    is_terminal,
)
from engine.pipe import portable, read_frame, write_frame

MAX_FAILED_STARTS = 3
"""After so many children that died before they were ready, the next waits for the next job."""

CLOSE_SECONDS = 2.0
"""How long ``close`` waits for the child to end by itself."""

MAX_LINE = 2**16
TAIL_LINES = 40

log = logging.getLogger("triptych.engine")


class ProcessExecutor:
    """Runs jobs one after another in a child process.

    The child is started by :meth:`start` or the first job and, when it dies, again by itself: the
    job that ran fails with ``engine_died``, jobs that wait are not affected.

    Parameters
    ----------
    store_root
        Folder of the project's artifacts; the child writes results there.
    kill_after
        Seconds after which a child that does not answer a cancel is killed.
    plugins
        Modules the child imports because they register job kinds.
    warm
        Whether the child loads torch and the job modules before it is ready.
    """

    def __init__(
        self,
        store_root: Path,
        *,
        kill_after: float = 5.0,
        plugins: Sequence[str] = (),
        warm: bool = True,
    ) -> None:
        self._kill_after = kill_after
        self._arguments = ["--store", str(store_root), *(() if warm else ("--cold",))]
        for plugin in plugins:
            self._arguments += ["--plugin", plugin]
        self._events = EventQueue()
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._waiting: dict[str, JobSpec] = {}
        self._running: str | None = None
        self._run = 0
        self._cancelling = False
        self._killer: threading.Timer | None = None
        self._failed_starts = 0
        self._closed = False

    def start(self) -> None:
        """Start the child if there is none; ``EngineReady`` follows.

        Raises
        ------
        EngineError
            ``engine_died`` when it cannot be started or the executor was closed.
        """
        with self._lock:
            self._start()

    @property
    def pid(self) -> int | None:
        """Process id of the child, or ``None`` when there is none."""
        with self._lock:
            return self._child.process.pid if self._child else None

    def submit(self, spec: JobSpec, job_id: str | None = None) -> str:
        """See :meth:`engine.executors.Executor.submit`."""
        job_id = job_id or uuid.uuid4().hex
        spec = portable(spec)
        with self._lock:
            if job_id == self._running or job_id in self._waiting:
                raise invalid_input(f"The job {job_id} is being run already.")
            self._start()
            self._waiting[job_id] = spec
            self._dispatch()
        return job_id

    def cancel(self, job_id: str) -> None:
        """See :meth:`engine.executors.Executor.cancel`."""
        with self._lock:
            if self._waiting.pop(job_id, None) is not None:
                self._events.put(Cancelled(job_id))
            elif job_id == self._running and self._child and not self._cancelling:
                self._cancelling = True
                self._child.send({"command": "cancel", "run": self._run})
                self._killer = threading.Timer(self._kill_after, self._kill_run, (self._run,))
                self._killer.daemon = True
                self._killer.start()

    def events(self, timeout: float) -> list[Event]:
        """See :meth:`engine.executors.Executor.events`."""
        return self._events.get(timeout)

    def close(self) -> None:
        """See :meth:`engine.executors.Executor.close`.

        Blocks until the child ended; it is killed when it does not within two seconds.
        """
        with self._lock:
            self._closed = True
            for job_id in self._waiting:
                self._events.put(Cancelled(job_id))
            self._waiting.clear()
            child = self._child
        if child:
            child.end_input()
            child.reader.join(CLOSE_SECONDS)
            child.kill()
            child.reader.join()
        self._events.close()

    # --- with the lock held -----------------------------------------------------------------------

    def _start(self) -> None:
        if self._closed:
            raise EngineError(
                ErrorCode.ENGINE_DIED, "The engine was shut down; the job was not started."
            )
        if self._child is None:
            try:
                self._child = _Child(self._arguments, self)
            except OSError as error:
                raise EngineError(
                    ErrorCode.ENGINE_DIED,
                    f"The engine process cannot be started ({error}); nothing was lost.",
                    "Close other programs if memory is short; otherwise install Triptych again.",
                ) from error

    def _dispatch(self) -> None:
        """Give the child its next job.

        One that still loads is given none, so that a cancel need not wait for an import; nor one
        that has just died, so that the job runs in the next.
        """
        if self._running is None and self._waiting and self._child and self._child.usable:
            self._running = next(iter(self._waiting))
            spec = self._waiting.pop(self._running)
            self._run += 1
            self._child.send(
                {"command": "run", "run": self._run, "job": self._running, "spec": spec.to_json()}
            )

    def _end_run(self, event: Event) -> None:
        self._running = None
        self._cancelling = False
        if self._killer:
            self._killer.cancel()
            self._killer = None
        self._events.put(event)

    # --- called by the child's threads ------------------------------------------------------------

    def _on_event(self, child: _Child, event: Event) -> None:
        with self._lock:
            if isinstance(event, EngineReady):
                child.ready = True
                self._failed_starts = 0
                self._events.put(event)
            elif event.job and event.job != self._running and not isinstance(event, Logged):
                log.error("the engine sent %s of a job that does not run", type(event).__name__)
            elif is_terminal(event):
                self._end_run(event)
            else:
                self._events.put(event)
            self._dispatch()

    def _on_line(self, text: str) -> None:
        with self._lock:
            self._events.put(Logged(self._running or "", "INFO", text))

    def _on_end(self, child: _Child, reason: str) -> None:
        """The child is gone: account for its job, and start the next one."""
        with self._lock:
            self._child = None
            if not self._closed:
                log.warning("the engine process ended: %s", reason)
                self._events.put(EngineDied(reason))
            if self._running is not None:
                job_id = self._running
                if self._closed or child.killed_for_cancel:
                    self._end_run(Cancelled(job_id))
                else:
                    self._end_run(Failed(job_id, _died(reason, child)))
            if self._closed:
                return
            if not child.ready:
                self._failed_starts += 1
            failure = _never_ready(reason, child)
            if self._failed_starts < MAX_FAILED_STARTS:
                try:
                    self._start()
                    return
                except EngineError as error:
                    failure = error
            self._failed_starts = 0
            for job_id in self._waiting:
                self._events.put(Failed(job_id, failure))
            self._waiting.clear()

    def _kill_run(self, run: int) -> None:
        """The time to answer a cancel is over."""
        with self._lock:
            if self._child and self._running is not None and self._run == run:
                self._child.killed_for_cancel = True
                self._child.kill()


class _Child:
    """One child process and the threads that serve it."""

    def __init__(self, arguments: Sequence[str], owner: ProcessExecutor) -> None:
        self._owner = owner
        self._outbox: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self.ready = False
        self.closed = False
        self.killed_for_cancel = False
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self.process = subprocess.Popen(
            command("engine.executors.worker", *arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            # A group of its own: Ctrl-C in a terminal is for us, and a kill takes helpers along.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self.reader = threading.Thread(target=self._read, name="engine-events", daemon=True)
        self._liner = threading.Thread(target=self._read_lines, name="engine-lines", daemon=True)
        self._writer = threading.Thread(target=self._write, name="engine-commands", daemon=True)
        for thread in (self.reader, self._liner, self._writer):
            thread.start()

    @property
    def usable(self) -> bool:
        """Whether it takes jobs."""
        # In this order: while the reader waits for a dead child, poll() cannot look and says None;
        # but then the reader has closed it before.
        return self.ready and self.process.poll() is None and not self.closed

    def send(self, command: Mapping[str, Any]) -> None:
        """Send a command; returns at once, also when the child does not read."""
        self._outbox.put(command)

    def end_input(self) -> None:
        """Ask the child to end."""
        self._outbox.put(None)

    def kill(self) -> None:
        """End the child and what it started, now."""
        if self.process.returncode is None:
            with contextlib.suppress(OSError):
                if sys.platform == "win32":
                    self.process.kill()
                else:
                    os.killpg(self.process.pid, signal.SIGKILL)

    def _read(self) -> None:
        assert self.process.stdout
        problem = ""
        try:
            while (frame := read_frame(self.process.stdout)) is not None:
                self._owner._on_event(self, event_from_message(*frame))
        except Exception as error:  # whatever arrives: a child that cannot be understood must go
            problem = f"it sent an unreadable message ({error}); "
            self.kill()
        self.closed = True
        code = self._wait()
        self.end_input()
        self._liner.join(1.0)
        self._writer.join()
        self.process.stdout.close()
        if self.killed_for_cancel:
            problem = "it did not answer a cancel and was killed; "
        self._owner._on_end(self, problem + _describe_exit(code))

    def _wait(self) -> int:
        """Exit code of a child that has closed its end of the pipe."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(CLOSE_SECONDS)
        self.kill()
        return self.process.wait()

    def _read_lines(self) -> None:
        assert self.process.stderr
        with self.process.stderr as stream:
            while line := stream.readline(MAX_LINE):
                text = line.decode("utf-8", "replace").rstrip()
                self.tail.append(text)
                self._owner._on_line(text)

    def _write(self) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError), self.process.stdin as stream:
            while (command := self._outbox.get()) is not None:
                write_frame(stream, command)
                stream.flush()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"it ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"it was ended by {name}"


def _died(reason: str, child: _Child) -> EngineError:
    return EngineError(
        ErrorCode.ENGINE_DIED,
        f"The engine process ended while this job ran: {reason}. Results finished before are kept.",
        "The engine starts again by itself; run the job again. If it happens again, use a smaller "
        "batch: the system may have been short of memory.",
        "\n".join(child.tail),
    )


def _never_ready(reason: str, child: _Child) -> EngineError:
    return EngineError(
        ErrorCode.ENGINE_DIED,
        f"The engine process does not start: {reason}. The job was not run; nothing was lost.",
        "`triptych doctor` says what is missing; installing Triptych again repairs it.",
        "\n".join(child.tail),
    )
