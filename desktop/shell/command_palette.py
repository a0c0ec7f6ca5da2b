"""Find any action by typing some of its letters (Ctrl+K)."""

from __future__ import annotations

from PySide6.QtCore import (
    QAbstractListModel,
    QEvent,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QRect,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QKeyEvent, QKeySequence, QPainter
from PySide6.QtWidgets import (
    QLineEdit,
    QListView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from desktop.actions import Actions, Definition
from desktop.shell.overlay import Overlay
from desktop.theme import SPACE_M, SPACE_S, Theme

ROW_HEIGHT = 34
ROWS = 11

Index = QModelIndex | QPersistentModelIndex


def fuzzy_score(query: str, text: str) -> float | None:
    """How well ``query`` abbreviates ``text``; None when its letters do not occur in this order.

    Runs of neighbouring letters and starts of words count more, gaps and long texts less.
    """
    letters, target = query.casefold().replace(" ", ""), text.casefold()
    if not letters:
        return 0.0
    best: float | None = None
    for start, character in enumerate(target):
        if character != letters[0]:
            continue
        score, at, previous = 0.0, start, -2
        for letter in letters:
            found = target.find(letter, at)
            if found < 0:
                break
            begins_word = found == 0 or not target[found - 1].isalnum()
            score += 3.0 if found == previous + 1 else (2.5 if begins_word else 1.0)
            score -= 0.05 * (found - at)
            previous, at = found, found + 1
        else:
            score -= 0.02 * len(target) + 0.01 * start
            best = score if best is None else max(best, score)
    return best


def search(query: str, rows: list[Definition]) -> list[Definition]:
    """Rows whose title or tip fits the query, best first; all in table order without a query."""
    scored = []
    for place, row in enumerate(rows):
        title, tip = fuzzy_score(query, row.title), fuzzy_score(query, row.tip)
        scores = [title] if tip is None else [title, tip - 3.0]
        known = [score for score in scores if score is not None]
        if known:
            scored.append((-max(known), place, row))
    return [row for _, _, row in sorted(scored, key=lambda item: item[:2])]


class _Model(QAbstractListModel):
    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.rows: list[Definition] = []

    def show(self, rows: list[Definition]) -> None:
        self.beginResetModel()
        self.rows = rows
        self.endResetModel()

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> object:
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
            return self.rows[index.row()].title
        return None


class _Delegate(QStyledItemDelegate):
    """Icon, title, what it does, and the keys at the right."""

    def __init__(self, theme: Theme, actions: Actions, model: _Model) -> None:
        super().__init__(model)
        self._theme, self._actions, self._model = theme, actions, model

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(200, ROW_HEIGHT)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        row = self._model.rows[index.row()]
        action = self._actions.action(row.id)
        enabled = action.isEnabled()
        tokens = self._theme.tokens
        painter.save()
        if option.state & QStyle.StateFlag.State_Selected:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(tokens.hover))
            painter.drawRoundedRect(option.rect, 5, 5)
        inner = option.rect.adjusted(SPACE_S, 0, -SPACE_M, 0)
        icon = QRect(inner.left(), inner.center().y() - 8, 18, 18)
        if row.icon:
            self._theme.icon(row.icon, "muted").paint(painter, icon)
        text = inner.adjusted(18 + SPACE_M, 0, 0, 0)
        keys = action.shortcut().toString(QKeySequence.SequenceFormat.NativeText)
        centre = Qt.AlignmentFlag.AlignVCenter
        painter.setPen(QColor(tokens.muted))
        painter.drawText(text, centre | Qt.AlignmentFlag.AlignRight, keys)
        if keys:
            text.setRight(text.right() - option.fontMetrics.horizontalAdvance(keys) - SPACE_M)
        painter.setPen(QColor(tokens.text if enabled else tokens.disabled))
        painter.drawText(text, centre, row.title)
        used = option.fontMetrics.horizontalAdvance(row.title) + SPACE_M
        rest = text.adjusted(used, 0, 0, 0)
        if row.tip and rest.width() > 60:
            painter.setPen(QColor(tokens.muted if enabled else tokens.disabled))
            tip = option.fontMetrics.elidedText(row.tip, Qt.TextElideMode.ElideRight, rest.width())
            painter.drawText(rest, centre, tip)
        painter.restore()


class CommandPalette(Overlay):
    """A line to type in and the actions that fit; Enter runs the chosen one."""

    def __init__(self, parent: QWidget, theme: Theme, actions: Actions) -> None:
        super().__init__(parent, "top", 600)
        self.setAccessibleName("Find an action")
        self._actions = actions
        self._workspace = ""
        self._line = QLineEdit(placeholderText="Find an action…", clearButtonEnabled=True)
        self._line.setAccessibleName("Find an action")
        self._line.installEventFilter(self)
        self._model = _Model(self)
        self._list = QListView(uniformItemSizes=True)
        self._list.setModel(self._model)
        self._list.setItemDelegate(_Delegate(theme, actions, self._model))
        self._list.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._list.setStyleSheet("QListView { background: transparent; }")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_S, SPACE_S, SPACE_S, SPACE_S)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self._line)
        layout.addWidget(self._list, 1)
        self._line.textChanged.connect(self._search)
        self._list.clicked.connect(lambda index: self._run(index.row()))

    @property
    def found(self) -> list[Definition]:
        """What the list shows."""
        return list(self._model.rows)

    def open_for(self, workspace: str) -> None:
        """Show the actions that work on ``workspace``."""
        self._workspace = workspace
        self._line.clear()
        self._search("")
        self.open()
        self._line.setFocus(Qt.FocusReason.ShortcutFocusReason)

    def type(self, text: str) -> None:
        """Put text into the line."""
        self._line.setText(text)

    def accept(self) -> None:
        """Run the chosen action."""
        self._run(self._list.currentIndex().row())

    def wanted_height(self, available: int) -> int:
        """The line and up to eleven rows; the list scrolls."""
        rows = max(1, min(ROWS, self._model.rowCount()))
        return min(available, rows * ROW_HEIGHT + self._line.sizeHint().height() + 3 * SPACE_S + 2)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The line's arrow keys move in the list; Enter runs; Esc closes."""
        if watched is not self._line or not isinstance(event, QKeyEvent):
            return super().eventFilter(watched, event)
        key = event.key()
        known = {
            Qt.Key.Key_Down: lambda: self._move(1),
            Qt.Key.Key_Up: lambda: self._move(-1),
            Qt.Key.Key_PageDown: lambda: self._move(ROWS),
            Qt.Key.Key_PageUp: lambda: self._move(-ROWS),
            Qt.Key.Key_Return: self.accept,
            Qt.Key.Key_Enter: self.accept,
            Qt.Key.Key_Escape: self.close_overlay,
        }
        if key not in known:
            return super().eventFilter(watched, event)
        if event.type() == QEvent.Type.ShortcutOverride:
            event.accept()
            return True
        if event.type() == QEvent.Type.KeyPress:
            known[Qt.Key(key)]()
            return True
        return super().eventFilter(watched, event)

    def _search(self, text: str) -> None:
        rows = [
            row
            for row in self._actions.all(self._workspace)
            if self._actions.action(row.id).isVisible()
        ]
        found = search(text, [row for row in rows if row.id != "palette.open"])
        found.sort(key=lambda row: not self._actions.action(row.id).isEnabled())
        self._model.show(found)
        self._move(0)
        if self.isVisible():
            self.place()

    def _move(self, by: int) -> None:
        count = self._model.rowCount()
        if count:
            row = max(0, min(count - 1, max(0, self._list.currentIndex().row()) + by))
            self._list.setCurrentIndex(self._model.index(row))

    def _run(self, row: int) -> None:
        if 0 <= row < self._model.rowCount():
            action = self._actions.action(self._model.rows[row].id)
            if action.isEnabled():
                self.close_overlay()
                action.trigger()
