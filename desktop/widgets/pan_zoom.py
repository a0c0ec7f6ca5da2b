"""Zooming and panning over pictures, shared by every view that shows some.

:class:`ViewTransform` is the geometry, without a widget, so that several pictures (a grid, the two
sides of a comparison) can follow one and the same zoom. :class:`PanZoomView` adds mouse and keys.
"""

from __future__ import annotations

from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, QSize, QSizeF, Qt, Signal
from PySide6.QtGui import QColor, QImage, QKeyEvent, QMouseEvent, QPainter, QPalette, QWheelEvent
from PySide6.QtWidgets import QWidget

NEAREST_ABOVE = 2.0
WHEEL_NOTCH = 120.0
ZOOM_PER_NOTCH = 1.25
MIN_SCALE = 0.05
MAX_SCALE = 64.0
KEY_PAN_PIXELS = 48.0


class ViewTransform:
    """Where a picture lies in a viewport.

    Attributes
    ----------
    scale
        Logical screen pixels per picture pixel; ``None`` fits the picture to its viewport.
    centre
        The point of the picture in the middle of the viewport, as a share (0..1, 0..1) of its size,
        so that pictures of different sizes show the same part.
    """

    def __init__(self) -> None:
        self.scale: float | None = None
        self.centre = QPointF(0.5, 0.5)

    def fit(self) -> None:
        """Show all of the picture, as large as it goes."""
        self.scale = None
        self.centre = QPointF(0.5, 0.5)

    def scale_in(self, viewport: QSizeF, picture: QSize) -> float:
        """The scale in use for this viewport."""
        if self.scale is not None:
            return self.scale
        width, height = max(1, picture.width()), max(1, picture.height())
        return max(MIN_SCALE, min(viewport.width() / width, viewport.height() / height))

    def picture_rect(self, viewport: QRectF, picture: QSize) -> QRectF:
        """Where the whole picture lies, in the viewport's coordinates (it may stick out)."""
        scale = self.scale_in(viewport.size(), picture)
        size = QSizeF(picture.width() * scale, picture.height() * scale)
        corner = QPointF(
            viewport.center().x() - self.centre.x() * size.width(),
            viewport.center().y() - self.centre.y() * size.height(),
        )
        return QRectF(corner, size)

    def to_picture(self, viewport: QRectF, picture: QSize, point: QPointF) -> QPointF:
        """The picture coordinate (pixels) under a point of the viewport."""
        rect = self.picture_rect(viewport, picture)
        scale = self.scale_in(viewport.size(), picture)
        return QPointF((point.x() - rect.left()) / scale, (point.y() - rect.top()) / scale)

    def zoom_at(self, viewport: QRectF, picture: QSize, point: QPointF, factor: float) -> None:
        """Scale by ``factor`` keeping what is under ``point`` where it is."""
        target = self.to_picture(viewport, picture, point)
        scale = self.scale_in(viewport.size(), picture) * factor
        self.scale = min(MAX_SCALE, max(MIN_SCALE, scale))
        middle = viewport.center()
        self._set_centre(
            (target.x() - (point.x() - middle.x()) / self.scale) / max(1, picture.width()),
            (target.y() - (point.y() - middle.y()) / self.scale) / max(1, picture.height()),
        )

    def set_scale(self, scale: float) -> None:
        """Use an absolute scale, keeping the centre."""
        self.scale = min(MAX_SCALE, max(MIN_SCALE, scale))

    def pan(self, viewport: QRectF, picture: QSize, delta: QPointF) -> None:
        """Move the picture by screen pixels; a fitted picture stays fitted."""
        if self.scale is None:
            return
        self._set_centre(
            self.centre.x() - delta.x() / (self.scale * max(1, picture.width())),
            self.centre.y() - delta.y() / (self.scale * max(1, picture.height())),
        )

    def _set_centre(self, x: float, y: float) -> None:
        # The picture's middle can be pushed to the border but never out of sight.
        self.centre = QPointF(min(1.0, max(0.0, x)), min(1.0, max(0.0, y)))


def draw_picture(
    painter: QPainter, rect: QRectF, image: QImage, *, smooth_always: bool = False
) -> None:
    """Draw a picture scaled into ``rect``: crisp pixels above 2x, smooth below.

    Strong reductions go through Qt's area filter, because the painter's own would drop pixels.
    """
    ratio = painter.device().devicePixelRatioF()
    scale = rect.width() * ratio / max(1, image.width())
    painter.setRenderHint(
        QPainter.RenderHint.SmoothPixmapTransform, smooth_always or scale <= NEAREST_ABOVE
    )
    if scale < 0.5:
        target = QSize(max(1, round(rect.width() * ratio)), max(1, round(rect.height() * ratio)))
        image = image.scaled(
            target, Qt.AspectRatioMode.IgnoreAspectRatio, Qt.TransformationMode.SmoothTransformation
        )
    painter.drawImage(rect, image)


