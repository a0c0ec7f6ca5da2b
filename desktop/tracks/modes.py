"""The stage's three sides: the wall, the zones of a camera, the ways between cameras."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QStackedWidget, QTabBar, QVBoxLayout, QWidget

WALL, ZONES, WAYS = range(3)


class Modes(QWidget):
    """Tabs over a stack.

    Signals
    -------
    changed(int)
        Another side is in sight.
    """

    changed = Signal(int)

    def __init__(self, sides: Sequence[tuple[str, str, QWidget]]) -> None:
        super().__init__()
        self.bar = QTabBar()
        self.bar.setDocumentMode(True)
        self.bar.setExpanding(False)
        self.bar.setAccessibleName("What the stage shows")
        self.stack = QStackedWidget()
        for title, tip, widget in sides:
            self.bar.setTabToolTip(self.bar.addTab(title), tip)
            self.stack.addWidget(widget)
        self.bar.currentChanged.connect(self._changed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self.bar)
        layout.addWidget(self.stack, 1)

    @property
    def current(self) -> int:
        """Which is in sight."""
        return self.bar.currentIndex()

    def show_side(self, side: int) -> None:
        """Bring one into sight."""
        self.bar.setCurrentIndex(side)

    def _changed(self, side: int) -> None:
        self.stack.setCurrentIndex(side)
        self.changed.emit(side)
