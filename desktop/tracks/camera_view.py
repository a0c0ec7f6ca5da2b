"""One camera of the wall: its picture, boxes and identities over it; boxes are drawn here by hand."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QFont, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QPolygonF
from PySide6.QtWidgets import QSizePolicy, QWidget

from desktop.theme import Theme
from desktop.tracks.box_drag import REACH, BoxDrag, grip_at
from desktop.tracks.lanes import colour_of, zone_colour
from engine.tracks.cameras import Camera


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
    drawn
        ``(camera, frame, tracklet or None, box)``: a box was moved or resized, or drawn anew.
    """

    clicked = Signal(object, bool)
    drawn = Signal(int, int, object, QRectF)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self.camera: Camera | None = None
        self.position = -1
        self.frame = -1
        self.picture: QImage | None = None
        self.picture_size = QSize()
        """Of the video's frames: a proxy's picture is smaller."""
        self.note = ""
        self.boxes: tuple[ShownBox, ...] = ()
        self.trails: tuple[tuple[int, QPolygonF], ...] = ()
        self.selected: frozenset[int] = frozenset()
        self.hide_others = self.show_zones = self.drawing = False
        self._drag: BoxDrag | None = None
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(120, 80)
        theme.changed.connect(self.update)

    def _size(self) -> tuple[int, int]:
        camera = self.camera
        if self.picture is not None:
            return self.picture_size.width(), self.picture_size.height()
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
        if self._drag is not None:
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for colour, width in (("black", 4), ("white", 2)):
                painter.setPen(QPen(QColor(colour), width / scale))
                painter.drawRect(self._drag.place)
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
            colour = zone_colour(number)
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

    # --- the mouse --------------------------------------------------------------------------------

    def set_drawing(self, on: bool) -> None:
        """Whether dragging draws, moves and resizes boxes."""
        self.drawing, self._drag = on, None
        self.setCursor(Qt.CursorShape.CrossCursor if on else Qt.CursorShape.ArrowCursor)
        self.update()

    def _at(self, event: QMouseEvent) -> tuple[QPointF, float]:
        """Pixels of the video, and logical pixels each."""
        rect, scale = self._picture_rect()
        return (event.position() - rect.topLeft()) / scale, scale

    def _held(self, point: QPointF, scale: float) -> BoxDrag | None:
        """The selected box that the mouse would take hold of."""
        for box in self.boxes:
            grip = grip_at(box.place, point, REACH / scale) if box.tracklet in self.selected else None
            if grip is not None:
                return BoxDrag(box.tracklet, self.frame, point, box.place, grip, box.place)
        return None

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Take hold of a box, begin a new one, or select."""
        if not self.drawing or self.frame < 0 or event.button() != Qt.MouseButton.LeftButton:
            self._click(event)
            return
        point, scale = self._at(event)
        self._drag = self._held(point, scale) or BoxDrag.new(self.frame, point)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The box follows; without one the cursor says what would happen."""
        point, scale = self._at(event)
        if self._drag is not None:
            self._drag.move(point, *self._size())
            self.update()
        elif self.drawing:
            held = self._held(point, scale)
            grip = None if held is None else held.grip
            self.setCursor(Qt.CursorShape.CrossCursor if grip is None else grip.cursor)

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """The box is where it should be."""
        drag, self._drag = self._drag, None
        if drag is None:
            return
        self.update()
        point, scale = self._at(event)
        if drag.is_click(point, scale):
            self._click(event)
            return
        drag.move(point, *self._size())
        if min(drag.place.width(), drag.place.height()) >= 1:
            self.drawn.emit(self.position, drag.frame, drag.tracklet, drag.place)

    def _click(self, event: QMouseEvent) -> None:
        """Select the smallest box that was hit."""
        place, _ = self._at(event)
        hit = [box for box in self.boxes if box.place.contains(place)]
        hit.sort(key=lambda box: box.place.width() * box.place.height())
        extend = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        self.clicked.emit(hit[0].tracklet if hit else None, extend)