class PanZoomView(QWidget):
    """A widget whose pictures follow one :class:`ViewTransform`.

    Wheel zooms at the cursor, dragging pans, ``F`` fits, ``1`` is one picture pixel per screen
    pixel, ``+``/``-`` zoom and the arrow keys pan. Subclasses say where their pictures are.
    """

    zoom_changed = Signal(float)
    """Screen (device) pixels per picture pixel."""
    pixel_changed = Signal(str)
    """Position and colour under the cursor; empty outside."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.transform = ViewTransform()
        self.smooth = False
        self._ground: QColor | None = None
        self._drag_from: QPointF | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(120, 120)

    # --- for subclasses ---------------------------------------------------------------------------

    def target_at(self, point: QPointF) -> tuple[QRectF, QImage] | None:
        """The viewport and picture under a point, or ``None``."""
        raise NotImplementedError

    def main_target(self) -> tuple[QRectF, QImage] | None:
        """The viewport and picture that the keys act on."""
        raise NotImplementedError

    def paint_ground(self, painter: QPainter, area: QRect) -> None:
        """Fill ``area`` with the neutral ground behind the pictures."""
        painter.fillRect(area, self._ground or self.palette().color(QPalette.ColorRole.Window))

    # --- acting -----------------------------------------------------------------------------------

    def fit(self) -> None:
        """Show whole pictures."""
        self.transform.fit()
        self._transformed()

    def one_to_one(self) -> None:
        """One picture pixel per screen pixel."""
        self.transform.set_scale(1 / self.devicePixelRatioF())
        self._transformed()

    def zoom_by(self, factor: float) -> None:
        """Zoom about the middle of the view."""
        target = self.main_target()
        if target is not None:
            viewport, image = target
            self.transform.zoom_at(viewport, image.size(), viewport.center(), factor)
            self._transformed()

    def set_smooth(self, smooth: bool) -> None:
        """Interpolate above 2x too, instead of showing the picture's pixels."""
        self.smooth = smooth
        self.update()

    def current_zoom(self) -> float:
        """Screen (device) pixels per picture pixel; 0 when nothing is shown."""
        target = self.main_target()
        if target is None:
            return 0.0
        viewport, image = target
        return self.transform.scale_in(viewport.size(), image.size()) * self.devicePixelRatioF()

    def _transformed(self) -> None:
        self.zoom_changed.emit(self.current_zoom())
        self.update()

    # --- Qt events --------------------------------------------------------------------------------

    def wheelEvent(self, event: QWheelEvent) -> None:
        target = self.target_at(event.position())
        notches = event.angleDelta().y() / WHEEL_NOTCH
        if target is None or notches == 0:
            event.ignore()
            return
        viewport, image = target
        factor = ZOOM_PER_NOTCH**notches
        self.transform.zoom_at(viewport, image.size(), event.position(), factor)
        self._transformed()
        event.accept()

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() in (Qt.MouseButton.LeftButton, Qt.MouseButton.MiddleButton):
            self._drag_from = event.position()
        super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if self._drag_from is not None:
            target = self.target_at(self._drag_from) or self.main_target()
            if target is not None and self.transform.scale is not None:
                self.setCursor(Qt.CursorShape.ClosedHandCursor)
                delta = event.position() - self._drag_from
                self.transform.pan(target[0], target[1].size(), delta)
                self._transformed()
            self._drag_from = event.position()
        self.pixel_changed.emit(self.pixel_text(event.position()))

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        self._drag_from = None
        self.unsetCursor()
        super().mouseReleaseEvent(event)

    def leaveEvent(self, event: object) -> None:
        self.pixel_changed.emit("")

    def changeEvent(self, event: QEvent) -> None:
        if event.type() == QEvent.Type.PaletteChange:
            self.update()
        super().changeEvent(event)

    def resizeEvent(self, event: object) -> None:
        self.zoom_changed.emit(self.current_zoom())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        pans = {
            Qt.Key.Key_Left: QPointF(KEY_PAN_PIXELS, 0),
            Qt.Key.Key_Right: QPointF(-KEY_PAN_PIXELS, 0),
            Qt.Key.Key_Up: QPointF(0, KEY_PAN_PIXELS),
            Qt.Key.Key_Down: QPointF(0, -KEY_PAN_PIXELS),
        }
        target = self.main_target()
        plain = not event.modifiers() & ~(
            Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier
        )
        if target is None or not plain:
            super().keyPressEvent(event)
        elif event.key() == Qt.Key.Key_F:
            self.fit()
        elif event.key() == Qt.Key.Key_1:
            self.one_to_one()
        elif event.key() in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom_by(ZOOM_PER_NOTCH)
        elif event.key() == Qt.Key.Key_Minus:
            self.zoom_by(1 / ZOOM_PER_NOTCH)
        elif event.key() in pans:
            self.transform.pan(target[0], target[1].size(), pans[Qt.Key(event.key())])
            self._transformed()
        else:
            super().keyPressEvent(event)

    # --- what is under the cursor -----------------------------------------------------------------

    def pixel_text(self, point: QPointF) -> str:
        """Position and colour under a point of the widget; empty outside a picture."""
        target = self.target_at(point)
        if target is None:
            return ""
        viewport, image = target
        if not viewport.contains(point):
            return ""
        at = self.transform.to_picture(viewport, image.size(), point)
        x, y = int(at.x() // 1), int(at.y() // 1)
        if not image.valid(x, y):
            return ""
        colour = image.pixelColor(x, y)
        values = f"{colour.red()}, {colour.green()}, {colour.blue()}"
        return f"x {x}  y {y}   {values}   {colour.name().upper()}"
