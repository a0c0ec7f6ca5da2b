"""The inspector: who there is, what was edited, how tracks compare with the truth."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PySide6.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from PySide6.QtGui import QColor, QPixmap
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.tracks.lanes import colour_of
from desktop.widgets.parts import button, label
from desktop.widgets.timeline import clock
from engine.tracks.cameras import Camera
from engine.tracks.overview import Span
from engine.tracks.scene import Edit
from engine.tracks.span_table import SpanTable

Index = QModelIndex | QPersistentModelIndex
HEADS = ("Identity", "Cameras", "From", "To")
MOST_LINES = 4
"""Tracklets of the selected identity that are described."""
FIGURES = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDP", "IDR", "IDSW", "Frag")


class IdentityTable(QAbstractTableModel):
    """A row an identity, by its first appearance; texts are made of what is in sight only.

    Attributes
    ----------
    rows
        Identities.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[int] = []
        self._times: list[tuple[float, float]] = []
        self._spans, self._cameras = SpanTable(), tuple[Camera, ...]()
        self._confirmed: frozenset[int] = frozenset()

    def fill(
        self, spans: SpanTable, cameras: Sequence[Camera], confirmed: frozenset[int], wanted: str
    ) -> None:
        """Other tracks; ``wanted`` filters by number or camera."""
        self.beginResetModel()
        self._spans, self._cameras, self._confirmed = spans, tuple(cameras), confirmed
        who = spans.identities(self._cameras)
        shown = np.ones(len(who.names), bool)
        if wanted:
            named = np.array([wanted.lower() in camera.name.lower() for camera in cameras], bool)
            shown[:] = False
            if len(spans):
                shown[who.row_of[named[spans.column("camera")]]] = True
            shown |= who.names.astype(str) == wanted
        self.rows = who.names[shown].tolist()
        self._times = list(zip(who.first[shown].tolist(), who.last[shown].tolist(), strict=True))
        self.endResetModel()

    def _text(self, row: int, column: int) -> str:
        identity = self.rows[row]
        if column == 0:
            return f"✓ {identity}" if identity in self._confirmed else str(identity)
        if column == 1:
            seen = np.unique(self._spans.column("camera")[self._spans.column("identity") == identity])
            return ", ".join(self._cameras[at].name for at in seen.tolist())
        return clock(self._times[row][column - 2])

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """Identities."""
        return 0 if parent.isValid() else len(self.rows)

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        """See :data:`HEADS`."""
        return len(HEADS)

    def data(self, index: Index, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Text, and the identity's colour."""
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return self._text(index.row(), index.column())  # names of cameras may not fit
        if role == Qt.ItemDataRole.DecorationRole and index.column() == 0:
            spot = QPixmap(10, 10)
            spot.fill(colour_of(self.rows[index.row()]))
            return spot
        return None

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Names of the columns."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return HEADS[section]
        return None


class IdentitiesPanel(QWidget):
    """Everybody, with a filter; and the one that is selected.

    Attributes
    ----------
    chosen
        An identity.
    """

    chosen = Signal(int)

    def __init__(self) -> None:
        super().__init__()
        self.filter = QLineEdit()
        self.filter.setPlaceholderText("Number or camera  (/)")
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName("Filter identities")
        self.table = IdentityTable()
        self.view = QTableView()
        self.view.setModel(self.table)
        self.view.setAccessibleName("Identities")
        self.view.verticalHeader().hide()
        self.view.verticalHeader().setDefaultSectionSize(26)
        self.view.setShowGrid(False)
        self.view.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.view.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.view.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        for column, width in ((0, 74), (2, 61), (3, 61)):
            self.view.setColumnWidth(column, width)
        self.view.selectionModel().currentRowChanged.connect(self._row)
        self.facts = label("Nothing is selected.", "muted", wrap=True)
        self.count = label("", "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        for widget in (self.filter, self.view, self.count, self.facts):
            layout.addWidget(widget, 1 if widget is self.view else 0)

    def add(self, card: QWidget) -> None:
        """More about the one that is selected, below."""
        layout = self.layout()
        assert isinstance(layout, QVBoxLayout)
        layout.addWidget(card, 1)

    def fill(self, spans: SpanTable, cameras: Sequence[Camera], confirmed: frozenset[int]) -> None:
        """Other tracks."""
        self.table.fill(spans, cameras, confirmed, self.filter.text().strip())
        self.count.setText(f"{len(self.table.rows):,} identities, {len(spans):,} tracklets")

    def show_selection(
        self, identity: int | None, spans: Sequence[Span], cameras: Sequence[Camera]
    ) -> None:
        """Facts of what is selected."""
        if identity is None:
            self.facts.setText("Nothing is selected.")
            self.view.clearSelection()
            return
        lines = [f"Identity {identity}"]
        for span in spans[:MOST_LINES]:
            camera = cameras[span.camera]
            first = camera.offset + span.first / camera.fps
            last = camera.offset + (span.last + 1) / camera.fps
            drawn = f", {span.drawn:.0%} drawn" if span.drawn else ""
            holes = f", {len(span.gaps)} gaps" if span.gaps else ""
            lines.append(
                f"{camera.name}: tracklet {span.tracklet}, {clock(first)} to {clock(last)}, "
                f"{span.boxes} boxes, score {span.score:.2f}{holes}{drawn}"
            )
        if len(spans) > MOST_LINES:
            lines.append(f"and {len(spans) - MOST_LINES} more")
        self.facts.setText("\n".join(lines))
        at = next((n for n, row in enumerate(self.table.rows) if row == identity), -1)
        if at >= 0 and self.view.currentIndex().row() != at:
            model = self.view.selectionModel()
            model.blockSignals(True)
            self.view.selectRow(at)
            model.blockSignals(False)
            self.view.viewport().update()

    def _row(self, current: QModelIndex, _before: QModelIndex) -> None:
        if current.isValid():
            self.chosen.emit(self.table.rows[current.row()])


class EditsPanel(QWidget):
    """Everything that was done to the scene, the newest first."""

    def __init__(self) -> None:
        super().__init__()
        self.list = QListWidget()
        self.list.setAccessibleName("Edit log")
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.addWidget(
            label("Kept in the scene; undo works after a restart too.", "muted", wrap=True)
        )
        layout.addWidget(self.list, 1)

    def fill(self, log: Sequence[Edit]) -> None:
        """Another log."""
        self.list.clear()
        texts = {edit.number: edit.text or edit.kind for edit in log}
        for edit in reversed(log[-500:]):
            what = texts[edit.number]
            if edit.kind in ("undo", "redo"):
                what = f"{'Taken back' if edit.kind == 'undo' else 'Again'}: {what}"
            at = time.strftime("%H:%M:%S", time.localtime(edit.made))
            self.list.addItem(QListWidgetItem(f"{at}  {what}"))


class MeasuresPanel(QWidget):
    """Tracks beside the truth.

    Attributes
    ----------
    truth_wanted
        The button.
    error_chosen
        ``(camera, frame, track)`` of an error in the list.
    """

    truth_wanted = Signal()
    error_chosen = Signal(int, int, int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.text = label(
            "Compare these tracks with true ones from a file: how good they are, and every error to "
            "jump to.",
            "muted",
            wrap=True,
        )
        self.compare = button("Compare with the truth…", self.truth_wanted.emit)
        self.errors = QListWidget()
        self.errors.setAccessibleName("Errors")
        self.errors.setWordWrap(True)
        self.errors.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.errors.itemActivated.connect(self._activated)
        self.errors.itemClicked.connect(self._activated)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.compare)
        layout.addWidget(self.text)
        layout.addWidget(self.errors, 1)

    def show_figures(
        self, figures: Mapping[str, float], errors: Sequence[tuple[str, int, int, int]]
    ) -> None:
        """Measures, and ``(text, camera, frame, track)`` of errors."""
        told = [
            f"{name} {figures[name]:.0f}" if name in ("IDSW", "Frag") else f"{name} {figures[name]:.3f}"
            for name in FIGURES
            if name in figures
        ]
        self.text.setText(" · ".join(told))
        self.errors.clear()
        for text, camera, frame, track in errors:
            item = QListWidgetItem(text)
            item.setData(Qt.ItemDataRole.UserRole, (camera, frame, track))
            self.errors.addItem(item)

    def forget(self) -> None:
        """The tracks are others now."""
        if self.errors.count():
            self.text.setText("The tracks were changed since they were compared.")
            for row in range(self.errors.count()):
                self.errors.item(row).setForeground(QColor(self._theme.tokens.disabled))

    def _activated(self, item: QListWidgetItem) -> None:
        self.error_chosen.emit(*item.data(Qt.ItemDataRole.UserRole))
