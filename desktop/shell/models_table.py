"""The table of the Models page: two lines a cell, the second one quieter."""

from __future__ import annotations

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, Qt, Signal
from PySide6.QtGui import QColor, QPainter, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableView,
    QWidget,
)

from desktop.shell.models_model import KIND, LICENCE, MODEL, SIZE, STATE, USED, ModelsModel
from desktop.theme import SPACE_S, Theme, tabular

ICON = 18
PADDING = 11  # as the header's sections
# Columns that narrower tables go without; the right side has all of it.
NEEDED_WIDTHS = ((USED, 720), (LICENCE, 620))


class _TwoLines(QStyledItemDelegate):
    """Paints both lines of a cell, each shortened to its room."""

    def __init__(self, theme: Theme, parent: QWidget) -> None:
        super().__init__(parent)
        self._theme = theme

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        first, _, second = str(index.data() or "").partition("\n")
        bare = QStyleOptionViewItem(option)
        self.initStyleOption(bare, index)
        icon = bare.icon
        bare.text = ""
        bare.features &= ~QStyleOptionViewItem.ViewItemFeature.HasDecoration
        style = option.widget.style()
        style.drawControl(QStyle.ControlElement.CE_ItemViewItem, bare, painter, option.widget)
        area = option.rect.adjusted(PADDING, 0, -SPACE_S, 0)
        if not icon.isNull():
            box = QRect(area.left(), area.center().y() - ICON // 2, ICON, ICON)
            icon.paint(painter, box)
            area.setLeft(box.right() + SPACE_S)
        height = option.fontMetrics.height()
        # On the selection's ground, muted text would be too faint.
        quiet = "text" if option.state & QStyle.StateFlag.State_Selected else "muted"
        lines = [(first, "text"), (second, quiet)] if second else [(first, "text")]
        top = area.center().y() - height * len(lines) // 2
        painter.save()
        painter.setFont(option.font)
        for text, role in lines:
            line = QRect(area.left(), top, area.width(), height)
            painter.setPen(QColor(self._theme.color(role)))
            shown = option.fontMetrics.elidedText(text, Qt.TextElideMode.ElideRight, line.width())
            painter.drawText(line, Qt.AlignmentFlag.AlignVCenter, shown)
            top += height
        painter.restore()


class ModelsTable(QTableView):
    """One model is chosen at a time, by mouse or arrow keys; Return uses it.

    Attributes
    ----------
    chosen
        Another model is chosen.
    """

    chosen = Signal()

    def __init__(self, theme: Theme, model: ModelsModel) -> None:
        super().__init__()
        self._model = model
        self.setModel(model)
        self.setAccessibleName("Installed models")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setShowGrid(False)
        self.setWordWrap(False)
        self.setTabKeyNavigation(False)
        self.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.setFont(tabular(self.font()))
        self.setItemDelegate(_TwoLines(theme, self))
        self.verticalHeader().hide()
        self._row_height = 2 * self.fontMetrics().height() + 2 * SPACE_S
        self.verticalHeader().setDefaultSectionSize(self._row_height)
        header = self.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        for stretched in (MODEL, KIND, LICENCE):
            header.setSectionResizeMode(stretched, QHeaderView.ResizeMode.Stretch)
        for column, width in ((SIZE, 110), (USED, 82), (STATE, 138)):
            header.resizeSection(column, width)
        self.selectionModel().selectionChanged.connect(lambda _new, _old: self.chosen.emit())

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Leave columns out rather than squeeze all."""
        for column, width in NEEDED_WIDTHS:
            self.setColumnHidden(column, event.size().width() < width)
        super().resizeEvent(event)

    def chosen_row(self) -> int | None:
        """Row of the chosen model."""
        rows = self.selectionModel().selectedRows()
        return rows[0].row() if rows else None

    def choose(self, name: str) -> None:
        """Choose a model by its name."""
        row = self._model.row_of(name)
        if row is None:
            self.clearSelection()
        elif row != self.chosen_row():
            self.setCurrentIndex(self._model.index(row, 0))

    def set_compact(self, compact: bool) -> None:
        """Take no more height than the rows need, so that something can stand below."""
        rows = self._model.rowCount() * self._row_height + self.horizontalHeader().sizeHint().height()
        self.setMaximumHeight(rows if compact else 16_777_215)
