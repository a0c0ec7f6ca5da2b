"""Asks how to vary a picture: from which step, to which prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QLineEdit, QSlider, QVBoxLayout, QWidget

from desktop.theme import SPACE_S, SPACE_XS, tabular
from desktop.widgets.field_editors import NumberEditor
from desktop.widgets.parts import button, label

GUIDANCE = {"type": "number", "minimum": 0, "maximum": 30}
# Of a picture's steps, how many are made anew, and what that does to it.
EFFECTS = (
    (0.15, "Keeps all but fine detail"),
    (0.4, "Keeps the composition"),
    (0.7, "Keeps the rough layout"),
    (0.999, "Mostly a new picture"),
    (1.0, "A new picture"),
)


def effect(step: int, steps: int) -> str:
    """What starting from a step does, in plain words."""
    share = step / max(1, steps)
    return next(text for limit, text in EFFECTS if share <= limit)


class VaryForm(QWidget):
    """Prompt, guidance and a step.

    Signals
    -------
    requested(int, object)
        The step, and the values of ``prompt``, ``guidance`` (and ``negative_prompt``).
    """

    requested = Signal(int, object)

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0
        self.prompt = QLineEdit()
        self.negative = QLineEdit()
        self.guidance = NumberEditor(GUIDANCE, "Guidance")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Step to vary from")
        self.slider.valueChanged.connect(self._describe)
        self.step = label("")
        self.step.setFont(tabular(self.step.font()))
        self.effect = label("", "muted", wrap=True)
        self.note = label("", "muted", wrap=True)
        self.refusal = label("", "warn", wrap=True)
        self.run = button("Vary", self._ask)
        fields = QGridLayout()
        fields.setHorizontalSpacing(SPACE_S)
        fields.setVerticalSpacing(SPACE_XS)
        fields.setColumnStretch(1, 1)
        self._labels = {}
        rows = (("Prompt", self.prompt), ("Without", self.negative), ("Guidance", self.guidance))
        for row, (name, editor) in enumerate(rows):
            self._labels[name] = label(name, "muted")
            self._labels[name].setBuddy(editor)
            fields.addWidget(self._labels[name], row, 0)
            fields.addWidget(editor, row, 1)
        self.prompt.setAccessibleName("Prompt of the variation")
        self.negative.setAccessibleName("Negative prompt of the variation")
        for line in (self.prompt, self.negative):
            line.textChanged.connect(self._show_refusal)
            line.returnPressed.connect(self._ask)
        self.guidance.changed.connect(self._show_refusal)
        ends = QHBoxLayout()
        ends.addWidget(label("Same picture", "muted"))
        ends.addStretch()
        ends.addWidget(label("New picture", "muted"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addLayout(fields)
        layout.addWidget(self.slider)
        layout.addLayout(ends)
        for widget in (self.step, self.effect, self.note, self.refusal, self.run):
            layout.addWidget(widget)
        self.refusal.hide()

    def show_picture(self, settings: Mapping[str, Any], note: str, *, negative: bool = False) -> None:
        """Start from a picture's settings.

        Parameters
        ----------
        settings
            As the form of the page would hold them.
        note
            What the run will cost.
        negative
            Whether its model has negative prompts.
        """
        self._steps = int(settings["steps"])
        self.prompt.setText(str(settings.get("prompt") or ""))
        self.negative.setText(str(settings.get("negative_prompt") or ""))
        self.negative.setVisible(negative)
        self._labels["Without"].setVisible(negative)
        self.guidance.set_value(settings.get("guidance", 1.0))
        self.slider.setRange(1, self._steps)
        self.slider.setValue(max(1, round(self._steps / 2)))
        self.note.setText(note)
        self._describe()
        self._show_refusal()

    def changes(self) -> dict[str, Any]:
        """The values the variation shall have."""
        values: dict[str, Any] = {"prompt": self.prompt.text(), "guidance": self.guidance.value()}
        if not self.negative.isHidden():
            values["negative_prompt"] = self.negative.text()
        return values

    def refuse(self, text: str) -> None:
        """Say why nothing was started; the next change takes it back."""
        self.refusal.setText(text)
        self.refusal.setVisible(bool(text))

    def _show_refusal(self) -> None:
        self.refuse(self.guidance.error())

    def _describe(self) -> None:
        step = self.slider.value()
        self.step.setText(f"Makes the last {step} of {self._steps} steps anew")
        self.effect.setText(effect(step, self._steps))
        self.slider.setAccessibleDescription(f"{self.step.text()}. {self.effect.text()}.")

    def _ask(self) -> None:
        if not self.guidance.error():
            self.requested.emit(self.slider.value(), self.changes())
