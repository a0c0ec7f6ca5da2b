"""Small building blocks in the application's look."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QEvent, QSize, Qt
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from desktop.theme import SPACE_L, SPACE_M, SPACE_S, Theme
from desktop.widgets.icon_label import IconLabel

ICON = QSize(18, 18)
ICON_BESIDE_TEXT = QSize(24, 18)  # wider than the glyph: Qt leaves too small a gap before the text
TEXT_WIDTH = 460


def percent(share: float, digits: int = 0) -> str:
    """A share to read: ``50 %``."""
    return f"{100 * share:.{digits}f} %"


def label(text: str, role: str = "", *, wrap: bool = False, selectable: bool = False) -> QLabel:
    """A label; ``role`` is ``title``, ``heading``, ``muted``, ``good``, ``warn`` or ``bad``."""
    result = QLabel(text)
    result.setTextFormat(Qt.TextFormat.PlainText)
    result.setProperty("role", role)
    result.setWordWrap(wrap)
    if selectable:
        result.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
    return result


def button(
    title: str, pressed: Callable[[], object], role: str = "", icon: QIcon | None = None
) -> QPushButton:
    """A push button; ``role`` is ``primary`` or ``quiet``."""
    result = QPushButton(title)
    result.setProperty("role", role)
    result.setAutoDefault(False)
    if icon is not None:
        result.setIcon(icon)
        result.setIconSize(ICON_BESIDE_TEXT)
    result.clicked.connect(lambda _checked=False: pressed())
    return result


def icon_button(icon: QIcon, name: str, pressed: Callable[[], object] | None = None) -> QToolButton:
    """A button that shows an icon only; ``name`` is its tool tip and its accessible name."""
    result = QToolButton()
    result.setIcon(icon)
    result.setIconSize(ICON)
    result.setToolTip(name)
    result.setAccessibleName(name)
    result.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    if pressed is not None:
        result.clicked.connect(lambda _checked=False: pressed())
    return result


def line(vertical: bool = False) -> QFrame:
    """A hairline between groups."""
    result = QFrame()
    result.setProperty("role", "line")
    if vertical:
        result.setFixedWidth(1)
    else:
        result.setFixedHeight(1)
    return result


class EmptyState(QWidget):
    """Shown where there is nothing yet: an icon, a title, a sentence, perhaps buttons."""

    def __init__(
        self,
        theme: Theme,
        icon: str,
        title: str,
        text: str,
        buttons: tuple[QPushButton, ...] = (),
        role: str = "muted",
    ) -> None:
        super().__init__()
        self.title = label(title, "title")
        self.title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.title.setWordWrap(True)
        self.text = label(text, "muted", wrap=True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.text.setFixedWidth(TEXT_WIDTH)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_L, SPACE_L, SPACE_L, SPACE_L)
        layout.setSpacing(SPACE_M)
        layout.addStretch(2)
        layout.addWidget(IconLabel(theme.icon(icon, role), 56), 0, Qt.AlignmentFlag.AlignHCenter)
        layout.addWidget(self.title)
        layout.addWidget(self.text, 0, Qt.AlignmentFlag.AlignHCenter)
        if buttons:
            row = QHBoxLayout()
            row.setSpacing(SPACE_S)
            row.addStretch()
            for item in buttons:
                row.addWidget(item)
            row.addStretch()
            layout.addLayout(row)
        layout.addStretch(3)

    def event(self, event: QEvent) -> bool:
        """Give the text the height it needs at its width: a centred label does not ask for it."""
        if event.type() in (QEvent.Type.Polish, QEvent.Type.FontChange, QEvent.Type.Show):
            self.text.setFixedHeight(self.text.heightForWidth(TEXT_WIDTH))
        return super().event(event)
