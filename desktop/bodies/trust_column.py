"""A column of bars: how sure the recovery is of each joint."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRectF, Qt
from PySide6.QtGui import QColor, QPainter, QPalette
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem, QTableWidgetItem

from desktop.theme import Theme

DOUBT = Qt.ItemDataRole.UserRole + 1
FULL_DOUBT = 0.2
"""Metres at which the bar is empty."""

_SURE, _UNSURE = 0.7, 0.4
_BAR_HEIGHT = 6.0
_BAR_SHARE = 0.4


def trust_of(doubt: float) -> float:
    """1 for a joint that is right, 0 for one that is off by :data:`FULL_DOUBT` or more."""
    return max(0.0, 1 - doubt / FULL_DOUBT)


def trust_item(doubt: float, guessed: bool) -> QTableWidgetItem:
    """A cell: the bar is painted, its words are read out and sorted by nobody."""
    words = f"±{100 * doubt:.0f} cm" + (", filled in" if guessed else "")
    item = QTableWidgetItem("filled in" if guessed else f"±{100 * doubt:.0f} cm")
    item.setData(DOUBT, doubt)
    item.setData(Qt.ItemDataRole.AccessibleTextRole, f"trust {trust_of(doubt):.0%}, {words}")
    item.setToolTip(
        "It was not seen: it is where it plausibly is."
        if guessed
        else f"The pose is {100 * doubt:.0f} cm apart from what was seen: that is held for error."
    )
    return item


class TrustDelegate(QStyledItemDelegate):
    """Paints the bar left of the words, green, amber or red."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        doubt = index.data(DOUBT)
        if doubt is None:
            super().paint(painter, option, index)
            return
        room = option.rect  # type: ignore[attr-defined]
        width = room.width() * _BAR_SHARE
        blank = QStyleOptionViewItem(option)
        painter.save()
        painter.setPen(blank.palette.color(QPalette.ColorRole.Text))  # type: ignore[attr-defined]
        middle = Qt.AlignmentFlag.AlignVCenter | Qt.AlignmentFlag.AlignLeft
        painter.drawText(room.adjusted(round(width) + 2, 0, 0, 0), middle, str(index.data()))
        painter.restore()
        trust, tokens = trust_of(float(doubt)), self._theme.tokens
        colour = tokens.good if trust > _SURE else tokens.warn if trust > _UNSURE else tokens.bad
        bar = QRectF(room.left() + 4, room.center().y() - _BAR_HEIGHT / 2, width - 10, _BAR_HEIGHT)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(tokens.border))
        painter.drawRoundedRect(bar, 3, 3)
        painter.setBrush(QColor(colour))
        bar.setWidth(max(bar.width() * trust, 2.0))
        painter.drawRoundedRect(bar, 3, 3)
        painter.restore()
