"""Goes through the pictures of a finished run, round by round or step by step."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QHideEvent
from PySide6.QtWidgets import QHBoxLayout, QSlider, QVBoxLayout, QWidget

from desktop.theme import SPACE_S, SPACE_XS, Theme, tabular
from desktop.widgets.parts import icon_button, label

FRAME_MS = 350


class ReplayBar(QWidget):
    """A slider over the rounds that were decoded; its right end is the finished picture.

    Parameters
    ----------
    theme
        Colours.
    noun
        What is gone through: ``round`` or ``step``.

    Signals
    -------
    chosen(int)
        Index of the picture to show; -1 for the finished one.
    """

    chosen = Signal(int)

    def __init__(self, theme: Theme, noun: str = "round") -> None:
        super().__init__()
        self._theme, self._noun = theme, noun
        self._rounds: tuple[int, ...] = ()
        self._total = 0
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName(f"{noun.capitalize()} that is shown")
        self.slider.setPageStep(1)
        self.slider.valueChanged.connect(self._moved)
        self.play_button = icon_button(theme.icon("play"), f"Play the {noun}s", self.toggle)
        self.text = label("", "muted")
        self.text.setFont(tabular(self.text.font()))
        self._timer = QTimer(self, interval=FRAME_MS)
        self._timer.timeout.connect(self._next)
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.play_button)
        row.addWidget(self.slider, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_XS)
        layout.addLayout(row)
        layout.addWidget(self.text)

    @property
    def playing(self) -> bool:
        """Whether it moves by itself."""
        return self._timer.isActive()

    def set_rounds(self, rounds: Sequence[int], total: int) -> None:
        """Offer these rounds (from 1) of ``total``; the finished picture is shown first."""
        if tuple(rounds) == self._rounds and total == self._total:
            return
        self.stop()
        self._rounds, self._total = tuple(rounds), total
        self.slider.blockSignals(True)
        self.slider.setRange(0, len(self._rounds))
        self.slider.setValue(len(self._rounds))
        self.slider.blockSignals(False)
        self._describe()

    def rewind(self) -> None:
        """Back to the finished picture, without telling anybody."""
        self.stop()
        self.slider.blockSignals(True)
        self.slider.setValue(len(self._rounds))
        self.slider.blockSignals(False)
        self._describe()

    def toggle(self) -> None:
        """Play from here (from the start when at the end), or hold."""
        if self.playing:
            self.stop()
            return
        if not self._rounds:
            return
        if self.slider.value() == len(self._rounds):
            self.slider.setValue(0)
        self._timer.start()
        self._show_state("pause", "Hold")

    def stop(self) -> None:
        """Hold."""
        self._timer.stop()
        self._show_state("play", f"Play the {self._noun}s")

    def _next(self) -> None:
        if self.slider.value() >= len(self._rounds):
            self.stop()
            return
        self.slider.setValue(self.slider.value() + 1)
        if self.slider.value() >= len(self._rounds):
            self.stop()

    def _moved(self, place: int) -> None:
        self._describe()
        self.chosen.emit(place if place < len(self._rounds) else -1)

    def _describe(self) -> None:
        place = self.slider.value()
        at_end = place >= len(self._rounds)
        word = self._noun.capitalize()
        text = "The result" if at_end else f"{word} {self._rounds[place]} of {self._total}"
        self.text.setText(text)
        self.slider.setAccessibleDescription(text)

    def _show_state(self, icon: str, name: str) -> None:
        self.play_button.setIcon(self._theme.icon(icon))
        self.play_button.setToolTip(name)
        self.play_button.setAccessibleName(name)

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self.stop()
