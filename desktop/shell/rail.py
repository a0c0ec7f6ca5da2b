"""The bar on the left that switches pages."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QButtonGroup, QFrame, QSizePolicy, QToolButton, QVBoxLayout

from desktop.actions import Actions
from desktop.theme import SPACE_S, SPACE_XS, Theme

WORKSPACES = ("images", "bodies", "tracks", "adapt")
TOOLS = ("models", "queue", "settings")
WIDTH = 76


class Rail(QFrame):
    """One button a page; arrow keys move between them.

    Attributes
    ----------
    chosen
        Name of the page whose button was pressed.
    """

    chosen = Signal(str)

    def __init__(self, theme: Theme, actions: Actions) -> None:
        super().__init__()
        self.setProperty("role", "rail")
        self.setAccessibleName("Workspaces")
        self.setFixedWidth(WIDTH)
        self._theme = theme
        self._rows = {row.id: row for row in actions.all()}
        self._buttons: dict[str, QToolButton] = {}
        self._group = QButtonGroup(self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_XS + 2, SPACE_S, SPACE_XS + 2, SPACE_S)
        layout.setSpacing(SPACE_XS)
        for name in WORKSPACES:
            layout.addWidget(self._button(name, actions))
        layout.addStretch()
        for name in TOOLS:
            layout.addWidget(self._button(name, actions))

    def select(self, name: str) -> None:
        """Show a page as the current one, without emitting :attr:`chosen`."""
        self._buttons[name].setChecked(True)
        for other, item in self._buttons.items():
            row = self._rows[f"page.{other}"]
            role = "muted" if other != name else (other if other in WORKSPACES else "text")
            item.setIcon(self._theme.icon(row.icon, role))

    def _button(self, name: str, actions: Actions) -> QToolButton:
        row = self._rows[f"page.{name}"]
        result = QToolButton()
        result.setText(row.title)
        result.setIcon(self._theme.icon(row.icon, "muted"))
        result.setIconSize(QSize(24, 24))
        result.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextUnderIcon)
        result.setCheckable(True)
        result.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        result.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        result.setProperty("role", "rail")
        result.setProperty("workspace", name)
        result.setAccessibleName(row.title)
        result.setToolTip(actions.action(row.id).toolTip())
        result.clicked.connect(lambda _checked=False, name=name: self.chosen.emit(name))
        self._group.addButton(result)
        self._buttons[name] = result
        return result
