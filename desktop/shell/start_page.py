"""What is shown while no project is open: opening, or why it could not be opened and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtWidgets import QStackedLayout, QWidget

from desktop.theme import Theme
from desktop.widgets.parts import EmptyState, button
from engine.errors import EngineError


class StartPage(QWidget):
    """Never a traceback: a sentence and two buttons."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._layout = QStackedLayout(self)
        self._state: EmptyState | None = None

    @property
    def text(self) -> str:
        """What is said now."""
        return f"{self._state.title.text()} {self._state.text.text()}" if self._state else ""

    def say(self, title: str, folder: Path) -> None:
        """A project is being opened or closed."""
        self._show(EmptyState(self._theme, "hourglass", title, str(folder)))

    def explain(
        self, error: EngineError, retry: Callable[[], object], choose: Callable[[], object]
    ) -> None:
        """A project could not be opened."""
        self._show(
            EmptyState(
                self._theme,
                "warning-circle",
                "The project could not be opened",
                f"{error.message}\n\n{error.hint}".strip(),
                (button("Open another folder…", choose, "primary"), button("Try again", retry)),
                role="bad",
            )
        )

    def _show(self, state: EmptyState) -> None:
        old, self._state = self._state, state
        self._layout.addWidget(state)
        self._layout.setCurrentWidget(state)
        if old is not None:
            self._layout.removeWidget(old)
            old.deleteLater()
