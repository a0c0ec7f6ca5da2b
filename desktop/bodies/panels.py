"""The inspector: pose, measurements, export."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import Signal
from PySide6.QtWidgets import (
    QApplication,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from desktop.bodies.trust_column import TrustDelegate, trust_item
from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.widgets.parts import button, label
from engine.bodies.joints import JOINT_NAMES, ROTATING

INCH = 0.0254
TRUST = 2
"""The column of the table of joints."""
FORMATS = {
    "obj": "OBJ, posed mesh",
    "ply": "PLY, posed mesh",
    "stl": "STL, for printing",
    "glb": "GLB, skeleton and skin",
    "bvh": "BVH, motion",
    "npz": "NPZ, arrays and camera",
}


def words(name: str) -> str:
    """A name to read."""
    return name.replace("_", " ").capitalize()


class Table(QTableWidget):
    """A plain table of two columns or three."""

    def __init__(self, heads: Sequence[str], name: str) -> None:
        super().__init__(0, len(heads))
        self.setAccessibleName(name)
        self.setHorizontalHeaderLabels(list(heads))
        self.verticalHeader().hide()
        self.setShowGrid(False)
        self.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.setColumnWidth(1, 84)

    def fill(self, rows: Sequence[Sequence[str]]) -> None:
        """Other rows."""
        self.setRowCount(len(rows))
        for at, row in enumerate(rows):
            for column, text in enumerate(row):
                self.setItem(at, column, QTableWidgetItem(text))


class PosePanel(QWidget):
    """The joints of one person: angles, and how well the keypoints are met.

    Attributes
    ----------
    joint_chosen
        Index of a joint, to be marked in the views; -1 for none.
    """

    joint_chosen = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.summary = label("Nobody is selected.", "muted", wrap=True)
        self.notes = label("", "warn", wrap=True)
        self.table = Table(("Joint", "Angle", "Trust"), "Joints")
        self.table.setItemDelegateForColumn(TRUST, TrustDelegate(theme))
        self.table.setColumnWidth(1, 54)
        self.table.setColumnWidth(TRUST, 90)
        self.table.currentCellChanged.connect(lambda row, *_rest: self.joint_chosen.emit(row))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.summary)
        layout.addWidget(self.notes)
        layout.addWidget(self.table, 1)
        self.notes.hide()

    def show_person(
        self,
        about: str,
        notes: Sequence[str],
        rotations: NDArray[np.float32] | None,
        doubt: Sequence[float] = (),
        guessed: Sequence[str] = (),
    ) -> None:
        """One person, or nobody; trust where the method tells how sure it is."""
        self.summary.setText(about)
        self.notes.setText("\n".join(notes))
        self.notes.setVisible(bool(notes))
        rows: list[tuple[str, str]] = []
        if rotations is not None:
            cosines = (np.trace(rotations, axis1=1, axis2=2) - 1) / 2
            angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
            rows = [(words(JOINT_NAMES[j]), f"{angles[j]:.0f}°") for j in range(ROTATING)]
        chosen = self.table.currentRow()
        self.table.blockSignals(True)
        self.table.fill(rows)
        self.table.setColumnHidden(TRUST, not doubt)
        for joint, metres in enumerate(doubt[: len(rows)]):
            item = trust_item(metres, JOINT_NAMES[joint] in guessed)
            self.table.setItem(joint, TRUST, item)
        if rows and chosen >= 0:
            self.table.setCurrentCell(chosen, 0)
        self.table.blockSignals(False)

    def choose(self, joint: int) -> None:
        """Select a joint's row."""
        self.table.setCurrentCell(joint, 0)


class MeasurePanel(QWidget):
    """Height, girths and bones, as a tailor takes them, in cm or inches."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._values: list[tuple[str, float]] = []
        self.unit = QComboBox()
        self.unit.addItems(["cm", "inch"])
        self.unit.currentIndexChanged.connect(lambda _index: self._fill())
        self.note = label(
            "Of the body in its rest pose. One photo does not show scale: give a known height for "
            "true sizes.",
            "muted",
            wrap=True,
        )
        self.table = Table(("Measure", "Length"), "Measurements")
        row = QHBoxLayout()
        row.addWidget(self.unit)
        row.addStretch()
        row.addWidget(button("Copy as CSV", self.copy, "quiet", theme.icon("copy")))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.note)
        layout.addLayout(row)
        layout.addWidget(self.table, 1)

    def show_measures(self, measured: Mapping[str, Any] | None) -> None:
        """Metres by name, as the poser gives them."""
        self._values = []
        if measured is not None:
            self._values = [("Height", float(measured["height"]))]
            self._values += [(words(n) + " girth", float(v)) for n, v in measured["girths"].items()]
            self._values += [
                ("Bone to " + words(n).lower(), float(v)) for n, v in measured["bones"].items()
            ]
        self._fill()

    def csv(self) -> str:
        """The table as CSV, with the unit in its head."""
        file = io.StringIO()
        writer = csv.writer(file)
        writer.writerow(["measure", self.unit.currentText()])
        writer.writerows((name, f"{value * self._factor:.2f}") for name, value in self._values)
        return file.getvalue()

    def copy(self) -> None:
        """Put the table into the clipboard."""
        QApplication.clipboard().setText(self.csv())

    @property
    def _factor(self) -> float:
        return 100.0 if self.unit.currentText() == "cm" else 1 / INCH

    def _fill(self) -> None:
        unit = self.unit.currentText()
        self.table.fill([(n, f"{v * self._factor:.1f} {unit}") for n, v in self._values])


class ExportPanel(QWidget):
    """What to write, and the button.

    Attributes
    ----------
    export_wanted
        With the names of the formats.
    still_wanted, turntable_wanted
        The 3D view as a picture, and as a film.
    """

    export_wanted = Signal(list)
    still_wanted = Signal()
    turntable_wanted = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.boxes = {name: QCheckBox(title) for name, title in FORMATS.items()}
        self.boxes["obj"].setChecked(True)
        self.boxes["glb"].setChecked(True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(label("Everybody in it, in metres, y-up.", "muted", wrap=True))
        for box in self.boxes.values():
            layout.addWidget(box)
        self.all_frames = QCheckBox("All frames of the video")
        self.all_frames.setToolTip("Meshes get a file a frame and person; BVH and NPZ hold them all.")
        self.all_frames.hide()
        layout.addWidget(self.all_frames)
        self.export = button("Export…", self._ask, "", theme.icon("export"))
        self.still = button("Picture of the 3D view…", self.still_wanted.emit, "", theme.icon("camera"))
        self.turn = button("Turntable film…", self.turntable_wanted.emit, "", theme.icon("film-strip"))
        for item in (self.export, self.still, self.turn):
            layout.addWidget(item)
        layout.addStretch()
        for box in self.boxes.values():
            box.toggled.connect(lambda _on: self.export.setEnabled(bool(self.formats())))

    def set_frames(self, count: int) -> None:
        """Of a video there is more than one: ask whether all are meant."""
        self.all_frames.setVisible(count > 1)
        self.all_frames.setChecked(count > 1)

    def formats(self) -> list[str]:
        """The checked ones."""
        return [name for name, box in self.boxes.items() if box.isChecked()]

    def _ask(self) -> None:
        self.export_wanted.emit(self.formats())
