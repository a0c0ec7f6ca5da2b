"""The left column: photos and videos, how bodies are made, what is known of camera and person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from desktop.bodies.model import PhotoJob
from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.widgets.parts import button, label

METHODS = {
    "fit": "Fit to the picture",
    "ik": "Inverse kinematics",
}


class Controls(QWidget):
    """See the module.

    Attributes
    ----------
    add_wanted, cancel_wanted
        The buttons.
    chosen
        Id of the job of a photo that was selected.
    person_chosen
        Index of a person.
    changed
        Method, height or focal length.
    """

    add_wanted = Signal()
    chosen = Signal(str)
    person_chosen = Signal(int)
    changed = Signal()

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.photos = QListWidget()
        self.photos.setAccessibleName("Photos and videos")
        self.photos.setMinimumHeight(150)
        self.photos.setWordWrap(True)
        self.photos.currentItemChanged.connect(self._photo_selected)
        self.people = QListWidget()
        self.people.setAccessibleName("People in the photo")
        self.people.setMinimumHeight(96)
        self.people.currentRowChanged.connect(self.person_chosen)
        self.method = QComboBox()
        self.method.setToolTip("The fit takes about a second a person; inverse kinematics none.")
        for name, title in METHODS.items():
            self.method.addItem(title, name)
        self.method.currentIndexChanged.connect(lambda _index: self.changed.emit())
        self.height_cm = _number("unknown", " cm", 29, 280)
        self.height_cm.setToolTip("One photo does not show how large somebody is; a known height does.")
        self.focal = _number("from the photo", " px", 0, 100_000)
        self.focal.setToolTip("Of the camera; 0: from EXIF, else 1.2 times the longer side.")
        for field in (self.height_cm, self.focal):
            field.valueChanged.connect(lambda _value: self.changed.emit())
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapAllRows)
        form.setSpacing(SPACE_S)
        form.addRow("Method", self.method)
        form.addRow("Height of the person", self.height_cm)
        form.addRow("Focal length", self.focal)
        head = QHBoxLayout()
        head.addWidget(label("Photos and videos", "heading"), 1)
        head.addWidget(button("Add…", self.add_wanted.emit, "quiet", theme.icon("plus")))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addLayout(head)
        layout.addWidget(self.photos, 2)
        layout.addWidget(label("People", "heading"))
        layout.addWidget(self.people, 1)
        layout.addLayout(form)

    def params(self) -> dict[str, Any]:
        """Parameters of the job."""
        return {
            "method": self.method.currentData(),
            "height": self.known_height_cm,
            "focal": self.focal.value() or None,
        }

    @property
    def known_height_cm(self) -> float | None:
        """Centimetres; None where it is not known."""
        value = self.height_cm.value()
        return value if value >= 30 else None

    def show_jobs(self, jobs: Sequence[PhotoJob]) -> None:
        """List photos, the newest first, keeping the selection."""
        current = self.current
        self.photos.blockSignals(True)
        self.photos.clear()
        for job in reversed(jobs):
            item = QListWidgetItem()
            item.setData(Qt.ItemDataRole.UserRole, job.id)
            self.photos.addItem(item)
            self._fill(item, job)
            if job.id == current:
                self.photos.setCurrentItem(item)
        self.photos.blockSignals(False)

    def update_job(self, job: PhotoJob) -> None:
        """Its line anew."""
        item = self._item(job.id)
        if item is not None:
            self._fill(item, job)

    def select(self, job: str) -> None:
        """Choose a photo."""
        item = self._item(job)
        if item is not None:
            self.photos.setCurrentItem(item)

    @property
    def current(self) -> str:
        """Id of the selected photo's job; empty for none."""
        item = self.photos.currentItem()
        return "" if item is None else str(item.data(Qt.ItemDataRole.UserRole))

    def show_people(self, lines: Sequence[str], current: int) -> None:
        """List the people of the photo."""
        self.people.blockSignals(True)
        self.people.clear()
        self.people.addItems(list(lines))
        self.people.setCurrentRow(current)
        self.people.blockSignals(False)

    def _fill(self, item: QListWidgetItem, job: PhotoJob) -> None:
        item.setText(f"{job.path.name}\n{job.status()}")
        item.setToolTip(str(job.path) + (f"\n{job.error}" if job.error else ""))

    def _item(self, job: str) -> QListWidgetItem | None:
        items = (self.photos.item(row) for row in range(self.photos.count()))
        return next((i for i in items if i.data(Qt.ItemDataRole.UserRole) == job), None)

    def _photo_selected(self, item: QListWidgetItem | None) -> None:
        if item is not None:
            self.chosen.emit(str(item.data(Qt.ItemDataRole.UserRole)))


def _number(unset: str, unit: str, low: float, high: float) -> QDoubleSpinBox:
    field = QDoubleSpinBox()
    field.setDecimals(0)
    field.setRange(low, high)
    field.setSpecialValueText(unset)
    field.setSuffix(unit)
    field.setValue(low)
    field.setKeyboardTracking(False)
    return field
