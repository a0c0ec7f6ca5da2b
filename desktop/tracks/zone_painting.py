"""How zones look over a picture: outlines, corners, names, what is being drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QColor, QImage, QPainter, QPen, QPolygonF

from desktop.tracks.lanes import zone_colour
from engine.tracks.cameras import Zone

HANDLE = 5.0
DULL = QColor(150, 150, 150)
_LINES = {
    (True, False): Qt.PenStyle.SolidLine,
    (False, False): Qt.PenStyle.DashLine,
    (False, True): Qt.PenStyle.DotLine,
    (True, True): Qt.PenStyle.DotLine,
}
"""By whether a zone leads anywhere, and is ignored: colour is not the only sign."""


def paint_zone(
    painter: QPainter,
    corners: QPolygonF,
    number: int,
    zone: Zone,
    *,
    chosen: bool,
    outline: QColor | None = None,
) -> None:
    """Its area and outline; ``outline`` where that has another colour than the zone's."""
    colour = DULL if zone.ignored else zone_colour(number)
    fill = QColor(colour)
    fill.setAlpha(90 if chosen else 45)
    painter.setPen(QPen(QColor(0, 0, 0, 150), 4 if chosen else 3))
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.drawPolygon(corners)
    line = _LINES[bool(zone.leads_to), zone.ignored]
    painter.setPen(QPen(outline or colour, 2.5 if chosen else 1.5, line))
    painter.setBrush(fill)
    painter.drawPolygon(corners)
    if zone.ignored:
        painter.setBrush(Qt.BrushStyle.BDiagPattern)
        painter.drawPolygon(corners)


def paint_handles(painter: QPainter, corners: QPolygonF, colour: QColor, held: int) -> None:
    """The corners to take hold of; the one that is selected is larger and white."""
    painter.setPen(QPen(QColor("black"), 1))
    for at in range(corners.size()):
        painter.setBrush(QColor("white") if at == held else colour)
        painter.drawRect(_square(corners.at(at), HANDLE + 2 * (at == held)))


def paint_name(
    painter: QPainter, middle: QPointF, number: int, zone: Zone, counts: tuple[int, int] | None
) -> None:
    """Number, name, where it leads, and how many come and go."""
    to = "ignored" if zone.ignored else f"→ {zone.leads_to}" if zone.leads_to else "exit"
    lines = [f"{number + 1} {zone.name}  {to}"]
    if counts is not None:
        lines.append(f"{counts[0]} come in, {counts[1]} go out")
    metrics = painter.fontMetrics()
    width = max(metrics.horizontalAdvance(line) for line in lines) + 12
    height = metrics.height() * len(lines) + 6
    tag = QRectF(middle.x() - width / 2, middle.y() - height / 2, width, height)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(0, 0, 0, 170))
    painter.drawRoundedRect(tag, 4, 4)
    painter.setPen(QColor("white"))
    painter.drawText(tag, Qt.AlignmentFlag.AlignCenter, "\n".join(lines))


def paint_draft(
    painter: QPainter,
    places: Sequence[QPointF],
    pen: QPointF | None,
    colour: QColor,
    accent: QColor,
    *,
    closes: bool,
) -> None:
    """What is drawn so far, a line to the pen, and whether a click there closes it."""
    line = list(places)
    if pen is not None:
        line.append(pen)
        painter.setPen(QPen(QColor("black"), 3))
        painter.setBrush(accent if closes else Qt.BrushStyle.NoBrush)
        painter.drawEllipse(pen, 6, 6)
        painter.setPen(QPen(colour, 1.5))
        painter.drawEllipse(pen, 6, 6)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for shade, width in ((QColor("black"), 4), (colour, 2)):
        painter.setPen(QPen(shade, width))
        painter.drawPolyline(QPolygonF(line))
    painter.setPen(QPen(QColor("black"), 1))
    for at, place in enumerate(places):
        painter.setBrush(accent if not at else colour)
        painter.drawRect(_square(place, HANDLE))


def paint_text(painter: QPainter, room: QRectF, text: str, *, bad: bool) -> None:
    """Words over the picture."""
    flags = Qt.AlignmentFlag.AlignHCenter | Qt.AlignmentFlag.AlignTop | Qt.TextFlag.TextWordWrap
    place = painter.boundingRect(room, flags, text)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(90, 20, 20, 225) if bad else QColor(0, 0, 0, 190))
    painter.drawRoundedRect(place.adjusted(-12, -8, 12, 8), 6, 6)
    painter.setPen(QColor("white"))
    painter.drawText(place, flags, text)


def heat_image(heat: np.ndarray) -> QImage:
    """Yellow where boxes are often, nothing where they never are; ``heat (R, C)`` is 0 to 1."""
    shade = np.zeros((*heat.shape, 4), np.uint8)
    shade[..., :3] = (255, 214, 90)
    shade[..., 3] = np.rint(150 * heat)
    height, width = heat.shape
    return QImage(shade.tobytes(), width, height, 4 * width, QImage.Format.Format_RGBA8888).copy()


def _square(middle: QPointF, size: float) -> QRectF:
    return QRectF(middle.x() - size, middle.y() - size, 2 * size, 2 * size)
