"""State of the Images page: its jobs, what they show, how long they take. No widgets."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from desktop.images.specs import (
    ALIGN,
    KIND,
    KINDS,
    PARALLEL,
    TWIN_SUFFIX,
    duration,
    evaluations,
    picture_params,
    speed_key,
)
from engine.errors import EngineError
from engine.job import JobSpec, JobState
from engine.project import ResultFilter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from desktop.bridge import Bridge
    from engine.project import JobRecord, Project, ResultRecord

HISTORY_LENGTH = 200


@dataclass
class PageJob:
    """One job of this page, as far as the window knows it.

    Attributes
    ----------
    fraction, stage
        The last progress, 0..1, and what the engine was doing.
    results
        Ids of the finished pictures, in order.
    previews
        ``(B, H, W, 3)`` uint8 of the pictures being made, which follow the finished ones.
    running_since
        Clock of :func:`time.monotonic` when this window saw it start.
    """

    id: str
    spec: JobSpec
    state: JobState
    created: float = 0.0
    fraction: float = 0.0
    stage: str = ""
    results: list[int] = field(default_factory=list)
    previews: NDArray[np.uint8] | None = None
    warnings: list[str] = field(default_factory=list)
    error: EngineError | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    running_since: float | None = None

    @property
    def active(self) -> bool:
        """Whether the job waits or runs."""
        return not self.state.terminal

    @property
    def count(self) -> int:
        """Pictures asked for."""
        return int(self.spec.params.get("count", 1))

    @property
    def aligns(self) -> bool:
        """Whether it aligns a picture with rewards."""
        return self.spec.kind == ALIGN

    @property
    def parallel(self) -> bool:
        """Whether its sampler works in rounds, not in steps."""
        return (self.spec.params.get("sampler") or {}).get("name") == PARALLEL

    @property
    def makes_twins(self) -> bool:
        """Whether it also makes sequential twins of its pictures, for comparison."""
        return bool((self.spec.params.get("sampler") or {}).get("compare_sequential"))

    @property
    def title(self) -> str:
        """The prompt, or what stands for it."""
        params = picture_params(self.spec)
        return str(params.get("prompt") or params.get("class_name") or "No prompt")

    def status(self, now: float | None = None) -> str:
        """One line on how far it is."""
        if self.state is JobState.RUNNING:
            parts = [self.stage or "Starting"]
            if self.count > 1:
                parts.append(f"{len(self.results)} of {self.count} pictures")
            left = self.seconds_left(time.monotonic() if now is None else now)
            if left is not None:
                parts.append(f"about {duration(left)} left")
            return " · ".join(parts)
        seconds = self.metrics.get("seconds")
        took = f" in {duration(float(seconds))}" if seconds is not None else ""
        if self.metrics.get("rounds"):
            took += f", {self.metrics['rounds']} rounds"
        kept = f"Cancelled after {len(self.results)} of {self.count}"
        if self.parallel:
            # Also those that were under way are kept, as far as they were solved.
            kept = f"Cancelled; {len(self.results)} of {self.count} kept"
        if self.aligns:
            kept = "Stopped; the best picture is kept" if self.results else "Cancelled"
        going = "the best picture is kept" if self.aligns else "finished pictures are kept"
        return {
            JobState.QUEUED: "Waiting in the queue",
            JobState.CANCELLING: f"Cancelling; {going}",
            JobState.CANCELLED: kept,
            JobState.SUCCEEDED: f"Finished{took}",
            JobState.FAILED: self.error.message if self.error else "Failed",
            JobState.INTERRUPTED: "Interrupted when Triptych ended; Resume or Discard it in the queue",
        }[self.state]

    def seconds_left(self, now: float) -> float | None:
        """Extrapolated from the progress; ``None`` until there is enough of it.

        The steps of a parallel run converge in leaps: a few of them say nothing about the others.
        """
        if self.running_since is None or self.fraction < 0.03 or self.parallel:
            return None
        return (now - self.running_since) * (1 - self.fraction) / self.fraction


class ImagesModel(QObject):
    """Follows the jobs of this page.

    Signals
    -------
    jobs_changed
        Jobs were added, or one changed its state.
    job_updated(str)
        Progress, preview, result, warning or state of one job.
    result_added(int)
        A job of this page has a new result.
    """

    jobs_changed = Signal()
    job_updated = Signal(str)
    result_added = Signal(int)

    def __init__(self, project: Project, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._project = project
        self._bridge = bridge
        self._jobs: dict[str, PageJob] = {}
        self._seconds_per_evaluation: dict[str, float] = {}
        self._seconds_per_picture: dict[str, float] = {}
        self._marks: dict[tuple[int, str], str] = {}
        bridge.job_added.connect(self._added)
        bridge.job_changed.connect(self._changed)
        bridge.progressed.connect(self._progressed)
        bridge.previewed.connect(self._previewed)
        bridge.result_added.connect(self._result_added)
        bridge.warned.connect(self._warned)
        bridge.failed.connect(self._ended)
        bridge.cancelled.connect(self._changed)
        bridge.finished.connect(self._ended)

    # --- jobs -------------------------------------------------------------------------------------

    def load_history(self) -> None:
        """Take the project's last jobs of this page; called once, after the first paint."""
        for record in self._project.last_jobs(HISTORY_LENGTH):
            if record.spec.kind in KINDS and record.id not in self._jobs:
                self._jobs[record.id] = self._page_job(record)
                self._learn_speed(self._jobs[record.id])
        self.jobs_changed.emit()

    @property
    def jobs(self) -> Sequence[PageJob]:
        """Newest first."""
        return list(reversed(self._jobs.values()))

    def job(self, job: str) -> PageJob | None:
        """A job of this page by its id."""
        return self._jobs.get(job)

    @property
    def running(self) -> PageJob | None:
        """The job the engine works on, if it is one of this page."""
        busy = (JobState.RUNNING, JobState.CANCELLING)
        return next((job for job in self._jobs.values() if job.state in busy), None)

    @property
    def waiting(self) -> int:
        """How many jobs of this page are queued."""
        return sum(job.state is JobState.QUEUED for job in self._jobs.values())

    def submit(self, spec: JobSpec) -> PageJob:
        """Queue a job; the engine takes it as soon as it is free.

        Raises
        ------
        EngineError
            The project could not be written.
        """
        job = self._bridge.submit(spec)
        self._added(job)
        return self._jobs[job]

    def pictures(self, results: Sequence[int]) -> list[int]:
        """Those of a job's results that were asked for: without twins made for comparison."""
        return [i for i in results if not self._project.result(i).name.endswith(TWIN_SUFFIX)]

    def cancel(self, job: str) -> None:
        """Cancel a job; its finished pictures stay."""
        self._bridge.cancel(job)

    def unconverged(self, record: ResultRecord) -> str:
        """A mark for a picture whose parallel run ended early; empty for all others."""
        key = (record.id, record.artifact.sha256)
        if key not in self._marks:
            about = self._project.manifest(record.id).get("parallel")
            mark = ""
            if isinstance(about, Mapping) and not about.get("converged", True):
                steps = int(about["steps"])
                mark = f"Not converged · {steps - int(about['finished'])} of {steps} steps"
            self._marks[key] = mark
        return self._marks[key]

    # --- estimates --------------------------------------------------------------------------------

    def estimate(self, params: Mapping[str, Any]) -> float | None:
        """Seconds a job will take, from the last one of its kind; ``None`` before the first.

        How many rounds a parallel run takes is known from runs of the same settings only.
        """
        count = evaluations(params)
        if count is None:
            each = self._seconds_per_picture.get(_rounds_key(params))
            return None if each is None else each * int(params["count"])
        speed = self._seconds_per_evaluation.get(speed_key(params))
        return None if speed is None else speed * count

    def _learn_speed(self, job: PageJob) -> None:
        seconds, count = job.metrics.get("seconds"), job.metrics.get("model_evaluations")
        if job.state is not JobState.SUCCEEDED or not seconds or job.spec.kind != KIND:
            return
        if job.parallel:
            self._seconds_per_picture[_rounds_key(job.spec.params)] = seconds / job.count
        elif count:
            self._seconds_per_evaluation[speed_key(job.spec.params)] = seconds / count

    # --- what the bridge says ---------------------------------------------------------------------

    def _page_job(self, record: JobRecord) -> PageJob:
        return PageJob(
            record.id,
            record.spec,
            record.state,
            record.created,
            error=record.error,
            metrics=record.metrics,
        )

    def _added(self, job: str) -> None:
        if job in self._jobs:
            return
        record = self._project.job(job)
        if record.spec.kind in KINDS:
            self._jobs[job] = self._page_job(record)
            self.jobs_changed.emit()

    def _changed(self, job: str) -> None:
        known = self._jobs.get(job)
        if known is None:
            return
        record = self._project.job(job)
        changed = record.state is not known.state
        if record.state is JobState.RUNNING and changed:
            known.running_since = time.monotonic()
        if record.state.terminal and changed:
            # The project knows how a job ended before the bridge has told of its last results.
            for result in reversed(self._project.result_ids(ResultFilter(job=job))):
                self._result_added(result, job)
        known.state, known.error, known.metrics = record.state, record.error, record.metrics
        if record.state.terminal:
            known.previews = None
            self._learn_speed(known)
        self.job_updated.emit(job)
        if changed:
            self.jobs_changed.emit()

    def _ended(self, job: str, _how: object) -> None:
        self._changed(job)

    def _progressed(self, job: str, done: float, total: float, stage: str) -> None:
        if (known := self._jobs.get(job)) is not None:
            known.fraction = done / total if total > 0 else 0.0
            known.stage = stage
            self.job_updated.emit(job)

    def _previewed(self, job: str, image: NDArray[np.uint8]) -> None:
        known = self._jobs.get(job)
        # A preview that was under way when the job ended must not cover the result.
        if known is not None and known.active:
            known.previews = image if image.ndim == 4 else image[None]
            self.job_updated.emit(job)

    def _result_added(self, result: int, job: str) -> None:
        known = self._jobs.get(job)
        if known is not None and known.makes_twins and not self.pictures([result]):
            self.result_added.emit(result)
        elif known is not None and result not in known.results:
            known.results.append(result)
            if known.previews is not None:
                known.previews = known.previews[1:]
            self.result_added.emit(result)
            self.job_updated.emit(job)

    def _warned(self, job: str, text: str) -> None:
        if (known := self._jobs.get(job)) is not None and text not in known.warnings:
            known.warnings.append(text)
            self.job_updated.emit(job)


def _rounds_key(params: Mapping[str, Any]) -> str:
    """What decides how many rounds a parallel run takes, but for the prompt and the seed."""
    names = ("model", "compute", "economy", "steps", "guidance", "width", "height", "sampler", "batch")
    return json.dumps({name: params.get(name) for name in names}, sort_keys=True)
