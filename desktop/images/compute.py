"""How much a dynamic model computes: a slider in per cent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Qt

from desktop.images.catalogue import ModelEntry
from desktop.theme import tabular
from desktop.widgets.field_editors import FieldEditor, QuietSlider
from desktop.widgets.parts import label, percent

STEP = 0.05
ROUNDED_AWAY = 0.004
EVERYTHING = (None, "100 %")
AS_TRAINED: tuple[tuple[float | None, str], ...] = ((None, "As trained"), (1.0, "100 %"))


def stops_of(entry: ModelEntry | None) -> tuple[tuple[float | None, str], ...]:
    """What can be asked of a model, from least to most, each with its name."""
    if entry is None or not entry.dynamic:
        return (EVERYTHING,)
    if entry.compute is None:
        return AS_TRAINED
    low, high = entry.compute
    # The ends are measured shares, of which the engine rounds less than half a per cent away.
    first, last = math.ceil((low - ROUNDED_AWAY) / STEP), math.floor((high + ROUNDED_AWAY) / STEP)
    shares = [round(STEP * number, 2) for number in range(first, min(last, 19) + 1)]
    return (*((share, percent(share)) for share in shares), EVERYTHING)


class ComputeEditor(FieldEditor):
    """One of the stops of the chosen model; ``None`` is what it does unasked.

    A share between two stops, from the settings of a picture, is kept as it is until the slider
    moves. One that the model cannot compute is an error: the picture would not be the same.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self._stops: Sequence[tuple[float | None, str]] = (EVERYTHING,)
        self._range: tuple[float, float] | None = None
        self._value: float | None = None
        self.slider = QuietSlider(Qt.Orientation.Horizontal)
        self.slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.slider.setPageStep(2)
        self.slider.setAccessibleName(title)
        self.text = label("")
        self.text.setFont(tabular(self.text.font()))
        self.text.setMinimumWidth(self.text.fontMetrics().horizontalAdvance("As trained"))
        self.text.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.slider.valueChanged.connect(self._moved)
        self._fill(self.slider, self.text)
        self._show()

    def set_model(self, entry: ModelEntry | None) -> None:
        """Offer what a model can compute; what was chosen stays where it can be."""
        self._stops = stops_of(entry)
        self._range = entry.compute if entry is not None else None
        self._show()
        self.changed.emit()

    def value(self) -> float | None:
        return self._value

    def set_value(self, value: Any) -> None:
        self._value = None if value is None else float(value)
        self._show()
        self.changed.emit()

    def error(self) -> str:
        if self._value is None or self._value in [share for share, _ in self._stops]:
            return ""
        if self._value == 1.0 or (self._range and self._range[0] <= self._value <= self._range[1]):
            return ""
        return f"This model cannot compute {percent(self._value)} of its arithmetic; move the slider."

    def _show(self) -> None:
        """Put the slider and its text where the value is, without changing the value."""
        shown = [1.0 if share is None else share for share, _ in self._stops]
        if self._stops == AS_TRAINED:
            place = 0 if self._value is None else 1
        else:
            wanted = 1.0 if self._value is None else self._value
            place = min(range(len(shown)), key=lambda index: abs(shown[index] - wanted))
        self.slider.blockSignals(True)
        only = len(self._stops) == 1
        # Nothing to choose is all of it: the knob stands at the right.
        self.slider.setRange(-1 if only else 0, len(self._stops) - 1)
        self.slider.setValue(place)
        self.slider.blockSignals(False)
        share, name = self._stops[place]
        exact = self._value is None or share == self._value or self._value == 1.0
        self.text.setText(name if exact else percent(self._value, 1))

    def _moved(self, place: int) -> None:
        self._value = self._stops[max(0, place)][0]
        self._show()
        self.changed.emit()
