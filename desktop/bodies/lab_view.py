"""The width lab: before and after of a photo, and a slider for the width of each part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Qt, Signal
from PySide6.QtGui import QColor, QImage
from PySide6.QtWidgets import QCheckBox, QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.bodies.panels import words
from desktop.bodies.shape_panel import ORDER, other_side
from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.widgets.compare_view import CompareView
from desktop.widgets.field_editors import QuietSlider
from desktop.widgets.parts import button, label

ALL = "all"
LOWEST, HIGHEST = 60, 160
"""Per cent of a slider's ends."""


class LabView(QWidget):
    """See the module.

    Attributes
    ----------
    moved
        A slider moved; see :meth:`factors`.
    save_wanted, closed
        The buttons.
    """

    moved = Signal()
    save_wanted = Signal()
    closed = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.compare = CompareView()
        self.sliders: dict[str, QuietSlider] = {}
        self._numbers = {part: label("100 %", "muted") for part in (ALL, *ORDER)}
        self._names = {part: label(words(part)) for part in (ALL, *ORDER)}
        self._names[ALL].setText("All parts")
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, SPACE_S, 0)
        grid.setColumnStretch(1, 1)
        for at, part in enumerate((ALL, *ORDER)):
            slider = QuietSlider(Qt.Orientation.Horizontal)
            slider.setRange(LOWEST, HIGHEST)
            slider.setValue(100)
            slider.setMinimumWidth(96)
            slider.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            slider.setAccessibleName(f"Width of {self._names[part].text().lower()}, per cent")
            slider.valueChanged.connect(lambda value, part=part: self._slid(part, value))
            self.sliders[part] = slider
            for column, item in enumerate((self._names[part], slider, self._numbers[part])):
                grid.addWidget(item, at, column)
        self.linked = QCheckBox("Left and right together")
        self.linked.setChecked(True)
        self.linked.toggled.connect(lambda _on: self._arrange())
        self.note = label("", "muted", wrap=True)
        inner = QWidget()
        holder = QVBoxLayout(inner)
        holder.setContentsMargins(0, 0, 0, 0)
        holder.addLayout(grid)
        holder.addStretch()
        scroll = QScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.reset = button("As it was", self.take_back, "quiet", theme.icon("arrow-u-up-left"))
        self.save = button("Save with labels…", self.save_wanted.emit, "", theme.icon("export"))
        self.close_lab = button("Back to the bodies", self.closed.emit, "", theme.icon("arrow-left"))
        side = QWidget()
        side.setFixedWidth(320)
        column = QVBoxLayout(side)
        column.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        column.setSpacing(SPACE_S)
        column.addWidget(label("Width lab", "heading"))
        column.addWidget(self.note)
        column.addWidget(self.linked)
        column.addWidget(scroll, 1)
        for item in (self.reset, self.save, self.close_lab):
            column.addWidget(item)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(0)
        row.addWidget(self.compare, 1)
        row.addWidget(side)
        theme.changed.connect(self._themed)
        self._themed()
        self._arrange()

    def factors(self, names: Sequence[str]) -> NDArray[np.float64]:
        """Of parts in that order."""
        return np.array([self.sliders[name].value() / 100 for name in names])

    def show_pictures(self, before: QImage, after: QImage) -> None:
        """The photo, and what became of it."""
        self.compare.set_images(before, after, ("Photo", "Changed"))

    def say(self, text: str) -> None:
        """One sentence."""
        self.note.setText(text)

    def take_back(self) -> None:
        """Everything as it was."""
        self._set(dict.fromkeys(self.sliders, 100))

    def _slid(self, part: str, value: int) -> None:
        mate = other_side(part)
        if part == ALL:
            self._set(dict.fromkeys(self.sliders, value))
        elif mate is not None and self.linked.isChecked():
            self._set({part: value, mate: value})
        else:
            self._set({part: value})

    def _set(self, values: dict[str, int]) -> None:
        for part, value in values.items():
            slider = self.sliders[part]
            slider.blockSignals(True)
            slider.setValue(value)
            slider.blockSignals(False)
            self._numbers[part].setText(f"{value} %")
        self.moved.emit()

    def _arrange(self) -> None:
        together = self.linked.isChecked()
        for part in ORDER:
            shown = not (together and part.startswith("right_"))
            for item in (self._names[part], self.sliders[part], self._numbers[part]):
                item.setVisible(shown)
            self._names[part].setText(words(part.removeprefix("left_") if together else part))

    def _themed(self) -> None:
        self.compare.set_ground(QColor(self._theme.tokens.sunken))
