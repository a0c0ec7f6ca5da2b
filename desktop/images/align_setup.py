"""The form of an alignment: rewards, strength of the guard, budget, and what it will cost."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QButtonGroup, QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from desktop.images.align_cost import Cost, forecast
from desktop.images.align_rewards import RewardCatalogue
from desktop.images.reward_stack import RewardStack
from desktop.theme import SPACE_M, SPACE_S, SPACE_XS, Theme
from desktop.widgets.parameter_form import ParameterForm
from desktop.widgets.parts import button, label, line
from engine.errors import EngineError

GUARDS: Mapping[str, tuple[str, str]] = {
    "off": ("Off", "Nothing holds the noise back: the picture soon leaves what the model can make."),
    "soft": ("Soft", "The noise keeps looking random; rewards rise as far as that allows."),
    "strict": ("Strict", "Closest to what the model makes by itself; rewards rise least."),
}
DEFAULT_GUARD = "soft"
# In this order; what is not named here is not asked for.
PLAIN = ("steps", "minutes", "stop_at_red")
ADVANCED = (
    "lr", "mode", "eta", "last_steps", "keep", "gamma", "step_share", "neighbours", "mu", "solving",
    "check_density", "store_every", "preview_every",
)  # fmt: skip
# The inspector is narrow: these names are too long beside their fields.
SHORT = {"step_share": "Step guard", "last_steps": "Last steps", "check_density": "Ask model"}


class AlignSetup(QWidget):
    """See the module.

    Attributes
    ----------
    footer
        Refusal and the button; whoever scrolls the rest may take it elsewhere.

    Signals
    -------
    changed
        Anything that a run would do differently.
    run_requested
        The button was pressed.
    laid_out
        Parts were added or taken away.
    """

    changed = Signal()
    run_requested = Signal()
    laid_out = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._cost: Cost | None = None
        self.form: ParameterForm | None = None
        self.start = label("", "heading", wrap=True)
        self.stack = RewardStack(theme)
        self.stack.changed.connect(self._tell)
        self.stack.changed.connect(self.laid_out)
        self.stack.laid_out.connect(self.laid_out)
        self.guard_text = label("", "muted", wrap=True)
        self.forecast = label("", "muted", wrap=True)
        self.refusal = label("", "warn", wrap=True)
        self.run = button("Align this picture", self.run_requested.emit, "primary")
        self.run.setIcon(theme.icon("trend-up", "on_accent"))
        self._place = QVBoxLayout()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.start)
        layout.addWidget(self.stack)
        layout.addWidget(line())
        layout.addWidget(label("Guard", "heading"))
        layout.addWidget(self._make_guard())
        layout.addWidget(self.guard_text)
        layout.addWidget(line())
        layout.addWidget(label("Budget", "heading"))
        layout.addLayout(self._place)
        self.footer = QWidget()
        below = QVBoxLayout(self.footer)
        below.setContentsMargins(SPACE_M, SPACE_S, SPACE_M, SPACE_M)
        below.setSpacing(SPACE_S)
        below.addWidget(self.refusal)
        below.addWidget(self.run)
        layout.addWidget(self.forecast)
        layout.addWidget(self.footer)
        self.set_guard(DEFAULT_GUARD)
        self._show_state()

    def _make_guard(self) -> QWidget:
        choices = QWidget()
        row = QHBoxLayout(choices)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(SPACE_XS)
        group = QButtonGroup(self)
        self.guards: dict[str, QPushButton] = {}
        for name, (title, tip) in GUARDS.items():
            choice = button(title, partial(self._guard_pressed, name), "quiet")
            choice.setCheckable(True)
            choice.setToolTip(tip)
            choice.setAccessibleName(f"Guard {title.lower()}")
            choice.setAccessibleDescription(tip)
            group.addButton(choice)
            row.addWidget(choice, 1)
            self.guards[name] = choice
        return choices

    def _guard_pressed(self, name: str) -> None:
        self.set_guard(name)
        self._tell()

    # --- content ----------------------------------------------------------------------------------

    def set_catalogue(self, catalogue: RewardCatalogue) -> None:
        """Make the form; called once the rewards are read."""
        self.stack.set_catalogue(catalogue)
        if self.form is None:
            fields = catalogue.schema["properties"]
            known = [name for name in (*PLAIN, *ADVANCED) if name in fields]
            chosen = {name: {**fields[name]} for name in known}
            for name in SHORT.keys() & chosen.keys():
                chosen[name]["title"] = SHORT[name]
            schema = {**catalogue.schema, "properties": chosen}
            self.form = ParameterForm(schema, advanced=ADVANCED)
            self.form.set_reset_icon(self._theme.icon("arrow-counter-clockwise", "muted"))
            self.form.changed.connect(self._tell)
            self._place.addWidget(self.form)
            self.laid_out.emit()
        self._show_state()

    def in_order(self) -> list[QWidget]:
        """Its parts from top to bottom."""
        form = [self.form] if self.form is not None else []
        return [*self.stack.cards, self.stack.add_button, *self.guards.values(), *form, self.run]

    @property
    def guard(self) -> str:
        """``off``, ``soft`` or ``strict``."""
        return next(name for name, choice in self.guards.items() if choice.isChecked())

    def set_guard(self, name: str) -> None:
        """Choose a preset."""
        self.guards[name].setChecked(True)
        self.guard_text.setText(GUARDS[name][1])

    def values(self) -> dict[str, Any]:
        """Parameters of the job, but for the picture.

        Raises
        ------
        EngineError
            ``invalid_input`` naming what is not valid; the form shows it.
        """
        assert self.form is not None, "the form is made by set_catalogue"
        return {"rewards": self.stack.terms(), "guard": self.guard, **self.form.values()}

    def set_values(self, values: Mapping[str, Any]) -> list[str]:
        """Show parameters; returns the names of rewards that this version does not know."""
        if self.form is not None:
            self.form.set_values({k: v for k, v in values.items() if k in self.form.names})
        if values.get("guard") in self.guards:
            self.set_guard(str(values["guard"]))
        return self.stack.set_terms(values.get("rewards") or ())

    def show_subject(self, start: str, run: str, cost: Cost | None) -> None:
        """What would be aligned, in words, what the button says, and what it costs."""
        self.start.setText(start)
        self.run.setText(run)
        self._cost = cost
        self._show_state()

    def refuse(self, text: str) -> None:
        """Say why nothing was started; the next change takes it back."""
        self.refusal.setText(text)
        self.refusal.setVisible(bool(text))

    def error(self) -> str:
        """Why no run can start; empty when it can."""
        if self.form is None:
            return "The rewards are being read…"
        if self._cost is None:
            return "Select a picture first."
        return self.stack.error() or next(iter(self.form.errors().values()), "")

    def _tell(self) -> None:
        self._show_state()
        self.changed.emit()

    def _show_state(self) -> None:
        self.refuse("")
        problem = self.error()
        self.run.setEnabled(not problem)
        self.run.setToolTip(problem)
        self.forecast.setText(problem or self._forecast())
        self.forecast.setVisible(bool(self.forecast.text()))

    def _forecast(self) -> str:
        assert self.form is not None
        assert self._cost is not None
        try:
            return forecast(self._cost, self.form.values(), compares=self.stack.compares)
        except EngineError as error:
            return error.message
