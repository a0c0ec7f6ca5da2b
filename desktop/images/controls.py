"""The left column: everything that makes a picture, and the button that does it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from desktop.images.catalogue import Catalogue, ModelEntry
from desktop.images.compute import ComputeEditor
from desktop.images.prompt import PromptEditor
from desktop.images.seed import SeedEditor
from desktop.images.specs import PARALLEL, SEED, duration
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XS, Theme
from desktop.widgets.field_editors import ChoiceEditor, FieldEditor, Schema
from desktop.widgets.icon_label import IconLabel
from desktop.widgets.parameter_form import ParameterForm, UnionEditor
from desktop.widgets.parts import button, label

ADVANCED = ("negative_prompt", "width", "height", "economy", "batch", "preview_every")
ADVANCED_OF_SAMPLERS = (
    "method",
    "solver",
    "order",
    "window",
    "memory",
    "tolerance",
    "max_rounds",
    "stop_movement",
)
# Needs a picture to start from: the Sampling tab asks for both.
NOT_OF_THE_FORM = ("sampler.variation_step",)
PARALLEL_ON_CPU = (
    "Fewer rounds than steps, but on this machine without a GPU a batch costs as much as its parts: "
    "this takes longer than DDIM."
)
MISSING_MODEL = (
    "No image model is installed, so nothing can be generated yet. Your results and settings are "
    "not affected.",
    "Run installers/run.sh again to restore the built-in model, or add a model file.",
)


# What is sent for a field that the chosen model has no use for.
UNUSED_VALUES: dict[str, Any] = {
    "class_name": None,
    "negative_prompt": "",
    "width": None,
    "height": None,
    "compute": None,
    "economy": 0.0,
}


def unused_fields(entry: ModelEntry | None) -> dict[str, str]:
    """Fields that mean nothing to a model, each with the reason."""
    if entry is None:
        return {}
    reasons = {}
    if entry.conditions == "text":
        reasons["class_name"] = "This model reads texts; it has no classes."
    else:
        reasons["negative_prompt"] = "Only models that read texts have a negative prompt."
    if not entry.free_size:
        reasons["width"] = reasons["height"] = "This model makes pictures of one size."
    if not entry.dynamic:
        reasons["compute"] = reasons["economy"] = "This model always computes everything."
    return reasons


class Controls(QWidget):
    """Form of the parameters; empty until :meth:`set_catalogue` says what there is.

    Signals
    -------
    changed
        A value changed.
    ready
        The form was made.
    """

    changed = Signal()
    ready = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._catalogue: Catalogue | None = None
        self.form: ParameterForm | None = None
        self._device = ""
        self._unused: dict[str, str] = {}
        self.problem = _Notice(theme)
        self.problem.hide()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(SPACE_L, SPACE_L, SPACE_M, SPACE_L)
        self._layout.setSpacing(SPACE_M)
        self._layout.addWidget(self.problem)
        self._layout.addStretch(1)

    # --- what there is ----------------------------------------------------------------------------

    @property
    def has_model(self) -> bool:
        """Whether any model can be used."""
        return self._catalogue is not None and bool(self._catalogue.models)

    def set_catalogue(self, catalogue: Catalogue) -> None:
        """Make the form, or refresh its models."""
        self._catalogue = catalogue
        if self.form is None:
            self._make_form(catalogue)
            if catalogue.models and self._model_editor.error():
                # Nobody chose the built-in model yet; what is there serves as well.
                self._model_editor.set_value(catalogue.models[0].name)
        self._model_editor.set_choices([(entry.name, entry.title) for entry in catalogue.models])
        self._model_chosen()
        self.ready.emit()

    def _show_problem(self, catalogue: Catalogue) -> None:
        if not catalogue.models:
            self.problem.show_text(*MISSING_MODEL)
        elif catalogue.problems:
            self.problem.show_text(catalogue.problems[0].message, catalogue.problems[0].hint)
        else:
            self.problem.hide()

    def _make_form(self, catalogue: Catalogue) -> None:
        self.form = ParameterForm(
            catalogue.schema,
            editors={
                "model": self._make_model_editor,
                "prompt": lambda schema, title: PromptEditor(schema, title, self._theme),
                "class_name": lambda schema, title: ChoiceEditor([(None, "From the prompt")], title),
                "compute": lambda schema, title: ComputeEditor(title),
                SEED: lambda schema, title: SeedEditor(self._theme, title),
            },
            advanced=(*ADVANCED, *(f"sampler.{name}" for name in ADVANCED_OF_SAMPLERS)),
            skip=NOT_OF_THE_FORM,
        )
        self.form.set_reset_icon(self._theme.icon("arrow-counter-clockwise", "muted"))
        self.seed.roll()
        self._model_editor.changed.connect(self._model_chosen)
        self.class_editor.changed.connect(lambda: self.prompt.set_class(self.class_editor.value()))
        self._sampler_editor.changed.connect(self._show_sampler_note)
        self.form.changed.connect(self.changed)
        self._layout.insertWidget(1, self.form)
        self._show_sampler_note()

    def _make_model_editor(self, schema: Schema, title: str) -> ChoiceEditor:
        # Filled before the form shows the default, which otherwise would not be in the list.
        models = self._catalogue.models if self._catalogue else ()
        return ChoiceEditor([(entry.name, entry.title) for entry in models], title)

    def _model_chosen(self) -> None:
        entry = self.model
        reads_text = entry is not None and entry.conditions == "text"
        self.prompt.set_model(entry.vocabulary if entry else None, entry is not None and not reads_text)
        classes = list(entry.class_names) if entry else []
        if entry and entry.vocabulary:
            classes.sort()
        first = "From the prompt" if entry is None or entry.vocabulary else "Any"
        self.class_editor.set_choices([(None, first), *((name, name) for name in classes)])
        self._show_what_applies(entry)

    def _show_what_applies(self, entry: ModelEntry | None) -> None:
        """Disable the fields that the model has no use for, each with the reason below it."""
        if self.form is None:
            return
        self._unused = unused_fields(entry)
        if "compute" in self.form.names:
            self.compute.set_model(entry)
        for name in (name for name in UNUSED_VALUES if name in self.form.names):
            reason = self._unused.get(name, "")
            editor = self.form.editor(name)
            editor.setEnabled(not reason)
            self.form.set_note(name, reason)
            if reason and editor.error():
                # What nobody uses must not keep anybody from generating.
                editor.set_value(UNUSED_VALUES[name])
        if entry is not None and entry.needs:
            needs = ", ".join(entry.needs)
            self.problem.show_text(
                f"{entry.title} cannot be used before {needs} is installed.",
                "Models (Ctrl+6) installs it and says what for.",
            )
        elif self._catalogue is not None:
            self._show_problem(self._catalogue)

    def set_device(self, device: str) -> None:
        """Where the engine computes; empty while nobody knows."""
        self._device = device
        self._show_sampler_note()

    def _show_sampler_note(self) -> None:
        if self.form is not None:
            parallel = self._sampler_editor.choice.value() == PARALLEL
            on_cpu = self._device.startswith("cpu")
            self.form.set_note("sampler", PARALLEL_ON_CPU if parallel and on_cpu else "")

    # --- parts ------------------------------------------------------------------------------------

    def _editor(self, name: str) -> FieldEditor:
        assert self.form is not None, "the form is made by set_catalogue"
        return self.form.editor(name)

    @property
    def _model_editor(self) -> ChoiceEditor:
        return cast(ChoiceEditor, self._editor("model"))

    @property
    def _sampler_editor(self) -> UnionEditor:
        return cast(UnionEditor, self._editor("sampler"))

    @property
    def keep_trajectory(self) -> bool:
        """Whether parallel runs keep their trajectories."""
        editor = self._keep_editor()
        return editor is not None and bool(editor.value())

    def set_keep_trajectory(self, keep: bool) -> None:
        """Let further parallel runs keep their trajectories, or not."""
        editor = self._keep_editor()
        if editor is not None:
            editor.set_value(keep)

    def _keep_editor(self) -> FieldEditor | None:
        form = self._sampler_editor.variant(PARALLEL) if self.form is not None else None
        return None if form is None else form.editor("keep_trajectory")

    def entry(self, model: str) -> ModelEntry | None:
        """An installed model, by its name."""
        return self._catalogue.model(model) if self._catalogue else None

    def reads_text(self, model: str) -> bool:
        """Whether an installed model reads texts, and so also negative prompts."""
        entry = self.entry(model)
        return entry is not None and entry.conditions == "text"

    @property
    def prompt(self) -> PromptEditor:
        """The prompt field."""
        return cast(PromptEditor, self._editor("prompt"))

    @property
    def class_editor(self) -> ChoiceEditor:
        """The class field."""
        return cast(ChoiceEditor, self._editor("class_name"))

    @property
    def compute(self) -> ComputeEditor:
        """How much the model computes."""
        return cast(ComputeEditor, self._editor("compute"))

    @property
    def seed(self) -> SeedEditor:
        """The seed field."""
        return cast(SeedEditor, self._editor(SEED))

    @property
    def model(self) -> ModelEntry | None:
        """The chosen model."""
        if self._catalogue is None or self.form is None or self._model_editor.error():
            return None
        return self._catalogue.model(str(self._model_editor.value()))

    def choose_model(self, name: str) -> bool:
        """Choose an installed model; whether it is known here."""
        if self._catalogue is None or self.form is None or self._catalogue.model(name) is None:
            return False
        self._model_editor.set_value(name)
        return True

    # --- values -----------------------------------------------------------------------------------

    def run_values(self) -> dict[str, Any]:
        """The values for a run that starts now; an open seed is drawn anew.

        Raises
        ------
        EngineError
            ``invalid_input`` naming the field that is not valid; nothing is changed then.
        """
        assert self.form is not None
        if not self.seed.locked and set(self.form.errors()) <= {SEED}:
            self.seed.next_seed()
        return self.values()

    def values(self) -> dict[str, Any]:
        """The values that are shown.

        Raises
        ------
        EngineError
            ``invalid_input`` naming the field that is not valid.
        """
        assert self.form is not None
        unused = {name: UNUSED_VALUES[name] for name in self._unused if name in self.form.names}
        return {**self.form.values(), **unused}

    def show_settings(self, settings: Mapping[str, Any], *, lock_seed: bool) -> list[str]:
        """Show settings of a picture; returns the names this version does not know."""
        assert self.form is not None
        unknown = self.form.set_values(settings)
        if lock_seed:
            self.seed.set_locked(True)
        return unknown


class _Notice(QFrame):
    """A message in the form that stays as long as its reason."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.setProperty("role", "card")
        icon = IconLabel(theme.icon("warning", "warn"))
        self.text = label("", wrap=True)
        self.hint = label("", "muted", wrap=True)
        texts = QVBoxLayout()
        texts.setSpacing(SPACE_XS)
        texts.addWidget(self.text)
        texts.addWidget(self.hint)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(icon, 0, Qt.AlignmentFlag.AlignTop)
        layout.addLayout(texts, 1)

    def show_text(self, text: str, hint: str) -> None:
        """Say something."""
        self.text.setText(text)
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        self.setAccessibleName(f"{text} {hint}")
        self.show()


class RunFooter(QFrame):
    """The main button with an estimate of what it will cost.

    Signals
    -------
    run_requested
        The button was pressed.
    """

    run_requested = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.run = button("Generate", self.run_requested.emit, "primary")
        self.run.setMinimumHeight(38)
        self.run.setEnabled(False)
        self.estimate = label("", "muted", wrap=True)
        self.estimate.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.run.setIcon(theme.icon("sparkle", "on_accent"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.run)
        layout.addWidget(self.estimate)

    def show_state(self, *, can_run: bool, seconds: float | None, waiting: int, note: str = "") -> None:
        """Enable the button and say how long a run takes and what waits before it."""
        self.run.setEnabled(can_run)
        parts = [note] if note else []
        if not note and seconds is not None:
            parts.append(f"About {duration(seconds)}")
        if waiting:
            parts.append(f"{waiting} waiting before it")
        self.estimate.setText(" · ".join(parts) or "Ctrl+Return")
        self.run.setToolTip("Queue these pictures (Ctrl+Return); also while others are being made")
