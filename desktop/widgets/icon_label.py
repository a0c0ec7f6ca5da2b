"""An icon that stands beside a text, in the colours of whichever theme is in use."""

from __future__ import annotations

from PySide6.QtCore import QSize
from PySide6.QtGui import QIcon, QPainter, QPaintEvent
from PySide6.QtWidgets import QSizePolicy, QWidget


class IconLabel(QWidget):
    """Paints a (self-tinting) icon; a pixmap in a label would keep the old theme's colours."""

    def __init__(self, icon: QIcon, edge: int = 18) -> None:
        super().__init__()
        self._icon = icon
        self._edge = edge
        self.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)

    def sizeHint(self) -> QSize:
        return QSize(self._edge, self._edge)

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self._icon.paint(painter, self.rect())
