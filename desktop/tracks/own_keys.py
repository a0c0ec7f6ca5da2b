"""Views whose arrows and Del mean something of their own while they have the focus."""

from __future__ import annotations

from PySide6.QtCore import QEvent, Qt
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QWidget

NUDGES = {
    Qt.Key.Key_Left: (-1, 0), Qt.Key.Key_Right: (1, 0), Qt.Key.Key_Up: (0, -1), Qt.Key.Key_Down: (0, 1),
}  # fmt: skip
"""Arrows, and where they move something: to the right and down."""


class OwnKeys(QWidget):
    """Takes its keys before the page's shortcuts do."""

    def own_keys(self) -> set[Qt.Key]:
        """Those that mean something now, without a modifier or with Shift."""
        raise NotImplementedError

    def means(self, event: QKeyEvent) -> bool:
        """Whether a key is this view's; with Ctrl the arrows to the sides always are."""
        key, held = Qt.Key(event.key()), event.modifiers()
        if held == Qt.KeyboardModifier.ControlModifier:
            return key in (Qt.Key.Key_Left, Qt.Key.Key_Right)
        plain = not held & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
        return plain and key in self.own_keys()

    def event(self, event: QEvent) -> bool:
        """Keys that mean something here are not the page's."""
        asked = event.type() == QEvent.Type.ShortcutOverride
        if asked and isinstance(event, QKeyEvent) and self.means(event):
            event.accept()
            return True
        return super().event(event)
