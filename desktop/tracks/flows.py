"""Inspector: from where to where identities go, and how long ways between cameras take."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication, QShowEvent
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from desktop.background import Background
from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.tracks.model import TracksModel
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.parts import button, label
from engine.errors import EngineError
from engine.tracks.cameras import Camera
from engine.tracks.itineraries import itineraries, origins_and_destinations, travel_times
from engine.tracks.tracklets import TrackState

TIMES = ("From", "To", "Times", "5 %", "Median", "95 %")


@dataclass(frozen=True)
class Table:
    """Heads and rows of texts; numbers as they are written into a file."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def csv(self) -> str:
        """With a line of heads."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.heads, *self.rows])
        return text.getvalue()


def tables_of(state: TrackState, cameras: Sequence[Camera]) -> tuple[Table, Table]:
    """Origins and destinations; travel times in seconds."""
    found = itineraries(state.boxes(), cameras)
    places, counts = origins_and_destinations(found, cameras)
    names = [place.removesuffix("/") for place in places]
    flows = Table(
        ("From \\ To", *names),
        tuple((name, *map(str, row)) for name, row in zip(names, counts.tolist(), strict=True)),
    )
    rows = []
    for (one, other), seconds in travel_times(found).items():
        low, middle, high = np.quantile(seconds, [0.05, 0.5, 0.95]).tolist()
        times = f"{low:.1f}", f"{middle:.1f}", f"{high:.1f}"
        rows.append((cameras[one].name, cameras[other].name, str(len(seconds)), *times))
    return flows, Table(TIMES, tuple(rows))


class FlowsPanel(QWidget):
    """See the module; computed when it is looked at."""

    def __init__(self, theme: Theme, model: TracksModel, tell: Callable[[EngineError], object]) -> None:
        super().__init__()
        self._model, self._tell = model, tell
        self._background = Background(self)
        self._stale, self.busy = True, False
        self._tables: tuple[Table, Table] | None = None
        self.choice = QuietComboBox()
        self.choice.setAccessibleName("What is counted")
        self.choice.addItems(["Origins and destinations", "Travel times, seconds"])
        self.choice.currentIndexChanged.connect(lambda _at: self._show())
        self.copy = button("Copy", self._copy, "", theme.icon("copy"))
        self.copy.setToolTip("The table as CSV")
        self.text = label("", "muted", wrap=True)
        self.table = QTableWidget()
        self.table.setAccessibleName("Counts")
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.verticalHeader().hide()
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(self.choice, 1)
        row.addWidget(self.copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addLayout(row)
        layout.addWidget(self.text)
        layout.addWidget(self.table, 1)
        model.opened.connect(self._changed)
        model.changed.connect(self._changed)
        model.cameras_changed.connect(self._changed)
        self._show()

    @property
    def shown(self) -> Table | None:
        """The table in view."""
        return None if self._tables is None else self._tables[self.choice.currentIndex()]

    def showEvent(self, event: QShowEvent) -> None:
        """Count now."""
        super().showEvent(event)
        self._look()

    def _changed(self) -> None:
        self._stale = True
        if self._model.state is None:
            self._tables = None
            self._show()
        elif self.isVisible():
            self._look()

    def _look(self) -> None:
        state, scene = self._model.state, self._model.scene
        if state is None or scene is None or not self._stale or self.busy:
            return
        self.busy, self._stale = True, False
        still, cameras = state.copy(), scene.cameras
        self._background.run(lambda: tables_of(still, cameras), self._came, self._failed)

    def _came(self, tables: tuple[Table, Table]) -> None:
        self.busy = False
        if self._model.state is not None:
            self._tables = tables
        self._show()
        if self._stale and self.isVisible():
            self._look()

    def _failed(self, error: EngineError) -> None:
        self.busy = False
        self._tell(error)

    def _show(self) -> None:
        shown = self.shown
        self.copy.setEnabled(shown is not None and bool(shown.rows))
        self.table.setColumnCount(0 if shown is None else len(shown.heads))
        self.table.setRowCount(0 if shown is None else len(shown.rows))
        if shown is None:
            self.text.setText("From where to where everybody goes is counted here.")
            return
        flows = self.choice.currentIndex() == 0
        said = (
            "Identities by where they are first (rows) and last (columns): camera/zone."
            if flows
            else "From the last sight in one camera to the first in the next; negative: both see it."
        )
        self.text.setText(said if shown.rows else "Nothing to count yet.")
        self.table.setHorizontalHeaderLabels(list(shown.heads))
        for at, row in enumerate(shown.rows):
            for column, text in enumerate(row):
                item = QTableWidgetItem("·" if flows and text == "0" else text)
                if column >= (1 if flows else 2):
                    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self.table.setItem(at, column, item)
        self.table.resizeColumnsToContents()

    def _copy(self) -> None:
        if self.shown is not None:
            QGuiApplication.clipboard().setText(self.shown.csv())
