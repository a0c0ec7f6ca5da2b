"""The left column: photos and videos, how bodies are made, what is known of camera and person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QIcon, QImage, QPixmap
from PySide6.QtWidgets import (
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
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.model_choice import ModelChoice
from desktop.widgets.parts import button, label

METHODS = {
    "fit": "Fit to the picture",
    "niki": "Neural inverse kinematics (NIKI)",
    "niki+shape": "NIKI, and the shape from widths (ShapeBoost)",
    "ik": "Inverse kinematics",
}
BLAZEPOSE = "blazepose"
LEVELS = ("By the picture's size", "A fifth of the picture", "A tenth", "A twentieth", "A fortieth")
THUMBNAIL = 44


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
        self._thumbnails: dict[str, QIcon] = {}
        self.photos = QListWidget()
        self.photos.setIconSize(QSize(THUMBNAIL, THUMBNAIL))
        self.photos.setAccessibleName("Photos and videos")
        self.photos.setMinimumHeight(150)
        self.photos.setWordWrap(True)
        self.photos.currentItemChanged.connect(self._photo_selected)
        self.people = QListWidget()
        self.people.setAccessibleName("People in the photo")
        self.people.setMinimumHeight(96)
        self.people.currentRowChanged.connect(self.person_chosen)
        self.method = QuietComboBox()
        self.method.setToolTip(
            "The fit takes about a second a person and meets the picture best; NIKI guesses what is "
            "hidden; inverse kinematics takes no time."
        )
        for name, title in METHODS.items():
            self.method.addItem(title, name)
        self.method.currentIndexChanged.connect(lambda _index: self.changed.emit())
        self.detector = ModelChoice({BLAZEPOSE: "BlazePose (built in)"}, "A model of keypoints")
        self.detector.setToolTip("RTMPose, RTMO, YOLO-pose and heat map models are recognised.")
        self.levels = QuietComboBox()
        self.levels.setToolTip("How small people may be: smaller ones take longer to find.")
        for level, title in enumerate(LEVELS):
            self.levels.addItem(title, level)
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
        form.addRow("People are found by", self.detector)
        form.addRow("Smallest people", self.levels)
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
            "detector": self.detector.value,
            "levels": self.levels.currentData(),
            "height": self.known_height_cm,
            "focal": self.focal.value() or None,
        }

    @property
    def known_height_cm(self) -> float | None:
        """Centimetres; None where it is not known."""
        value = self.height_cm.value()
        return value if value >= 30 else None

    def show_thumbnail(self, job: str, image: QImage) -> None:
        """A small picture beside a photo's line."""
        self._thumbnails[job] = QIcon(QPixmap.fromImage(image))
        item = self._item(job)
        if item is not None:
            item.setIcon(self._thumbnails[job])

    def has_thumbnail(self, job: str) -> bool:
        """Whether it was shown before."""
        return job in self._thumbnails

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
        if job.id in self._thumbnails:
            item.setIcon(self._thumbnails[job.id])
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
