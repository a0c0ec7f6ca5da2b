"""The wall of cameras: the frame at the playhead of each, boxes and identities over it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PySide6.QtCore import QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QColor, QFont, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QGridLayout, QSizePolicy, QWidget

from desktop.background import Background
from desktop.theme import Theme
from desktop.tracks.lanes import colour_of
from desktop.tracks.model import TracksModel
from desktop.widgets.video_frames import FrameReader
from engine.errors import EngineError
from engine.tracks.cameras import Camera

GAP = 4
TRAIL = 30
"""Frames of the way behind a selected box."""
LAYOUTS = (1, 2, 4, 6, 9)
FrameCame = Callable[[int, QImage | None], object]
"""``f(frame, picture)``; without a picture where the video cannot be read."""


@dataclass(frozen=True)
class ShownBox:
    """A box of the frame, pixels of the video."""

    tracklet: int
    identity: int
    place: QRectF


class CameraView(QWidget):
    """One camera.

    Attributes
    ----------
    clicked
        ``(tracklet or None, extend)``.
    """

    clicked = Signal(object, bool)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.camera: Camera | None = None
        self.position = -1
        self.frame = -1
        self.picture: QImage | None = None
        self.note = ""
        self.boxes: tuple[ShownBox, ...] = ()
        self.trails: tuple[tuple[int, QPolygonF], ...] = ()
        self.selected: frozenset[int] = frozenset()
        self.hide_others = self.show_zones = False
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(120, 80)
        theme.changed.connect(self.update)

    def _size(self) -> tuple[int, int]:
        camera = self.camera
        if self.picture is not None:
            return self.picture.width(), self.picture.height()
        if camera is not None and camera.width and camera.height:
            return camera.width, camera.height
        edges = [box.place.bottomRight() for box in self.boxes]
        right = max((edge.x() for edge in edges), default=1920.0)
        return max(1920, round(right)), max(1080, round(max((e.y() for e in edges), default=0.0)))

    def _picture_rect(self) -> tuple[QRectF, float]:
        width, height = self._size()
        scale = min(self.width() / width, self.height() / height)
        size = QPointF(width * scale, height * scale)
        corner = QPointF((self.width() - size.x()) / 2, (self.height() - size.y()) / 2)
        return QRectF(corner, QPointF(corner.x() + size.x(), corner.y() + size.y())), scale

    def paintEvent(self, event: QPaintEvent) -> None:
        """Frame, zones, trails, boxes, name."""
        tokens = self._theme.tokens
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(tokens.sunken))
        if self.camera is None:
            return
        rect, scale = self._picture_rect()
        if self.picture is None:
            painter.fillRect(rect, QColor("#3a3f47" if tokens.dark else "#8b929d"))
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(rect, self.picture)
        painter.save()
        painter.setClipRect(rect)
        painter.translate(rect.topLeft())
        painter.scale(scale, scale)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if self.show_zones:
            self._paint_zones(painter, scale)
        for identity, line in self.trails:
            painter.setPen(QPen(colour_of(identity), 2 / scale))
            painter.drawPolyline(line)
        self._paint_boxes(painter, scale)
        painter.restore()
        self._paint_name(painter, rect)

    def _paint_boxes(self, painter: QPainter, scale: float) -> None:
        font = QFont(self.font())
        font.setPixelSize(max(1, round(11 / scale)))
        font.setBold(True)
        painter.setFont(font)
        for box in sorted(self.boxes, key=lambda box: box.tracklet in self.selected):
            chosen = box.tracklet in self.selected
            if self.hide_others and self.selected and not chosen:
                continue
            colour = colour_of(box.identity)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            if chosen:
                painter.setPen(QPen(QColor("white"), 5 / scale))
                painter.drawRect(box.place)
            painter.setPen(QPen(colour, (3 if chosen else 1.6) / scale))
            painter.drawRect(box.place)
            text = str(box.identity)
            size = painter.fontMetrics().horizontalAdvance(text) + 6 / scale, 15 / scale
            tag = QRectF(box.place.left(), box.place.top() - size[1], *size)
            if tag.top() < 0:
                tag.moveTop(box.place.top())
            painter.fillRect(tag, colour)
            painter.setPen(QColor("#14161a"))
            painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_zones(self, painter: QPainter, scale: float) -> None:
        assert self.camera is not None
        font = QFont(self.font())
        font.setPixelSize(max(1, round(12 / scale)))
        painter.setFont(font)
        for number, zone in enumerate(self.camera.zones):
            colour = colour_of(number * 5 + 2)
            painter.setPen(QPen(colour, 1.5 / scale, Qt.PenStyle.DashLine))
            fill = QColor(colour)
            fill.setAlpha(40)
            painter.setBrush(fill)
            corners = QPolygonF([QPointF(x, y) for x, y in zone.polygon])
            painter.drawPolygon(corners)
            painter.drawText(corners.boundingRect(), Qt.AlignmentFlag.AlignCenter, zone.name)

    def _paint_name(self, painter: QPainter, rect: QRectF) -> None:
        assert self.camera is not None
        text = f"{self.camera.name} · {self.frame}" if self.frame >= 0 else self.camera.name
        text += f" · {self.note}" if self.note else ""
        painter.setFont(self.font())
        width = painter.fontMetrics().horizontalAdvance(text) + 12
        tag = QRectF(rect.left() + 6, rect.top() + 6, width, 20)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(0, 0, 0, 150))
        painter.drawRoundedRect(tag, 4, 4)
        painter.setPen(QColor("white"))
        painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, text)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Select the smallest box that was hit."""
        rect, scale = self._picture_rect()
        place = (event.position() - rect.topLeft()) / scale
        hit = [box for box in self.boxes if box.place.contains(place)]
        hit.sort(key=lambda box: box.place.width() * box.place.height())
        extend = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        self.clicked.emit(hit[0].tracklet if hit else None, extend)


