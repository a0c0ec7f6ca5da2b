"""Alignments that the Align tab starts, holds and goes on with; their batches and their starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal

from desktop.background import Background
from desktop.images import align_jobs
from desktop.images.align_batch import Batch
from desktop.images.align_model import AlignModel
from desktop.images.model import ImagesModel
from desktop.images.specs import build_spec, settings_of
from desktop.services import Services
from engine.errors import EngineError
from engine.job import JobSpec
from engine.project import ResultRecord


class AlignRuns(QObject):
    """See the module.

    Signals
    -------
    submitted(str)
        A job was queued that the user wants to watch.
    batch_changed
        A job of the batch ended.
    start_known(int)
        The start picture of this result was found, or is known not to be there.
    """

    submitted = Signal(str)
    batch_changed = Signal()
    start_known = Signal(int)

    def __init__(
        self,
        services: Services,
        model: ImagesModel,
        steps: AlignModel,
        background: Background,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._services, self._model, self._steps = services, model, steps
        self._background = background
        self.batch: Batch | None = None
        self._held: set[str] = set()
        self._starts: dict[str, int | None] = {}
        self._looking: set[str] = set()
        self._making: dict[str, tuple[int, Callable[[], object]]] = {}
        self._after: dict[str, Callable[[int], object]] = {}
        model.job_updated.connect(self._job_updated)

    # --- starting ---------------------------------------------------------------------------------

    def align(
        self, results: Sequence[int], values: Mapping[str, Any], pictures: Mapping[str, Path]
    ) -> None:
        """Align pictures, a job each; ``pictures`` are what rewards refer to.

        Raises
        ------
        EngineError
            ``invalid_input`` when one of them cannot be; then nothing is started.
        """
        project = self._services.project
        specs = [align_jobs.alignment(project.manifest(result), values, pictures) for result in results]
        jobs = [self._model.submit(spec).id for spec in specs]
        self.batch = Batch(jobs) if len(jobs) > 1 else None
        self.batch_changed.emit()
        self.submitted.emit(jobs[0])

    def start(self, spec: JobSpec) -> None:
        """Queue a job that goes on from an alignment, and follow it.

        Raises
        ------
        EngineError
            The project could not be written.
        """
        self.submitted.emit(self._model.submit(spec).id)

    # --- holding ----------------------------------------------------------------------------------

    def hold(self, job: str) -> None:
        """Pause: the best picture and all that is needed to go on are kept."""
        self._held.add(job)
        self._model.cancel(job)

    def stop(self, job: str, then: Callable[[int], object] | None = None) -> None:
        """Stop and keep the best picture; ``then`` gets its result id."""
        if then is not None:
            self._after[job] = then
        self._model.cancel(job)

    def is_held(self, job: str) -> bool:
        """Whether the user paused a job, and means to go on with it."""
        return job in self._held

    def _job_updated(self, job: str) -> None:
        known = self._model.job(job)
        if known is None or known.active or not known.state.terminal:
            return
        result = known.results[0] if known.results else None
        if self.batch is not None and job in self.batch.jobs and job not in self.batch.ended:
            self.batch.ended.add(job)
            steps = self._steps.steps(job)
            if result is not None and steps is not None and steps.best is not None:
                self.batch.results[result] = steps.best.total - steps.points[0].total
            self.batch_changed.emit()
        if (then := self._after.pop(job, None)) is not None and result is not None:
            then(result)
        if job in self._making:
            start, told = self._making.pop(job)
            if result is not None:
                self._starts[self._key(start)] = result
                self.start_known.emit(start)
                told()

    # --- the picture it began with ----------------------------------------------------------------

    def start_of(self, record: ResultRecord) -> int | None:
        """The picture an aligned one began with; ``None`` while, or because, nobody knows it."""
        key = record.artifact.sha256
        if key in self._starts:
            found = self._starts[key]
            return found if found is not None and self._is_there(found) else None
        if key not in self._looking:
            self._looking.add(key)
            project, result = self._services.project, record.id
            manifest = project.manifest(result)
            self._background.run(
                lambda: align_jobs.find_start(project, manifest),
                lambda found: self._found(key, result, found),
                lambda _error: self._found(key, result, None),
            )
        return None

    def is_making(self, record: ResultRecord) -> bool:
        """Whether the start of this picture is being made."""
        return any(result == record.id for result, _ in self._making.values())

    def is_looking(self, record: ResultRecord) -> bool:
        """Whether the start of this picture is being looked for."""
        return record.artifact.sha256 in self._looking

    def _found(self, key: str, result: int, found: ResultRecord | None) -> None:
        self._looking.discard(key)
        self._starts[key] = None if found is None else found.id
        self.start_known.emit(result)

    def make_start(self, record: ResultRecord, then: Callable[[], object]) -> None:
        """Make the start picture again, then call ``then``.

        Raises
        ------
        EngineError
            The project could not be written.
        """
        manifest = self._services.project.manifest(record.id)
        device = JobSpec.from_json(manifest["spec"]).device
        job = self._model.submit(build_spec(settings_of(manifest), device))
        self._making[job.id] = (record.id, then)

    def _key(self, result: int) -> str:
        return self._services.project.result(result).artifact.sha256

    def _is_there(self, result: int) -> bool:
        try:
            return not self._services.project.result(result).removed
        except EngineError:
            return False
