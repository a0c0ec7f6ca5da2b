"""The thread behind the bridge: it owns scheduler and executor, and an outbox for what they say."""

from __future__ import annotations

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QThread, Signal

from engine.errors import EngineError, ErrorCode
from engine.job import EngineDied, Event, Output, Preview, Progress

if TYPE_CHECKING:
    from engine.executors import Executor
    from engine.project import Project
    from engine.scheduler import Scheduler

log = logging.getLogger("triptych.bridge")

BUSY_WAIT_S = 0.05  # a cancel waits at most this long for the worker's attention
IDLE_WAIT_S = 0.25

Command = Callable[["Scheduler"], object]
MakeExecutor = Callable[["Project"], "Executor"]


@dataclass(frozen=True)
class Changed:
    """A command was carried out on a job."""

    job: str


@dataclass(frozen=True)
class Stored:
    """A result of a job is in the project."""

    result: int
    job: str


class Outbox:
    """What the worker has to say. Ordered items are kept all, of progress and previews the newest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ordered: deque[Any] = deque()
        self._progress: dict[str, Progress] = {}
        self._previews: dict[str, Preview] = {}
        self._rung = False

    def put(self, item: Any) -> bool:
        """Add an item; returns whether the bridge has to be rung."""
        with self._lock:
            if isinstance(item, Progress):
                self._progress[item.job] = item
            elif isinstance(item, Preview):
                self._previews[item.job] = item
            else:
                self._ordered.append(item)
            ring, self._rung = not self._rung, True
            return ring

    def take(self) -> list[Any]:
        """All ordered items; from now on :meth:`put` asks for the bell again."""
        with self._lock:
            items = list(self._ordered)
            self._ordered.clear()
            self._rung = False
            return items

    def has_throttled(self) -> bool:
        """Whether progress or previews wait."""
        with self._lock:
            return bool(self._progress or self._previews)

    def take_throttled(self, with_previews: bool) -> tuple[list[Progress], list[Preview]]:
        """The newest progress of every job, and the newest previews if they are due."""
        with self._lock:
            progress = list(self._progress.values())
            self._progress.clear()
            previews: list[Preview] = []
            if with_previews:
                previews = list(self._previews.values())
                self._previews.clear()
            return progress, previews

    def take_of(self, job: str) -> tuple[Progress | None, Preview | None]:
        """What one job showed last."""
        with self._lock:
            return self._progress.pop(job, None), self._previews.pop(job, None)


class Worker(QThread):
    """Runs the scheduler. Commands go in through a queue, events out through the outbox."""

    rang = Signal()

    def __init__(self, project: Project, make_executor: MakeExecutor, outbox: Outbox) -> None:
        super().__init__()
        self.setObjectName("engine bridge")
        self._project = project
        self._make_executor = make_executor
        self._outbox = outbox
        self._commands: queue.SimpleQueue[tuple[Command | None, str]] = queue.SimpleQueue()
        self._stopping = threading.Event()

    def post(self, command: Command, job: str = "") -> None:
        """Run a command in the worker; afterwards ``job``, when given, is reported as changed."""
        self._commands.put((command, job))

    def poke(self) -> None:
        """There may be something new in the queue."""
        self._commands.put((None, ""))

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopping.is_set()

    def stop(self) -> None:
        """Leave the loop soon."""
        self._stopping.set()
        self.poke()

    def run(self) -> None:
        """The thread: open, loop, close; never lets an exception out."""
        try:
            from engine.scheduler import Scheduler

            executor = self._make_executor(self._project)
        except Exception as error:
            log.exception("the engine could not be started")
            self._send(EngineDied(f"The engine could not be started: {error}"))
            return
        try:
            scheduler = Scheduler(self._project, executor, self._listen)
            try:
                self._loop(scheduler)
            finally:
                scheduler.close()
        except Exception:
            log.exception("the engine's worker failed")
            self._send(EngineDied("The worker between window and engine failed; see the log."))
        finally:
            executor.close()

    def _loop(self, scheduler: Scheduler) -> None:
        busy = True
        while not self._stopping.is_set():
            self._run_commands(scheduler, 0.0 if busy else IDLE_WAIT_S)
            if self._stopping.is_set():
                return
            busy = self._guarded(lambda: self._step(scheduler))

    def _step(self, scheduler: Scheduler) -> bool:
        happened = scheduler.step(BUSY_WAIT_S if scheduler.running is not None else 0.0)
        return happened or scheduler.running is not None

    def _run_commands(self, scheduler: Scheduler, wait: float) -> None:
        """Run what is waiting; if nothing is, wait a little for the first."""
        while not self._stopping.is_set():
            try:
                command, job = self._commands.get(timeout=wait) if wait else self._commands.get_nowait()
            except queue.Empty:
                return
            wait = 0.0
            if command is not None:
                self._guarded(partial(command, scheduler))
                if job:
                    self._send(Changed(job))

    def _guarded(self, call: Callable[[], Any]) -> Any:
        """An error of the queue is told and the loop goes on, slower, so that it cannot flood."""
        try:
            return call()
        except EngineError as error:
            log.warning("the queue refused: %s", error)
            self._send(error)
        except Exception as error:
            log.exception("the queue failed")
            self._send(
                EngineError(
                    ErrorCode.INTERNAL,
                    "The queue met an unexpected error; jobs and results already stored are safe.",
                    "The log has the details. Try again; if it happens again, restart Triptych.",
                    f"{type(error).__name__}: {error}",
                )
            )
        return False

    def _listen(self, event: Event) -> None:
        if isinstance(event, Output):
            for result in self._project.results(limit=16):
                if result.job == event.job and result.name == event.name:
                    self._send(Stored(result.id, event.job))
                    break
            return
        self._send(event)

    def _send(self, item: Any) -> None:
        if self._outbox.put(item):
            self.rang.emit()
