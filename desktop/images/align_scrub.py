"""Goes through the steps of an alignment: each one's picture, pinned steps, and ways on from there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QIcon, QImage, QPixmap
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QToolButton, QVBoxLayout, QWidget

from desktop.images.parameters_panel import ActionButton
from desktop.images.replay_bar import ReplayBar
from desktop.theme import SPACE_S, SPACE_XS, Theme, tabular
from desktop.widgets.parts import label

PINS_A_ROW = 4
PIN_PICTURE = QSize(44, 44)


class AlignScrub(QWidget):
    """Slider, pins and buttons.

    Signals
    -------
    chosen(int)
        The step whose picture shall be shown; -1 for the result.
    """

    chosen = Signal(int)

    def __init__(
        self, theme: Theme, pin: QAction, compare: QAction, branch: QAction, undo: QAction
    ) -> None:
        super().__init__()
        self._film: tuple[tuple[int, QImage], ...] = ()
        self.bar = ReplayBar(theme, "step")
        self.bar.chosen.connect(self._moved)
        self.found = label("", "muted", wrap=True)
        self.found.setFont(tabular(self.found.font()))
        self.pin, self.compare = ActionButton(pin), ActionButton(compare)
        self.branch, self.undo = ActionButton(branch), ActionButton(undo)
        self._pin_grid = QGridLayout()
        self._pin_grid.setSpacing(SPACE_XS)
        self._pin_grid.setAlignment(Qt.AlignmentFlag.AlignLeft)
        self.pin_buttons: list[QToolButton] = []
        self.kept = label("", "muted", wrap=True)
        pair = QHBoxLayout()
        pair.setSpacing(SPACE_S)
        pair.addWidget(self.pin, 1)
        pair.addWidget(self.undo, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.bar)
        layout.addWidget(self.found)
        layout.addLayout(self._pin_grid)
        layout.addLayout(pair)
        layout.addWidget(self.compare)
        layout.addWidget(self.branch)
        layout.addWidget(self.kept)

    @property
    def step(self) -> int:
        """The step that the slider is at; -1 at the result."""
        place = self.bar.slider.value()
        return self._film[place][0] if place < len(self._film) else -1

    def in_order(self) -> list[QWidget]:
        """Its parts from top to bottom."""
        return [self.bar, *self.pin_buttons, self.pin, self.undo, self.compare, self.branch]

    def set_film(self, film: Sequence[tuple[int, QImage]], asked: int) -> None:
        """Offer the pictures of these steps."""
        if tuple(number for number, _ in film) != tuple(number for number, _ in self._film):
            self._film = tuple(film)
            self.bar.set_rounds([number for number, _ in film], asked)
        self._film = tuple(film)

    def go_to(self, step: int) -> None:
        """Move to the nearest step that has a picture; -1 is the result."""
        if not self._film:
            return
        place = len(self._film)
        if step >= 0:
            numbers = [number for number, _ in self._film]
            place = min(range(len(numbers)), key=lambda at: abs(numbers[at] - step))
        self.bar.stop()
        self.bar.slider.setValue(place)

    def picture(self, step: int) -> QImage | None:
        """The picture of a step, if it was kept."""
        return next((image for number, image in self._film if number == step), None)

    def show_found(self, text: str, kept: str) -> None:
        """What the step found, and from where one can go on."""
        self.found.setText(text)
        self.found.setVisible(bool(text))
        self.kept.setText(kept)
        self.kept.setVisible(bool(kept))

    def show_pins(self, pins: Sequence[int]) -> None:
        """Show these pinned steps, each a small picture that leads to it."""
        for item in self.pin_buttons:
            self._pin_grid.removeWidget(item)
            item.hide()
            item.deleteLater()
        self.pin_buttons = []
        for place, step in enumerate(pins):
            image = self.picture(step)
            item = QToolButton()
            item.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
            item.setText(str(step))
            item.setIconSize(PIN_PICTURE)
            if image is not None:
                smooth = Qt.TransformationMode.SmoothTransformation
                small = image.scaled(PIN_PICTURE * 2, Qt.AspectRatioMode.KeepAspectRatio, smooth)
                item.setIcon(QIcon(QPixmap.fromImage(small)))
            item.setToolTip(f"Pinned step {step}")
            item.setAccessibleName(f"Pinned step {step}")
            item.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
            item.clicked.connect(partial(self._pin_pressed, step))
            self._pin_grid.addWidget(item, place // PINS_A_ROW, place % PINS_A_ROW)
            self.pin_buttons.append(item)

    def _pin_pressed(self, step: int, _checked: bool = False) -> None:
        self.go_to(step)

    def _moved(self, place: int) -> None:
        self.chosen.emit(self._film[place][0] if 0 <= place < len(self._film) else -1)
