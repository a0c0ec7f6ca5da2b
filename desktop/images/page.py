"""The Images page: describe a picture, watch it appear, keep, rate and compare what came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PySide6.QtGui import QImage
from PySide6.QtWidgets import QTabWidget, QVBoxLayout, QWidget

from desktop.background import Background
from desktop.images import files, specs
from desktop.images.align_tab import AlignTab
from desktop.images.catalogue import Catalogue, read_catalogue
from desktop.images.controls import MISSING_MODEL, Controls, RunFooter
from desktop.images.history_panel import HistoryPanel
from desktop.images.model import ImagesModel, PageJob
from desktop.images.parameters_panel import ParametersPanel
from desktop.images.result_actions import WORKSPACE, ResultActions
from desktop.images.sampling_tab import SamplingTab
from desktop.images.showing import Showing
from desktop.images.stage import Stage, Welcome
from desktop.services import Page, Services
from desktop.widgets.gallery import Gallery
from desktop.widgets.page_frame import PageFrame
from desktop.widgets.parts import button
from engine.errors import EngineError
from engine.job import JobState

INSPECTOR_WIDTH = 272
SETTINGS_KEY = "images.settings"
EXAMPLE = {"prompt": "red heart", "count": 4, "seed": 7}
# Random samples of the built-in model, made by its evaluation; part of its card.
SAMPLE_SHEET = (
    Path(__file__).resolve().parents[2] / "resources" / "weights" / "builtin" / "samples64.png"
)


class ImagesPage(Page):
    """See the module. Pages are made once a project is open.

    Parameters
    ----------
    services
        The application's parts.
    read
        Reads models and parameters, on a thread.
    """

    workspace = WORKSPACE
    title = "Images"
    icon = "image"

    def __init__(self, services: Services, read: Callable[[], Catalogue] = read_catalogue) -> None:
        super().__init__()
        self._services = services
        self._read = read
        self._started = False
        self._dropped: Path | None = None
        self._wanted_model: str | None = None
        self.background = Background(self)
        self.model = ImagesModel(services.project, services.bridge, self)
        self._build()
        self._connect()
        self._selection_changed([])

    def _build(self) -> None:
        services, theme = self._services, self._services.theme
        self.controls = Controls(theme)
        self.footer = RunFooter(theme)
        self.run_example = button("Run the example", self.start_example, "primary")
        self.run_example.setEnabled(False)
        welcome = Welcome(theme, QImage(str(SAMPLE_SHEET)), self.run_example)
        self.stage = Stage(theme, WORKSPACE, welcome)
        self.gallery = Gallery(services.project, theme, WORKSPACE, specs.KINDS)
        self.showing = Showing(self.model, self.stage, self.gallery, self)
        self.results = ResultActions(services, self.model, self.background, self.gallery.selected, self)
        self.sampling = SamplingTab(
            services, self.model, self.showing, self.controls, self.background, self
        )
        self.align = AlignTab(
            services,
            self.model,
            self.showing,
            self.controls,
            self.background,
            self.gallery.selected,
            self,
        )
        self.gallery.set_menu(self.results.menu())
        names = ("again", "vary", "use", "copy_settings")
        self.parameters = ParametersPanel(theme, [self.results.action(name) for name in names])
        self.history = HistoryPanel(self.model, theme)
        self.inspector = QTabWidget()
        self.inspector.setDocumentMode(True)
        self.inspector.setMinimumWidth(INSPECTOR_WIDTH)
        self.inspector.addTab(self.parameters, "Parameters")
        self.inspector.addTab(self.align.panel, "Align")
        self.inspector.addTab(self.sampling.panel, "Sampling")
        self.inspector.addTab(self.history, "History")
        self.frame = PageFrame(
            services,
            WORKSPACE,
            self.controls,
            self.stage,
            self.gallery,
            self.inspector,
            self.footer,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.frame)

    def _connect(self) -> None:
        self.footer.run_requested.connect(self.run_main_action)
        self.controls.changed.connect(self._show_footer)
        self.model.jobs_changed.connect(self._show_footer)
        self._services.models.changed.connect(self._models_changed)
        self.gallery.selection_changed.connect(self._selection_changed)
        self.results.results_changed.connect(self._results_changed)
        self.results.compare_requested.connect(self.showing.compare)
        self.results.settings_wanted.connect(self._use_manifest)
        self.results.submitted.connect(self.showing.follow)
        self.sampling.submitted.connect(self.showing.follow)
        self.sampling.reveal.connect(lambda: self._reveal(self.sampling.panel))
        self.align.submitted.connect(self.showing.follow)
        self.align.reveal.connect(lambda: self._reveal(self.align.panel))
        self._services.bridge.engine_ready.connect(self._engine_ready)
        self._engine_ready(self._services.bridge.engine)
        self.history.opened.connect(self.showing.show_job)
        self.history.cancel_requested.connect(self.model.cancel)
        self.history.rerun_requested.connect(self._run_job_again)
        self.showing.problem.connect(self.results.tell)
        actions = self._services.actions
        for name, title, key, icon, do in (
            ("fit", "Fit the picture", "F", "frame-corners", lambda: self.stage.view.fit()),
            ("actual", "Actual size", "1", "number-square-one", lambda: self.stage.view.one_to_one()),
            ("search", "Search results", "Ctrl+F", "magnifying-glass", self._focus_search),
            ("prompt", "Edit the prompt", "Ctrl+P", "text-t", self._focus_prompt),
            ("models", "Look for new models", "", "arrows-clockwise", self._read_models),
        ):
            actions.define(f"{WORKSPACE}.{name}", title, key, icon, workspace=WORKSPACE)
            actions.connect(f"{WORKSPACE}.{name}", do)

    # --- page protocol ----------------------------------------------------------------------------

    def activate(self) -> None:
        """Read models and history at the first visit; put the keyboard into the prompt."""
        if not self._started:
            self._started = True
            self._read_models()
            self.model.load_history()
            self.gallery.model.sync()
            self.showing.show_latest()
        self._focus_prompt()

    def run_main_action(self) -> None:
        """Queue what the form describes."""
        if self.controls.form is None:
            return
        if not self.controls.has_model:
            self._services.notifications.post("error", MISSING_MODEL[0], hint=MISSING_MODEL[1])
            return
        try:
            values = self.controls.run_values()
            spec = specs.build_spec(values, self._services.settings.get("device"))
        except EngineError:
            # The form says what is wrong beside the field; show the way there.
            self._focus_first_error()
            return
        try:
            job = self.model.submit(spec)
            self._services.project.put(SETTINGS_KEY, values)
        except EngineError as error:
            self.results.tell(error)
            return
        self.showing.follow(job.id)

    def use_model(self, name: str) -> None:
        """Choose an installed model; one that the page has not read yet, once it has."""
        if self.controls.choose_model(name):
            return
        self._wanted_model = name
        if self._started:
            self._read_models()

    def can_accept(self, paths: Sequence[Path]) -> bool:
        """Pictures: one of ours brings its settings."""
        return any(files.looks_like_picture(path) for path in paths)

    def accept(self, paths: Sequence[Path]) -> None:
        """Restore the settings that the first picture carries."""
        chosen = next((path for path in paths if files.looks_like_picture(path)), None)
        if chosen is None:
            return
        if self.controls.form is None:
            self._dropped = chosen
            return
        self.background.run(
            lambda: files.read_settings(chosen),
            lambda settings: self._restore(settings, chosen.name, len(paths) - 1),
            self.results.tell,
        )

    # --- models and settings ----------------------------------------------------------------------

    def _models_changed(self) -> None:
        if self._started:
            self._read_models()

    def _read_models(self) -> None:
        self.background.run(self._read, self._catalogue_read, self.results.tell)

    def _catalogue_read(self, catalogue: Catalogue) -> None:
        first = self.controls.form is None
        self.controls.set_catalogue(catalogue)
        self.gallery.set_models([(entry.name, entry.title) for entry in catalogue.models])
        self.run_example.setEnabled(self.controls.has_model)
        if first:
            saved = self._services.project.get(SETTINGS_KEY)
            if isinstance(saved, Mapping):
                self.controls.show_settings(saved, lock_seed=False)
            if not self.controls.seed.locked:
                self.controls.seed.roll()
            self._focus_prompt()
        wanted, self._wanted_model = self._wanted_model, None
        if wanted is not None and not self.controls.choose_model(wanted):
            self._wanted_model = wanted if self.background.busy else None
        self._show_footer()
        if self._dropped is not None:
            dropped, self._dropped = self._dropped, None
            self.accept([dropped])

    def _use_manifest(self, manifest: Mapping[str, Any]) -> None:
        aligned = manifest["spec"]["kind"] == specs.ALIGN
        source = "The picture that was aligned" if aligned else "The selected picture"
        self._restore(specs.settings_of(manifest), source)

    def _restore(self, settings: Mapping[str, Any], source: str, ignored: int = 0) -> None:
        try:
            before: dict[str, Any] | None = self.controls.values()
        except EngineError:
            before = None
        locked = self.controls.seed.locked
        varied = settings.get("sampler", {}).get("variation_step") is not None
        unknown = self.controls.show_settings(specs.without_start(settings), lock_seed=True)

        def back() -> None:
            self.controls.show_settings(before or {}, lock_seed=False)
            self.controls.seed.set_locked(locked)

        hint = "The seed is locked: Generate makes the same picture again."
        if varied:
            hint = (
                "It was varied from another picture, which the form cannot do: Generate makes it from "
            )
            hint += "noise; Run again makes the same picture."
        if unknown:
            hint = f"This version does not know {', '.join(unknown)}; the rest was taken. {hint}"
        if ignored:
            hint += f" {ignored} more of the dropped files were not used."
        self._services.notifications.post(
            "success" if not unknown else "warning",
            f"{source}: its settings are in the form now.",
            hint=hint,
            actions=[("Undo", back)] if before is not None else [],
        )
        if self.controls.form is not None and self.controls.form.errors():
            self._focus_first_error()

    def start_example(self) -> None:
        """Run the built-in example."""
        example = dict(EXAMPLE)
        entry = self.controls.model
        if entry is not None and entry.vocabulary is None and entry.conditions != "text":
            example.pop("prompt")
        self.controls.show_settings(example, lock_seed=True)
        self.run_main_action()

    # --- footer and focus -------------------------------------------------------------------------

    def _show_footer(self) -> None:
        if self.controls.form is None:
            return
        errors = self.controls.form.errors()
        if not self.controls.has_model:
            self.footer.show_state(can_run=False, seconds=None, waiting=0, note="No model is installed")
            return
        seconds = None if errors else self.model.estimate(self.controls.values())
        note = "Correct the marked field" if errors else ""
        # The button stays pressable: pressing it leads to the field that is wrong.
        self.footer.show_state(can_run=True, seconds=seconds, waiting=self.model.waiting, note=note)

    def _focus_first_error(self) -> None:
        form = self.controls.form
        if form is None:
            return
        for name in form.errors():
            editor = form.editor(name)
            (editor.focusProxy() or editor).setFocus()
            return

    def _reveal(self, tab: QWidget) -> None:
        self.frame.set_inspector_visible(True)
        self.inspector.setCurrentWidget(tab)

    def _engine_ready(self, info: Mapping[str, Any]) -> None:
        self.controls.set_device(str(info.get("device", "")))

    def _focus_prompt(self) -> None:
        if self.controls.form is not None:
            self.controls.prompt.text.setFocus()

    def _focus_search(self) -> None:
        self.gallery.search.setFocus()
        self.gallery.search.selectAll()

    # --- results ----------------------------------------------------------------------------------

    def _selection_changed(self, ids: list[int]) -> None:
        self.results.enable(len(ids))
        self.align.refresh()
        if len(ids) == 1:
            project = self._services.project
            try:
                self.parameters.show_result(project.manifest(ids[0]), project.result(ids[0]))
            except EngineError as error:
                self.parameters.show_message(str(error))
        elif ids:
            self.parameters.show_message(
                f"{len(ids):,} pictures are selected. Select one to see everything that made it.",
                with_buttons=True,
            )
        else:
            self.parameters.show_message("Select a picture to see everything that made it.")

    def _results_changed(self, ids: list[int]) -> None:
        self.gallery.model.forget(ids)
        self.showing.refresh()

    def _run_job_again(self, job: str) -> None:
        known: PageJob | None = self.model.job(job)
        if known is None:
            return
        try:
            if known.state is JobState.INTERRUPTED:
                self._services.bridge.requeue(job)
            else:
                self.showing.follow(self.model.submit(known.spec).id)
        except EngineError as error:
            self.results.tell(error)
