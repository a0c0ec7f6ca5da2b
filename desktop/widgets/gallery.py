"""The strip of results: thumbnails, ratings, filters and selection, for a hundred thousand of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import (
    QItemSelection,
    QItemSelectionModel,
    QPoint,
    QRect,
    QRectF,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QAction, QColor, QDragEnterEvent, QDropEvent, QPainter, QPainterPath, QPen
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QStyle,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QVBoxLayout,
    QWidget,
)

from desktop.theme import SPACE_M, SPACE_S, tabular
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.gallery_model import GalleryModel, Index, RecordRole, Results
from desktop.widgets.strip_view import StripView
from engine.project import ResultFilter, ResultRecord

if TYPE_CHECKING:
    from desktop.theme import Theme

CELL = 104
PICTURE = 92
BADGE = 16
FILTER_DELAY_MS = 150
RATINGS: tuple[tuple[str, dict[str, object]], ...] = (
    ("All ratings", {}),
    ("Starred", {"starred": True}),
    ("Liked", {"liked": 1}),
    ("Disliked", {"liked": -1}),
    ("Not rated", {"liked": 0}),
)


class ThumbnailDelegate(QStyledItemDelegate):
    """Paints one result: picture, selection frame, star and thumb."""

    def __init__(self, model: GalleryModel, theme: Theme, workspace: str, parent: QWidget) -> None:
        super().__init__(parent)
        self._model = model
        self._theme = theme
        self._workspace = workspace
        # Rated pictures carry a filled mark on a dark disc, legible on any picture.
        self._marks = {
            "star": theme.icon("star-fill", "#ffd166"),
            "like": theme.icon("thumbs-up-fill", "#7ee2a8"),
            "dislike": theme.icon("thumbs-down-fill", "#ff9d96"),
        }
        self._broken = theme.icon("file-x", "muted")

    def sizeHint(self, option: QStyleOptionViewItem, index: Index) -> QSize:
        return QSize(CELL, CELL)

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        record: ResultRecord = index.data(RecordRole)
        cell = QRectF(option.rect)
        frame = QRectF(0, 0, PICTURE, PICTURE)
        frame.moveCenter(cell.center())
        state = option.state
        tokens = self._theme.tokens
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        clip = QPainterPath()
        clip.addRoundedRect(frame, 5, 5)
        picture = self._model.thumbnails.image(record.artifact.sha256, self._model.path(record.id))
        painter.fillPath(clip, QColor(tokens.raised))
        if picture is not None:
            scale = max(PICTURE / picture.width(), PICTURE / picture.height())
            target = QRectF(0, 0, picture.width() * scale, picture.height() * scale)
            target.moveCenter(frame.center())
            painter.setClipPath(clip)
            painter.drawImage(target, picture)
            painter.setClipping(False)
        elif self._model.thumbnails.is_broken(record.artifact.sha256):
            box = QRect(0, 0, 28, 28)
            box.moveCenter(frame.center().toPoint())
            self._broken.paint(painter, box)
        self._paint_marks(painter, frame, record)
        if state & QStyle.StateFlag.State_Selected:
            painter.setPen(QPen(QColor(self._theme.accent(self._workspace)), 2.5))
            painter.drawRoundedRect(frame.adjusted(-2.5, -2.5, 2.5, 2.5), 7, 7)
        elif state & (QStyle.StateFlag.State_MouseOver | QStyle.StateFlag.State_HasFocus):
            painter.setPen(QPen(QColor(tokens.muted), 1))
            painter.drawRoundedRect(frame.adjusted(-2, -2, 2, 2), 7, 7)
        painter.restore()

    def _paint_marks(self, painter: QPainter, frame: QRectF, record: ResultRecord) -> None:
        marks = [
            self._marks[name]
            for name, shown in (
                ("star", record.starred),
                ("like", record.liked > 0),
                ("dislike", record.liked < 0),
            )
            if shown
        ]
        x = frame.right() - 4 - BADGE
        for mark in marks:
            disc = QRectF(x, frame.top() + 4, BADGE, BADGE)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QColor(18, 18, 20, 205))
            painter.drawEllipse(disc)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            mark.paint(painter, disc.adjusted(3, 3, -3, -3).toAlignedRect())
            x -= BADGE + 3


def runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of each run of consecutive numbers in an increasing sequence."""
    found: list[tuple[int, int]] = []
    for row in rows:
        if found and found[-1][1] == row - 1:
            found[-1] = (found[-1][0], row)
        else:
            found.append((row, row))
    return found