class _Source(QObject):
    """The video of one camera, on a thread of its own; of waiting frames only the newest is read."""

    def __init__(self, path: Path, done: FrameCame, parent: QObject) -> None:
        super().__init__(parent)
        self._path, self._done = path, done
        self._reader, self._background = FrameReader(), Background(self)
        self._wanted: int | None = None
        self._busy = False
        self.failed = ""

    @property
    def busy(self) -> bool:
        """Whether a frame is on its way."""
        return self._busy

    def want(self, frame: int) -> None:
        """Read a frame, unless a newer one is wanted before."""
        self._wanted = frame
        self._next()

    def close(self) -> None:
        """Let the file go."""
        self._background.run(self._reader.close, lambda _: None, lambda _: None)

    def _next(self) -> None:
        if self._busy or self._wanted is None or self.failed:
            return
        frame, self._wanted, self._busy = self._wanted, None, True
        work = partial(self._reader.read, self._path, frame)
        self._background.run(work, partial(self._came, frame), self._lost)

    def _came(self, frame: int, image: QImage) -> None:
        self._busy = False
        self._done(frame, image)
        self._next()

    def _lost(self, error: EngineError) -> None:
        self._busy = False
        self.failed = error.message
        self._done(-1, None)


class Wall(QWidget):
    """Up to nine cameras.

    Attributes
    ----------
    clicked
        As of :class:`CameraView`.
    """

    clicked = Signal(object, bool)

    def __init__(self, theme: Theme, model: TracksModel) -> None:
        super().__init__()
        self._model = model
        self._time = 0.0
        self._first = 0
        self._count = 4
        self.follow = False
        self._sources: dict[int, _Source] = {}
        self._views = [CameraView(theme) for _ in range(max(LAYOUTS))]
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(GAP)
        for view in self._views:
            view.clicked.connect(self.clicked)
            view.setParent(self)
            view.hide()
        model.opened.connect(self._opened)
        model.changed.connect(self.refresh)
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
                    self._sources[at] = _Source(path, partial(self._frame_came, at), self)
            self._count = next((n for n in LAYOUTS if n >= len(scene.cameras)), max(LAYOUTS))
        self._first = 0
        self._arrange()

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

    def _frame_came(self, camera: int, frame: int, image: QImage | None) -> None:
        for view in self.views:
            if view.position == camera:
                view.picture = image
                if image is None:
                    view.note = "video cannot be read"
                    view.setToolTip(self._sources[camera].failed)
                view.update()
