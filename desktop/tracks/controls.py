"""The left column: the scene, its cameras and results, the tracker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QFormLayout,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.model_choice import ModelChoice
from desktop.widgets.parts import button, label
from engine.tracks.cameras import Camera
from engine.tracks.scene import ResultInfo, Scene

TRACKERS = {
    "jde": "Motion and appearance",
    "bytetrack": "Overlap (ByteTrack)",
    "aoa": "Appearance alone, any object (AOA)",
}
MOVING = "moving"


class Controls(QWidget):
    """See the module.

    Attributes
    ----------
    open_wanted, import_wanted, export_wanted
        The buttons.
    result_chosen
        Number of a result.
    camera_chosen
        Position of a camera.
    """

    open_wanted = Signal()
    import_wanted = Signal()
    export_wanted = Signal()
    result_chosen = Signal(int)
    camera_chosen = Signal(int)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self.name = label("No scene is open", "heading", wrap=True)
        self.facts = label("", "muted", wrap=True)
        self.cameras = QListWidget()
        self.cameras.setAccessibleName("Cameras")
        self.cameras.setMinimumHeight(110)
        self.cameras.setWordWrap(True)
        self.cameras.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.cameras.currentRowChanged.connect(self.camera_chosen)
        self.result = QuietComboBox()
        self.result.setAccessibleName("Result")
        self.result.activated.connect(lambda at: self.result_chosen.emit(self.result.itemData(at)))
        self.detector = ModelChoice({MOVING: "What moves (fixed cameras)"}, "A model that detects")
        self.detector.setToolTip("YOLOX, YOLOv5, YOLOv8, RT-DETR and DETR models are recognised.")
        self.tracker = QuietComboBox()
        self.tracker.setToolTip("Appearance needs features of the boxes; overlap needs none.")
        for name, title in TRACKERS.items():
            self.tracker.addItem(title, name)
        self.export = button("Export tracks…", self.export_wanted.emit, "", theme.icon("export"))
        row = QHBoxLayout()
        row.setSpacing(SPACE_S)
        row.addWidget(button("Open…", self.open_wanted.emit, "", theme.icon("folder-open")), 1)
        row.addWidget(button("Import…", self.import_wanted.emit, "", theme.icon("plus")), 1)
        form = QFormLayout()
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapAllRows)
        form.setSpacing(SPACE_S)
        form.addRow("Tracks", self.result)
        form.addRow("Detector", self.detector)
        form.addRow("Tracker", self.tracker)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(SPACE_M, SPACE_M, SPACE_M, SPACE_M)
        layout.setSpacing(SPACE_S)
        layout.addWidget(self.name)
        layout.addWidget(self.facts)
        layout.addLayout(row)
        layout.addWidget(label("Cameras", "heading"))
        layout.addWidget(self.cameras, 1)
        layout.addLayout(form)
        layout.addWidget(self.export)

    def detect_params(self) -> dict[str, Any]:
        """Parameters of the job that detects."""
        return {"detectors": [self.detector.value]}

    def track_params(self) -> dict[str, Any]:
        """Parameters of the job that tracks."""
        return {"tracker": self.tracker.currentData()}

    def show_scene(self, scene: Scene | None, result: ResultInfo | None) -> None:
        """Another scene, or none."""
        self.cameras.blockSignals(True)
        self.cameras.clear()
        self.result.clear()
        self.export.setEnabled(result is not None)
        if scene is None:
            self.name.setText("No scene is open")
            self.facts.setText("")
        else:
            # A scene made by `triptych scene make` is a folder called scene in one with a name.
            folder = scene.folder
            self.name.setText(folder.parent.name if folder.name == "scene" else folder.name)
            self.name.setToolTip(str(folder))
            self.facts.setText(f"{len(scene.detections):,} boxes in {len(scene.cameras)} cameras")
            self.show_cameras(scene.cameras)
            for info in reversed(scene.results()):
                self.result.addItem(info.name, info.id)
            if result is not None:
                self.result.setCurrentIndex(self.result.findData(result.id))
            else:
                self.result.addItem("Not tracked yet", None)
        self.result.setEnabled(result is not None)
        self.cameras.blockSignals(False)

    def show_cameras(self, cameras: Sequence[Camera]) -> None:
        """The cameras as they are now; the one that was chosen still is."""
        row = self.cameras.currentRow()
        self.cameras.blockSignals(True)
        self.cameras.clear()
        for camera in cameras:
            late = f", {camera.offset:+.1f} s" if camera.offset else ""
            size = f"{camera.width} x {camera.height}, " if camera.width else ""
            video = "" if camera.video else ", no video"
            zones = f", {len(camera.zones)} zones" if camera.zones else ""
            item = QListWidgetItem(f"{camera.name}\n{size}{camera.fps:g} fps{late}{zones}{video}")
            item.setToolTip(camera.video or "Boxes only")
            item.setData(Qt.ItemDataRole.AccessibleTextRole, camera.name)
            self.cameras.addItem(item)
        self.cameras.setCurrentRow(row)
        self.cameras.blockSignals(False)
