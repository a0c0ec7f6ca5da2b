"""Messages that need an answer, in the page instead of in a dialog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from PySide6.QtWidgets import QFrame, QHBoxLayout, QVBoxLayout, QWidget

from desktop.shell.notifications import Level, NoticeAction
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, Theme
from desktop.widgets.icon_label import IconLabel
from desktop.widgets.parts import button, icon_button, label

LEVEL_ICONS = {
    "info": ("info", "muted"),
    "success": ("check-circle", "good"),
    "warning": ("warning", "warn"),
    "error": ("warning-circle", "bad"),
}


class Banners(QWidget):
    """A stack of questions at the top of the window, at most one for each ``key``."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._banners: dict[str, QFrame] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(0)
        self.hide()

    def ask(self, key: str, level: Level, text: str, answers: Sequence[NoticeAction]) -> None:
        """Show a question. Every answer, and the cross, takes it away again."""
        self.withdraw(key)
        banner = QFrame()
        banner.setProperty("role", "banner")
        banner.setAccessibleName(text)
        row = QHBoxLayout(banner)
        row.setContentsMargins(SPACE_L, SPACE_S, SPACE_S, SPACE_S)
        row.setSpacing(SPACE_M)
        name, role = LEVEL_ICONS[level]
        row.addWidget(IconLabel(self._theme.icon(name, role), 20))
        row.addWidget(label(text, wrap=True), 1)
        for index, (title, callback) in enumerate(answers):
            answer = partial(self._answer, key, callback)
            row.addWidget(button(title, answer, "primary" if index == 0 else ""))
        row.addWidget(
            icon_button(self._theme.icon("x", "muted"), "Decide later", lambda: self.withdraw(key))
        )
        self._banners[key] = banner
        self._layout.addWidget(banner)
        self.show()

    def _answer(self, key: str, callback: Callable[[], object]) -> None:
        self.withdraw(key)
        callback()

    def asks(self, key: str) -> bool:
        """Whether this question is shown."""
        return key in self._banners

    def text(self, key: str) -> str:
        """What is asked."""
        return self._banners[key].accessibleName() if key in self._banners else ""

    def withdraw(self, key: str) -> None:
        """Take a question away unanswered."""
        banner = self._banners.pop(key, None)
        if banner is not None:
            self._layout.removeWidget(banner)
            banner.hide()
            banner.deleteLater()
        self.setVisible(bool(self._banners))

    def clear(self) -> None:
        """Take all questions away."""
        for key in list(self._banners):
            self.withdraw(key)
