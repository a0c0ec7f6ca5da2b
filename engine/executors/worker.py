"""Main program of the engine's child process; see :mod:`engine.executors.process`.

``python -m engine.executors.worker --store FOLDER [--plugin MODULE]... [--cold]``

Commands come in on standard input, events go out on standard output, both as frames of
:mod:`engine.pipe`:

- ``{"command": "run", "run": 7, "job": ID, "spec": {...}}`` runs a job, after those before it;
- ``{"command": "cancel", "run": 7}`` asks that run to stop.

When standard input ends, the process ends. ``--plugin`` (or the environment variable
``TRIPTYCH_PLUGINS``, separated by commas) names modules that register further job kinds in
:data:`engine.registry.JOBS` when they are imported. ``--cold`` leaves loading torch and the job
modules to the first job that needs them.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from engine import device
from engine.artifacts import ArtifactStore
from engine.child import take_pipes
from engine.errors import EngineError
from engine.job import EngineReady, Event, Failed, JobSpec, Logged, event_to_message
from engine.pipe import PipeError, read_frame, write_frame
from engine.runner import BUILTIN_MODULES, load_job_modules, plugin_modules, run_job

EXIT_GRACE = 1.0
"""Seconds that a running handler has to notice that the window is gone."""


class Worker:
    """Takes commands on a thread of its own, and runs jobs on the thread that calls ``serve``."""

    def __init__(
        self, commands: BinaryIO, events: BinaryIO, store: ArtifactStore, plugins: Sequence[str]
    ) -> None:
        self._commands = commands
        self._events = events
        self._store = store
        self._plugins = plugins
        self._write_lock = threading.Lock()
        self._runs: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._closing = threading.Event()
        self.current = ""
        """Id of the job that runs now, or nothing."""
        self.understood = True
        """Whether all commands could be read."""

    def emit(self, event: Event) -> None:
        """Send an event to the window; any thread."""
        header, buffers = event_to_message(event)
        with self._write_lock:
            write_frame(self._events, header, buffers)

    def serve(self, *, warm: bool) -> None:
        """Run jobs until standard input ends."""
        threading.Thread(target=self._read_commands, name="commands", daemon=True).start()
        handler = _EventHandler(self)
        logging.getLogger().addHandler(handler)
        try:
            self.emit(EngineReady(self._warm_up() if warm else {"pid": os.getpid()}))
            while (command := self._runs.get()) is not None:
                self._run(command)
        finally:
            logging.getLogger().removeHandler(handler)

    def _warm_up(self) -> dict[str, Any]:
        started = time.monotonic()
        load_job_modules((*BUILTIN_MODULES, *plugin_modules(self._plugins)))
        info = device.describe()
        return {**info, "pid": os.getpid(), "seconds": round(time.monotonic() - started, 3)}

    def _run(self, command: Mapping[str, Any]) -> None:
        run, job = int(command["run"]), str(command["job"])
        self.current = job
        try:
            spec = JobSpec.from_json(command["spec"])
        except EngineError as error:
            self.emit(Failed(job, error))
        else:
            run_job(spec, job, self._store, self.emit, lambda: self._stopped(run), self._plugins)
        self.current = ""

    def _stopped(self, run: int) -> bool:
        return run in self._cancelled or self._closing.is_set()

    def _read_commands(self) -> None:
        try:
            while (frame := read_frame(self._commands)) is not None:
                command = frame[0]
                if command.get("command") == "cancel":
                    self._cancelled.add(int(command["run"]))
                else:
                    self._runs.put(command)
        except (PipeError, OSError) as error:
            self.understood = False
            sys.stderr.write(f"the engine stops, because its commands are unreadable: {error}\n")
        self._closing.set()
        self._runs.put(None)
        time.sleep(EXIT_GRACE)
        # The handler did not answer; nobody is left who could wait for it. Files are written
        # atomically, so this is safe at any moment.
        os._exit(1)


class _EventHandler(logging.Handler):
    """Sends log records to the window, as lines of the job that runs."""

    def __init__(self, worker: Worker) -> None:
        super().__init__()
        self._worker = worker
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
            self._worker.emit(Logged(self._worker.current, record.levelname, text))
        except Exception:
            self.handleError(record)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the child process; the exit code."""
    parser = argparse.ArgumentParser(prog="engine.executors.worker")
    parser.add_argument("--store", type=Path, required=True, help="folder of the artifacts")
    parser.add_argument("--plugin", action="append", default=[], help="module with job kinds")
    parser.add_argument("--cold", action="store_true", help="import torch only when needed")
    options = parser.parse_args(arguments)
    # An interrupt from the terminal is for the program that started us; it closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    commands, events = take_pipes()
    logging.getLogger("triptych").setLevel(logging.INFO)
    logging.captureWarnings(True)
    worker = Worker(commands, events, ArtifactStore(options.store), options.plugin)
    try:
        worker.serve(warm=not options.cold)
    except BrokenPipeError:
        return 1
    return 0 if worker.understood else 1


if __name__ == "__main__":
    # Without the libraries' farewells, which take long and save nothing: files are complete already.
    os._exit(main())
