"""The jobs behind the Sampling tab: sequential twins to compare with, parallel twins, variations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import QObject, Signal

from desktop.background import Background
from desktop.images import twins
from desktop.images.model import ImagesModel
from desktop.images.run_figures import Comparison, Figures
from desktop.services import Services
from desktop.widgets.compare_view import agreement
from desktop.widgets.picture_cache import load_picture
from engine.errors import EngineError, bad_file
from engine.job import JobSpec, JobState
from engine.project import Project, ResultRecord


def figures_of(manifest: Mapping[str, Any]) -> Figures:
    """What a picture took, as its manifest has it."""
    measured = manifest.get("sampling") or {}
    rounds = measured.get("rounds", measured.get("steps", twins.steps_of(manifest)))
    evaluations, seconds = measured.get("evaluations"), measured.get("seconds")
    about = manifest.get("parallel") or {}
    if int(about.get("rounds", 0)) > len(about.get("finished_per_round", ())):
        seconds = None  # those since it was gone on with
    return Figures(
        int(rounds),
        None if evaluations is None else int(evaluations),
        None if seconds is None else float(seconds),
        int(measured.get("pictures", 1)),
    )


def measure(project: Project, parallel: int, sequential: int) -> Comparison:
    """Compare two results; called on a thread.

    Raises
    ------
    EngineError
        ``bad_file`` when one of the two pictures cannot be read or they differ in size.
    """
    records = [project.result(result) for result in (parallel, sequential)]
    images = [load_picture(project.store.path(record.artifact)) for record in records]
    if any(image.isNull() for image in images) or images[0].size() != images[1].size():
        raise bad_file(
            "The two pictures cannot be compared: one cannot be read, or their sizes differ.",
            "Run again makes them anew.",
        )
    figures = [figures_of(project.manifest(record.id)) for record in records]
    return Comparison(sequential, figures[0], figures[1], agreement(images[0], images[1]))


class SamplingJobs(QObject):
    """Starts them, waits for twins, and keeps what was compared.

    Signals
    -------
    changed(int)
        How far the comparison of this result is.
    compared(int)
        The comparison of this result is there, as asked for.
    submitted(str)
        A job was queued that the user wants to watch.
    completed(int, int)
        A picture, and the same one made with all of the arithmetic.
    problem(EngineError)
        Why nothing could be looked for, or started.
    """

    changed = Signal(int)
    compared = Signal(int)
    submitted = Signal(str)
    completed = Signal(int, int)
    problem = Signal(object)

    def __init__(
        self, services: Services, model: ImagesModel, background: Background, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._services, self._model, self._background = services, model, background
        # By the picture's digest: an id keeps its place when its picture is made again.
        self._done: dict[str, Comparison] = {}
        self._notes: dict[str, str] = {}
        self._busy: set[str] = set()
        self._quiet: set[str] = set()
        self._waiting: dict[str, tuple[int, str]] = {}
        self._completing: dict[str, int] = {}
        model.job_updated.connect(self._job_updated)

    def comparison(self, record: ResultRecord) -> Comparison | None:
        """What the comparison of a picture found, if it was made."""
        return self._done.get(record.artifact.sha256)

    def note(self, record: ResultRecord) -> str:
        """How far the comparison of a picture is, or why it failed."""
        return self._notes.get(record.artifact.sha256, "")

    def busy(self, record: ResultRecord) -> bool:
        """Whether a comparison of this picture is under way."""
        return record.artifact.sha256 in self._busy

    # --- comparing --------------------------------------------------------------------------------

    def compare(self, result: int) -> None:
        """Compare with the sequential twin: that of the history, else a new one.

        Raises
        ------
        EngineError
            ``invalid_input`` when the picture has no sequential twin.
        """
        project = self._services.project
        record = project.result(result)
        key = record.artifact.sha256
        if self.busy(record):
            return
        if key in self._done:
            self.compared.emit(result)
            return
        manifest = project.manifest(result)
        own = twins.own_twin(project, record)
        if own is not None:
            self._busy.add(key)
            self._measure(result, key, own.id)
            return
        spec = twins.sequential_twin(manifest)
        self._busy.add(key)
        self._say(result, key, "Looking for the sequential picture…")
        self._background.run(
            lambda: twins.find_twin(project, spec, manifest),
            lambda found: self._found(result, key, spec, found),
            lambda error: self._failed(result, key, error),
        )

    def look(self, record: ResultRecord) -> None:
        """Compare with the twin that the picture's own job made, if it did, without showing it."""
        key = record.artifact.sha256
        if key in self._done or key in self._busy or key in self._notes:
            return
        own = twins.own_twin(self._services.project, record)
        if own is not None:
            self._quiet.add(key)
            self._busy.add(key)
            self._measure(record.id, key, own.id)

    def _found(self, result: int, key: str, spec: JobSpec, found: ResultRecord | None) -> None:
        if found is not None:
            self._measure(result, key, found.id)
            return
        try:
            job = self._model.submit(spec)
        except EngineError as error:
            self._failed(result, key, error)
            return
        self._waiting[job.id] = (result, key)
        self._say(result, key, f"Sequential run: {_lower(job.status())}")

    def _job_updated(self, job: str) -> None:
        if job in self._completing:
            self._show_completed(job)
        if job not in self._waiting:
            return
        result, key = self._waiting[job]
        known = self._model.job(job)
        if known is None:
            return
        if known.active:
            self._say(result, key, f"Sequential run: {_lower(known.status())}")
            return
        if known.state is JobState.INTERRUPTED:
            return
        del self._waiting[job]
        if known.state is JobState.SUCCEEDED and known.results:
            self._measure(result, key, known.results[0])
        else:
            self._end(result, key, f"The sequential run gave nothing to compare: {known.status()}")

    def _measure(self, result: int, key: str, twin: int) -> None:
        self._background.run(
            lambda: measure(self._services.project, result, twin),
            lambda comparison: self._measured(result, key, comparison),
            lambda error: self._failed(result, key, error),
        )

    def _measured(self, result: int, key: str, comparison: Comparison) -> None:
        self._done[key] = comparison
        self._end(result, key, "")
        if key in self._quiet:
            self._quiet.discard(key)
            self.changed.emit(result)
        else:
            self.compared.emit(result)

    def _failed(self, result: int, key: str, error: EngineError) -> None:
        self._end(result, key, str(error))

    def _end(self, result: int, key: str, text: str) -> None:
        self._busy.discard(key)
        self._say(result, key, text)

    def _say(self, result: int, key: str, text: str) -> None:
        if self._notes.get(key, "") != text:
            self._notes[key] = text
            self.changed.emit(result)

    # --- new pictures -----------------------------------------------------------------------------

    def sample_parallel(self, result: int) -> None:
        """Make the same picture in rounds.

        Raises
        ------
        EngineError
            ``invalid_input`` when its sampler cannot be solved in rounds.
        """
        spec = twins.parallel_twin(self._services.project.manifest(result))
        self.submitted.emit(self._model.submit(spec).id)

    def compute_all(self, result: int) -> None:
        """Compare with the same picture at all of the arithmetic: of the history, else a new one.

        Raises
        ------
        EngineError
            ``bad_file`` when the picture's manifest is of another kind of job.
        """
        project = self._services.project
        manifest = project.manifest(result)
        spec = twins.complete_twin(manifest)
        self._background.run(
            lambda: twins.find_twin(project, spec, manifest),
            lambda found: self._complete(result, spec, found),
            self.problem.emit,
        )

    def _complete(self, result: int, spec: JobSpec, found: ResultRecord | None) -> None:
        if found is not None:
            self.completed.emit(result, found.id)
            return
        try:
            self._completing[self._model.submit(spec).id] = result
        except EngineError as error:
            self.problem.emit(error)

    def _show_completed(self, job: str) -> None:
        """A picture with all of the arithmetic was made, or was not."""
        known = self._model.job(job)
        if known is None or known.active:
            return
        result = self._completing.pop(job)
        if known.results:
            self.completed.emit(result, known.results[0])

    def go_on(self, result: int) -> None:
        """Solve the rest of a picture that was stopped.

        Raises
        ------
        EngineError
            ``invalid_input`` when it is finished, or its states were not kept.
        """
        spec = twins.continuation(self._services.project.manifest(result))
        self.submitted.emit(self._model.submit(spec).id)

    def vary(self, result: int, step: int, changes: Mapping[str, Any], *, keep: bool) -> None:
        """Vary a picture from one of its steps; see :func:`desktop.images.twins.variation`."""
        project = self._services.project
        manifest, artifact = project.manifest(result), project.result(result).artifact
        spec = twins.variation(manifest, artifact, step, changes, keep_trajectory=keep)
        self.submitted.emit(self._model.submit(spec).id)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
