"""Pictures compared with their twins: a twin is found in the history or made, and both are measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class TwinKind:
    """A way to make the same picture again.

    Attributes
    ----------
    make
        From a picture's manifest to the job; raises :class:`EngineError` where there is none.
    picture, run
        What its picture and its run are called.
    own
        The twin that the picture's own job made, if it did.
    """

    make: Callable[[Mapping[str, Any]], JobSpec]
    picture: str
    run: str
    own: Callable[[Project, ResultRecord], ResultRecord | None] = lambda project, record: None


SEQUENTIAL_TWIN = TwinKind(
    twins.sequential_twin, "the sequential picture", "Sequential run", twins.own_twin
)
COMPLETE_TWIN = TwinKind(twins.complete_twin, "the picture at 100 %", "Run at 100 %")


def figures_of(manifest: Mapping[str, Any]) -> Figures:
    """What a picture took, as its manifest has it."""
    measured = manifest.get("sampling") or {}
    rounds = measured.get("rounds", measured.get("steps", twins.steps_of(manifest)))
    evaluations, seconds = measured.get("evaluations"), measured.get("seconds")
    about = manifest.get("parallel") or {}
    if int(about.get("rounds", 0)) > len(about.get("finished_per_round", ())):
        seconds = None  # those since it was gone on with
    macs = (manifest.get("compute") or {}).get("macs")
    return Figures(
        int(rounds),
        None if evaluations is None else int(evaluations),
        None if seconds is None else float(seconds),
        int(measured.get("pictures", 1)),
        None if macs is None else float(macs),
    )


def measure(project: Project, picture: int, twin: int) -> Comparison:
    """Compare two results; called on a thread.

    Raises
    ------
    EngineError
        ``bad_file`` when one of the two pictures cannot be read or they differ in size.
    """
    records = [project.result(result) for result in (picture, twin)]
    images = [load_picture(project.store.path(record.artifact)) for record in records]
    if any(image.isNull() for image in images) or images[0].size() != images[1].size():
        raise bad_file(
            "The two pictures cannot be compared: one cannot be read, or their sizes differ.",
            "Run again makes them anew.",
        )
    figures = [figures_of(project.manifest(record.id)) for record in records]
    return Comparison(twin, figures[0], figures[1], agreement(images[0], images[1]))


class TwinJobs(QObject):
    """Looks for twins of one kind, makes those that are missing, and keeps what was compared.

    Signals
    -------
    changed(int)
        How far the comparison of this result is.
    compared(int)
        The comparison of this result is there, as asked for.
    failed(int, str)
        There will be none, and why.
    """

    changed = Signal(int)
    compared = Signal(int)
    failed = Signal(int, str)

    def __init__(
        self,
        services: Services,
        model: ImagesModel,
        background: Background,
        kind: TwinKind,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._services, self._model, self._background = services, model, background
        self.kind = kind
        # By the picture's digest: an id keeps its place when its picture is made again.
        self._done: dict[str, Comparison] = {}
        self._notes: dict[str, str] = {}
        self._busy: set[str] = set()
        self._quiet: set[str] = set()
        self._waiting: dict[str, tuple[int, str]] = {}
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

    def compare(self, result: int) -> None:
        """Compare with the twin: that of the history, else a new one.

        Raises
        ------
        EngineError
            ``invalid_input`` when the picture has no such twin.
        """
        project = self._services.project
        record = project.result(result)
        key = record.artifact.sha256
        if self.busy(record):
            return
        done = self._done.get(key)
        if done is not None and self._is_there(done.twin):
            self.compared.emit(result)
            return
        manifest = project.manifest(result)
        own = self.kind.own(project, record)
        if own is not None:
            self._busy.add(key)
            self._measure(result, key, own.id)
            return
        spec = self.kind.make(manifest)
        self._busy.add(key)
        self._say(result, key, f"Looking for {self.kind.picture}…")
        self._background.run(
            lambda: twins.find_twin(project, spec, manifest),
            lambda found: self._found(result, key, spec, found),
            lambda error: self._end(result, key, str(error)),
        )

    def look(self, record: ResultRecord) -> None:
        """Compare with the twin that the picture's own job made, if it did, without showing it."""
        key = record.artifact.sha256
        if key in self._done or key in self._busy or key in self._notes:
            return
        own = self.kind.own(self._services.project, record)
        if own is not None:
            self._quiet.add(key)
            self._busy.add(key)
            self._measure(record.id, key, own.id)

    def _is_there(self, twin: int) -> bool:
        try:
            return not self._services.project.result(twin).removed
        except EngineError:
            return False

    def _found(self, result: int, key: str, spec: JobSpec, found: ResultRecord | None) -> None:
        if found is not None:
            self._measure(result, key, found.id)
            return
        try:
            job = self._model.submit(spec)
        except EngineError as error:
            self._end(result, key, str(error))
            return
        self._waiting[job.id] = (result, key)
        self._say(result, key, f"{self.kind.run}: {_lower(job.status())}")

    def _job_updated(self, job: str) -> None:
        if job not in self._waiting:
            return
        result, key = self._waiting[job]
        known = self._model.job(job)
        if known is None:
            return
        if known.active:
            self._say(result, key, f"{self.kind.run}: {_lower(known.status())}")
            return
        if known.state is JobState.INTERRUPTED:
            return
        del self._waiting[job]
        if known.state is JobState.SUCCEEDED and known.results:
            self._measure(result, key, known.results[0])
        else:
            status = known.status()
            self._end(result, key, f"{self.kind.run} gave nothing to compare: {_lower(status)}")

    def _measure(self, result: int, key: str, twin: int) -> None:
        self._background.run(
            lambda: measure(self._services.project, result, twin),
            lambda comparison: self._measured(result, key, comparison),
            lambda error: self._end(result, key, str(error)),
        )

    def _measured(self, result: int, key: str, comparison: Comparison) -> None:
        self._done[key] = comparison
        self._busy.discard(key)
        self._say(result, key, "")
        if key in self._quiet:
            self._quiet.discard(key)
            self.changed.emit(result)
        else:
            self.compared.emit(result)

    def _end(self, result: int, key: str, text: str) -> None:
        self._busy.discard(key)
        self._say(result, key, text)
        if key in self._quiet:
            self._quiet.discard(key)
        else:
            self.failed.emit(result, text)

    def _say(self, result: int, key: str, text: str) -> None:
        if self._notes.get(key, "") != text:
            self._notes[key] = text
            self.changed.emit(result)


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