class Gallery(QWidget):
    """Filter bar over the strip.

    Signals
    -------
    selection_changed(list)
        Ids of the selected results, newest first.
    activated(int)
        Double click or Return on a result.
    """

    selection_changed = Signal(list)
    activated = Signal(int)

    def __init__(
        self,
        results: Results,
        theme: Theme,
        workspace: str,
        kind: str | tuple[str, ...] | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._kind = kind
        self.setAcceptDrops(True)
        self._menu_actions: list[QAction | None] = []
        self._before_menu: Callable[[], None] | None = None
        self.model = GalleryModel(results, self)
        self.view = StripView(CELL)
        self.view.setAccessibleName("Results")
        self.view.setModel(self.model)
        self.view.setItemDelegate(ThumbnailDelegate(self.model, theme, workspace, self.view))
        self.view.customContextMenuRequested.connect(self._show_menu)
        self.view.activated.connect(lambda index: self.activated.emit(self.model.ids[index.row()]))
        self.view.selectionModel().selectionChanged.connect(self._emit_selection)
        self.model.modelReset.connect(self._emit_selection)
        for signal in (self.model.modelReset, self.model.rowsInserted, self.model.rowsRemoved):
            signal.connect(self._count)

        self.search = QLineEdit(placeholderText="Search prompt, model, seed")
        self.search.setClearButtonEnabled(True)
        self.search.setAccessibleName("Search results")
        self.search.addAction(
            theme.icon("magnifying-glass", "muted"), QLineEdit.ActionPosition.LeadingPosition
        )
        self.rating = QuietComboBox()
        self.rating.setAccessibleName("Filter by rating")
        for title, condition in RATINGS:
            self.rating.addItem(title, condition)
        self.models = QuietComboBox()
        self.models.setAccessibleName("Filter by model")
        self.models.addItem("All models", None)
        self.count = QLabel()
        self.count.setProperty("role", "muted")
        self.count.setFont(tabular(self.count.font()))
        self._delay = QTimer(self, singleShot=True, interval=FILTER_DELAY_MS)
        self._delay.timeout.connect(self.apply_filter)
        self.search.textChanged.connect(lambda: self._delay.start())
        self.rating.currentIndexChanged.connect(self.apply_filter)
        self.models.currentIndexChanged.connect(self.apply_filter)
        self._lay_out()
        self.apply_filter()

    def _lay_out(self) -> None:
        bar = QHBoxLayout()
        bar.setContentsMargins(SPACE_M, SPACE_S, SPACE_M, SPACE_S)
        bar.setSpacing(SPACE_S)
        self.search.setMaximumWidth(320)
        self.rating.setMinimumWidth(120)
        self.models.setMinimumWidth(120)
        bar.addWidget(self.search, 3)
        bar.addWidget(self.rating)
        bar.addWidget(self.models)
        bar.addStretch(1)
        bar.addWidget(self.count)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.view, 1)
        self.setMinimumHeight(CELL + 60)

    # --- filters ----------------------------------------------------------------------------------

    def set_models(self, names: Sequence[tuple[str, str]]) -> None:
        """Offer ``(name, title)`` of models in the filter; the chosen one stays chosen."""
        chosen = self.models.currentData()
        self.models.blockSignals(True)
        self.models.clear()
        self.models.addItem("All models", None)
        for name, title in names:
            self.models.addItem(title, name)
        self.models.setCurrentIndex(max(0, self.models.findData(chosen)))
        self.models.blockSignals(False)
        self.models.setVisible(len(names) > 1)

    def apply_filter(self) -> None:
        """Show what the filter bar asks for, now."""
        self._delay.stop()
        rating = dict(self.rating.currentData() or {})
        self.model.set_filter(
            ResultFilter(
                text=self.search.text().strip(),
                model=self.models.currentData(),
                kind=self._kind,
                **rating,
            )
        )
        self._count()

    def clear_filter(self) -> None:
        """Show everything again."""
        self.search.clear()
        self.rating.setCurrentIndex(0)
        self.models.setCurrentIndex(0)
        self.apply_filter()

    @property
    def filtered(self) -> bool:
        """Whether the filter bar may hide something."""
        return self.model.filter != ResultFilter(kind=self._kind)

    def _count(self) -> None:
        number = len(self.model.ids)
        selected = len(self.selected())
        text = f"{number:,} result{'' if number == 1 else 's'}"
        if selected > 1:
            text = f"{selected:,} of {number:,} selected"
        if not number:
            text = "Nothing matches" if self.filtered else "No results yet"
        self.count.setText(text)

    # --- selection --------------------------------------------------------------------------------

    def selected(self) -> list[int]:
        """Ids of the selected results, newest first."""
        rows: set[int] = set()
        selection = self.view.selectionModel().selection()
        # By ranges: asking for each index of a hundred thousand takes a second.
        for part in (selection.at(place) for place in range(selection.count())):
            rows.update(range(part.top(), part.bottom() + 1))
        return [self.model.ids[row] for row in sorted(rows) if row < len(self.model.ids)]

    def select(self, ids: Sequence[int]) -> None:
        """Select these results as far as they are shown; the first comes into view."""
        selection = QItemSelection()
        rows = [row for result in ids if (row := self.model.row_of(result)) >= 0]
        for first, last in runs(sorted(rows)):
            selection.select(self.model.index(first), self.model.index(last))
        flags = QItemSelectionModel.SelectionFlag
        chooser = self.view.selectionModel()
        chooser.select(selection, flags.ClearAndSelect)
        if rows:
            index = self.model.index(rows[0])
            chooser.setCurrentIndex(index, flags.NoUpdate)
            self.view.scrollTo(index)

    def _emit_selection(self) -> None:
        self._count()
        self.selection_changed.emit(self.selected())

    # --- dragging ---------------------------------------------------------------------------------

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """A thumbnail let go over the gallery it came from changes nothing."""
        if event.source() is self.view:
            event.setDropAction(Qt.DropAction.IgnoreAction)
            event.accept()
        else:
            event.ignore()

    def dropEvent(self, event: QDropEvent) -> None:
        """See :meth:`dragEnterEvent`."""
        event.setDropAction(Qt.DropAction.IgnoreAction)
        event.accept()

    # --- menu -------------------------------------------------------------------------------------

    def set_menu(
        self, actions: Sequence[QAction | None], before: Callable[[], None] | None = None
    ) -> None:
        """What the context menu offers (``None`` is a line); ``before`` runs before it opens."""
        self._menu_actions = list(actions)
        self._before_menu = before

    def _show_menu(self, at: QPoint) -> None:
        if self._before_menu is not None:
            self._before_menu()
        if not self.selected():
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for action in self._menu_actions:
            if action is None:
                menu.addSeparator()
            else:
                menu.addAction(action)
        menu.popup(self.view.viewport().mapToGlobal(at))
