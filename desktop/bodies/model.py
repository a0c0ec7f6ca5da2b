"""State of the Bodies page: photos and videos with their jobs, and the corrections made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from engine.errors import EngineError
from engine.job import JobSpec, JobState

if TYPE_CHECKING:
    from desktop.bridge import Bridge
    from engine.project import JobRecord, Project

KIND = "bodies.recover"
HISTORY_LENGTH = 200


@dataclass
class PhotoJob:
    """A photo or video, and what was made of it."""

    id: str
    spec: JobSpec
    state: JobState
    fraction: float = 0.0
    stage: str = ""
    result: int | None = None
    preview: Any = None
    error: EngineError | None = None
    metrics: Mapping[str, Any] | None = None

    @property
    def path(self) -> Path:
        """The file it was made from; it may be gone."""
        return Path(str(self.spec.inputs.get("picture", "")))

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return not self.state.terminal

    def status(self) -> str:
        """One line on how far it is."""
        if self.state is JobState.RUNNING:
            return f"{self.stage or 'Starting'} · {self.fraction:.0%}"
        if self.state is JobState.SUCCEEDED and self.metrics:
            count = int(self.metrics.get("people", 0))
            frames = int(self.metrics.get("frames", 1))
            told = f"{count} {'person' if count == 1 else 'people'}"
            return told if frames == 1 else f"{told}, {frames} frames"
        return {
            JobState.QUEUED: "Waiting",
            JobState.CANCELLING: "Cancelling",
            JobState.CANCELLED: "Cancelled",
            JobState.SUCCEEDED: "Finished",
            JobState.FAILED: self.error.message if self.error else "Failed",
            JobState.INTERRUPTED: "Interrupted; resume it in the queue",
        }[self.state]


class BodiesModel(QObject):
    """Follows the jobs of this page, newest last.

    Signals
    -------
    changed
        Jobs were added or removed.
    updated(str)
        One job has another state, progress or preview.
    recovered(str)
        A job's result is there.
    """

    changed = Signal()
    updated = Signal(str)
    recovered = Signal(str)

    def __init__(self, project: Project, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._project, self._bridge = project, bridge
        self._jobs: dict[str, PhotoJob] = {}
        self._corrections: dict[str, dict[str, Any]] = {}
        bridge.job_added.connect(self._added)
        bridge.job_changed.connect(self._changed)
        bridge.progressed.connect(self._progressed)
        bridge.previewed.connect(self._previewed)
        bridge.result_added.connect(self._result_added)
        for ended in (bridge.failed, bridge.finished):
            ended.connect(lambda job, _how: self._changed(job))
        bridge.cancelled.connect(self._changed)

    @property
    def jobs(self) -> Sequence[PhotoJob]:
        """Oldest first."""
        return list(self._jobs.values())

    def job(self, job: str) -> PhotoJob | None:
        """One of this page's jobs."""
        return self._jobs.get(job)

    def load_history(self) -> None:
        """Take the project's last jobs of this page."""
        for record in self._project.last_jobs(HISTORY_LENGTH):
            if record.spec.kind == KIND and record.id not in self._jobs:
                self._jobs[record.id] = self._photo_job(record)
        self.changed.emit()

    def submit(self, path: Path, params: Mapping[str, Any]) -> str:
        """Recover the people in a file.

        Raises
        ------
        EngineError
            The project could not be written.
        """
        return self._bridge.submit(JobSpec(KIND, params, {"picture": path.resolve()}, device="cpu"))

    def edits(self, result: int) -> dict[str, Any]:
        """Corrected keypoints by ``"FRAME:PERSON"``."""
        return self._kept("edits", result)

    def set_edit(self, result: int, key: str, keypoints: Sequence[Any] | None) -> None:
        """Keep corrected keypoints of ``"FRAME:PERSON"``, or (None) forget them."""
        self._keep("edits", result, key, keypoints)

    def shapes(self, result: int) -> dict[str, Any]:
        """Shapes by hand, lists of numbers, by ``"FRAME:PERSON"``."""
        return self._kept("shapes", result)

    def set_shape(self, result: int, key: str, shape: Sequence[float] | None) -> None:
        """Keep a shape by hand of ``"FRAME:PERSON"``, or (None) forget it."""
        self._keep("shapes", result, key, None if shape is None else list(shape))

    def paintings(self, result: int) -> dict[str, Any]:
        """What is painted as hidden by ``"FRAME:PERSON"``: ``method`` and ``strokes``."""
        return self._kept("hidden", result)

    def set_painting(self, result: int, key: str, painting: Mapping[str, Any] | None) -> None:
        """Keep what is painted of ``"FRAME:PERSON"``, or (None) forget it."""
        self._keep("hidden", result, key, painting)

    def _kept(self, kind: str, result: int) -> dict[str, Any]:
        name = f"bodies.{kind}.{result}"
        if name not in self._corrections:
            found = self._project.get(name)
            self._corrections[name] = dict(found) if isinstance(found, Mapping) else {}
        return self._corrections[name]

    def _keep(self, kind: str, result: int, key: str, value: Any) -> None:
        values = dict(self._kept(kind, result))
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value
        name = f"bodies.{kind}.{result}"
        self._project.put(name, values)
        self._corrections[name] = values

    def _photo_job(self, record: JobRecord) -> PhotoJob:
        job = PhotoJob(record.id, record.spec, record.state, error=record.error, metrics=record.metrics)
        if record.state is JobState.SUCCEEDED:
            try:
                job.result = self._project.result_of(record.id, "bodies").id
            except EngineError:
                job.result = None  # removed by the user
        return job

    def _added(self, job: str) -> None:
        if job not in self._jobs:
            record = self._project.job(job)
            if record.spec.kind == KIND:
                self._jobs[job] = self._photo_job(record)
                self.changed.emit()

    def _changed(self, job: str) -> None:
        known = self._jobs.get(job)
        if known is not None:
            record = self._project.job(job)
            if record.state is JobState.SUCCEEDED and known.result is None:
                # The project knows how a job ended before the bridge has told of its result.
                known.result = self._photo_job(record).result
                if known.result is not None:
                    self.recovered.emit(job)
            known.state, known.error, known.metrics = record.state, record.error, record.metrics
            self.updated.emit(job)

    def _progressed(self, job: str, done: float, total: float, stage: str) -> None:
        if (known := self._jobs.get(job)) is not None:
            known.fraction, known.stage = done / total if total > 0 else 0.0, stage
            self.updated.emit(job)

    def _previewed(self, job: str, image: Any) -> None:
        if (known := self._jobs.get(job)) is not None and known.active:
            known.preview = image
            self.updated.emit(job)

    def _result_added(self, result: int, job: str) -> None:
        if (known := self._jobs.get(job)) is not None and known.result != result:
            known.result = result
            self.recovered.emit(job)
