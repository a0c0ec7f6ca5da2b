"""A box under the mouse: drawn anew, moved, or resized by an edge or a corner."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import QPointF, QRectF, Qt

REACH = 6.0
"""Logical pixels around an edge in which the mouse takes hold of it."""
LEAST = 4.0
"""Logical pixels: less is a click."""

_SHAPES = {
    (0, 0): Qt.CursorShape.SizeAllCursor,
    (1, 0): Qt.CursorShape.SizeHorCursor,
    (0, 1): Qt.CursorShape.SizeVerCursor,
    (1, 1): Qt.CursorShape.SizeFDiagCursor,
    (1, -1): Qt.CursorShape.SizeBDiagCursor,
}


@dataclass(frozen=True)
class Grip:
    """Where a box is held: -1, 0, 1 for the left (upper) edge, neither, the right (lower) one."""

    x: int
    y: int

    @property
    def cursor(self) -> Qt.CursorShape:
        """What the mouse looks like there."""
        sign = self.x or self.y
        return _SHAPES[self.x * sign, self.y * sign]


def grip_at(place: QRectF, point: QPointF, reach: float) -> Grip | None:
    """The grip of a box at a point; ``None`` beside it. ``reach`` is in the box's pixels."""
    if not place.adjusted(-reach, -reach, reach, reach).contains(point):
        return None
    # Of a small box both edges are near: a third of it stays for moving.
    wide, high = min(reach, place.width() / 3), min(reach, place.height() / 3)
    x = -1 if point.x() < place.left() + wide else int(point.x() > place.right() - wide)
    y = -1 if point.y() < place.top() + high else int(point.y() > place.bottom() - high)
    return Grip(x, y)


@dataclass
class BoxDrag:
    """From pressing the mouse to letting go.

    Attributes
    ----------
    tracklet
        Whose box it is; ``None`` while a new one is drawn.
    frame
        Of the camera, when the mouse was pressed.
    start
        Where, pixels of the video.
    before
        The box then; of a new one a point.
    grip
        ``None`` while a new one is drawn.
    place
        The box now.
    """

    tracklet: int | None
    frame: int
    start: QPointF
    before: QRectF
    grip: Grip | None
    place: QRectF

    @classmethod
    def new(cls, frame: int, point: QPointF) -> BoxDrag:
        """Of a new box."""
        empty = QRectF(point, point)
        return cls(None, frame, point, empty, None, empty)

    def move(self, point: QPointF, width: int, height: int) -> None:
        """The mouse is at a point; boxes stay in a picture of a size, and have a pixel at least."""
        to = QPointF(min(max(point.x(), 0.0), width), min(max(point.y(), 0.0), height))
        if self.grip is None:
            self.place = QRectF(self.start, to).normalized()
            return
        shift = point - self.start
        place = QRectF(self.before)
        if (self.grip.x, self.grip.y) == (0, 0):
            place.translate(shift)
        if self.grip.x < 0:
            place.setLeft(min(place.left() + shift.x(), place.right() - 1))
        elif self.grip.x > 0:
            place.setRight(max(place.right() + shift.x(), place.left() + 1))
        if self.grip.y < 0:
            place.setTop(min(place.top() + shift.y(), place.bottom() - 1))
        elif self.grip.y > 0:
            place.setBottom(max(place.bottom() + shift.y(), place.top() + 1))
        self.place = place

    def is_click(self, point: QPointF, scale: float) -> bool:
        """Whether the mouse was only pressed; ``scale`` is logical pixels a pixel of the video."""
        away = point - self.start
        return max(abs(away.x()), abs(away.y())) * scale < LEAST
