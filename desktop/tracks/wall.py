"""The wall of cameras: the frame at the playhead of each, boxes and identities over it."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, QSize, Signal
from PySide6.QtGui import QImage, QPolygonF
from PySide6.QtWidgets import QGridLayout, QWidget

from desktop.theme import Theme
from desktop.tracks.camera_view import CameraView, ShownBox
from desktop.tracks.frame_source import FrameSource
from desktop.tracks.model import TracksModel

if TYPE_CHECKING:
    from engine.video_proxy import Proxy

GAP = 4
TRAIL = 30
"""Frames of the way behind a selected box."""
LAYOUTS = (1, 2, 4, 6, 9)


class Wall(QWidget):
    """Up to nine cameras.

    Attributes
    ----------
    clicked, drawn
        As of :class:`~desktop.tracks.camera_view.CameraView`.
    """

    clicked = Signal(object, bool)
    drawn = Signal(int, int, object, QRectF)

    def __init__(self, theme: Theme, model: TracksModel) -> None:
        super().__init__()
        self._model = model
        self._time = 0.0
        self._first = 0
        self._count = 4
        self.follow = False
        self._sources: dict[int, FrameSource] = {}
        self._views = [CameraView(theme) for _ in range(max(LAYOUTS))]
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(GAP)
        for view in self._views:
            view.clicked.connect(self.clicked)
            view.drawn.connect(self.drawn)
            view.setParent(self)
            view.hide()
        model.opened.connect(self._opened)
        model.changed.connect(self.refresh)
        model.cameras_changed.connect(self._cameras_changed)
        model.selected.connect(self._selected)

    @property
    def busy(self) -> bool:
        """Whether frames are on their way."""
        return any(source.busy for source in self._sources.values())

    @property
    def views(self) -> list[CameraView]:
        """Those in sight."""
        return [view for view in self._views if view.camera is not None]

    def set_count(self, count: int) -> None:
        """How many cameras are in sight at once."""
        self._count = count
        self._arrange()

    def set_options(self, *, hide_others: bool | None = None, zones: bool | None = None) -> None:
        """Hide what is not selected; show zones."""
        for view in self._views:
            view.hide_others = view.hide_others if hide_others is None else hide_others
            view.show_zones = view.show_zones if zones is None else zones
            view.update()

    def use_proxy(self, camera: int, proxy: Proxy) -> None:
        """From now on go to frames of a camera by its proxy first."""
        if camera in self._sources:
            self._sources[camera].use(proxy)

    def set_drawing(self, on: bool) -> None:
        """Whether dragging in a picture draws, moves and resizes boxes."""
        for view in self._views:
            view.set_drawing(on)

    def show_camera(self, position: int) -> None:
        """Bring a camera into sight."""
        if not self._first <= position < self._first + self._count:
            self._first = position // self._count * self._count if self._count > 1 else position
            self._arrange()

    def set_time(self, time: float) -> None:
        """Seconds on the scene's clock."""
        self._time = time
        self.refresh()

    def _opened(self) -> None:
        for source in self._sources.values():
            source.close()
            source.deleteLater()
        self._sources = {}
        scene = self._model.scene
        if scene is not None:
            for at, camera in enumerate(scene.cameras):
                if camera.video:
                    path = scene.folder / camera.video  # an absolute one stays itself
                    self._sources[at] = FrameSource(path, partial(self._frame_came, at), self)
            self._count = next((n for n in LAYOUTS if n >= len(scene.cameras)), max(LAYOUTS))
        self._first = 0
        self._arrange()

    def _cameras_changed(self) -> None:
        scene = self._model.scene
        for view in self.views if scene is not None else ():
            view.camera = scene.cameras[view.position]
        self.refresh()

    def _arrange(self) -> None:
        scene = self._model.scene
        cameras = () if scene is None else scene.cameras
        shown = list(enumerate(cameras))[self._first : self._first + self._count]
        columns = math.ceil(math.sqrt(len(shown))) if len(shown) != 2 else 2
        for at, view in enumerate(self._views):
            self._grid.removeWidget(view)
            if at < len(shown):
                view.position, view.camera = shown[at]
                view.picture, view.note = None, "" if shown[at][1].video else "no video"
                self._grid.addWidget(view, at // columns, at % columns)
            else:
                view.camera = None
            view.setVisible(at < len(shown))
        self.refresh()

    def refresh(self) -> None:
        """Frames and boxes at the playhead."""
        for view in self.views:
            assert view.camera is not None
            frame = math.floor((self._time - view.camera.offset) * view.camera.fps + 1e-6)
            inside = frame >= 0 and (not view.camera.frames or frame < view.camera.frames)
            view.frame = frame if inside else -1
            if not inside:
                view.boxes, view.trails, view.picture = (), (), None
            else:
                self._fill(view)
                if view.position in self._sources:
                    self._sources[view.position].want(frame)
            view.update()

    def _fill(self, view: CameraView) -> None:
        index, state = self._model.index, self._model.state
        if index is None or state is None:
            view.boxes, view.trails = (), ()
            return
        boxes, owners = index.at(view.position, view.frame)
        view.boxes = tuple(
            ShownBox(tracklet, state.identity_of(tracklet), QRectF(*xywh))
            for tracklet, xywh in zip(owners.tolist(), boxes.xywh.tolist(), strict=True)
        )
        view.selected = frozenset(self._model.selection)
        view.trails = tuple(
            (
                box.identity,
                QPolygonF([QPointF(x, y) for x, y in index.trail(box.tracklet, view.frame, TRAIL)]),
            )
            for box in view.boxes
            if box.tracklet in view.selected
        )

    def _selected(self) -> None:
        span = self._model.span(self._model.selection[0]) if self._model.selection else None
        if self.follow and span is not None:
            self.show_camera(span.camera)
        self.refresh()

    def _frame_came(self, camera: int, frame: int, image: QImage | None, size: QSize) -> None:
        for view in self.views:
            if view.position == camera:
                view.picture, view.picture_size = image, size
                if image is None:
                    view.note = "video cannot be read"
                    view.setToolTip(self._sources[camera].failed)
                view.update()
