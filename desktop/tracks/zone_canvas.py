"""A camera's picture with its zones on it, which are drawn, moved and reshaped here."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRectF, QSize, Qt
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QPolygonF,
    QWheelEvent,
)

from desktop.tracks.lanes import zone_colour
from desktop.tracks.own_keys import NUDGES, OwnKeys
from desktop.tracks.zone_editing import NOTHING, ZoneEditing
from desktop.tracks.zone_painting import (
    heat_image,
    paint_draft,
    paint_handles,
    paint_name,
    paint_text,
    paint_zone,
)
from desktop.widgets.pan_zoom import WHEEL_NOTCH, ZOOM_PER_NOTCH, ViewTransform
from engine.tracks.zone_shapes import nearest_side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from desktop.theme import Theme
    from engine.tracks.cameras import Point, Zone

REACH = 9.0
"""Logical pixels around a corner within which it is meant."""
BIG_STEP, SMALL_STEP = 10.0, 1.0
"""Pixels of the video that an arrow key moves something."""
MARGIN = 16.0


@dataclass
class _Hold:
    """What the mouse took hold of."""

    start: Point
    polygon: tuple[Point, ...] | None = None
    """Of the zone, where all of it is moved."""
    moved: bool = False


class ZoneCanvas(OwnKeys):
    """See the module. Clicks draw while a zone is being drawn; else they select, and drag.

    Attributes
    ----------
    picture
        A frame of the video; ``None`` without one.
    heat
        float64 ``(R, C)`` where boxes are, 0 to 1; ``None`` where that is not shown.
    counts
        By zone: how many tracklets begin and end in it; ``None`` where nobody knows.
    hint
        What to do, over the picture; empty for nothing.
    """

    def __init__(self, theme: Theme, editing: ZoneEditing) -> None:
        super().__init__()
        self._theme, self._editing = theme, editing
        self.transform = ViewTransform()
        self.picture: QImage | None = None
        self.heat: np.ndarray | None = None
        self.counts: Sequence[tuple[int, int]] | None = None
        self.hint = ""
        self._hold: _Hold | None = None
        self._pan: QPointF | None = None
        self._cursor: Point | None = None
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(240, 160)
        self.setAccessibleName("Picture of the camera with its zones")
        editing.changed.connect(self._changed)
        theme.changed.connect(self.update)

    # --- where things are -------------------------------------------------------------------------

    def _rect(self) -> tuple[QRectF, float]:
        """Of the picture on the widget, and logical pixels for one of its pixels."""
        width, height = self._editing.size
        inner = QRectF(self.rect()).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        rect = self.transform.picture_rect(inner, QSize(round(width), round(height)))
        return rect, rect.width() / max(1, round(width))

    def place_of(self, point: Point) -> QPointF:
        """Where a pixel of the video is on the widget."""
        rect, scale = self._rect()
        return rect.topLeft() + QPointF(*point) * scale

    def _point(self, place: QPointF) -> Point:
        rect, scale = self._rect()
        return (place.x() - rect.left()) / scale, (place.y() - rect.top()) / scale

    def _snapped(self, point: Point, but: int = NOTHING) -> Point:
        """A corner of another zone, or the picture's border, that is near; else the point."""
        camera, (width, height) = self._editing.shown_camera, self._editing.size
        reach = REACH / self._rect()[1]
        zones = () if camera is None else camera.zones
        near = [
            corner
            for number, zone in enumerate(zones)
            for corner in zone.polygon
            if number != but and math.dist(corner, point) <= reach
        ]
        if near:
            return min(near, key=lambda corner: math.dist(corner, point))
        x, y = point
        x = 0.0 if abs(x) <= reach else width if abs(x - width) <= reach else x
        y = 0.0 if abs(y) <= reach else height if abs(y - height) <= reach else y
        return x, y

    def _corner_at(self, point: Point) -> int:
        zone = self._editing.selected
        reach = REACH / self._rect()[1]
        corners = () if zone is None else zone.polygon
        near = [(math.dist(corner, point), at) for at, corner in enumerate(corners)]
        best = min(near, default=(math.inf, NOTHING))
        return best[1] if best[0] <= reach else NOTHING

    def _side_at(self, point: Point) -> tuple[int, Point] | None:
        """A side of the selected zone under a point, and the point on it."""
        zone = self._editing.selected
        if zone is None:
            return None
        side, foot = nearest_side(zone.polygon, point)
        return (side, foot) if math.dist(foot, point) <= REACH / self._rect()[1] else None

    def _zone_at(self, point: Point) -> int:
        camera = self._editing.shown_camera
        if camera is None:
            return NOTHING
        return int(camera.zone_of(np.array([point]))[0])

    def _closes(self, point: Point) -> bool:
        """Whether a click would close what is drawn."""
        draft = self._editing.draft
        return bool(
            draft is not None
            and len(draft) > 2
            and math.dist(draft[0], point) <= REACH / self._rect()[1]
        )

    # --- the mouse --------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """A corner of what is drawn; or take hold of a corner, a side, a zone."""
        if event.button() == Qt.MouseButton.MiddleButton:
            self._pan = event.position()
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        point, editing = self._point(event.position()), self._editing
        if editing.draft is not None:
            if self._closes(point):
                editing.finish()
            else:
                editing.add(self._snapped(point))
            return
        corner = self._corner_at(point)
        if corner != NOTHING:
            editing.select(editing.zone, corner)
            self._hold = _Hold(point)
            return
        zone = self._zone_at(point)
        editing.select(zone)
        if editing.selected is not None:
            self._hold = _Hold(point, editing.selected.polygon)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """What is held follows; else the cursor says what would happen."""
        point, editing = self._point(event.position()), self._editing
        self._cursor = point
        if self._pan is not None:
            width, height = editing.size
            inner = QRectF(self.rect()).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
            delta = event.position() - self._pan
            self.transform.pan(inner, QSize(round(width), round(height)), delta)
            self._pan = event.position()
            self.update()
        elif self._hold is not None:
            self._drag(point)
        elif editing.draft is not None:
            self.update()
        else:
            held = self._corner_at(point) != NOTHING or self._zone_at(point) == editing.zone != NOTHING
            self.setCursor(Qt.CursorShape.SizeAllCursor if held else Qt.CursorShape.ArrowCursor)

    def _drag(self, point: Point) -> None:
        hold, editing = self._hold, self._editing
        assert hold is not None
        if not hold.moved and math.dist(point, hold.start) * self._rect()[1] < 3:
            return
        hold.moved = True
        if hold.polygon is None:
            editing.drag_corner(self._snapped(point, editing.zone))
        else:
            editing.drag_zone(hold.polygon, point[0] - hold.start[0], point[1] - hold.start[1])

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """What was dragged stays there."""
        self._pan = None
        hold, self._hold = self._hold, None
        if hold is not None and hold.moved:
            self._editing.let_go()

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        """Close what is drawn; or a new corner on a side of the selected zone."""
        editing, point = self._editing, self._point(event.position())
        if event.button() != Qt.MouseButton.LeftButton:
            return
        if editing.draft is not None:
            editing.finish()  # the first click of the two has set the last corner
            return
        side = self._side_at(point)
        if side is not None and self._corner_at(point) == NOTHING:
            self._hold = None
            editing.insert(*side)
            editing.let_go()

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom where the mouse is."""
        self.zoom(ZOOM_PER_NOTCH ** (event.angleDelta().y() / WHEEL_NOTCH), event.position())
        event.accept()

    def zoom(self, factor: float, place: QPointF | None = None) -> None:
        """Show more, or less."""
        width, height = self._editing.size
        inner = QRectF(self.rect()).adjusted(MARGIN, MARGIN, -MARGIN, -MARGIN)
        at = inner.center() if place is None else place
        self.transform.zoom_at(inner, QSize(round(width), round(height)), at, factor)
        self.update()

    def fit(self) -> None:
        """Show the whole picture."""
        self.transform.fit()
        self.update()

    def leaveEvent(self, event: QEvent) -> None:
        """No rubber line outside."""
        self._cursor = None
        self.update()

    # --- the keys ---------------------------------------------------------------------------------

    def own_keys(self) -> set[Qt.Key]:
        """See :class:`OwnKeys`."""
        drawing = self._editing.draft is not None
        own = {*NUDGES, Qt.Key.Key_Delete, Qt.Key.Key_Backspace, Qt.Key.Key_Insert}
        if drawing:
            own |= {Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape, Qt.Key.Key_Space}
        elif self._editing.zone != NOTHING:
            own |= {Qt.Key.Key_Escape}
        return own

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move what is selected, or the pen; Space sets a corner, Return closes, Esc stops."""
        if not self.means(event):
            super().keyPressEvent(event)
            return
        key, editing = Qt.Key(event.key()), self._editing
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            editing.step_corner(1 if key == Qt.Key.Key_Right else -1)
        elif key in NUDGES:
            fast = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            self._nudge(*NUDGES[key], fast)
        elif key == Qt.Key.Key_Space:
            editing.add(self._pen())
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            editing.finish()
        elif key == Qt.Key.Key_Escape:
            if not editing.cancel():
                editing.select(NOTHING)
        elif key == Qt.Key.Key_Insert:
            editing.split_side()
        elif editing.draft is not None:
            editing.back()
        else:
            editing.delete()

    def _pen(self) -> Point:
        """Where keys draw: at the mouse, or in the middle."""
        width, height = self._editing.size
        return self._cursor or (width / 2, height / 2)

    def _nudge(self, right: int, down: int, fast: bool) -> None:
        if self._editing.draft is None:
            step = BIG_STEP if fast else SMALL_STEP
            self._editing.nudge(right * step, down * step)
            return
        width, height = self._editing.size
        step = BIG_STEP * (5 if fast else 1)
        x, y = self._pen()
        self._cursor = (min(max(x + right * step, 0), width), min(max(y + down * step, 0), height))
        self.update()

    def _changed(self) -> None:
        drawing = self._editing.draft is not None
        if drawing or self.cursor().shape() == Qt.CursorShape.CrossCursor:
            self.setCursor(Qt.CursorShape.CrossCursor if drawing else Qt.CursorShape.ArrowCursor)
        self.update()

    # --- painting ---------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """The picture, zones, what is drawn."""
        tokens = self._theme.tokens
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(tokens.sunken))
        camera = self._editing.shown_camera
        if camera is None:
            return
        rect, _ = self._rect()
        if self.picture is None:
            painter.fillRect(rect, QColor("#3a3f47" if tokens.dark else "#8b929d"))
        else:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(rect, self.picture)
        if self.heat is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(rect, heat_image(self.heat))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for number, zone in enumerate(camera.zones):
            self._paint_zone(painter, number, zone)
        self._paint_draft(painter)
        painter.setPen(QPen(QColor(tokens.border), 1))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.drawRect(rect)
        problem = self._editing.problem()
        if text := problem or self.hint:
            painter.setFont(self.font())
            paint_text(painter, QRectF(self.rect()).adjusted(40, 24, -40, -24), text, bad=bool(problem))

    def _corners(self, polygon: Sequence[Point]) -> QPolygonF:
        return QPolygonF([self.place_of(point) for point in polygon])

    def _paint_zone(self, painter: QPainter, number: int, zone: Zone) -> None:
        editing, chosen = self._editing, number == self._editing.zone
        corners = self._corners(zone.polygon)
        bad = QColor(self._theme.tokens.bad) if chosen and editing.problem() else None
        paint_zone(painter, corners, number, zone, chosen=chosen, outline=bad)
        if chosen and editing.draft is None:
            paint_handles(painter, corners, zone_colour(number), editing.corner)
        counts = self.counts[number] if self.counts is not None and number < len(self.counts) else None
        painter.setFont(self.font())
        paint_name(painter, corners.boundingRect().center(), number, zone, counts)

    def _paint_draft(self, painter: QPainter) -> None:
        draft, tokens = self._editing.draft, self._theme.tokens
        if draft is None:
            return
        colour = QColor(tokens.bad if self._editing.problem() else "white")
        pen, closes = None, False
        if self._cursor is not None:
            closes = self._closes(self._cursor)
            pen = self.place_of(draft[0] if closes else self._snapped(self._cursor))
        places = [self.place_of(point) for point in draft]
        paint_draft(painter, places, pen, colour, QColor(tokens.accents["tracks"]), closes=closes)
