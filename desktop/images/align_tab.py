"""Decides what the Align tab shows of the picture on the stage, and does what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PySide6.QtCore import QObject, Signal

from desktop.background import Background
from desktop.images import align_actions, align_jobs
from desktop.images.align_batch import AlignBatches
from desktop.images.align_cost import Cost, cost_of
from desktop.images.align_model import AlignModel
from desktop.images.align_panel import AlignPanel
from desktop.images.align_results import AlignResults
from desktop.images.align_rewards import RewardCatalogue, read_rewards
from desktop.images.align_runs import AlignRuns
from desktop.images.align_steps import RED, AlignSteps
from desktop.images.align_taste import AlignTaste
from desktop.images.controls import Controls
from desktop.images.model import ImagesModel, PageJob
from desktop.images.showing import Showing
from desktop.images.specs import picture_params
from desktop.images.subject import Subject
from desktop.services import Services
from engine.errors import EngineError
from engine.job import JobSpec, JobState
from engine.project import ResultRecord

SETTINGS_KEY = "images.align.settings"
SELECT = "Select a picture that was made here: then say what should improve, and watch it improve."
FOREIGN = "This picture was not made by a model of Triptych, so its noise is not known."
NOT_HERE = "The model of this picture cannot be aligned: no gradient leads from its pictures back to "
NOT_HERE += "their noise."


class AlignTab(QObject):
    """See the module.

    Signals
    -------
    submitted(str)
        A job was queued that the user wants to watch.
    reveal
        The tab is asked for, wherever the inspector is.
    """

    submitted = Signal(str)
    reveal = Signal()

    def __init__(
        self,
        services: Services,
        model: ImagesModel,
        showing: Showing,
        controls: Controls,
        background: Background,
        targets: Callable[[], Sequence[int]],
        parent: QObject,
        read: Callable[[], RewardCatalogue] = read_rewards,
    ) -> None:
        super().__init__(parent)
        self._services, self._model, self._showing = services, model, showing
        self._controls, self._background, self._targets = controls, background, targets
        self._read = read
        self._asked_for_rewards = False
        self.catalogue: RewardCatalogue | None = None
        self.steps = AlignModel(services.project, services.bridge, background, self)
        self.runs = AlignRuns(services, model, self.steps, background, self)
        self._record: ResultRecord | None = None
        self._manifest: Mapping[str, Any] = {}
        self._define_actions()
        names = ("pause", "stop", "back", "stricter", "pin", "compare", "branch", "undo")
        rows = {name: align_actions.action(services.actions, f"align_{name}") for name in names}
        self.panel = AlignPanel(services.theme, background, rows)
        self.results = AlignResults(
            services, self.steps, self.runs, showing, self.panel, background, self
        )
        self.batches = AlignBatches(services, self.runs, showing, self.panel, self)
        self.taste = AlignTaste(services, self.panel.setup.stack, self)
        self._connect()
        self.refresh()

    def _define_actions(self) -> None:
        handlers: dict[str, Callable[[], object]] = {
            "align": self._go_to_setup,
            "align_run": self.start,
            "align_pause": self._pause,
            "align_stop": self._stop,
            "align_compare": lambda: self._guarded(self.results.compare),
            "align_pin": lambda: self.results.pin(),
            "align_branch": self._go_to_setup,
            "align_undo": lambda: self._guarded(self.results.undo),
            "align_back": self._back,
            "align_stricter": self._stricter,
            "align_play": self._play,
        }
        align_actions.define(self._services.actions, handlers)

    def _connect(self) -> None:
        self._showing.subject_changed.connect(self._subject_changed)
        self._model.jobs_changed.connect(self.refresh)
        self._model.job_updated.connect(self._job_updated)
        self.steps.measured.connect(self._measured)
        self.steps.record_ready.connect(self._record_ready)
        self.runs.submitted.connect(self.submitted)
        self.runs.start_known.connect(lambda _result: self.refresh())
        self.results.place_changed.connect(self._place_changed)
        panel = self.panel
        panel.shown.connect(self.refresh)
        panel.setup.run_requested.connect(self.start)
        panel.setup.changed.connect(self._enable_actions)
        self.taste.problem.connect(self.tell)
        panel.step_chosen.connect(self.results.go_to)
        panel.saved.connect(lambda name: self._services.notifications.post("success", f"Saved {name}."))
        panel.problem.connect(self.tell)

    # --- the rewards ------------------------------------------------------------------------------

    def _read_rewards(self) -> None:
        if not self._asked_for_rewards:
            self._asked_for_rewards = True
            self._background.run(self._read, self._rewards_read, self.tell)

    def _rewards_read(self, catalogue: RewardCatalogue) -> None:
        self.catalogue = catalogue
        self.panel.setup.set_catalogue(catalogue)
        self.refresh()
        # The cards in a turn of their own: the window is not held up by both.
        self._background.run(lambda: None, lambda _: self._restore(), self.tell)

    def _restore(self) -> None:
        saved = self._services.project.get(SETTINGS_KEY)
        if isinstance(saved, Mapping) and not self.panel.setup.stack.cards:
            self.panel.setup.set_values(saved)

    # --- what is shown ----------------------------------------------------------------------------

    @property
    def job(self) -> PageJob | None:
        """The alignment on the stage that waits or runs."""
        subject = self._showing.subject
        known = self._model.job(subject.job) if subject is not None and subject.job else None
        return known if known is not None and known.aligns and known.active else None

    @property
    def targets(self) -> list[int]:
        """The finished pictures that would be aligned."""
        chosen = list(self._targets())
        if len(chosen) > 1:
            return list(reversed(chosen))
        return [self._record.id] if self._record is not None else []

    def refresh(self) -> None:
        """Bring actions and panel up to date."""
        subject = self._showing.subject
        self._load(subject)
        visible = self.panel.isVisible()
        self.results.show(self._record, self._manifest, self.catalogue, draw=visible)
        if visible:
            self._read_rewards()
            self.batches.refresh()
            self._show()
        self._enable_actions()

    def _load(self, subject: Subject | None) -> None:
        self._record, self._manifest = None, {}
        if subject is None or subject.result is None:
            return
        project = self._services.project
        try:
            record = project.result(subject.result)
            self._manifest = project.manifest(subject.result)
            self._record = record
        except EngineError as error:
            self.tell(error)

    def _show(self) -> None:
        panel, job = self.panel, self.job
        if job is not None:
            self._show_job(job)
            return
        several = len(self.targets) > 1
        aligned = self._record is not None and align_jobs.is_aligned(self._manifest) and not several
        if aligned:
            panel.show_parts(self.results.message, run=True, scrub=True, explain=True, setup=True)
        else:
            panel.show_steps(None)
            message = "" if several else self._obstacle()
            panel.show_parts(message, setup=not message)
        self._show_setup(aligned=aligned, several=several)

    def _obstacle(self) -> str:
        """Why the picture on the stage cannot be aligned; empty when it can."""
        if self._record is None:
            return SELECT
        if not align_jobs.can_align(self._manifest):
            return FOREIGN
        entry = self._controls.entry(self._record.model)
        return NOT_HERE if entry is not None and not entry.aligns else ""

    def _show_setup(self, *, aligned: bool, several: bool) -> None:
        setup, targets = self.panel.setup, self.targets
        setup.stack.set_model(self._record.model if self._record is not None else "")
        if several:
            text, run = f"{len(targets)} pictures, a job each", f"Align {len(targets)} pictures"
        elif aligned:
            step = self.results.start_step
            text, run = f"From step {step} on", f"Branch from step {step}"
            if step is None:
                text, run = "Nothing to go on from", "Branch"
        else:
            words = (self._record.prompt if self._record else "") or "No prompt"
            seed = f", seed {self._record.seed}" if self._record else ""
            text, run = f"{words}{seed}", "Align this picture"
        blocked = not targets or (not several and (bool(self._obstacle()) or run == "Branch"))
        setup.show_subject(text, run, None if blocked else self._cost(len(targets)))
        steps = self.results.steps if aligned else None
        places = [p.positions for p in (steps.points[0], self.results.point)] if steps else [{}, {}]
        setup.stack.show_places(places[0], places[1])

    def _cost(self, pictures: int) -> Cost:
        manifest = self._services.project.manifest(self.targets[0])
        params = picture_params(JobSpec.from_json(manifest["spec"]))
        entry = self._controls.entry(str(params.get("model")))
        steps, model = self.steps, self._model
        return cost_of(params, pictures, steps.seconds_a_step, model.estimate, entry)

    def _show_job(self, job: PageJob) -> None:
        panel = self.panel
        steps = self.steps.steps(job.id) or AlignSteps(int(job.spec.params["steps"]))
        running = job.state is JobState.RUNNING
        state = "Aligning" if running else job.status()
        limit = job.spec.params.get("minutes")
        seconds = None if limit is None else 60 * float(limit)
        panel.run_view.show_run(steps, state, limit=seconds, running=running)
        red = steps.last is not None and steps.last.status == RED
        panel.run_view.show_buttons(pause=running, stop=running, banner=running and red)
        panel.show_steps(steps)
        self.results.show_legend(steps, job.spec.params)
        last = steps.last
        panel.mark(None, "" if last is None else f"Step {last.step}: total {last.total:+.2f}")
        panel.show_parts(run=True)

    def _measured(self, job: str) -> None:
        shown = self.job
        if shown is not None and shown.id == job and self.panel.isVisible():
            self._show_job(shown)
            self._enable_actions()

    def _job_updated(self, job: str) -> None:
        shown = self.job
        if shown is not None and shown.id == job and shown.state is not JobState.RUNNING:
            self.refresh()

    def _record_ready(self, key: str) -> None:
        self.refresh()
        self.results.record_ready(key)

    def _subject_changed(self) -> None:
        self.results.rewind()
        self.refresh()

    def _place_changed(self) -> None:
        if self.panel.isVisible() and self.job is None:
            aligned = self._record is not None and align_jobs.is_aligned(self._manifest)
            self._show_setup(aligned=aligned, several=len(self.targets) > 1)
        self._enable_actions()

    def _enable_actions(self) -> None:
        job, results = self.job, self.results
        running = job is not None and job.state is JobState.RUNNING
        able = {"align": bool(self.targets) and job is None, **results.able()}
        able["align_run"] = able["align"] and not self.panel.setup.error()
        if running and job is not None:
            steps = self.steps.steps(job.id)
            green = steps is not None and steps.last_green is not None
            able |= {"align_pause": True, "align_stop": True}
            able |= {"align_back": green, "align_stricter": green}
        align_actions.enable(self._services.actions, able)
        align_actions.show_pause(self._services.actions, self._services.theme, held=job is None)

    # --- doing ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Align what is meant, with what the form says."""
        setup = self.panel.setup
        if self.job is not None or setup.error():
            self._go_to_setup()
            return
        try:
            values, pictures = setup.values(), setup.stack.pictures()
            targets = self.targets
            if len(targets) == 1 and align_jobs.is_aligned(self._manifest):
                self.results.branch(values, pictures)
            else:
                self.runs.align(targets, values, pictures)
            self._services.project.put(SETTINGS_KEY, values)
        except EngineError as error:
            setup.refuse(str(error))

    def _go_to_setup(self) -> None:
        self.reveal.emit()
        self.panel.focus_setup()

    def _pause(self) -> None:
        if (job := self.job) is not None:
            self.runs.hold(job.id)
        else:
            self._guarded(self.results.go_on)

    def _stop(self) -> None:
        if (job := self.job) is not None:
            self.runs.stop(job.id)

    def _back(self) -> None:
        if (job := self.job) is not None:
            self.runs.stop(job.id, self.results.back_to_green)
        elif self._record is not None:
            self.results.back_to_green(self._record.id)

    def _stricter(self) -> None:
        if (job := self.job) is not None:
            self.runs.stop(job.id, self.results.go_on_stricter)
        elif self._record is not None:
            self.results.go_on_stricter(self._record.id)

    def _play(self) -> None:
        self.reveal.emit()
        self.panel.scrub.bar.toggle()

    def _guarded(self, do: Callable[[], object]) -> None:
        try:
            do()
        except EngineError as error:
            self.tell(error)

    def tell(self, error: EngineError) -> None:
        """Tell the user about an error."""
        self._services.notifications.tell(error)
