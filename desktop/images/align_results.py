"""The finished alignment that is shown: its steps to go through, what changed, ways on from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PySide6.QtCore import QObject, Signal
from PySide6.QtGui import QImage

from desktop.background import Background
from desktop.images import align_jobs
from desktop.images.align_jobs import about, params_of
from desktop.images.align_model import AlignModel
from desktop.images.align_panel import AlignPanel
from desktop.images.align_pins import Pins
from desktop.images.align_record import changes_of, indicators_of
from desktop.images.align_rewards import RewardCatalogue
from desktop.images.align_runs import AlignRuns
from desktop.images.align_steps import GREEN, RED, AlignRecord, AlignSteps, StepPoint
from desktop.images.showing import Showing
from desktop.services import Services
from desktop.widgets.compare_view import CompareMode
from desktop.widgets.picture_cache import load_picture
from engine.errors import EngineError
from engine.project import ResultRecord

ENDINGS = {
    "steps": "Finished",
    "time": "The time is used up",
    "red": "Stopped: the noise no longer looked random",
    "plateau": "Stopped: nothing nearby changes the rewards",
    "cancelled": "Stopped",
    "failed": "Stopped by an error",
}
RESUMABLE = ("cancelled", "failed", "time")
MAKING = "The start picture is not in the gallery; it is being made."
Then = Callable[[Mapping[str, Any], AlignRecord], object]


class AlignResults(QObject):
    """Shows and does what concerns one finished alignment.

    Signals
    -------
    place_changed
        Another of its steps is looked at.
    """

    place_changed = Signal()

    def __init__(
        self,
        services: Services,
        model: AlignModel,
        runs: AlignRuns,
        showing: Showing,
        panel: AlignPanel,
        background: Background,
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._services, self._model, self._runs = services, model, runs
        self._showing, self._panel, self._background = showing, panel, background
        self._pins = Pins(services.project)
        self._record: ResultRecord | None = None
        self._manifest: Mapping[str, Any] = {}
        self._catalogue: RewardCatalogue | None = None
        self._read: AlignRecord | EngineError | None = None
        self._pending: dict[str, tuple[Mapping[str, Any], Then]] = {}
        self._explained = ""
        panel.scrub.chosen.connect(self._scrubbed)

    # --- what is shown ----------------------------------------------------------------------------

    def show(
        self,
        record: ResultRecord | None,
        manifest: Mapping[str, Any],
        catalogue: RewardCatalogue | None,
        *,
        draw: bool,
    ) -> None:
        """Take the picture that is meant; ``draw`` it if it was aligned."""
        self._record, self._manifest, self._catalogue = record, manifest, catalogue
        self._read = self._model.record(about(manifest)) if self._is_aligned else None
        if draw and self._is_aligned:
            self._show_run()
            self._show_explain()

    @property
    def _is_aligned(self) -> bool:
        return align_jobs.is_aligned(self._manifest) and bool(about(self._manifest))

    @property
    def message(self) -> str:
        """Why its steps cannot be shown; empty when they can."""
        return str(self._read) if isinstance(self._read, EngineError) else ""

    @property
    def steps(self) -> AlignSteps | None:
        """Its steps, once they are read."""
        found = self._read
        return found.steps if isinstance(found, AlignRecord) and found.steps.points else None

    @property
    def step(self) -> int:
        """The step that is looked at: that of the slider, else the one that was kept."""
        chosen = self._panel.scrub.step
        return chosen if chosen >= 0 else int(about(self._manifest).get("best_step", 0))

    @property
    def point(self) -> StepPoint:
        """What was found at that step."""
        assert self.steps is not None
        return self.steps.at(self.step) or self.steps.points[-1]

    @property
    def start_step(self) -> int | None:
        """The kept step from which a branch would start; ``None`` where none was kept."""
        found = self._read
        return found.start_for(self.step) if isinstance(found, AlignRecord) else None

    def _show_run(self) -> None:
        panel, steps = self._panel, self.steps
        params = params_of(self._manifest)
        shown = steps or AlignSteps(int(params["steps"]))
        ending = str(about(self._manifest).get("ended", "steps"))
        held = self._record is not None and self._runs.is_held(self._record.job)
        state = "Paused" if held and ending == "cancelled" else ENDINGS.get(ending, "Ended")
        panel.run_view.show_run(shown, state, limit=None, running=False)
        panel.run_view.show_buttons(
            pause=self._can_go_on, stop=False, banner=bool(steps) and shown.points[-1].status == RED
        )
        film = self._read.film if isinstance(self._read, AlignRecord) else ()
        panel.scrub.set_film(film, shown.points[-1].step if shown.points else shown.asked)
        panel.scrub.bar.setVisible(bool(film))
        panel.scrub.show_pins(self.pins)
        panel.show_steps(steps)
        if steps is not None:
            self.show_legend(steps, params)
        self._show_place()

    def _show_place(self) -> None:
        if self.steps is None:
            self._panel.scrub.show_found("", "")
            return
        point, start = self.point, self.start_step
        best = " (kept as the best)" if point.step == about(self._manifest).get("best_step") else ""
        text = f"Step {point.step}{best}: total {point.total:+.2f}, {point.probabilities()}"
        kept = ""
        if self._record is not None and self._runs.is_making(self._record):
            kept = MAKING
        elif start is None:
            kept = "The noise of its steps was not kept: it cannot be gone on with."
        elif start != point.step:
            kept = f"The nearest step before whose noise was kept is {start}: branches start there."
        self._panel.scrub.show_found(text, kept)
        self._panel.mark(point.step, text)

    def show_legend(self, steps: AlignSteps, params: Mapping[str, Any]) -> None:
        """Say which curve is which reward, and where it is at the step that is looked at."""
        weights = align_jobs.weights_of(params.get("rewards") or ())
        point = self.point if steps is self.steps else steps.last
        if point is not None:
            titles = {
                name: self._catalogue.title(name, weights) if self._catalogue else name
                for name in steps.names
            }
            self._panel.legend.show_point(point, titles)

    # --- what changed -----------------------------------------------------------------------------

    def _show_explain(self) -> None:
        assert self._record is not None
        start = self._runs.start_of(self._record)
        ready = (self._read is not None, self._catalogue is not None)
        key = f"{self._record.artifact.sha256} {start} {ready}"
        if key != self._explained:
            self._explained = key
            changes = changes_of(self._manifest) if self._catalogue is not None else []
            self._panel.explain.show_changes(changes, indicators_of(self._manifest))
            self._load_pictures(key, start)

    def _load_pictures(self, key: str, start: int | None) -> None:
        assert self._record is not None
        project = self._services.project
        path = project.store.path(self._record.artifact)
        first = project.store.path(project.result(start).artifact) if start is not None else None
        frame = self._panel.scrub.picture(0)

        def work() -> tuple[QImage, QImage]:
            return load_picture(first) if first else frame or QImage(), load_picture(path)

        self._background.run(work, lambda images: self._pictures_loaded(key, images), self._tell)

    def _pictures_loaded(self, key: str, images: tuple[QImage, QImage]) -> None:
        if key != self._explained:
            return
        there = not any(image.isNull() for image in images)
        self._panel.explain.show_pictures(*(images if there else (None, None)))

    # --- going through the steps ------------------------------------------------------------------

    def rewind(self) -> None:
        """Back to the result, without telling anybody."""
        self._panel.scrub.bar.rewind()
        if self._showing.subject is not None:
            self._showing.replay(self._showing.subject.result or 0, None)

    def go_to(self, step: int) -> None:
        """Look at the step nearest to this one that has a picture."""
        self._panel.scrub.go_to(step)

    def _scrubbed(self, step: int) -> None:
        if self._record is None or self.steps is None:
            return
        image = self._panel.scrub.picture(step) if step >= 0 else None
        self._showing.replay(self._record.id, image, f"Step {step}" if step >= 0 else "")
        self._show_place()
        self.show_legend(self.steps, params_of(self._manifest))
        self.place_changed.emit()

    @property
    def pins(self) -> list[int]:
        """The pinned steps of the picture that is shown."""
        if self._record is None:
            return []
        return self._pins.of(self._record.artifact.sha256)

    def pin(self) -> None:
        """Pin the step that is looked at, or let it go."""
        if self._record is not None and self.steps is not None:
            pins = self._pins.toggle(self._record.artifact.sha256, self.step)
            self._panel.scrub.show_pins(pins)

    def compare(self) -> None:
        """Wipe between the start and the step that is looked at.

        Raises
        ------
        EngineError
            The start has to be made anew and the project could not be written.
        """
        if self._record is None:
            return
        record = self._record
        start = self._runs.start_of(record)
        if start is None:
            if self._runs.is_looking(record):
                return
            if not self._runs.is_making(record):
                self._runs.make_start(record, self.compare)
            self._show_place()
            return
        step = self._panel.scrub.step
        names = ("Start", f"Step {step}" if step >= 0 else "Aligned")
        self._showing.compare(start, record.id, names, CompareMode.WIPE)

    # --- going on ---------------------------------------------------------------------------------

    @property
    def _can_go_on(self) -> bool:
        found = self._read
        if not isinstance(found, AlignRecord) or not found.kept:
            return False
        asked = int(params_of(self._manifest)["steps"])
        return about(self._manifest).get("ended") in RESUMABLE and found.reached <= asked

    def able(self) -> dict[str, bool]:
        """What can be done with it now, by the names of the actions."""
        there, kept = self.steps is not None, self.start_step is not None
        green = there and self.steps is not None and self.steps.last_green is not None
        return {
            "align_pause": self._can_go_on,
            "align_compare": self._is_aligned,
            "align_pin": there,
            "align_branch": kept,
            "align_undo": kept,
            "align_back": green,
            "align_stricter": green and kept,
            "align_play": bool(isinstance(self._read, AlignRecord) and self._read.film),
        }

    def branch(self, values: Mapping[str, Any], pictures: Mapping[str, Path]) -> None:
        """Start anew at the step that is looked at, with what the form says."""
        if self.start_step is not None:
            self._runs.start(align_jobs.branch(self._manifest, values, self.start_step, pictures))

    def undo(self) -> None:
        """Make the picture of the step that is looked at (or the last kept before it)."""
        if self.start_step is not None:
            self._runs.start(align_jobs.undo(self._manifest, self.start_step))

    def go_on(self) -> None:
        """Go on where it was held, as if it had not been."""
        if self._can_go_on:
            self._runs.start(align_jobs.continuation(self._manifest))

    def back_to_green(self, result: int) -> None:
        """Look at the newest step whose noise looks random."""
        self._showing.show_results([result])
        self._when_read(result, lambda _manifest, read: self._show_green(read))

    def _show_green(self, read: AlignRecord) -> None:
        green = [number for number, _ in read.film if self._is_green(read, number)]
        if green:
            self.go_to(green[-1])

    @staticmethod
    def _is_green(read: AlignRecord, step: int) -> bool:
        point = read.steps.at(step)
        return point is not None and point.status == GREEN

    def go_on_stricter(self, result: int) -> None:
        """Go on from the newest kept green step with a stronger guard."""
        self._when_read(result, self._run_stricter)

    def _run_stricter(self, manifest: Mapping[str, Any], read: AlignRecord) -> None:
        step = max((kept for kept in read.kept if self._is_green(read, kept)), default=None)
        if step is None:
            return
        params = align_jobs.stricter(align_jobs.the_rest(params_of(manifest), step))
        try:
            pictures = align_jobs.references_of(manifest)
            self._runs.start(align_jobs.branch(manifest, params, step, pictures))
        except EngineError as error:
            self._tell(error)

    def _when_read(self, result: int, then: Then) -> None:
        manifest = self._services.project.manifest(result)
        if not about(manifest):
            return
        read = self._model.record(about(manifest))
        if isinstance(read, AlignRecord):
            then(manifest, read)
        elif read is None:
            self._pending[str(about(manifest)["curve"]["sha256"])] = (manifest, then)

    def record_ready(self, key: str) -> None:
        """Do what was waiting for the record with this digest; it is shown already."""
        if key in self._pending:
            manifest, then = self._pending.pop(key)
            read = self._model.record(about(manifest))
            if isinstance(read, AlignRecord):
                then(manifest, read)

    def _tell(self, error: EngineError) -> None:
        self._services.notifications.tell(error)
