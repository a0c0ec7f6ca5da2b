"""Cameras as boxes with their zones around them, ways between zones as arrows, drawn by dragging."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import (
    QColor,
    QFont,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
    QPolygonF,
)
from PySide6.QtWidgets import QWidget

from desktop.tracks.graph_editing import NOTHING, GraphEditing, Port, Way
from desktop.tracks.lanes import zone_colour
from desktop.tracks.zone_canvas import NUDGES

if TYPE_CHECKING:
    from desktop.theme import Theme
    from engine.tracks.cameras import Camera

WIDTH, HEIGHT = 132.0, 78.0
"""Of a camera, in the units of places."""
ROOM_ASIDE, ROOM_ABOVE = 95.0, 60.0
PORT, REACH = 7.0, 12.0
BEND = 55.0
ASIDE = 5.0
"""Logical pixels by which a way is beside the one back."""
ARROW = 9.0
LEAST_DRAG = 4.0
STEP, BIG_STEP = 10.0, 50.0


def seconds(window: tuple[float, float]) -> str:
    """A window to read."""
    return f"{window[0]:.3g} – {window[1]:.3g} s"


class GraphView(QWidget):
    """See the module. Dragging a camera moves it, dragging from a dot draws a way."""

    def __init__(self, theme: Theme, editing: GraphEditing) -> None:
        super().__init__()
        self._theme, self._editing = theme, editing
        self._scale, self._corner = 1.0, QPointF()
        self._moving: tuple[int, QPointF] | None = None
        self._moved = False
        self._from: Port | None = None
        self._mouse = QPointF()
        self.setMouseTracking(True)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumSize(240, 160)
        self.setAccessibleName("Cameras and the ways between them")
        editing.changed.connect(self.update)
        theme.changed.connect(self.update)

    # --- where things are -------------------------------------------------------------------------

    def _fit(self) -> None:
        """All cameras in sight; while one is moved the others stay."""
        if self._moving is not None or not self._editing.cameras:
            return
        places = [self._editing.place(at) for at in range(len(self._editing.cameras))]
        left, top = min(x for x, _ in places), min(y for _, y in places)
        wide = max(x for x, _ in places) - left + WIDTH + 2 * ROOM_ASIDE
        high = max(y for _, y in places) - top + HEIGHT + 2 * ROOM_ABOVE
        self._scale = min(self.width() / wide, self.height() / high, 1.2)
        self._corner = QPointF(
            (self.width() - wide * self._scale) / 2 - (left - ROOM_ASIDE - WIDTH / 2) * self._scale,
            (self.height() - high * self._scale) / 2 - (top - ROOM_ABOVE - HEIGHT / 2) * self._scale,
        )

    def box(self, camera: int) -> QRectF:
        """Of a camera, on the widget."""
        middle = self._corner + QPointF(*self._editing.place(camera)) * self._scale
        size = QPointF(WIDTH, HEIGHT) * self._scale
        return QRectF(middle - size / 2, middle + size / 2)

    def place_of(self, port: Port) -> QPointF:
        """Of a zone's dot, or the camera's own."""
        return self._spot(port)[0]

    def _spot(self, port: Port) -> tuple[QPointF, QPointF]:
        """Place of a dot, and the direction in which its ways leave."""
        box, camera = self.box(port[0]), self._editing.cameras[port[0]]
        if port[1] is None:
            inside = 10 * self._scale
            return box.bottomRight() - QPointF(inside, inside), QPointF(0, 1)
        ahead = _direction(camera, port[1])
        reach = min(
            box.width() / 2 / max(abs(ahead.x()), 1e-9), box.height() / 2 / max(abs(ahead.y()), 1e-9)
        )
        spot = box.center() + ahead * reach
        side = abs(abs(spot.x() - box.center().x()) - box.width() / 2) < 1e-6
        normal = (
            QPointF(math.copysign(1, ahead.x()), 0) if side else QPointF(0, math.copysign(1, ahead.y()))
        )
        return spot, normal

    def _end(self, way: Way) -> Port:
        """Where a way is drawn to: without a zone at the one that leads back, if there is one."""
        if way.end[1] is None:
            camera = self._editing.cameras[way.end[0]]
            name = self._editing.cameras[way.start[0]].name
            back = [n for n, zone in enumerate(camera.zones) if zone.leads_to == name]
            if len(back) == 1:
                return way.end[0], back[0]
        return way.end

    def _curve(self, way: Way) -> QPainterPath:
        start, out = self._spot(way.start)
        end, into = self._spot(self._end(way))
        bend = BEND * max(self._scale, 0.6)
        ahead = end - start
        length = math.hypot(ahead.x(), ahead.y()) or 1.0
        aside = QPointF(-ahead.y(), ahead.x()) / length * ASIDE
        start, end = start + aside, end + aside + into * PORT
        path = QPainterPath(start)
        path.cubicTo(start + out * bend, end + into * bend, end)
        return path

    def _way_at(self, place: QPointF) -> Way | None:
        best, near = 8.0, None
        for way in self._editing.ways:
            path = self._curve(way)
            for step in range(25):
                gap = path.pointAtPercent(step / 24) - place
                away = math.hypot(gap.x(), gap.y())
                if away < best:
                    best, near = away, way
        return near

    def _port_at(self, place: QPointF) -> Port | None:
        for at, camera in enumerate(self._editing.cameras):
            ports = [n for n, zone in enumerate(camera.zones) if not zone.ignored]
            for port in ((at, number) for number in (*ports, None)):
                gap = self.place_of(port) - place
                if math.hypot(gap.x(), gap.y()) <= REACH:
                    return port
        return None

    def _camera_at(self, place: QPointF) -> int:
        hit = [at for at in range(len(self._editing.cameras)) if self.box(at).contains(place)]
        return hit[-1] if hit else NOTHING

    # --- the mouse --------------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Begin a way, take hold of a camera, or select."""
        if event.button() != Qt.MouseButton.LeftButton:
            return
        self.setFocus(Qt.FocusReason.MouseFocusReason)
        place = self._mouse = event.position()
        port = self._port_at(place)
        if port is not None:
            self._from = port
            self.update()
            return
        camera = self._camera_at(place)
        if camera != NOTHING:
            self._editing.select(camera)
            middle = self.box(camera).center()
            self._moving, self._moved = (camera, place - middle), False
            return
        self._editing.select(way=self._way_at(place))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """The way, or the camera, follows."""
        place = event.position()
        start, self._mouse = self._mouse, place
        if self._from is not None:
            self.update()
        elif self._moving is not None:
            camera, grip = self._moving
            gap = place - start
            if not self._moved and math.hypot(gap.x(), gap.y()) < LEAST_DRAG:
                self._mouse = start
                return
            self._moved = True
            to = (place - grip - self._corner) / self._scale
            self._editing.move(camera, round(to.x()), round(to.y()))
        else:
            port, camera = self._port_at(place), self._camera_at(place)
            shape = Qt.CursorShape.CrossCursor if port is not None else Qt.CursorShape.ArrowCursor
            self.setCursor(Qt.CursorShape.SizeAllCursor if port is None and camera >= 0 else shape)
            self.setToolTip("Drag to a zone of another camera: a way there" if port is not None else "")

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """The way is there, if it ends at another camera; the camera stays."""
        start, self._from = self._from, None
        moving, self._moving = self._moving, None
        if start is not None:
            port = self._port_at(event.position())
            camera = self._camera_at(event.position())
            end = port if port is not None else (camera, None) if camera != NOTHING else None
            if end is not None and end[0] != start[0]:
                self._editing.connect_ports(start, end)
            elif end is not None:
                self._editing.select(start[0])
            self.update()
        elif moving is not None and self._moved:
            self._editing.let_go()

    # --- the keys ---------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Keys that mean something here are not the page's."""
        asked = event.type() == QEvent.Type.ShortcutOverride
        if asked and isinstance(event, QKeyEvent) and self._means(event):
            event.accept()
            return True
        return super().event(event)

    def _means(self, event: QKeyEvent) -> bool:
        key, held = Qt.Key(event.key()), event.modifiers()
        if held == Qt.KeyboardModifier.ControlModifier:
            return key in (Qt.Key.Key_Left, Qt.Key.Key_Right)
        plain = not held & ~(Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.KeypadModifier)
        own = {Qt.Key.Key_Delete, Qt.Key.Key_Backspace} if self._editing.way is not None else set()
        if self._editing.camera != NOTHING:
            own |= set(NUDGES)
        if self._from or self._editing.way or self._editing.camera != NOTHING:
            own.add(Qt.Key.Key_Escape)
        return plain and key in own

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the selected camera, with Ctrl they select another; Del takes a way away."""
        if not self._means(event):
            super().keyPressEvent(event)
            return
        key, editing = Qt.Key(event.key()), self._editing
        if event.modifiers() == Qt.KeyboardModifier.ControlModifier:
            count = len(editing.cameras)
            if count:
                editing.select((editing.camera + (1 if key == Qt.Key.Key_Right else -1)) % count)
        elif key in NUDGES:
            fast = bool(event.modifiers() & Qt.KeyboardModifier.ShiftModifier)
            step = BIG_STEP if fast else STEP
            right, down = NUDGES[key]
            x, y = editing.place(editing.camera)
            editing.move(editing.camera, x + right * step, y + down * step)
            editing.let_go()
        elif key == Qt.Key.Key_Escape:
            if self._from is not None:
                self._from = None
                self.update()
            else:
                editing.select()
        else:
            editing.delete()

    # --- painting ---------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Overlaps, ways, cameras, what is drawn."""
        tokens, editing = self._theme.tokens, self._editing
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(tokens.sunken))
        self._fit()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        for one, other in editing.overlaps:
            self._paint_overlap(painter, self.box(one).center(), self.box(other).center())
        for way in sorted(editing.ways, key=lambda way: way == editing.way):
            self._paint_way(painter, way)
        for at, camera in enumerate(editing.cameras):
            self._paint_camera(painter, at, camera)
        if self._from is not None:
            painter.setPen(QPen(QColor(tokens.accents["tracks"]), 2.5, Qt.PenStyle.DashLine))
            painter.drawLine(self.place_of(self._from), self._mouse)
        if text := self._hint():
            painter.setPen(QColor(tokens.muted))
            room = QRectF(self.rect()).adjusted(40, 12, -40, -12)
            flags = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
            painter.drawText(room, flags, text)

    def _hint(self) -> str:
        cameras = self._editing.cameras
        if len(cameras) < 2:
            return "Ways lead from camera to camera: this scene has only one."
        if self._from is not None:
            return "Let go at a zone of another camera."
        if not self._editing.ways and not self._editing.overlaps:
            if not any(camera.zones for camera in cameras):
                return (
                    "Cameras without zones: draw them on the side Zones, then drag from a zone to that "
                    "of another camera; or drag from the dot in a camera's corner to another camera."
                )
            return "Drag from the dot of a zone to that of the camera that is reached through it."
        return ""

    def _paint_overlap(self, painter: QPainter, one: QPointF, other: QPointF) -> None:
        colour = QColor(self._theme.tokens.warn)
        colour.setAlpha(90)
        pen = QPen(colour, 22 * self._scale)
        pen.setCapStyle(Qt.PenCapStyle.RoundCap)
        painter.setPen(pen)
        painter.drawLine(one, other)
        self._paint_label(painter, (one + other) / 2 - QPointF(0, 16), "see one place", strong=False)

    def _paint_way(self, painter: QPainter, way: Way) -> None:
        tokens, editing = self._theme.tokens, self._editing
        chosen = way == editing.way
        colour = QColor(tokens.accents["tracks"] if chosen else tokens.muted)
        path = self._curve(way)
        said = editing.window(*way.cameras)
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.setPen(QPen(colour, 3 if chosen else 1.8))
        painter.drawPath(path)
        tip, before = (
            path.pointAtPercent(1.0),
            path.pointAtPercent(path.percentAtLength(path.length() - ARROW)),
        )
        ahead = tip - before
        length = math.hypot(ahead.x(), ahead.y()) or 1.0
        ahead = ahead / length
        aside = QPointF(-ahead.y(), ahead.x()) * ARROW * 0.45
        painter.setBrush(colour)
        painter.drawPolygon(QPolygonF([tip, tip - ahead * ARROW + aside, tip - ahead * ARROW - aside]))
        learnt = None if said is not None else editing.learnt(*way.cameras)
        text = seconds(said or learnt) if said or learnt else ""  # type: ignore[arg-type]
        if text:
            place = path.pointAtPercent(0.5) + QPointF(0, 9 if way.start[0] > way.end[0] else -9)
            self._paint_label(painter, place, text, strong=said is not None or chosen)

    def _paint_label(self, painter: QPainter, place: QPointF, text: str, *, strong: bool) -> None:
        tokens = self._theme.tokens
        font = QFont(self.font())
        font.setPointSizeF(font.pointSizeF() * 0.9)
        font.setBold(strong)
        painter.setFont(font)
        wide = painter.fontMetrics().horizontalAdvance(text) + 10
        tag = QRectF(place.x() - wide / 2, place.y() - 9, wide, 18)
        ground = QColor(tokens.sunken)
        ground.setAlpha(215)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(ground)
        painter.drawRoundedRect(tag, 4, 4)
        painter.setPen(QColor(tokens.text if strong else tokens.muted))
        painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, text)

    def _paint_camera(self, painter: QPainter, at: int, camera: Camera) -> None:
        tokens, editing = self._theme.tokens, self._editing
        box, chosen = self.box(at), at == editing.camera
        painter.setPen(
            QPen(QColor(tokens.accents["tracks"] if chosen else tokens.border), 2 if chosen else 1)
        )
        painter.setBrush(QColor(tokens.raised))
        painter.drawRoundedRect(box, 8, 8)
        painter.setFont(_scaled(self.font(), self._scale, bold=True))
        painter.setPen(QColor(tokens.text))
        upper = QRectF(box.topLeft(), QPointF(box.right(), box.center().y() + 2))
        room = box.width() - 2 * PORT - 6
        name = painter.fontMetrics().elidedText(camera.name, Qt.TextElideMode.ElideRight, round(room))
        painter.drawText(upper.adjusted(0, 8, 0, 0), Qt.AlignmentFlag.AlignCenter, name)
        painter.setFont(_scaled(self.font(), self._scale * 0.9))
        painter.setPen(QColor(tokens.muted))
        lower = QRectF(QPointF(box.left(), box.center().y()), box.bottomRight())
        painter.drawText(
            lower.adjusted(0, -4, 0, -8), Qt.AlignmentFlag.AlignCenter, f"clock {camera.offset:+.1f} s"
        )
        for number, zone in enumerate(camera.zones):
            if not zone.ignored:
                self._paint_port(painter, (at, number), zone.name, bool(zone.leads_to))
        self._paint_port(painter, (at, None), "", any(camera.neighbours))

    def _paint_port(self, painter: QPainter, port: Port, name: str, leads: bool) -> None:
        tokens = self._theme.tokens
        place, normal = self._spot(port)
        colour = QColor(tokens.muted) if port[1] is None else zone_colour(port[1])
        size = PORT if port[1] is not None else PORT * 0.6
        hot = self._from is not None and port[0] != self._from[0]
        near = hot and math.hypot(*(place - self._mouse).toTuple()) <= REACH
        painter.setPen(QPen(QColor(tokens.text if near else "black"), 2 if near else 1))
        painter.setBrush(colour if leads else QColor(tokens.sunken))
        painter.drawEllipse(place, size, size)
        if not leads:
            painter.setPen(QPen(colour, 2))
            painter.drawEllipse(place, size - 1.5, size - 1.5)
        if name:
            text = name if leads else f"{name} (exit)"
            painter.setFont(_scaled(self.font(), self._scale * 0.85))
            painter.setPen(QColor(tokens.muted))
            wide = painter.fontMetrics().horizontalAdvance(text) + 2
            away = QPointF(normal.x() * (wide / 2 + PORT + 3), normal.y() * (PORT + 10))
            middle = place + away + (QPointF(0, -13) if normal.x() else QPointF())
            tag = QRectF(middle.x() - wide / 2, middle.y() - 9, wide, 18)
            painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, text)


def _direction(camera: Camera, number: int) -> QPointF:
    """From the middle of the picture to that of a zone; length 1."""
    corners = camera.zones[number].polygon
    xs = [x for x, _ in camera.zones[number].polygon]
    ys = [y for _, y in corners]
    every = [point for zone in camera.zones for point in zone.polygon]
    wide = camera.width or max(x for x, _ in every)
    high = camera.height or max(y for _, y in every)
    ahead = QPointF(sum(xs) / len(xs) / wide - 0.5, sum(ys) / len(ys) / high - 0.5)
    length = math.hypot(ahead.x(), ahead.y())
    return ahead / length if length > 1e-6 else QPointF(0, -1)


def _scaled(font: QFont, scale: float, *, bold: bool = False) -> QFont:
    result = QFont(font)
    result.setPointSizeF(max(6.0, font.pointSizeF() * min(1.0, max(scale, 0.75))))
    result.setBold(bold)
    return result
