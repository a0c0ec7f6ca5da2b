"""Running jobs without a window: results go into an ordinary folder, under readable names."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import re
import tempfile
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.artifacts import ArtifactStore, storage_error
from engine.context import ATTACHMENT
from engine.errors import EngineError, cancelled
from engine.executors import Executor
from engine.executors.inline import InlineExecutor
from engine.job import (
    ArtifactRef,
    Cancelled,
    Event,
    Failed,
    Finished,
    JobSpec,
    Output,
    Warned,
    is_terminal,
)
from engine.project import Project
from engine.scheduler import Scheduler

POLL_SECONDS = 0.1
MAX_SLUG = 60
LEFT_OUT = ("rounds", "curve", "routes", "photo")

Listener = Callable[[Event], None]
StopRequested = Callable[[], bool]


class OutputFolder:
    """Takes results like a project's store, but names them for people.

    A picture with seed 42 of the prompt "red heart" becomes ``00042_red-heart.png``. A file that
    is there already is never overwritten: the next name gets ``-2``. PNG files carry their manifest
    inside; other results get it beside them, as ``NAME.manifest.json``. What is attached to results
    is named after them (``00042_red-heart-trajectory.safetensors``); what only a window shows, the
    ``rounds`` of a parallel run and the ``curve`` of an alignment, is left out.

    Parameters
    ----------
    folder
        Made when it is not there.

    Raises
    ------
    EngineError
        ``invalid_input`` when nothing can be written there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        self.files: list[Path] = []
        self._paths: dict[str, Path] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise storage_error(error, self.folder, "Nothing was started") from error

    def put(self, data: bytes, media_type: str, manifest: Mapping[str, Any]) -> ArtifactRef:
        """See :meth:`engine.artifacts.ArtifactStore.put`."""
        artifact = ArtifactRef(hashlib.sha256(data).hexdigest(), media_type, len(data))
        attached = manifest.get("kind") == ATTACHMENT
        if attached and manifest.get("label") in LEFT_OUT:
            return artifact
        suffix = ArtifactStore(self.folder).path(artifact).suffix
        try:
            path = self._write(file_stem(manifest), suffix, data)
            if media_type != "image/png" and not attached:
                text = json.dumps(dict(manifest), indent=2).encode()
                self._write(path.stem, ".manifest.json", text)
        except OSError as error:
            raise storage_error(error, self.folder, "The result was not saved") from error
        self.files.append(path)
        self._paths[artifact.sha256] = path
        return artifact

    def path(self, ref: ArtifactRef) -> Path:
        """Where a result of this run is."""
        return self._paths[ref.sha256]

    def verify(self, ref: ArtifactRef) -> bool:
        """Whether a result of this run is still there as it was written."""
        path = self._paths.get(ref.sha256)
        return (
            path is not None
            and path.is_file()
            and hashlib.sha256(path.read_bytes()).hexdigest() == ref.sha256
        )

    def _write(self, stem: str, suffix: str, data: bytes) -> Path:
        partial = self.folder / f".{uuid.uuid4().hex}.partial"
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            for number in itertools.count(1):
                path = self.folder / f"{stem}{f'-{number}' if number > 1 else ''}{suffix}"
                try:
                    # Takes the name without touching anybody's file; then fills it at once.
                    path.open("xb").close()
                except FileExistsError:
                    if path.is_file() and path.read_bytes() == data:
                        break
                else:
                    partial.replace(path)
                    break
            return path
        finally:
            partial.unlink(missing_ok=True)


def file_stem(manifest: Mapping[str, Any]) -> str:
    """Readable file name of a result, without its ending."""
    text = manifest.get("prompt") or manifest.get("class_name") or manifest["name"]
    plain = unicodedata.normalize("NFKD", str(text)).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:MAX_SLUG].strip("-")
    seed, label = manifest.get("seed"), manifest.get("label")
    number = None if seed is None else f"{int(seed):05d}"
    stem = "_".join(filter(None, (number, slug))) or "result"
    return f"{stem}-{label}" if label else stem


@dataclass
class Outcome:
    """How a job ended.

    Attributes
    ----------
    files
        Its results, in the order they were made; also those made before an error or a cancel.
    metrics
        What the job says about itself; empty when it did not finish.
    warnings
        What the user should know about the results.
    error
        Why it did not finish; ``None`` when it did.
    """

    files: list[Path] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: EngineError | None = None


def run_to_folder(
    spec: JobSpec, folder: Path, listener: Listener, stop_requested: StopRequested
) -> Outcome:
    """Run a job here and put its results into a folder.

    Parameters
    ----------
    spec, folder
        What to run, and where its files go; see :class:`OutputFolder`.
    listener
        Gets every event, on the caller's thread.
    stop_requested
        Asked several times a second; ``True`` cancels the job.

    Raises
    ------
    EngineError
        ``invalid_input`` when the folder cannot be written to. What goes wrong later is in the
        outcome.
    """
    store = OutputFolder(folder)
    outcome = Outcome(files=store.files)
    executor: Executor = InlineExecutor(store)
    try:
        job = executor.submit(spec)
        running = True
        while running:
            if stop_requested():
                executor.cancel(job)
            for event in executor.events(POLL_SECONDS):
                listener(event)
                _note(outcome, event)
                running = running and not is_terminal(event)
    finally:
        executor.close()
    return outcome


def _note(outcome: Outcome, event: Event) -> None:
    match event:
        case Warned(message=message):
            outcome.warnings.append(message)
        case Finished(metrics=metrics):
            outcome.metrics = dict(metrics)
        case Failed(error=error):
            outcome.error = error
        case Cancelled():
            outcome.error = cancelled()
        case _:
            pass


def run_in_project(
    project: Project, specs: Sequence[JobSpec], listener: Listener, stop_requested: StopRequested
) -> Outcome:
    """Run jobs through the project's own queue; their results are in its history afterwards.

    Stops at the first job that does not succeed and discards the rest. Parameters as in
    :func:`run_to_folder`.
    """
    outcome = Outcome()

    def listen(event: Event) -> None:
        listener(event)
        _note(outcome, event)
        if isinstance(event, Output):
            outcome.files.append(project.store.path(event.artifact))

    scheduler = Scheduler(project, InlineExecutor(project.store), listen)
    try:
        waiting = set(scheduler.enqueue_many(specs))
        while waiting:
            if outcome.error is not None or stop_requested():
                for job in waiting:
                    scheduler.cancel(job)
            scheduler.step(POLL_SECONDS)
            waiting = {job for job in waiting if not project.job(job).state.terminal}
    finally:
        scheduler.close()
    return outcome
