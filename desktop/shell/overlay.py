"""Panels that float over the window's content instead of opening windows of their own."""

from __future__ import annotations

from typing import Literal

from PySide6.QtCore import QEvent, QObject, QRect, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QWidget

from desktop.theme import SPACE_M

Anchor = Literal["top", "right", "bottom-right", "centre"]


class Overlay(QFrame):
    """A floating panel of the window that follows its size. Esc closes it.

    Attributes
    ----------
    closed
        Emitted when it was hidden.
    """

    closed = Signal()

    def __init__(self, parent: QWidget, anchor: Anchor, width: int) -> None:
        super().__init__(parent)
        self.setProperty("role", "overlay")
        self._ground = parent
        self._anchor = anchor
        self._width = width
        self._came_from: QWidget | None = None
        self.hide()
        parent.installEventFilter(self)

    def open(self) -> None:
        """Show above everything; the keyboard goes back where it was on :meth:`close_overlay`."""
        window = self.window()
        self._came_from = window.focusWidget() if window else None
        self.place()
        self.show()
        self.raise_()

    def close_overlay(self) -> None:
        """Hide, and give the keyboard back."""
        if self.isHidden():
            return
        self.hide()
        came_from, self._came_from = self._came_from, None
        if came_from is not None and came_from.isVisible():
            came_from.setFocus(Qt.FocusReason.OtherFocusReason)
        self.closed.emit()

    def toggle(self) -> None:
        """Open when hidden, else close."""
        if self.isHidden():
            self.open()
        else:
            self.close_overlay()

    def wanted_height(self, available: int) -> int:
        """Height of the panel when ``available`` pixels are there."""
        return min(self.sizeHint().height(), available)

    def place(self) -> None:
        """Take the place that the anchor names."""
        area = self._ground.rect().adjusted(SPACE_M, SPACE_M, -SPACE_M, -SPACE_M)
        width = min(self._width, area.width())
        height = self.wanted_height(area.height())
        rect = QRect(0, 0, width, height)
        if self._anchor == "right":
            rect.moveTopRight(area.topRight())
        elif self._anchor == "bottom-right":
            rect.moveBottomRight(area.bottomRight())
        elif self._anchor == "centre":
            rect.moveCenter(area.center())
        else:
            rect.moveTop(area.top() + min(64, max(0, area.height() - height)))
            rect.moveLeft(area.center().x() - width // 2)
        self.setGeometry(rect)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the parent's size."""
        if event.type() == QEvent.Type.Resize and watched is self._ground and self.isVisible():
            self.place()
        return super().eventFilter(watched, event)

    def event(self, event: QEvent) -> bool:
        """Take Esc before it becomes the shortcut that cancels a job."""
        if (
            event.type() == QEvent.Type.ShortcutOverride
            and isinstance(event, QKeyEvent)
            and event.key() == Qt.Key.Key_Escape
        ):
            event.accept()
            return True
        return super().event(event)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Esc closes."""
        if event.key() == Qt.Key.Key_Escape:
            self.close_overlay()
            return
        super().keyPressEvent(event)
