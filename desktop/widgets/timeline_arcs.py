"""Arcs from segment to segment of a timeline, with a few words each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QFontMetrics, QPainter, QPainterPath, QPen

BULGE = 0.35
"""How far an arc leaves the straight line, of its length; at most a row."""


@dataclass(frozen=True)
class Arc:
    """From the end of a segment to the beginning of another.

    Attributes
    ----------
    first, second
        Keys of the segments.
    text
        What it says, where there is room.
    doubtful
        Whether it is drawn as one that is worth a look: dashed.
    """

    first: int
    second: int
    text: str
    doubtful: bool = False


def paint_arcs(
    painter: QPainter,
    arcs: Sequence[tuple[Arc, QPointF, QPointF]],
    line: QColor,
    ground: QColor,
    most: float,
) -> None:
    """Draw arcs between places; texts only where they are no wider than their arc.

    Parameters
    ----------
    painter
        With the font for the texts.
    arcs
        Each with where it begins and ends.
    line, ground
        Colours of arcs and texts, and of what is behind texts.
    most
        Pixels that an arc rises at most.
    """
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    metrics = QFontMetrics(painter.font())
    for arc, start, end in arcs:
        rise = min(most, BULGE * abs(end.x() - start.x()) + 2)
        style = Qt.PenStyle.DashLine if arc.doubtful else Qt.PenStyle.SolidLine
        painter.setPen(QPen(line, 1.5, style))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        path = QPainterPath(start)
        top = QPointF((start.x() + end.x()) / 2, min(start.y(), end.y()) - rise)
        path.quadTo(top, end)
        painter.drawPath(path)
        box = metrics.boundingRect(arc.text)
        if arc.text and box.width() + 8 <= abs(end.x() - start.x()):
            middle = path.pointAtPercent(0.5)
            box.moveCenter(middle.toPoint())
            painter.fillRect(box.adjusted(-2, 0, 2, 0), ground)
            painter.drawText(box, Qt.AlignmentFlag.AlignCenter, arc.text)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, False)
