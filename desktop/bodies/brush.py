"""The brush on the photo that paints what is hidden: mouse and wheel, its ring, and the paint."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, QPointF, QRectF, Qt, Signal
from PySide6.QtGui import QBrush, QColor, QImage, QMouseEvent, QPainter, QPen, QPolygonF, QWheelEvent

from desktop.bodies.photo_view import PhotoView
from desktop.theme import Theme
from engine.bodies.occlusion import Stroke

SMALLEST, LARGEST = 3.0, 200.0
"""Radius on the screen, logical pixels."""
STEP = 1.2
_PICTURE_SIDE = 1200
_APART = 2.0
"""Points of a stroke are at least so far from each other on the screen."""


class OcclusionBrush(QObject):
    """See the module. While it is :attr:`active` it takes the photo's left and right button.

    Attributes
    ----------
    moving
        The :class:`~engine.bodies.occlusion.Stroke` so far, while the hand moves.
    stroked
        The whole one: the hand let go.
    """

    moving = Signal(object)
    stroked = Signal(object)

    def __init__(self, photo: PhotoView, theme: Theme) -> None:
        super().__init__(photo)
        self._photo, self._theme = photo, theme
        self.active, self.erases = False, False
        self.radius = 24.0
        self._points: list[tuple[float, float]] = []
        self._last: QPointF | None = None
        self._at: QPointF | None = None
        self._erasing_now = False
        self._drawn: tuple[object, ...] = ()
        self._picture = QImage()
        photo.layer = self.paint
        photo.installEventFilter(self)

    def set_active(self, active: bool) -> None:
        """Paint, or leave the mouse to the photo."""
        self.active = active
        self._points = []
        self._photo.setCursor(Qt.CursorShape.CrossCursor) if active else self._photo.unsetCursor()
        self._photo.update()

    def set_erases(self, erases: bool) -> None:
        """Take paint away instead (the right button always does)."""
        self.erases = erases
        self._photo.update()

    def grow(self, steps: float) -> None:
        """A larger brush, or with negative steps a smaller one."""
        self.radius = min(LARGEST, max(SMALLEST, self.radius * STEP**steps))
        self._photo.update()

    def eventFilter(self, _watched: QObject, event: QEvent) -> bool:
        """Take what is for the brush."""
        if isinstance(event, QMouseEvent):
            self._at = event.position()
            return self.active and self._mouse(event)
        if event.type() == QEvent.Type.Leave:
            self._at = None
        elif (
            self.active
            and isinstance(event, QWheelEvent)
            and not event.modifiers() & Qt.KeyboardModifier.ControlModifier
        ):
            self.grow(event.angleDelta().y() / 120)
            return True
        return False

    def _mouse(self, event: QMouseEvent) -> bool:
        left, right = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
        kind = event.type()
        if kind == QEvent.Type.MouseButtonPress and event.button() in (left, right):
            if self._photo.current_person is not None:
                self._erasing_now = self.erases or event.button() == right
                self._last = event.position()
                self._points = [self._photo.to_photo(event.position())]
                self.moving.emit(self._stroke())
            return True
        if kind == QEvent.Type.MouseMove:
            self._photo.update()
            if self._points and self._last is not None:
                if (event.position() - self._last).manhattanLength() >= _APART:
                    self._last = event.position()
                    self._points.append(self._photo.to_photo(event.position()))
                    self.moving.emit(self._stroke())
                return True
            return False
        if kind == QEvent.Type.MouseButtonRelease and event.button() in (left, right):
            if self._points:
                stroke, self._points = self._stroke(), []
                self.stroked.emit(stroke)
            return True
        return kind == QEvent.Type.MouseButtonDblClick

    def _stroke(self) -> Stroke:
        radius = self.radius / self._photo.pixels_per_photo_pixel
        return Stroke(tuple(self._points), radius, self._erasing_now)

    # --- painting ---------------------------------------------------------------------------------

    def paint(self, painter: QPainter, rect: QRectF, scale: float) -> None:
        """What is painted of the selected person, and the brush's ring; ``rect`` is the photo's."""
        person = self._photo.current_person
        if person is not None and person.painted:
            size = (rect.width() / scale, rect.height() / scale)
            painter.drawImage(rect, self._painted(person.painted, size))
        if self.active and self._at is not None:
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            for colour, width in (("#101214", 3.0), ("#ffffff", 1.4)):
                style = Qt.PenStyle.DashLine if self.erases else Qt.PenStyle.SolidLine
                painter.setPen(QPen(QColor(colour), width, style))
                painter.drawEllipse(self._at, self.radius, self.radius)

    def _painted(self, strokes: Sequence[Stroke], size: tuple[float, float]) -> QImage:
        """Hatched: colour is not the only sign."""
        warn = self._theme.tokens.warn
        key = (tuple(strokes), size, warn)
        if key == self._drawn:
            return self._picture
        scale = min(1.0, _PICTURE_SIDE / max(size))
        width, height = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        picture = QImage(width, height, QImage.Format.Format_ARGB32_Premultiplied)
        picture.fill(Qt.GlobalColor.transparent)
        painter = QPainter(picture)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(scale, scale)
        modes = QPainter.CompositionMode
        for stroke in strokes:
            over = modes.CompositionMode_Clear if stroke.erases else modes.CompositionMode_SourceOver
            painter.setCompositionMode(over)
            pen = QPen(QColor(Qt.GlobalColor.black), 2 * stroke.radius)
            pen.setCapStyle(Qt.PenCapStyle.RoundCap)
            pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
            painter.setPen(pen)
            points = [QPointF(x, y) for x, y in stroke.points]
            # A line of no length has no caps everywhere.
            painter.drawPolyline(QPolygonF([*points, points[-1] + QPointF(0.01, 0)]))
        painter.resetTransform()
        colour = QColor(warn)
        colour.setAlpha(110)
        painter.setCompositionMode(modes.CompositionMode_SourceIn)
        painter.fillRect(picture.rect(), colour)
        painter.setCompositionMode(modes.CompositionMode_SourceAtop)
        painter.fillRect(picture.rect(), QBrush(QColor(warn), Qt.BrushStyle.BDiagPattern))
        painter.end()
        self._drawn, self._picture = key, picture
        return picture
