"""The zone editor: a camera's picture or where its boxes are, zones on it, how many go by them."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PySide6.QtCore import QSize
from PySide6.QtGui import QImage
from PySide6.QtWidgets import QFileDialog, QHBoxLayout, QVBoxLayout, QWidget

from desktop.theme import SPACE_M, SPACE_S, Theme
from desktop.tracks.frame_source import FrameSource
from desktop.tracks.model import TracksModel
from desktop.tracks.zone_canvas import ZoneCanvas
from desktop.tracks.zone_editing import ZoneEditing
from desktop.tracks.zone_panel import ZonePanel
from desktop.widgets.elided_label import ElidedLabel
from desktop.widgets.field_editors import QuietComboBox
from desktop.widgets.parts import icon_button
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from desktop.background import Background
    from engine.tracks.cameras import Camera
    from engine.tracks.tracklets import TrackState
    from engine.tracks.zone_counts import EndPoints
    from engine.tracks.zone_files import ZoneFile

MOST_POINTS = 200_000
"""Boxes of which the places are shown."""
FILES = "Zones (*.json *.png *.bmp)"


class ZoneEditor(QWidget):
    """See the module.

    Parameters
    ----------
    theme, model, background
        Of the page.
    tell, say
        What went wrong; what was done.
    """

    def __init__(
        self,
        theme: Theme,
        model: TracksModel,
        background: Background,
        tell: Callable[[EngineError], object],
        say: Callable[[str], object],
    ) -> None:
        super().__init__()
        self._model, self._background, self._tell, self._say = model, background, tell, say
        self.editing = ZoneEditing(model, tell, self)
        self.canvas = ZoneCanvas(theme, self.editing)
        self.panel = ZonePanel(theme, self.editing)
        self._source: FrameSource | None = None
        self._time = 0.0
        self._ends: dict[int, EndPoints] | None = None
        """By camera; ``None`` where nobody has counted yet."""
        self._heat: dict[int, np.ndarray] = {}
        self._counting = False
        self.camera = QuietComboBox()
        self.camera.setAccessibleName("Camera whose zones are edited")
        self.camera.setMinimumContentsLength(12)
        self.camera.activated.connect(self.editing.show)
        self.new = icon_button(theme.icon("polygon"), "Draw a new zone (Shift+N)")
        self.new.setCheckable(True)
        self.new.clicked.connect(self.draw)
        self.heat = icon_button(theme.icon("fire"), "Show where boxes are")
        self.heat.setCheckable(True)
        self.heat.toggled.connect(self._show_heat)
        self.message = ElidedLabel("muted")
        bar = QHBoxLayout()
        bar.setContentsMargins(SPACE_M, SPACE_S, SPACE_M, SPACE_S)
        bar.setSpacing(SPACE_S)
        bar.addWidget(self.camera)
        bar.addWidget(self.new)
        bar.addWidget(self.heat)
        for icon, name, do in (
            ("magnifying-glass-minus", "Show more of the picture", lambda: self.canvas.zoom(1 / 1.25)),
            ("magnifying-glass-plus", "Show less of the picture", lambda: self.canvas.zoom(1.25)),
            ("arrows-out", "Show the whole picture", self.canvas.fit),
        ):
            bar.addWidget(icon_button(theme.icon(icon), name, do))
        bar.addWidget(self.message, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addLayout(bar)
        layout.addWidget(self.canvas, 1)
        self.panel.import_wanted.connect(self.ask_import)
        self.panel.export_wanted.connect(self.ask_export)
        self.panel.suggest_wanted.connect(self.suggest)
        self.editing.shown.connect(self._shown)
        self.editing.changed.connect(self._changed)
        model.opened.connect(self._opened)
        model.changed.connect(self._tracks_changed)

    @property
    def busy(self) -> bool:
        """Whether a frame is on its way, or tracklets are counted."""
        return self._counting or (self._source is not None and self._source.busy)

    # --- showing ----------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """One line: what was done."""
        self.message.setText(text)

    def activate(self) -> None:
        """It is in sight: take the keys, count."""
        self.canvas.setFocus()
        self._count()
        self._want()

    def show_camera(self, position: int) -> None:
        """Edit another camera."""
        self.editing.show(position)

    def set_time(self, time: float) -> None:
        """Seconds on the scene's clock: which frame is the ground."""
        self._time = time
        if self.isVisible():
            self._want()

    def draw(self) -> None:
        """Begin a zone, or stop drawing it."""
        if self.editing.draft is None:
            self.editing.begin()
        else:
            self.editing.cancel()
        self.canvas.setFocus()

    def _opened(self) -> None:
        self._heat = {}
        self._tracks_changed()

    def _tracks_changed(self) -> None:
        self._ends = None
        if self.isVisible():
            self._count()

    def _shown(self) -> None:
        """Another camera, or another scene."""
        cameras = [camera.name for camera in self.editing.cameras]
        if cameras != [self.camera.itemText(at) for at in range(self.camera.count())]:
            self.camera.clear()
            self.camera.addItems(cameras)
        self.camera.setCurrentIndex(self.editing.camera)
        if self._source is not None:
            self._source.close()
            self._source.deleteLater()
            self._source = None
        self.canvas.picture = None
        self.canvas.fit()
        camera, scene = self.editing.shown_camera, self._model.scene
        if camera is not None and camera.video and scene is not None:
            self._source = FrameSource(scene.folder / camera.video, self._frame_came, self)
        self._show_heat()
        if self.isVisible():
            self._want()

    def _want(self) -> None:
        camera = self.editing.shown_camera
        if camera is not None and self._source is not None:
            frame = math.floor((self._time - camera.offset) * camera.fps + 1e-6)
            last = camera.frames - 1 if camera.frames else frame
            self._source.want(max(0, min(frame, last)))

    def _frame_came(self, _frame: int, image: QImage | None, size: QSize) -> None:
        self.canvas.picture = image
        if image is not None:
            self.editing.picture = float(size.width()), float(size.height())
        self._show_heat()

    def _show_heat(self) -> None:
        """Where boxes are: without a picture always."""
        scene, at = self._model.scene, self.editing.camera
        wanted = self.heat.isChecked() or self._source is None or bool(self._source.failed)
        self.heat.setEnabled(self._source is not None and not self._source.failed)
        self.canvas.heat = None
        if scene is not None and wanted and self.editing.shown_camera is not None:
            if at not in self._heat:
                from engine.tracks.zone_counts import heat

                boxes = scene.detections
                own = np.flatnonzero(boxes.cameras == at)
                xywh = boxes.xywh[own[:: max(1, len(own) // MOST_POINTS)]]
                self._heat[at] = heat(xywh[:, :2] + xywh[:, 2:] / 2, *self.editing.size)
            self.canvas.heat = self._heat[at]
        self.canvas.update()

    def _changed(self) -> None:
        editing, camera = self.editing, self.editing.shown_camera
        self.new.setChecked(editing.draft is not None)
        self.new.setEnabled(camera is not None)
        self._show_counts()

    def _hint(self) -> str:
        editing, camera, hint = self.editing, self.editing.shown_camera, ""
        if editing.draft is not None:
            hint = _DRAWING[min(len(editing.draft), 3)]
        elif camera is not None and not camera.zones:
            hint = (
                "No zones yet. Press Shift+N and click the corners of an area through which things "
                "come into the picture and leave it; then say on the right where it leads."
            )
            if self._ends is not None:
                hint += " Or let the tracks suggest some: Suggest zones, on the right."
        return hint

    # --- counting ---------------------------------------------------------------------------------

    def _count(self) -> None:
        state = self._model.state
        if state is not None and self._ends is None and not self._counting:
            self._counting = True
            work = partial(_count_ends, state.copy(), len(self.editing.cameras))
            self._background.run(work, partial(self._counted, state), self._lost)

    def _counted(self, state: TrackState, ends: dict[int, EndPoints]) -> None:
        self._counting = False
        if state is self._model.state:
            self._ends = ends
            self._show_counts()
        elif self.isVisible():
            self._count()

    def _lost(self, error: EngineError) -> None:
        self._counting = False
        self._tell(error)

    def _show_counts(self) -> None:
        camera, counts = self.editing.shown_camera, None
        if camera is not None and self._ends is not None and self.editing.camera in self._ends:
            from engine.tracks.zone_counts import zone_counts

            come, go = zone_counts(self._ends[self.editing.camera], camera)
            counts = list(zip(come.tolist(), go.tolist(), strict=True))
        self.canvas.counts = counts
        self.canvas.hint = self._hint()
        self.panel.show_counts(counts)
        self.canvas.update()

    def suggest(self, everywhere: bool) -> None:
        """Zones around places where many tracklets begin and end, where there are none yet."""
        if self._ends is None:
            return
        from engine.tracks.zone_suggestions import suggested_zones

        found, told = {}, ""
        for at in range(len(self.editing.cameras)) if everywhere else [self.editing.camera]:
            try:
                found[at] = suggested_zones(self._ends[at], *self.editing.size_of(at))
            except EngineError as error:
                told = f"{self.editing.cameras[at].name}: {error.message}"
                if not everywhere:
                    self._tell(error)
                    return
        many = "all cameras" if everywhere else self.editing.cameras[self.editing.camera].name
        if not self.editing.add_zones(found, f"Zones suggested for {many}"):
            told = told or "Where many tracklets begin and end there are zones already."
        if told:
            self._say(told)

    # --- files --------------------------------------------------------------------------------------

    def ask_import(self) -> None:
        """Choose a file of zones."""
        name, _ = QFileDialog.getOpenFileName(self, "Zones", "", FILES)
        if name:
            self.import_from(Path(name))

    def import_from(self, path: Path) -> None:
        """Take zones from a file, for this camera or for those that it names."""

        def read() -> ZoneFile:
            from engine.tracks.zone_files import read_zones

            return read_zones(path)

        self._background.run(read, partial(self._read, path), self._tell)

    def _read(self, path: Path, file: ZoneFile) -> None:
        from engine.tracks.zone_files import fitted_zones

        editing = self.editing
        if editing.shown_camera is None:
            return
        try:
            found, notes = fitted_zones(file, editing.cameras, editing.camera, editing.size)
        except EngineError as error:
            self._tell(error)
            return
        many = sum(map(len, found.values()))
        if editing.put(found, f"{many} zones from {path.name}"):
            self._say(" ".join([f"{many} zones from {path.name}.", *notes]))

    def ask_export(self) -> None:
        """Choose where zones go."""
        name, _ = QFileDialog.getSaveFileName(
            self, "Zones of all cameras", "zones.json", "Zones (*.json)"
        )
        if name:
            self.export_to(Path(name))

    def export_to(self, path: Path) -> None:
        """Write the zones of all cameras."""
        cameras: tuple[Camera, ...] = tuple(self.editing.cameras)

        def write() -> Any:
            from engine.tracks.zone_files import write_zones

            write_zones(cameras, path)

        self._background.run(write, lambda _: self._say(f"Saved {path.name}."), self._tell)


_DRAWING = (
    "Click the first corner. Keys: arrows move the pen, Space sets a corner, Esc stops.",
    "Click the next corner. Backspace takes the last one back.",
    "Click the next corner. Backspace takes the last one back.",
    "Click the next corner; Return, a double click or a click on the first corner closes the zone.",
)


def _count_ends(state: TrackState, cameras: int) -> dict[int, EndPoints]:
    from engine.tracks.track_motion import flatten
    from engine.tracks.zone_counts import end_points

    flat = flatten(state)
    return {at: end_points(flat, at) for at in range(cameras)}
