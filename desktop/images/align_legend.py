"""Which curve is which reward, and where each is now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PySide6.QtCore import QPointF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from desktop.images.align_steps import StepPoint
from desktop.theme import SPACE_S, SPACE_XS, Theme, tabular
from desktop.widgets.parts import label

INK_DARK = ("#6cb6ff", "#f5b544", "#4cc38a", "#fb7185", "#2dd4bf", "#e6e8ec")
INK_LIGHT = ("#1d5fb4", "#8a5200", "#14693f", "#b81d4a", "#0a6f66", "#1b1f26")
STYLES = (
    Qt.PenStyle.SolidLine,
    Qt.PenStyle.DashLine,
    Qt.PenStyle.DotLine,
    Qt.PenStyle.DashDotLine,
)


def curve_look(index: int, *, dark: bool) -> tuple[str, Qt.PenStyle]:
    """Colour and dashes of the curve of the reward at this place."""
    inks = INK_DARK if dark else INK_LIGHT
    return inks[index % len(inks)], STYLES[index % len(STYLES)]


class _Sample(QWidget):
    """A short piece of a curve."""

    def __init__(self, theme: Theme, index: int) -> None:
        super().__init__()
        self._theme, self._index = theme, index
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        return QSize(26, 14)

    def paintEvent(self, event: QPaintEvent) -> None:
        colour, style = curve_look(self._index, dark=self._theme.dark)
        with QPainter(self) as painter:
            painter.setPen(QPen(QColor(colour), 2, style))
            middle = self.height() / 2
            painter.drawLine(QPointF(0, middle), QPointF(self.width(), middle))


class AlignLegend(QWidget):
    """A row a reward: piece of its curve, its words, its value."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._rows: list[tuple[_Sample, QLabel, QLabel]] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(SPACE_S)
        self._grid.setVerticalSpacing(SPACE_XS)
        self._grid.setColumnStretch(1, 1)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """The texts."""
        return [(name.text(), value.text()) for _, name, value in self._rows]

    def show_point(self, point: StepPoint, titles: Mapping[str, str]) -> None:
        """Show where each reward is at a step; ``titles`` are their words, in order."""
        rows = []
        for name, title in titles.items():
            known = name in point.positions
            value = f"{point.positions[name]:.0f} of 100" if known else f"{point.terms[name]:.3g}"
            rows.append((title, value))
        self.show_rows(rows)

    def show_rows(self, rows: Sequence[tuple[str, str]]) -> None:
        """Show words and values, in the order of the curves."""
        while len(self._rows) > len(rows):
            for widget in self._rows.pop():
                self._grid.removeWidget(widget)
                widget.deleteLater()
        while len(self._rows) < len(rows):
            at = len(self._rows)
            made = (_Sample(self._theme, at), label("", wrap=True), label("", "muted"))
            made[2].setFont(tabular(made[2].font()))
            for column, widget in enumerate(made):
                self._grid.addWidget(widget, at, column)
            self._rows.append(made)
        for (_, name, value), (words, text) in zip(self._rows, rows, strict=True):
            name.setText(words)
            value.setText(text)
