"""How cameras and the ways between them look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QFont, QPainter, QPainterPath, QPen, QPolygonF

if TYPE_CHECKING:
    from desktop.theme import Tokens
    from engine.tracks.cameras import Camera

ARROW = 9.0
LINE = 18.0


def paint_way(painter: QPainter, path: QPainterPath, colour: QColor, width: float) -> None:
    """An arrow along a path."""
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(colour, width))
    painter.drawPath(path)
    tip = path.pointAtPercent(1.0)
    ahead = tip - path.pointAtPercent(path.percentAtLength(path.length() - ARROW))
    ahead = ahead / (math.hypot(ahead.x(), ahead.y()) or 1.0) * ARROW
    aside = QPointF(-ahead.y(), ahead.x()) * 0.45
    painter.setBrush(colour)
    painter.drawPolygon(QPolygonF([tip, tip - ahead + aside, tip - ahead - aside]))


def paint_label(
    painter: QPainter, place: QPointF, text: str, tokens: Tokens, font: QFont, *, strong: bool
) -> None:
    """Words about a way, on a ground of their own."""
    painter.setFont(scaled(font, 0.9, bold=strong))
    wide = painter.fontMetrics().horizontalAdvance(text) + 8
    tag = QRectF(place.x() - wide / 2, place.y() - LINE / 2, wide, LINE)
    ground = QColor(tokens.sunken)
    ground.setAlpha(215)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(ground)
    painter.drawRoundedRect(tag, 4, 4)
    painter.setPen(QColor(tokens.text if strong else tokens.muted))
    painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, text)


def paint_camera(
    painter: QPainter, box: QRectF, camera: Camera, tokens: Tokens, font: QFont, *, chosen: bool
) -> None:
    """A box with name and clock."""
    edge = QColor(tokens.accents["tracks"] if chosen else tokens.border)
    painter.setPen(QPen(edge, 2 if chosen else 1))
    painter.setBrush(QColor(tokens.raised))
    painter.drawRoundedRect(box, 8, 8)
    painter.setFont(scaled(font, 1.0, bold=True))
    painter.setPen(QColor(tokens.text))
    room = round(box.width() - 20)
    name = painter.fontMetrics().elidedText(camera.name, Qt.TextElideMode.ElideRight, room)
    upper = QRectF(box.topLeft(), QPointF(box.right(), box.center().y() + 2))
    painter.drawText(upper.adjusted(0, 8, 0, 0), Qt.AlignmentFlag.AlignCenter, name)
    painter.setFont(scaled(font, 0.9))
    painter.setPen(QColor(tokens.muted))
    lower = QRectF(QPointF(box.left(), box.center().y()), box.bottomRight()).adjusted(0, -4, 0, -8)
    clock = f"clock {camera.offset:+.1f} s"
    if painter.fontMetrics().horizontalAdvance(clock) > room:
        clock = f"{camera.offset:+.1f} s"
    painter.drawText(lower, Qt.AlignmentFlag.AlignCenter, clock)


def paint_dot(
    painter: QPainter,
    place: QPointF,
    size: float,
    colour: QColor,
    tokens: Tokens,
    *,
    leads: bool,
    near: bool,
) -> None:
    """Where ways begin and end: full where one begins, a ring at an exit; ``near`` when it is meant."""
    painter.setPen(QPen(QColor(tokens.text if near else "black"), 2 if near else 1))
    painter.setBrush(colour if leads else QColor(tokens.sunken))
    painter.drawEllipse(place, size, size)
    if not leads:
        painter.setPen(QPen(colour, 2))
        painter.drawEllipse(place, size - 1.5, size - 1.5)


def paint_beside(painter: QPainter, place: QPointF, normal: QPointF, size: float, text: str) -> None:
    """The name of a dot, outside of its box, off the ways."""
    wide = painter.fontMetrics().horizontalAdvance(text) + 2
    away = QPointF(normal.x() * (wide / 2 + size + 3), normal.y() * (size + 10))
    middle = place + away + (QPointF(0, -13) if normal.x() else QPointF())
    tag = QRectF(middle.x() - wide / 2, middle.y() - LINE / 2, wide, LINE)
    painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, text)


def direction(camera: Camera, number: int) -> QPointF:
    """From the middle of the picture to that of a zone; length 1."""
    every = [point for zone in camera.zones for point in zone.polygon]
    wide = camera.width or max(x for x, _ in every)
    high = camera.height or max(y for _, y in every)
    corners = camera.zones[number].polygon
    ahead = QPointF(
        sum(x for x, _ in corners) / len(corners) / wide - 0.5,
        sum(y for _, y in corners) / len(corners) / high - 0.5,
    )
    length = math.hypot(ahead.x(), ahead.y())
    return ahead / length if length > 1e-6 else QPointF(0, -1)


def scaled(font: QFont, scale: float, *, bold: bool = False) -> QFont:
    """Smaller where cameras are small, but to be read."""
    result = QFont(font)
    result.setPointSizeF(max(6.0, font.pointSizeF() * min(1.0, max(scale, 0.75))))
    result.setBold(bold)
    return result
