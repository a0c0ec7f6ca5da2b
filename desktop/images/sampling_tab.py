"""Decides what the Sampling tab shows of the picture on the stage, and does what it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PySide6.QtCore import QObject, Signal

from desktop.background import Background
from desktop.images import sampling_actions, twins
from desktop.images.controls import Controls
from desktop.images.model import ImagesModel, PageJob
from desktop.images.parameters_panel import computed_text
from desktop.images.rounds import STOPPED, Rounds, Trace
from desktop.images.routes import Routes
from desktop.images.run_figures import CPU_NOTE, Figures
from desktop.images.sampling_jobs import SamplingJobs
from desktop.images.sampling_model import SamplingModel
from desktop.images.sampling_panel import SamplingPanel
from desktop.images.showing import Showing
from desktop.images.specs import ALIGN, settings_of
from desktop.images.subject import Subject
from desktop.images.twin_jobs import COMPLETE_TWIN, SEQUENTIAL_TWIN, TwinJobs, figures_of
from desktop.images.twin_view import TwinView
from desktop.services import Services
from desktop.widgets.compare_view import CompareMode
from engine.errors import EngineError
from engine.job import ArtifactRef
from engine.project import ResultRecord

SELECT = "Select a picture to see how it was sampled."
CHOOSE = "Choose one of the pictures to see how it was sampled."


class SamplingTab(QObject):
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
        parent: QObject,
    ) -> None:
        super().__init__(parent)
        self._services, self._model, self._showing = services, model, showing
        self._controls, self._background = controls, background
        self.rounds = SamplingModel(services.project, services.bridge, background, self)
        self.jobs = SamplingJobs(services, model, self)
        self.sequential = self._twin_view(
            TwinJobs(services, model, background, SEQUENTIAL_TWIN, self),
            ("Parallel", "Sequential"),
            CompareMode.DIFFERENCE,
        )
        self.complete = self._twin_view(
            TwinJobs(services, model, background, COMPLETE_TWIN, self),
            ("Less computed", "100 %"),
            CompareMode.WIPE,
        )
        handlers: dict[str, Callable[[], object]] = {
            "sampling": self.reveal.emit,
            "compare_sequential": lambda: self._compare(self.sequential),
            "sample_parallel": lambda: self._guarded(self.jobs.sample_parallel),
            "solve_rest": lambda: self._guarded(self.jobs.go_on),
            "vary_step": self._go_to_vary,
            "replay": self._play,
            "compute_all": lambda: self._compare(self.complete),
        }
        sampling_actions.define(services.actions, handlers)
        names = ("compare_sequential", "sample_parallel", "solve_rest", "compute_all")
        buttons = (sampling_actions.action(services.actions, name) for name in names)
        self.panel = SamplingPanel(services.theme, background, *buttons)
        self._manifest: Mapping[str, Any] = {}
        self._record: ResultRecord | None = None
        self._film: tuple[tuple[int, Any], ...] = ()
        self._shown_form: str = ""
        self._connect()
        self.refresh()

    def _connect(self) -> None:
        self._showing.subject_changed.connect(self._subject_changed)
        self._model.jobs_changed.connect(self.refresh)
        self.rounds.measured.connect(self._measured)
        self.rounds.trace_ready.connect(lambda _key: self.refresh())
        for view in (self.sequential, self.complete):
            view.jobs.changed.connect(self._comparison_changed)
            view.jobs.compared.connect(self._comparison_changed)
            view.opening.connect(self.panel.replay.rewind)
        self.jobs.submitted.connect(self.submitted)
        self._controls.changed.connect(self._show_keep)
        panel = self.panel
        panel.shown.connect(self.refresh)
        panel.place_chosen.connect(self._showing.choose)
        panel.keep_changed.connect(self._controls.set_keep_trajectory)
        panel.saved.connect(self._saved)
        panel.problem.connect(self._tell)
        panel.replay.chosen.connect(self._replay)
        panel.vary.requested.connect(self._vary)

    def _twin_view(self, jobs: TwinJobs, names: tuple[str, str], mode: CompareMode) -> TwinView:
        return TwinView(self._services, self._showing, jobs, names, mode, self._meant, self)

    def _meant(self) -> int | None:
        return None if self._record is None else self._record.id

    # --- what is shown ----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Bring actions and panel up to date."""
        subject = self._showing.subject
        self._load(subject)
        self._enable_actions()
        if not self.panel.isVisible():
            return
        place, count = (subject.place, subject.count) if subject else (0, 0)
        if subject is not None and subject.job is not None and place < 0:
            place = self.rounds.leading(subject.job)
        self.panel.show_place(place if place < count else -1, count)
        self._show_routes(self._record)
        if subject is None:
            self._show_message(SELECT)
        elif self._record is not None:
            self._show_result(self._record)
        elif subject.job is not None:
            self._show_job(subject)
        else:
            self._show_message(CHOOSE if subject.place < 0 else "This picture was not finished.")

    def _load(self, subject: Subject | None) -> None:
        """The manifest of the finished picture that is meant."""
        self._record, self._manifest = None, {}
        if subject is None or subject.result is None:
            return
        project = self._services.project
        try:
            record = project.result(subject.result)
            self._manifest = project.manifest(subject.result)
            self._record = record
        except EngineError as error:
            self._tell(error)

    @property
    def _about(self) -> Mapping[str, Any]:
        """The manifest's part about the parallel run; empty without one."""
        found: Mapping[str, Any] = self._manifest.get("parallel") or {}
        return found

    def _enable_actions(self) -> None:
        record = self._record
        sampling_actions.enable(
            self._services.actions,
            self._manifest,
            comparing=record is not None and self.sequential.jobs.busy(record),
            completing=record is not None and self.complete.jobs.busy(record),
        )

    def _show_message(self, text: str) -> None:
        self.panel.show_rounds(None)
        self.panel.show_parts(text)

    def _show_result(self, record: ResultRecord) -> None:
        name = str(twins.sampler_of(self._manifest).get("name", ""))
        if self._about:
            self.sequential.jobs.look(record)
            self._show_parallel(record)
            self._show_vary(record)
        elif self._manifest.get("sequential_of"):
            self._show_message(
                "This is the sequential twin of a parallel picture of the same job, made step by step "
                "for comparison. Select the other one to see how close they are."
            )
        elif record.kind == ALIGN:
            self._show_message(
                "This picture was aligned with rewards: its noise was changed, so no seed alone makes "
                "it. How it was sampled is seen at the picture it began with."
            )
        elif twins.can_vary(self._manifest):
            steps = twins.steps_of(self._manifest)
            self.panel.show_rounds(None)
            self.panel.show_parts(
                f"This picture was sampled step by step: {steps} steps, one after another. Parallel "
                "sampling finds the same picture in fewer rounds, each a batch of many steps.",
                parallel=True,
                vary=True,
            )
            self._show_vary(record)
        else:
            sampler = f"The sampler {name}" if name else "This sampler"
            self._show_message(
                f"{sampler} works step by step, and its steps cannot be solved in rounds. DDIM, DDPM "
                "and DPM-Solver++ (2M) can."
            )

    def _show_routes(self, record: ResultRecord | None) -> None:
        """What a dynamic network computed for a finished picture."""
        view, about = self.panel.routes, self._manifest.get("compute") or {}
        view.setVisible(record is not None and about.get("routes") is not None)
        if record is None or about.get("routes") is None:
            view.show_routes(None)
            return
        found = self.rounds.routes(about, record.artifact)
        note = str(found) if isinstance(found, EngineError) else ""
        view.show_figures(computed_text(self._manifest), note)
        view.show_routes(found if isinstance(found, Routes) else None)
        view.complete.setVisible(twins.computes_less(self._manifest))
        self._show_complete(record)

    def _show_complete(self, record: ResultRecord) -> None:
        jobs = self.complete.jobs
        self.panel.routes.show_comparison(jobs.comparison(record), jobs.note(record))

    def _show_parallel(self, record: ResultRecord) -> None:
        about, panel = self._about, self.panel
        steps, finished = int(about["steps"]), int(about["finished"])
        stopped = STOPPED.get(str(about.get("stopped")), "Ended")
        state = f"{stopped} after {about['rounds']} rounds"
        panel.figures.show_state(state, steps - finished, steps)
        trace = self.rounds.trace(about)
        varied = twins.varied_at(self._manifest)
        message = str(trace) if isinstance(trace, EngineError) else ""
        if varied is not None:
            origin = f"Varied from another picture: its last {varied} steps were made anew."
            message = f"{origin} {message}".strip()
        self._film = trace.film if isinstance(trace, Trace) else ()
        panel.replay.set_rounds([number for number, _ in self._film], int(about["rounds"]))
        panel.show_rounds(self._known_rounds(trace))
        panel.show_parts(
            message,
            rest=twins.is_unfinished(self._manifest),
            figures=True,
            replay=bool(self._film),
            compare=varied is None,
            vary=True,
        )
        self._show_sequential(record)

    def _known_rounds(self, trace: Trace | EngineError | None) -> Rounds | None:
        """Those of the file; while it is read, an empty map keeps the place."""
        if isinstance(trace, Trace):
            return trace.rounds
        if isinstance(trace, EngineError):
            return None
        return Rounds(int(self._about["steps"]), float(self._about["tolerance"]))

    def _show_sequential(self, record: ResultRecord) -> None:
        self.panel.show_compare_note(self.sequential.jobs.note(record))
        self._show_figures(record)

    def _show_figures(self, record: ResultRecord) -> None:
        comparison = self.sequential.jobs.comparison(record)
        note = self._machine_note(record)
        if comparison is None:
            steps = twins.varied_at(self._manifest) or twins.steps_of(self._manifest)
            expected = Figures(steps, steps)
            self.panel.figures.show_table(figures_of(self._manifest), expected, note=note)
            return
        note = f"{comparison.verdict('parallel')} {note}".strip()
        self.panel.figures.show_table(comparison.mine, comparison.other, comparison.agreement, note)

    def _machine_note(self, record: ResultRecord) -> str:
        """What the engine measured of batches on the machine that made a picture."""
        try:
            metrics = self._services.project.job(record.job).metrics
        except EngineError:
            metrics = {}
        if "batch_gain" in metrics:
            return " ".join(metrics.get("notes") or ())
        return CPU_NOTE if str(self._manifest.get("device", "")).startswith("cpu") else ""

    def _show_job(self, subject: Subject) -> None:
        job = self._model.job(str(subject.job))
        if job is not None and job.aligns:
            self._show_message("This job aligns a picture; its steps are on the tab Align.")
            return
        if job is None or not job.parallel:
            self._show_message(
                "This job samples step by step. Choose the sampler Parallel (ParaTAA) in the form to "
                "see a run's rounds here."
            )
            return
        image = subject.image if subject.image >= 0 else self.rounds.leading(job.id)
        found = self.rounds.rounds(job.id, image)
        if found is None:
            self._show_message("The rounds of this picture appear here once it is being made.")
            return
        self._show_running(job, found)

    def _show_running(self, job: PageJob, found: Rounds) -> None:
        panel = self.panel
        panel.figures.show_state(f"Round {found.number}", found.converged_steps, found.steps)
        device = str(self._services.bridge.engine.get("device", ""))
        steps = job.spec.params["sampler"].get("variation_step") or found.steps
        panel.figures.show_table(
            # A run that was gone on with knows the seconds since then only.
            Figures(
                found.number,
                found.evaluations,
                found.seconds if found.first == 1 else None,
                min(job.count, int(job.spec.params.get("batch", 1))),
            ),
            Figures(steps, steps),
            note=CPU_NOTE if device.startswith("cpu") else "",
        )
        panel.show_rounds(found)
        panel.show_parts(figures=True)

    # --- varying ----------------------------------------------------------------------------------

    def _show_vary(self, record: ResultRecord) -> None:
        kept = twins.trajectory_of(self._manifest)
        steps = twins.steps_of(self._manifest)
        rounds = self._about.get("rounds")
        cost = f"From noise, this picture took {rounds} rounds." if rounds else ""
        if kept is None:
            again = f"{rounds} rounds" if rounds else f"at most {steps} rounds"
            cost += f" Its trajectory was not kept: it is solved again first, {again}."
        # The form keeps what was typed into it, also when the panel is brought up to date.
        if self._shown_form != record.artifact.sha256:
            self._shown_form = record.artifact.sha256
            settings = settings_of(self._manifest)
            negative = self._controls.reads_text(str(settings.get("model")))
            self.panel.vary.show_picture(settings, cost.strip(), negative=negative)
        self._show_trajectory(kept)

    def _show_trajectory(self, kept: ArtifactRef | None) -> None:
        text = "Not kept for this picture."
        if kept is not None:
            text = f"Kept, {kept.size / 2**20:.1f} MiB: varying starts from it at once."
        self.panel.show_trajectory(text, keep=self._controls.keep_trajectory)

    def _show_keep(self) -> None:
        if self._record is not None and self.panel.isVisible():
            self._show_trajectory(twins.trajectory_of(self._manifest))

    def _go_to_vary(self) -> None:
        self.reveal.emit()
        self.panel.focus_vary()

    def _vary(self, step: int, changes: Mapping[str, Any]) -> None:
        if self._record is None:
            return
        try:
            self.jobs.vary(self._record.id, step, changes, keep=self._controls.keep_trajectory)
        except EngineError as error:
            self.panel.vary.refuse(str(error))

    # --- rounds while they come, and again afterwards ---------------------------------------------

    def _subject_changed(self) -> None:
        self.panel.replay.rewind()
        subject = self._showing.subject
        if subject is not None:
            self._showing.replay(subject.result or 0, None)
        self.refresh()

    def _measured(self, job: str, image: int) -> None:
        subject = self._showing.subject
        if subject is not None and subject.job == job and subject.image in (image, -1):
            self.refresh()

    def _replay(self, place: int) -> None:
        if self._record is None:
            return
        if 0 <= place < len(self._film):
            number, image = self._film[place]
            mark = f"Round {number} of {self._about['rounds']}"
            self._showing.replay(self._record.id, image, mark)
        else:
            self._showing.replay(self._record.id, None)

    def _play(self) -> None:
        self.reveal.emit()
        self.panel.replay.toggle()

    # --- comparing --------------------------------------------------------------------------------

    def _compare(self, view: TwinView) -> None:
        self.reveal.emit()
        view.ask()

    def _comparison_changed(self, result: int) -> None:
        # With every report of progress of a twin: not all of the tab, which reads the manifest anew.
        record = self._record
        if record is not None and record.id == result:
            self._enable_actions()
            self._show_complete(record)
            if self._about:
                self._show_sequential(record)

    def _guarded(self, do: Callable[[int], None]) -> None:
        if self._record is None:
            return
        try:
            do(self._record.id)
        except EngineError as error:
            self._tell(error)

    def _saved(self, name: str) -> None:
        self._services.notifications.post("success", f"Saved {name}.")

    def _tell(self, error: EngineError) -> None:
        self._services.notifications.tell(error)
