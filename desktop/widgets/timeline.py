"""A timeline: rows of segments, a ruler, a playhead; hundreds of thousands of segments stay fluid."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from PySide6.QtCore import QEvent, QPointF, QRect, QRectF, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QFontMetrics,
    QHelpEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QPen,
    QResizeEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QScrollBar, QToolTip, QWidget

from desktop.theme import Theme
from desktop.widgets.timeline_arcs import Arc, paint_arcs
from desktop.widgets.timeline_segments import Segments, View, rasterise

GUTTER, RULER, DENSITY = 112, 22, 16
ROW, BAR = 24, 12
WHEEL_NOTCH = 120.0
ZOOM_PER_NOTCH = 1.25
CLOSEST = 0.2
"""Seconds across the whole view at the most."""
GRAB = 4
"""Pixels within which a segment is hit."""
MOST_GAPS = 2000


class Timeline(QWidget):
    """See the module.

    Ctrl and the wheel zoom, Shift and the wheel (or dragging the ground) move through time, the wheel
    alone through rows; a drag on the ruler moves the playhead.

    Attributes
    ----------
    time_chosen
        Seconds that the playhead was dragged to, or that a segment was clicked at.
    segment_clicked
        ``(key, extend)``: a segment, and whether it is added to the selection.
    """

    time_chosen = Signal(float)
    segment_clicked = Signal(object, bool)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._segments = Segments()
        self._labels: Sequence[str] = ()
        self._gaps = np.zeros((0, 4))
        self._markers = np.zeros(0)
        self._selected: frozenset[int] = frozenset()
        self._arcs: Sequence[Arc] = ()
        self._time = 0.0
        self._bounds = (0.0, 1.0)
        self._left, self._span = 0.0, 1.0
        self._dragged: str = ""
        self._last = QPointF()
        self.describe: Callable[[int], str] = lambda _key: ""
        self._bar = QScrollBar(Qt.Orientation.Vertical, self)
        self._bar.valueChanged.connect(lambda _value: self.update())
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Timeline")
        self.setMinimumHeight(RULER + DENSITY + 3 * ROW)
        self.setMouseTracking(True)
        theme.changed.connect(self.update)

    # --- what is shown ----------------------------------------------------------------------------

    def set_bounds(self, first: float, last: float) -> None:
        """Seconds of everything; shows all of it."""
        self._bounds = (first, max(last, first + CLOSEST))
        self.fit()

    def set_segments(
        self, labels: Sequence[str], segments: Segments, gaps: np.ndarray | None = None
    ) -> None:
        """Other rows; ``gaps (G, 4)`` are row, lane, first and last second of what is dotted."""
        self._labels, self._segments = labels, segments
        self._gaps = np.zeros((0, 4)) if gaps is None else gaps
        self._range()
        self.update()

    def set_markers(self, times: Sequence[float]) -> None:
        """Moments that stand out on the ruler."""
        self._markers = np.asarray(times, np.float64)
        self.update()

    def select(self, keys: frozenset[int]) -> None:
        """Outline segments."""
        self._selected = keys
        self.update()

    def set_arcs(self, arcs: Sequence[Arc]) -> None:
        """Arcs between segments; those of segments that are not in view are not drawn."""
        self._arcs = arcs
        self.update()

    @property
    def time(self) -> float:
        """Of the playhead, seconds."""
        return self._time

    def set_time(self, time: float) -> None:
        """Move the playhead; the view follows when it leaves it."""
        self._time = min(max(time, self._bounds[0]), self._bounds[1])
        if not self._left <= self._time <= self._left + self._span:
            self._left = self._time - self._span / 4
            self._clamp()
        self.update()

    def show_row(self, row: int) -> None:
        """Scroll to a row."""
        top, height = row * ROW, self._plot().height()
        if not self._bar.value() <= top <= self._bar.value() + height - ROW:
            self._bar.setValue(round(top - height / 2))

    def fit(self) -> None:
        """Show all of the time."""
        self._left, self._span = self._bounds[0], self._bounds[1] - self._bounds[0]
        self.update()

    def zoom(self, factor: float, at: float | None = None) -> None:
        """Show ``factor`` times less time, keeping second ``at`` (the playhead) where it is."""
        at = self._time if at is None else at
        whole = self._bounds[1] - self._bounds[0]
        span = min(max(self._span / factor, CLOSEST), whole)
        self._left = at - (at - self._left) * span / self._span
        self._span = span
        self._clamp()
        self.update()

    def _clamp(self) -> None:
        self._left = min(max(self._left, self._bounds[0]), self._bounds[1] - self._span)

    def _range(self) -> None:
        height = len(self._labels) * ROW
        self._bar.setRange(0, max(0, height - self._plot().height()))
        self._bar.setPageStep(max(1, self._plot().height()))
        self._bar.setSingleStep(ROW)

    def _plot(self) -> QRect:
        top = RULER + DENSITY
        return QRect(GUTTER, top, max(1, self.width() - GUTTER - BAR), max(1, self.height() - top))

    def _x(self, time: float) -> float:
        plot = self._plot()
        return plot.left() + (time - self._left) / self._span * plot.width()

    def _time_at(self, x: float) -> float:
        plot = self._plot()
        return self._left + (x - plot.left()) / plot.width() * self._span

    # --- painting ---------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        """Everything in view."""
        tokens, plot = self._theme.tokens, self._plot()
        painter = QPainter(self)
        painter.fillRect(self.rect(), QColor(tokens.sunken))
        top = self._bar.value()
        first, last = top // ROW, min(len(self._labels) - 1, (top + plot.height()) // ROW)
        self._paint_rows(painter, first, last, top)
        self._paint_segments(painter, plot)
        self._paint_gaps(painter, first, last, top)
        self._paint_selected(painter, first, last, top)
        self._paint_arcs(painter, first, last, top)
        self._paint_head(painter, plot)
        painter.end()

    def _paint_rows(self, painter: QPainter, first: int, last: int, top: int) -> None:
        tokens, plot = self._theme.tokens, self._plot()
        metrics = QFontMetrics(self.font())
        for row in range(first, last + 1):
            y = plot.top() + row * ROW - top
            if row % 2:
                painter.fillRect(QRect(0, y, self.width(), ROW), QColor(tokens.surface))
            painter.setPen(QColor(tokens.text))
            text = metrics.elidedText(self._labels[row], Qt.TextElideMode.ElideRight, GUTTER - 16)
            painter.drawText(QRect(8, y, GUTTER - 12, ROW), Qt.AlignmentFlag.AlignVCenter, text)

    def _paint_segments(self, painter: QPainter, plot: QRect) -> None:
        ratio = self.devicePixelRatioF()
        width, height = round(plot.width() * ratio), round(plot.height() * ratio)
        view = View(
            self._left, self._span / width, width, height,
            round(ROW * ratio), round(self._bar.value() * ratio),
        )  # fmt: skip
        pixels = np.ascontiguousarray(rasterise(self._segments, view))
        image = QImage(pixels.data, width, height, 4 * width, QImage.Format.Format_ARGB32_Premultiplied)
        image.setDevicePixelRatio(ratio)
        painter.drawImage(QPointF(plot.topLeft()), image)

    def _band(self, row: int, lane: int, top: int) -> tuple[float, float]:
        """Upper and lower edge of a lane."""
        room = max(1, ROW // 8)
        height = (ROW - 2 * room) / max(1, self._segments.lane_count)
        y = self._plot().top() + row * ROW - top + room + lane * height
        return y, y + height

    def _paint_gaps(self, painter: QPainter, first: int, last: int, top: int) -> None:
        gaps = self._gaps
        if not len(gaps):
            return
        seen = (gaps[:, 0] >= first) & (gaps[:, 0] <= last)
        seen &= (gaps[:, 3] > self._left) & (gaps[:, 2] < self._left + self._span)
        seen &= (gaps[:, 3] - gaps[:, 2]) * self._plot().width() / self._span >= 3
        ground = QColor(self._theme.tokens.sunken)
        dots = QPen(QColor(self._theme.tokens.muted), 1, Qt.PenStyle.DotLine)
        for row, lane, start, end in gaps[seen][:MOST_GAPS].tolist():
            low, high = self._band(int(row), int(lane), top)
            left, right = max(self._x(start), GUTTER), self._x(end)
            painter.fillRect(QRectF(left, low, right - left, high - low), ground)
            painter.setPen(dots)
            painter.drawLine(QPointF(left, (low + high) / 2), QPointF(right, (low + high) / 2))

    def _paint_selected(self, painter: QPainter, first: int, last: int, top: int) -> None:
        if not self._selected:
            return
        part = self._segments.of_rows(first, last)
        chosen = np.isin(self._segments.keys[part], list(self._selected))
        painter.setPen(QPen(QColor(self._theme.tokens.text), 2))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        painter.save()
        painter.setClipRect(self._plot())
        for at in (np.flatnonzero(chosen) + part.start).tolist():
            low, high = self._band(int(self._segments.rows[at]), int(self._segments.lanes[at]), top)
            left, right = self._x(self._segments.starts[at]), self._x(self._segments.ends[at])
            painter.drawRect(QRectF(left - 1, low - 1, max(right - left, 2) + 2, high - low + 2))
        painter.restore()

    def _paint_arcs(self, painter: QPainter, first: int, last: int, top: int) -> None:
        if not self._arcs:
            return
        wanted = [key for arc in self._arcs for key in (arc.first, arc.second)]
        part = self._segments.of_rows(first, last)
        at = (np.flatnonzero(np.isin(self._segments.keys[part], wanted)) + part.start).tolist()
        place = {int(self._segments.keys[one]): one for one in at}
        placed = []
        for arc in self._arcs:
            if arc.first in place and arc.second in place:
                one, other = place[arc.first], place[arc.second]
                ends = []
                for segment, time in (
                    (one, self._segments.ends[one]),
                    (other, self._segments.starts[other]),
                ):
                    row, lane = int(self._segments.rows[segment]), int(self._segments.lanes[segment])
                    ends.append(QPointF(self._x(float(time)), sum(self._band(row, lane, top)) / 2))
                placed.append((arc, ends[0], ends[1]))
        tokens = self._theme.tokens
        painter.save()
        painter.setClipRect(self._plot())
        paint_arcs(painter, placed, QColor(tokens.text), QColor(tokens.sunken), ROW)
        painter.restore()

    def _paint_head(self, painter: QPainter, plot: QRect) -> None:
        """Ruler, density, markers and the playhead."""
        tokens = self._theme.tokens
        painter.fillRect(QRect(0, 0, self.width(), RULER + DENSITY), QColor(tokens.surface))
        step = _nice(self._span / max(1, plot.width()) * 90)
        painter.setPen(QColor(tokens.muted))
        for tick in np.arange(math.ceil(self._left / step), (self._left + self._span) / step) * step:
            x = self._x(float(tick))
            painter.drawLine(QPointF(x, RULER - 5), QPointF(x, RULER))
            painter.drawText(QPointF(x + 3, RULER - 7), clock(float(tick), step))
        edges = np.linspace(self._left, self._left + self._span, plot.width() + 1)
        counts = self._segments.density(edges)
        heights = counts / max(1, int(counts.max(initial=0))) * (DENSITY - 3)
        painter.setPen(QPen(QColor(tokens.disabled), 1))
        bottom = RULER + DENSITY - 1
        painter.drawLines(
            [
                line
                for x in np.flatnonzero(heights).tolist()
                for line in (
                    QPointF(plot.left() + x, bottom),
                    QPointF(plot.left() + x, bottom - float(heights[x])),
                )
            ]
        )
        painter.drawText(QRect(8, RULER, GUTTER - 12, DENSITY), Qt.AlignmentFlag.AlignVCenter, "Active")
        painter.setPen(QPen(QColor(tokens.warn), 2))
        for time in self._markers[
            (self._markers >= self._left) & (self._markers <= self._left + self._span)
        ].tolist():
            painter.drawLine(QPointF(self._x(time), 2), QPointF(self._x(time), 7))
        if self._left <= self._time <= self._left + self._span:
            x = self._x(self._time)
            painter.setPen(QPen(QColor(tokens.text), 1))
            painter.drawLine(QPointF(x, 0), QPointF(x, self.height()))
            painter.setBrush(QColor(tokens.text))
            painter.drawPolygon([QPointF(x - 5, 0), QPointF(x + 5, 0), QPointF(x, 8)])

    # --- hand -------------------------------------------------------------------------------------

    def segment_at(self, place: QPointF) -> int | None:
        """Key of the segment at a place of the widget."""
        plot = self._plot()
        if not plot.contains(place.toPoint()):
            return None
        down = place.y() - plot.top() + self._bar.value()
        row, room = int(down // ROW), max(1, ROW // 8)
        lanes = self._segments.lane_count
        lane = int((down % ROW - room) * lanes / (ROW - 2 * room))
        reach = GRAB * self._span / plot.width()
        at = self._segments.find(row, min(max(lane, 0), lanes - 1), self._time_at(place.x()), reach)
        return None if at is None else int(self._segments.keys[at])

    def mousePressEvent(self, event: QMouseEvent) -> None:
        """Playhead, segment, or the ground that is dragged."""
        place = event.position()
        self._last = place
        if event.button() == Qt.MouseButton.MiddleButton:
            self._dragged = "ground"
        elif event.button() == Qt.MouseButton.LeftButton and place.x() >= GUTTER:
            if place.y() < RULER + DENSITY:
                self._dragged = "head"
                self._choose(place.x())
                return
            key = self.segment_at(place)
            self._dragged = "ground" if key is None else ""
            if key is not None:
                extend = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
                self.segment_clicked.emit(key, extend)
                self._choose(place.x())

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        """Drag what was pressed."""
        place = event.position()
        if self._dragged == "head":
            self._choose(place.x())
        elif self._dragged == "ground":
            self._pan(place.x() - self._last.x())
            self._bar.setValue(self._bar.value() - round(place.y() - self._last.y()))
        self._last = place

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """Let go."""
        self._dragged = ""

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Zoom (Ctrl), move through time (Shift), or through rows."""
        notches = event.angleDelta().y() / WHEEL_NOTCH
        if event.modifiers() & Qt.KeyboardModifier.ControlModifier:
            self.zoom(ZOOM_PER_NOTCH**notches, self._time_at(event.position().x()))
        elif event.modifiers() & Qt.KeyboardModifier.ShiftModifier or event.angleDelta().x():
            sideways = event.angleDelta().x() / WHEEL_NOTCH
            self._pan((sideways or notches) * 60)
        else:
            self._bar.setValue(self._bar.value() - round(notches * 3 * ROW))
        event.accept()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Plus and minus zoom, page keys scroll; everything else is the page's."""
        key = event.key()
        if key in (Qt.Key.Key_Plus, Qt.Key.Key_Equal):
            self.zoom(ZOOM_PER_NOTCH)
        elif key == Qt.Key.Key_Minus:
            self.zoom(1 / ZOOM_PER_NOTCH)
        elif key in (Qt.Key.Key_PageUp, Qt.Key.Key_PageDown):
            step = self._bar.pageStep() * (1 if key == Qt.Key.Key_PageDown else -1)
            self._bar.setValue(self._bar.value() + step)
        else:
            event.ignore()

    def event(self, event: QEvent) -> bool:
        """Tell about the segment below the mouse."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            key = self.segment_at(QPointF(event.pos()))
            QToolTip.showText(event.globalPos(), "" if key is None else self.describe(key), self)
            return True
        return super().event(event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """The scroll bar keeps to the right."""
        plot = self._plot()
        self._bar.setGeometry(self.width() - BAR, plot.top(), BAR, plot.height())
        self._range()

    def _pan(self, pixels: float) -> None:
        self._left -= pixels / self._plot().width() * self._span
        self._clamp()
        self.update()

    def _choose(self, x: float) -> None:
        self.set_time(self._time_at(max(x, GUTTER)))
        self.time_chosen.emit(self._time)


def clock(seconds: float, step: float = 0.1) -> str:
    """``1:02:03``, with tenths or hundredths where steps are that small."""
    sign, seconds = ("-" if seconds < 0 else ""), abs(seconds)
    digits = 0 if step >= 1 else 1 if step >= 0.1 else 2
    whole = round(seconds, digits)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(int(minutes), 60)
    width = 2 if not digits else 3 + digits
    tail = f"{rest:0{width}.{digits}f}"
    return f"{sign}{hours}:{minutes:02d}:{tail}" if hours else f"{sign}{minutes}:{tail}"


def _nice(step: float) -> float:
    """The least of 1, 2, 5, 10, ... (and 15, 30, 60, ... seconds) that is not less."""
    for known in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600):
        if known >= step:
            return float(known)
    return 3600.0 * math.ceil(step / 3600)
