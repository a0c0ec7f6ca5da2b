"""The keys that work on the current page (F1)."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import QGridLayout, QHBoxLayout, QScrollArea, QVBoxLayout, QWidget

from desktop.actions import Actions
from desktop.shell.overlay import Overlay
from desktop.theme import SPACE_L, SPACE_M, SPACE_S, SPACE_XL, Theme
from desktop.widgets.parts import icon_button, label


class KeysOverlay(Overlay):
    """Two columns: this page's keys, and those that work everywhere."""

    def __init__(self, parent: QWidget, theme: Theme, actions: Actions) -> None:
        super().__init__(parent, "centre", 760)
        self.setAccessibleName("Keys of this page")
        self._actions = actions
        self._title = label("", "heading")
        self._close = icon_button(theme.icon("x", "muted"), "Close", self.close_overlay)
        head = QHBoxLayout()
        head.addWidget(self._title)
        head.addStretch()
        head.addWidget(self._close)
        self._scroll = QScrollArea(widgetResizable=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_S, SPACE_S, SPACE_L)
        layout.addLayout(head)
        layout.addWidget(self._scroll, 1)

    def open_for(self, workspace: str, title: str) -> None:
        """Show the keys that work on ``workspace``."""
        self._title.setText(f"Keys of {title}")
        rows = [row for row in self._actions.all(workspace) if self._actions.shortcut(row.id)]
        content = QWidget()
        content.setProperty("role", "form")
        columns = QHBoxLayout(content)
        columns.setContentsMargins(0, SPACE_S, SPACE_S, 0)
        columns.setSpacing(SPACE_XL)
        own = [row for row in rows if row.workspace is not None]
        for heading, part in ((title, own), ("Everywhere", [r for r in rows if r not in own])):
            if not part:
                continue
            grid = QGridLayout()
            grid.setHorizontalSpacing(SPACE_M)
            grid.setVerticalSpacing(SPACE_S)
            grid.addWidget(label(heading, "heading"), 0, 0, 1, 2)
            for number, row in enumerate(part, start=1):
                sequence = QKeySequence(self._actions.shortcut(row.id))
                keys = sequence.toString(QKeySequence.SequenceFormat.NativeText)
                grid.addWidget(label(keys, "muted"), number, 0)
                grid.addWidget(label(row.title), number, 1)
            grid.setColumnMinimumWidth(0, 110)
            grid.setColumnStretch(1, 1)
            grid.setRowStretch(len(part) + 1, 1)
            columns.addLayout(grid, 1)
        self._scroll.setWidget(content)
        self._wanted = content.sizeHint().height() + 80
        self.open()
        self._close.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def wanted_height(self, available: int) -> int:
        """As high as the longer column."""
        return min(available, self._wanted)
