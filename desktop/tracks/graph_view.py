"""Cameras as boxes with their zones around them, ways between zones as arrows, drawn by dragging."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import (
    QColor,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPen,
)

from desktop.tracks.graph_editing import NOTHING, GraphEditing, Port, Way
from desktop.tracks.graph_painting import (
    direction,
    paint_beside,
    paint_camera,
    paint_dot,
    paint_label,
    paint_way,
    scaled,
)
from desktop.tracks.lanes import zone_colour
from desktop.tracks.own_keys import NUDGES, OwnKeys

if TYPE_CHECKING:
    from desktop.theme import Theme
    from engine.tracks.cameras import Camera

WIDTH, HEIGHT = 132.0, 78.0
"""Of a camera, in the units of places."""
ROOM_ASIDE, ROOM_ABOVE = 76.0, 60.0
"""Logical pixels around all cameras, for the names of their zones."""
PORT, REACH = 7.0, 12.0
BEND = 55.0
ASIDE, BESIDE = 5.0, 24.0
"""Logical pixels by which a way is beside the one back, and its words beside it."""
LEAST_DRAG = 4.0
LEAST_FOR_WORDS = 44.0
"""Logical pixels of a way from which on its words do not hide more than they say."""
SMALL = 0.7
"""Scale below which zones that lead somewhere are not named, but for the selected camera's."""
STEP, BIG_STEP = 10.0, 50.0


def seconds(window: tuple[float, float]) -> str:
    """A window to read."""
    return f"{window[0]:.3g} – {window[1]:.3g} s"


class GraphView(OwnKeys):
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
        wide = max(x for x, _ in places) - left + WIDTH
        high = max(y for _, y in places) - top + HEIGHT
        room = max(1.0, self.width() - 2 * ROOM_ASIDE), max(1.0, self.height() - 2 * ROOM_ABOVE)
        self._scale = min(room[0] / wide, room[1] / high, 1.2)
        self._corner = QPointF(
            (self.width() - wide * self._scale) / 2 - (left - WIDTH / 2) * self._scale,
            (self.height() - high * self._scale) / 2 - (top - HEIGHT / 2) * self._scale,
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
            inside = 11 * self._scale
            return box.topLeft() + QPointF(inside, inside), QPointF(0, -1)
        ahead = direction(camera, port[1])
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

    def own_keys(self) -> set[Qt.Key]:
        """See :class:`OwnKeys`."""
        own = {Qt.Key.Key_Delete, Qt.Key.Key_Backspace} if self._editing.way is not None else set()
        if self._editing.camera != NOTHING:
            own |= set(NUDGES)
        if self._from or self._editing.way or self._editing.camera != NOTHING:
            own.add(Qt.Key.Key_Escape)
        return own

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Arrows move the selected camera, with Ctrl they select another; Del takes a way away."""
        if not self.means(event):
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
        for way in sorted(editing.ways, key=lambda way: way == editing.way):
            self._paint_words(painter, way)
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
        place = (one + other) / 2 - QPointF(0, 16)
        paint_label(painter, place, "see one place", self._theme.tokens, self.font(), strong=False)

    def _paint_way(self, painter: QPainter, way: Way) -> None:
        tokens, editing, path = self._theme.tokens, self._editing, self._curve(way)
        chosen = way == editing.way
        colour = QColor(tokens.accents["tracks"] if chosen else tokens.muted)
        paint_way(painter, path, colour, 3.0 if chosen else 1.8)

    def _paint_words(self, painter: QPainter, way: Way) -> None:
        """How long a way takes, where there is room for it."""
        tokens, editing, path = self._theme.tokens, self._editing, self._curve(way)
        chosen = way == editing.way
        if not chosen and path.length() < LEAST_FOR_WORDS:
            return
        said = editing.window(*way.cameras)
        window = said or editing.learnt(*way.cameras)
        if window is not None:
            turn = math.radians(path.angleAtPercent(0.5))
            away = BESIDE if self._scale >= SMALL else BESIDE - 10  # no names between
            beside = QPointF(math.sin(turn), math.cos(turn)) * away
            place = path.pointAtPercent(0.5) + beside
            strong = said is not None or chosen
            paint_label(painter, place, seconds(window), tokens, self.font(), strong=strong)

    def _paint_camera(self, painter: QPainter, at: int, camera: Camera) -> None:
        tokens, chosen = self._theme.tokens, at == self._editing.camera
        paint_camera(
            painter, self.box(at), camera, tokens, scaled(self.font(), self._scale), chosen=chosen
        )
        ports = [number for number, zone in enumerate(camera.zones) if not zone.ignored]
        for port in ((at, number) for number in (*ports, None)):
            place, normal = self._spot(port)
            hot = self._from is not None and port[0] != self._from[0]
            near = hot and math.hypot(*(place - self._mouse).toTuple()) <= REACH
            if port[1] is None:
                leads = bool(camera.neighbours)
                paint_dot(
                    painter, place, PORT * 0.6, QColor(tokens.muted), tokens, leads=leads, near=near
                )
                continue
            zone = camera.zones[port[1]]
            leads = bool(zone.leads_to)
            paint_dot(painter, place, PORT, zone_colour(port[1]), tokens, leads=leads, near=near)
            if leads and self._scale < SMALL and not chosen:
                continue
            painter.setFont(scaled(self.font(), self._scale * 0.85))
            painter.setPen(QColor(tokens.muted))
            paint_beside(painter, place, normal, PORT, zone.name if leads else f"{zone.name} (exit)")
