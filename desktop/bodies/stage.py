"""The stage: photo and 3D view side by side, their tools, and the play bar of a video."""

from __future__ import annotations

from PySide6.QtCore import Qt, QTimer, Signal
from PySide6.QtGui import QImage, QResizeEvent
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QSlider,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from desktop.bodies.brush import OcclusionBrush
from desktop.bodies.controls import METHODS
from desktop.bodies.heat_legend import HeatLegend
from desktop.bodies.photo_view import PhotoView
from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.widgets.elided_label import ElidedLabel
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.mesh_view import MeshView
from desktop.widgets.parts import icon_button, label
from desktop.widgets.ray_painter import Cast

TOOLS_HEIGHT = 48
"""Above each view, pixels."""
STACKED_GAIN = 1.15
"""How much larger the photo has to get for the views to change places."""


class BodiesStage(QWidget):
    """See the module.

    Attributes
    ----------
    compare_wanted
        Name of a method to compare with; empty for none.
    frame_wanted
        Index of a frame.
    lab_wanted
        The width lab.
    """

    compare_wanted = Signal(str)
    frame_wanted = Signal(int)
    lab_wanted = Signal()

    def __init__(self, theme: Theme, cast: Cast, use_gl: bool | None) -> None:
        super().__init__()
        self.photo = PhotoView(theme)
        self.mesh = MeshView(theme, cast, use_gl)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setValue(70)
        self.opacity.setMinimumWidth(40)
        self.opacity.setMaximumWidth(120)
        self.opacity.setAccessibleName("How much of the photo the bodies cover")
        self.opacity.setToolTip("How much of the photo the bodies cover")
        self.opacity.valueChanged.connect(lambda value: self.photo.set_opacity(value / 100))
        self.points = _switch(theme, "dots-nine", "Keypoints", True, self.photo.set_keypoints_shown)
        self.brush = OcclusionBrush(self.photo, theme)
        brush_tip = (
            "Paint what is hidden of the selected person (B)\n"
            "Wheel or [ and ]: size. Right button: erase. Ctrl and wheel: zoom."
        )
        self.hide_tool = _switch(theme, "paint-brush", brush_tip, False, self._brush)
        self.hide_tool.setAccessibleName("Paint what is hidden of the selected person")
        self.erase_tool = _switch(theme, "eraser", "Erase what was painted (E)", False, self._eraser)
        self.wire = _switch(theme, "polygon", "Wireframe (W)", False, self._wire)
        self.bones = _switch(theme, "person-simple", "Skeleton (K)", False, self._bones)
        self.parts = _switch(theme, "palette", "Colours by part", False, lambda _on: None)
        self.floor = _switch(theme, "grid-four", "Ground", True, self._ground)
        self.turn = _switch(theme, "arrows-clockwise", "Turntable", False, self.mesh.set_turntable)
        self.compare = QuietComboBox()
        self.compare.setMinimumContentsLength(8)
        self.compare.setAccessibleName("Compare the selected body with another method")
        self.compare.addItem("Compare with…", "")
        for method, title in METHODS.items():
            self.compare.addItem(title, method)
        self.compare.currentIndexChanged.connect(
            lambda _index: self.compare_wanted.emit(self.compare.currentData())
        )
        self.message = ElidedLabel("muted")
        self.legend = label("", "muted")
        self.heat = HeatLegend(theme)
        self.heat.hide()
        views = self._views = QSplitter(Qt.Orientation.Horizontal, childrenCollapsible=False)
        views.setHandleWidth(1)
        self.hint = ElidedLabel("muted")
        self.hint.hide()
        lab_tip = "Width lab: the selected person wider or slimmer in the photo (L)"
        self.lab = icon_button(theme.icon("arrows-out-line-horizontal"), lab_tip, self.lab_wanted.emit)
        brushes = (self.hide_tool, self.erase_tool, self.lab)
        left = (label("Bodies", "muted"), self.opacity, self.points, *brushes, self.message)
        frame = icon_button(theme.icon("frame-corners"), "Frame the bodies (F)", self.mesh.frame)
        right = (
            frame,
            self.wire,
            self.bones,
            self.parts,
            self.floor,
            self.turn,
            self.compare,
        )
        for view, tools in ((self.photo, left), (self.mesh, right)):
            views.addWidget(_column(view, tools, self.legend if view is self.mesh else self.hint))
            views.setStretchFactor(views.count() - 1, 1)
        column = self.mesh.parentWidget()
        assert column is not None
        column.layout().addWidget(self.heat)  # type: ignore[union-attr]
        views.setSizes([1000, 1000])
        self.play = icon_button(theme.icon("play"), "Play or pause", self.toggle_play)
        self._icons = theme.icon("play"), theme.icon("pause")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Frame")
        self.slider.valueChanged.connect(self._frame_chosen)
        self.number = label("", "muted")
        self.bar = QWidget()
        row = QHBoxLayout(self.bar)
        row.setContentsMargins(SPACE_M, SPACE_S, SPACE_M, SPACE_S)
        for item in (self.play, self.slider, self.number):
            row.addWidget(item)
        self._aspect = 1.0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._next)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(views, 1)
        layout.addWidget(self.bar)
        self.bar.hide()

    def show_photo(self, photo: QImage, size: tuple[int, int]) -> None:
        """A photo or frame, of a picture of ``size`` pixels."""
        self.photo.show_photo(photo, size)
        self._aspect = size[0] / max(1, size[1])
        self._arrange()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The views stand as the photo gets most room."""
        super().resizeEvent(event)
        self._arrange()

    def _arrange(self) -> None:
        """Beside each other or, where that makes the photo clearly larger, one above the other."""
        width, height = self._views.width(), max(1, self._views.height() - 2 * TOOLS_HEIGHT)
        beside = min(width / 2 / self._aspect, height + TOOLS_HEIGHT)
        above = min(width / self._aspect, height / 2)
        stacked = above > STACKED_GAIN * beside
        wanted = Qt.Orientation.Vertical if stacked else Qt.Orientation.Horizontal
        if wanted != self._views.orientation():
            self._views.setOrientation(wanted)
            self._views.setSizes([1000, 1000])

    def say(self, text: str) -> None:
        """One line about the photo."""
        self.message.setText(text)

    def caption(self, text: str) -> None:
        """One line about the 3D view."""
        self.legend.setText(text)

    def show_legend(self, mean_mm: float | None) -> None:
        """What the colours of a comparison mean."""
        told = "" if mean_mm is None else f"{mean_mm:.0f} mm apart on average"
        self.heat.setVisible(mean_mm is not None)
        self.legend.setText(told)

    def clear(self) -> None:
        """Nothing is shown."""
        self.photo.show_photo(None, (1, 1))
        self.photo.show_overlay(None)
        self.photo.show_people([], -1)
        self.mesh.show_bodies([])
        self.heat.hide()
        self.compare.blockSignals(True)
        self.compare.setCurrentIndex(0)
        self.compare.blockSignals(False)
        self.caption("")
        self.set_frames(1, 30)

    def set_frames(self, count: int, fps: float) -> None:
        """A play bar where there is more than one."""
        self.stop()
        self.bar.setVisible(count > 1)
        self.slider.blockSignals(True)
        self.slider.setRange(0, max(0, count - 1))
        self.slider.setValue(0)
        self.slider.blockSignals(False)
        self._timer.setInterval(max(33, round(1000 / fps)))
        self.number.setText(f"1 / {count}")

    def toggle_play(self) -> None:
        """Play from here, or stop."""
        if self._timer.isActive():
            self.stop()
        else:
            self._timer.start()
            self.play.setIcon(self._icons[1])

    def stop(self) -> None:
        """Stop playing."""
        self._timer.stop()
        self.play.setIcon(self._icons[0])

    def _next(self) -> None:
        at = self.slider.value()
        self.slider.setValue(at + 1 if at < self.slider.maximum() else 0)

    def _frame_chosen(self, index: int) -> None:
        self.number.setText(f"{index + 1} / {self.slider.maximum() + 1}")
        self.frame_wanted.emit(index)

    def _brush(self, on: bool) -> None:
        self.brush.set_active(on)
        self.hint.setVisible(on)
        if not on:
            self.erase_tool.setChecked(False)

    def _eraser(self, on: bool) -> None:
        self.brush.set_erases(on)
        if on:
            self.hide_tool.setChecked(True)

    def _wire(self, on: bool) -> None:
        self.mesh.set_options(wireframe=on)

    def _bones(self, on: bool) -> None:
        self.mesh.set_options(skeleton=on)

    def _ground(self, on: bool) -> None:
        self.mesh.set_options(ground=on)


def _switch(theme: Theme, icon: str, name: str, on: bool, toggled: object) -> QToolButton:
    result = icon_button(theme.icon(icon), name)
    result.setCheckable(True)
    result.setChecked(on)
    result.toggled.connect(toggled)
    return result


def _column(view: QWidget, tools: tuple[QWidget, ...], below: QLabel) -> QWidget:
    column = QWidget()
    bar = QHBoxLayout()
    bar.setContentsMargins(SPACE_M, SPACE_S, SPACE_M, SPACE_S)
    bar.setSpacing(SPACE_S)
    for tool in tools:
        bar.addWidget(tool, 1 if isinstance(tool, QLabel) and tool is tools[-1] else 0)
    layout = QVBoxLayout(column)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(0)
    layout.addLayout(bar)
    layout.addWidget(view, 1)
    below.setContentsMargins(SPACE_M, SPACE_S, SPACE_M, SPACE_S)
    layout.addWidget(below)
    return column
