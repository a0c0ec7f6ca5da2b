"""A list view of equal cells in rows, whose geometry is arithmetic.

Qt's own view walks through all items to lay them out, 300 ms for a hundred thousand; here nothing
depends on their number but the scroll bar.
"""

from __future__ import annotations

import math

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QModelIndex,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
)
from PySide6.QtGui import QColor, QDrag, QPainter, QPaintEvent, QPixmap, QRegion, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyle, QStyleOptionViewItem

MARGIN = 8
DRAGGED_SHOWN = 3

Index = QModelIndex | QPersistentModelIndex


class StripView(QListView):
    """Equal cells, left to right, then down.

    Parameters
    ----------
    cell
        Edge of a cell, in logical pixels.
    """

    def __init__(self, cell: int) -> None:
        super().__init__()
        self._cell = cell
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setDragEnabled(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragOnly)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setMouseTracking(True)
        self.viewport().setAttribute(Qt.WidgetAttribute.WA_Hover)

    # --- geometry ---------------------------------------------------------------------------------

    @property
    def columns(self) -> int:
        """Cells in a row."""
        return max(1, (self.viewport().width() - 2 * MARGIN) // self._cell)

    def _count(self) -> int:
        return self.model().rowCount() if self.model() is not None else 0

    def _cell_rect(self, row: int) -> QRect:
        line, column = divmod(row, self.columns)
        top = line * self._cell - self.verticalOffset()
        left = self._column_left(column)
        return QRect(left, top, self._column_left(column + 1) - left, self._cell)

    def _column_left(self, column: int) -> int:
        # Full rows fill the width, so that both margins are the same.
        width = max(self.columns * self._cell, self.viewport().width() - 2 * MARGIN)
        return MARGIN + column * width // self.columns

    def _column_at(self, x: int) -> int:
        """The column at a horizontal position; -1 left and ``columns`` right of all."""
        edges = (self._column_left(column) for column in range(self.columns + 1))
        return sum(edge <= x for edge in edges) - 1

    def _rows_in(self, area: QRect) -> range:
        """Rows whose cells may touch an area of the viewport."""
        first = max(0, (area.top() + self.verticalOffset()) // self._cell)
        last = max(0, (area.bottom() + self.verticalOffset()) // self._cell)
        return range(
            min(self._count(), first * self.columns), min(self._count(), (last + 1) * self.columns)
        )

    def visualRect(self, index: Index) -> QRect:
        return self._cell_rect(index.row()) if index.isValid() else QRect()

    def indexAt(self, point: QPoint) -> QModelIndex:
        column = self._column_at(point.x())
        if not 0 <= column < self.columns:
            return QModelIndex()
        row = (point.y() + self.verticalOffset()) // self._cell * self.columns + column
        return self.model().index(row, 0) if 0 <= row < self._count() else QModelIndex()

    def horizontalOffset(self) -> int:
        return 0

    def verticalOffset(self) -> int:
        return self.verticalScrollBar().value()

    def isIndexHidden(self, index: Index) -> bool:
        return False

    def scrollTo(
        self,
        index: Index,
        hint: QAbstractItemView.ScrollHint = QAbstractItemView.ScrollHint.EnsureVisible,
    ) -> None:
        rect = self.visualRect(index)
        bar, height = self.verticalScrollBar(), self.viewport().height()
        if rect.top() < 0 or rect.height() > height:
            bar.setValue(bar.value() + rect.top())
        elif rect.bottom() >= height:
            bar.setValue(bar.value() + rect.bottom() - height + 1)

    def doItemsLayout(self) -> None:
        self.updateGeometries()
        self.viewport().update()

    def updateGeometries(self) -> None:
        lines = math.ceil(self._count() / self.columns)
        height = self.viewport().height()
        bar = self.verticalScrollBar()
        bar.setPageStep(height)
        bar.setSingleStep(self._cell // 3)
        bar.setRange(0, max(0, lines * self._cell - height))

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.updateGeometries()

    def sizeHint(self) -> QSize:
        return QSize(6 * self._cell, self._cell)

    # --- selection and keys -----------------------------------------------------------------------

    def moveCursor(
        self, action: QAbstractItemView.CursorAction, modifiers: Qt.KeyboardModifier
    ) -> QModelIndex:
        last = self._count() - 1
        if last < 0:
            return QModelIndex()
        if not self.currentIndex().isValid():
            return self.model().index(0, 0)
        page = max(1, self.viewport().height() // self._cell) * self.columns
        go = QAbstractItemView.CursorAction
        at = self.currentIndex().row()
        moved = {
            go.MoveLeft: at - 1,
            go.MovePrevious: at - 1,
            go.MoveRight: at + 1,
            go.MoveNext: at + 1,
            go.MoveUp: at - self.columns if at >= self.columns else at,
            go.MoveDown: at + self.columns if at // self.columns < last // self.columns else at,
            go.MovePageUp: at - page,
            go.MovePageDown: at + page,
            go.MoveHome: 0,
            go.MoveEnd: last,
        }[action]
        return self.model().index(min(last, max(0, moved)), 0)

    def setSelection(self, rect: QRect, command: QItemSelectionModel.SelectionFlag) -> None:
        area = rect.normalized()
        selection = QItemSelection()
        if self._is_click(rect):
            index = self.indexAt(rect.topLeft())
            if index.isValid():
                selection.select(index, index)
        else:
            # As in text: everything from the first cell to the last one.
            first = self._nearest(rect.topLeft()), self._nearest(rect.bottomRight())
            touched = [row for row in first if row >= 0]
            if touched and self._rows_in(area):
                top, bottom = self.model().index(min(touched), 0), self.model().index(max(touched), 0)
                selection.select(top, bottom)
        self.selectionModel().select(selection, command)

    @staticmethod
    def _is_click(rect: QRect) -> bool:
        return abs(rect.width()) <= 1 and abs(rect.height()) <= 1

    def _nearest(self, point: QPoint) -> int:
        column = min(self.columns - 1, max(0, self._column_at(point.x())))
        line = max(0, (point.y() + self.verticalOffset()) // self._cell)
        return min(self._count() - 1, line * self.columns + column)

    def visualRegionForSelection(self, selection: QItemSelection) -> QRegion:
        return QRegion(self.viewport().rect())

    # --- painting and dragging --------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self.viewport()) as painter:
            option = QStyleOptionViewItem()
            self.initViewItemOption(option)
            flags = QStyle.StateFlag
            base = option.state & ~(flags.State_HasFocus | flags.State_MouseOver | flags.State_Selected)
            pointer = self.viewport().mapFromGlobal(self.cursor().pos())
            hovered = self.indexAt(pointer).row() if self.viewport().underMouse() else -1
            current = self.currentIndex().row() if self.hasFocus() else -1
            chosen = self.selectionModel()
            for row in self._rows_in(event.rect()):
                index = self.model().index(row, 0)
                option.rect = self._cell_rect(row)
                state = base
                if chosen.isSelected(index):
                    state |= flags.State_Selected
                if row == hovered:
                    state |= flags.State_MouseOver
                if row == current:
                    state |= flags.State_HasFocus
                option.state = state
                self.itemDelegate().paint(painter, option, index)

    def startDrag(self, actions: Qt.DropAction) -> None:
        indexes = self.selectedIndexes()
        data = self.model().mimeData(indexes) if indexes else None
        if data is None or not data.urls():
            return
        drag = QDrag(self)
        drag.setMimeData(data)
        drag.setPixmap(self._drag_pixmap(indexes[:DRAGGED_SHOWN]))
        drag.exec(actions, Qt.DropAction.CopyAction)

    def _drag_pixmap(self, indexes: list[QModelIndex]) -> QPixmap:
        """The first pictures as a small pile."""
        ratio, shift = self.devicePixelRatioF(), 10
        edge = self._cell + shift * (len(indexes) - 1)
        pixmap = QPixmap(QSize(edge, edge) * ratio)
        pixmap.setDevicePixelRatio(ratio)
        pixmap.fill(QColor(0, 0, 0, 0))
        with QPainter(pixmap) as painter:
            painter.setOpacity(0.85)
            option = QStyleOptionViewItem()
            self.initViewItemOption(option)
            for place, index in reversed(list(enumerate(indexes))):
                option.rect = QRect(place * shift, place * shift, self._cell, self._cell)
                self.itemDelegate().paint(painter, option, index)
        return pixmap
