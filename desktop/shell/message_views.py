"""How messages are shown: toasts that come and go, and the message centre that keeps them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from PySide6.QtCore import Qt, QTimer
from PySide6.QtGui import QCursor, QGuiApplication
from PySide6.QtWidgets import QFrame, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.shell.banners import LEVEL_ICONS
from desktop.shell.notifications import Notice, Notifications
from desktop.shell.overlay import Overlay
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XS, Theme
from desktop.widgets.icon_label import IconLabel
from desktop.widgets.parts import button, icon_button, label

TOASTS = 3
TOAST_MS = {"info": 6_000, "success": 6_000, "warning": 10_000, "error": 15_000}
SHOWN = 100


def _card(
    theme: Theme, notice: Notice, dismiss: Callable[[], object] | None, done: Callable[[], object]
) -> QFrame:
    """One message with its buttons; ``done`` is called after an action was chosen."""
    card = QFrame()
    card.setProperty("role", "toast" if dismiss else "card")
    card.setAccessibleName(f"{notice.level}: {notice.text}")
    row = QHBoxLayout(card)
    row.setContentsMargins(SPACE_M, SPACE_M, SPACE_S, SPACE_M)
    row.setSpacing(SPACE_M)
    name, role = LEVEL_ICONS[notice.level]
    row.addWidget(IconLabel(theme.icon(name, role), 20), 0, Qt.AlignmentFlag.AlignTop)
    column = QVBoxLayout()
    column.setSpacing(SPACE_XS)
    column.addWidget(label(notice.text, wrap=True, selectable=dismiss is None))
    if notice.hint:
        column.addWidget(label(notice.hint, "muted", wrap=True, selectable=dismiss is None))
    if dismiss is None:
        clock = time.strftime("%H:%M:%S", time.localtime(notice.time))
        column.addWidget(label(clock, "muted"))
    buttons = QHBoxLayout()
    buttons.setSpacing(SPACE_S)
    for title, callback in notice.actions:
        buttons.addWidget(button(title, partial(_choose, done, callback)))
    if notice.details:
        buttons.addWidget(
            button("Copy details", lambda: QGuiApplication.clipboard().setText(notice.copy_text))
        )
    if buttons.count():
        buttons.addStretch()
        column.addLayout(buttons)
    row.addLayout(column, 1)
    if dismiss is not None:
        close = icon_button(theme.icon("x", "muted"), "Dismiss", dismiss)
        close.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
    return card


def _choose(done: Callable[[], object], callback: Callable[[], object]) -> None:
    done()
    callback()


class _Toast(QWidget):
    def __init__(self, theme: Theme, notice: Notice, gone: Callable[[_Toast], object]) -> None:
        super().__init__()
        self._gone = gone
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(_card(theme, notice, self.leave, self.leave))
        self._timer = QTimer(self, singleShot=True, interval=TOAST_MS[notice.level])
        self._timer.timeout.connect(self._leave_unless_read)
        self._timer.start()

    def leave(self) -> None:
        self._timer.stop()
        self._gone(self)

    def _leave_unless_read(self) -> None:
        """Go, but not while the mouse is on it. (Enter events do not tell when it was put there.)"""
        if self.rect().contains(self.mapFromGlobal(QCursor.pos())):
            self._timer.start()
        else:
            self.leave()


class Toasts(Overlay):
    """The newest few messages, bottom right, for some seconds each."""

    def __init__(self, parent: QWidget, theme: Theme, notifications: Notifications) -> None:
        super().__init__(parent, "bottom-right", 400)
        self.setProperty("role", "")
        self._theme = theme
        self._toasts: list[_Toast] = []
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(SPACE_S)
        self.muted = False
        """Whether new messages are not shown because the message centre is open."""
        notifications.posted.connect(self._show)

    @property
    def count(self) -> int:
        """How many are shown."""
        return len(self._toasts)

    def wanted_height(self, available: int) -> int:
        """As high as the messages are at this width."""
        width = min(self._width, self._ground.width())
        heights = [toast.heightForWidth(width) for toast in self._toasts]
        return min(available, sum(heights) + SPACE_S * (len(heights) - 1))

    def dismiss_all(self) -> None:
        """Take all away."""
        for toast in list(self._toasts):
            toast.leave()

    def _show(self, notice: Notice) -> None:
        if self.muted:
            return
        while len(self._toasts) >= TOASTS:
            self._toasts[0].leave()
        toast = _Toast(self._theme, notice, self._remove)
        self._toasts.append(toast)
        self._layout.addWidget(toast)
        self._replace()

    def _remove(self, toast: _Toast) -> None:
        if toast in self._toasts:
            self._toasts.remove(toast)
            self._layout.removeWidget(toast)
            toast.hide()
            toast.deleteLater()
            self._replace()

    def _replace(self) -> None:
        if not self._toasts:
            self.hide()
            return
        # Shown first: a layout gives hidden widgets no height.
        self.show()
        for toast in self._toasts:
            toast.show()
        self._layout.activate()
        self.place()
        self.raise_()


class MessageCentre(Overlay):
    """All messages of this run, newest first."""

    def __init__(self, parent: QWidget, theme: Theme, notifications: Notifications) -> None:
        super().__init__(parent, "right", 420)
        self.setAccessibleName("Messages")
        self._theme = theme
        self._notifications = notifications
        head = QHBoxLayout()
        head.addWidget(label("Messages", "heading"))
        head.addStretch()
        head.addWidget(button("Clear all", notifications.clear, "quiet"))
        self._close = icon_button(theme.icon("x", "muted"), "Close messages", self.close_overlay)
        head.addWidget(self._close)
        content = QWidget()
        content.setProperty("role", "form")
        self._cards = QVBoxLayout(content)
        self._cards.setContentsMargins(0, 0, SPACE_S, 0)
        self._cards.setSpacing(SPACE_S)
        scroll = QScrollArea(widgetResizable=True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(content)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_S, SPACE_S, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addLayout(head)
        layout.addWidget(scroll, 1)
        notifications.posted.connect(self._on_posted)
        notifications.cleared.connect(self._on_cleared)

    def wanted_height(self, available: int) -> int:
        """The whole height."""
        return available

    def open(self) -> None:
        """Show all and count them as read."""
        super().open()
        self._fill()
        self._notifications.mark_read()
        self._close.setFocus(Qt.FocusReason.OtherFocusReason)

    def _on_posted(self, _notice: Notice) -> None:
        if self.isVisible():
            self._fill()
            self._notifications.mark_read()

    def _on_cleared(self) -> None:
        if self.isVisible():
            self._fill()

    def _fill(self) -> None:
        while (item := self._cards.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.hide()
                widget.deleteLater()
        for notice in self._notifications.notices[:SHOWN]:
            self._cards.addWidget(_card(self._theme, notice, None, self.close_overlay))
        if not self._notifications.notices:
            self._cards.addWidget(label("There are no messages.", "muted"))
        self._cards.addStretch()
