"""What the colours of a comparison mean: a bar from 0 to 100 mm, always the same."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import QRectF, QSize, Qt
from PySide6.QtGui import QColor, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from desktop.bodies.figures import FULL_SCALE_MM, heat
from desktop.theme import Theme

_TICKS = 5
_BAR_HEIGHT = 8


class HeatLegend(QWidget):
    """See the module."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.setAccessibleName(f"Colours of distances, from blue, 0 mm, to red, {FULL_SCALE_MM:.0f} mm")
        self.setToolTip(self.accessibleName() + " and more")
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        theme.changed.connect(self.update)

    def sizeHint(self) -> QSize:
        """Bar and numbers."""
        return QSize(260, _BAR_HEIGHT + 4 + self.fontMetrics().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        """The bar, and millimetres below it."""
        metrics = self.fontMetrics()
        margin = metrics.horizontalAdvance(f"{FULL_SCALE_MM:.0f} mm") / 2 + 2
        bar = QRectF(margin, 0, max(1.0, self.width() - 2 * margin), _BAR_HEIGHT)
        steps = max(1, round(bar.width()))
        colours = heat(np.linspace(0, FULL_SCALE_MM, steps).astype(np.float32))
        with QPainter(self) as painter:
            for at, colour in enumerate(colours.tolist()):
                left = bar.left() + at * bar.width() / steps
                painter.fillRect(QRectF(left, 0, bar.width() / steps + 1, _BAR_HEIGHT), QColor(*colour))
            painter.setPen(QColor(self._theme.tokens.text))
            for tick in range(_TICKS + 1):
                mm = FULL_SCALE_MM * tick / _TICKS
                words = f"{mm:.0f} mm" if tick == _TICKS else f"{mm:.0f}"
                place = bar.left() + bar.width() * tick / _TICKS
                painter.drawLine(round(place), _BAR_HEIGHT, round(place), _BAR_HEIGHT + 3)
                room = QRectF(place - margin, _BAR_HEIGHT + 4, 2 * margin, metrics.height())
                painter.drawText(room, Qt.AlignmentFlag.AlignHCenter, words)
