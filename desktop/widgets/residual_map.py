"""A heat map of how far each step is from its solution, round by round.

Importing this module imports pyqtgraph, half a second: do that on a thread, when the map is first
wanted.
"""

from __future__ import annotations

import csv
import io

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QBuffer, QEvent, QIODevice, QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QFocusEvent,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QShowEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QMenu, QWidget

from desktop.theme import Theme, tabular

# Residuals are root mean squares of states of unit scale: 1 is nothing done, 1e-4 beyond need.
LOWEST, HIGHEST = -4.0, 0.0
FEWEST_ROUNDS = 8
AXIS_WIDTH, AXIS_HEIGHT, SCALE_HEIGHT = 42, 36, 10
LABEL_OVERHANG = 14  # half a tick label may stand out beside its axis
EXPORT_SCALE = 2
FORMATS = {"png": "PNG (*.png)", "svg": "SVG (*.svg)", "csv": "CSV (*.csv)"}


def axis_ticks(count: int, at_most: int) -> list[int]:
    """Whole numbers of ``1..count`` to write on an axis: the first, and round ones after it."""
    steps = (factor * 10**power for power in range(7) for factor in (1, 2, 5))
    step = next(step for step in steps if count <= step * at_most)
    if step <= 2:
        return list(range(1, count + 1, step))
    return [1, *range(step, count + 1, step)]


def level_of(residuals: NDArray[np.floating]) -> NDArray[np.float64]:
    """Place on the colour scale, 0..1; NaN stays NaN."""
    with np.errstate(divide="ignore"):
        logs = np.log10(np.asarray(residuals, np.float64))
    return (np.clip(logs, LOWEST, HIGHEST) - LOWEST) / (HIGHEST - LOWEST)


class ResidualMap(pg.GraphicsLayoutWidget):
    """Steps from left (noisy) to right (clean), rounds downwards, a colour scale below.

    A line marks the frontier: what lies left of it is converged. Arrow keys move a cell cursor,
    which is read out like the cell under the mouse; the context menu saves the map.

    Signals
    -------
    pointed(str)
        Step, round and residual of the cell under the mouse or the cursor; empty without one.
    export_requested(str)
        The user asks to save it as ``png``, ``svg`` or ``csv``.
    """

    pointed = Signal(str)
    export_requested = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._residuals = np.empty((0, 0), np.float32)
        self._finished = np.empty(0, np.int64)
        self._tolerance, self._first = 0.0, 1
        self._cell: tuple[int, int] | None = None
        self._table = pg.colormap.get("viridis").getLookupTable(0.06, 0.98, 256, alpha=True)
        self._make_map()
        self._make_scale()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setAccessibleName("Residual by step and round")
        self.setFrameShape(self.Shape.NoFrame)
        theme.changed.connect(self._use_colours)
        self._use_colours()
        self.clear_rounds()

    def _make_map(self) -> None:
        self.ci.layout.setContentsMargins(0, 4, LABEL_OVERHANG, 0)
        self.ci.layout.setSpacing(0)
        self._map = pg.ViewBox(enableMouse=False, enableMenu=False, defaultPadding=0, invertY=True)
        self._left, self._bottom = pg.AxisItem("left"), pg.AxisItem("bottom")
        for axis in (self._left, self._bottom):
            axis.linkToView(self._map)
        self._left.setWidth(AXIS_WIDTH)
        self._bottom.setHeight(AXIS_HEIGHT)
        self.ci.addItem(self._left, 0, 0)
        self.ci.addItem(self._map, 0, 1)
        self.ci.addItem(self._bottom, 1, 1)
        self._image = pg.ImageItem(axisOrder="row-major")
        # Dark under light, so that the line shows on any colour.
        self._frontier = [pg.PlotCurveItem(), pg.PlotCurveItem()]
        # An item of pyqtgraph, not of Qt: its views free their items themselves.
        self._cursor = pg.PlotCurveItem()
        self._cursor.hide()
        for item in (self._image, *self._frontier, self._cursor):
            self._map.addItem(item, ignoreBounds=True)

    def _make_scale(self) -> None:
        self._scale = pg.ViewBox(enableMouse=False, enableMenu=False, defaultPadding=0)
        self._scale_axis = pg.AxisItem("bottom")
        self._scale_axis.linkToView(self._scale)
        self._scale.setFixedHeight(SCALE_HEIGHT)
        self.ci.layout.setRowSpacing(1, 6)
        self._scale_axis.setHeight(AXIS_HEIGHT)
        self.ci.addItem(self._scale, 2, 1)
        self.ci.addItem(self._scale_axis, 3, 1)
        bar = pg.ImageItem(self._table[None], axisOrder="row-major")
        bar.setRect(QRectF(LOWEST, 0, HIGHEST - LOWEST, 1))
        self._mark = [pg.InfiniteLine(angle=90), pg.InfiniteLine(angle=90)]
        for item in (bar, *self._mark):
            self._scale.addItem(item, ignoreBounds=True)
        self._scale.setRange(xRange=(LOWEST, HIGHEST), yRange=(0, 1), padding=0)

    # --- content ----------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, int]:
        """Rounds and steps that are shown."""
        rounds, steps = self._residuals.shape
        return rounds, steps

    def clear_rounds(self, steps: int = 100) -> None:
        """Show an empty map."""
        self.set_rounds(np.empty((0, steps), np.float32), np.empty(0, np.int64), 1e-3)

    def set_rounds(
        self,
        residuals: NDArray[np.floating],
        finished: NDArray[np.integer],
        tolerance: float,
        first: int = 1,
    ) -> None:
        """Show a run.

        Parameters
        ----------
        residuals
            ``(R, T)`` root mean squares; NaN where a step was not looked at. Column 0 is the last,
            cleanest step.
        finished
            ``(R,)`` index of the lowest finished state after each round, T..0.
        tolerance
            At and below it a step counts as converged.
        first
            Number of the first round.
        """
        rounds, steps = residuals.shape
        self._residuals, self._finished = residuals[:, ::-1], finished
        self._tolerance, self._first = tolerance, first
        self._image.setVisible(rounds > 0)
        if rounds:
            self._image.setImage(self._coloured(), autoLevels=False)
            self._image.setRect(QRectF(0.5, 0.5, steps, rounds))
        for line in self._frontier:
            line.setData(*self._frontier_points())
        lowest = max(rounds, FEWEST_ROUNDS)
        self._map.setRange(xRange=(0.5, steps + 0.5), yRange=(0.5, lowest + 0.5), padding=0)
        self._left.setTicks([_labelled(axis_ticks(lowest, 8), first - 1)])
        self._bottom.setTicks([_labelled(axis_ticks(steps, 5))])
        for mark in self._mark:
            mark.setPos(float(np.log10(max(tolerance, 1e-12))))
        self._write_scale()
        if self._cell is not None and (self._cell[0] > rounds or self._cell[1] > steps):
            self._point_at(None)
        done = steps - int(finished[-1]) if rounds else 0
        self.setAccessibleDescription(f"{rounds} rounds; {done} of {steps} steps converged.")

    def _coloured(self) -> NDArray[np.uint8]:
        """``(R, T, 4)``; transparent where there is no residual."""
        levels = level_of(self._residuals)
        missing = np.isnan(levels)
        colours: NDArray[np.uint8] = self._table[(np.where(missing, 0, levels) * 255).astype(np.uint8)]
        colours[missing] = 0
        return colours

    def _frontier_points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """A staircase along the cells that are converged."""
        rounds, steps = self._residuals.shape
        edges = np.arange(rounds + 1) + 0.5
        return np.repeat(steps - self._finished + 0.5, 2), np.repeat(edges, 2)[1:-1]

    def as_csv(self) -> bytes:
        """One line a round and step that was looked at."""
        text = io.StringIO()
        table = csv.writer(text)
        table.writerow(["round", "step", "residual_rms", "converged_steps"])
        steps = self.shape[1]
        for row, column in np.argwhere(~np.isnan(self._residuals)):
            done = steps - int(self._finished[row])
            table.writerow([self._first + row, column + 1, f"{self._residuals[row, column]:.6g}", done])
        return text.getvalue().encode()

    def exported(self, suffix: str) -> bytes:
        """The map as a file of this kind; see :data:`FORMATS`."""
        if suffix == "csv":
            return self.as_csv()
        buffer = QBuffer()
        buffer.open(QIODevice.OpenModeFlag.WriteOnly)
        if suffix == "svg":
            self._draw_svg(buffer)
        else:
            image = QImage(self.size() * EXPORT_SCALE, QImage.Format.Format_RGB32)
            image.fill(QColor(self._theme.tokens.surface))
            with QPainter(image) as painter:
                self.render(painter)
            image.save(buffer, "PNG")
        return bytes(buffer.data().data())

    def _draw_svg(self, buffer: QBuffer) -> None:
        from PySide6.QtSvg import QSvgGenerator

        generator = QSvgGenerator()
        generator.setOutputDevice(buffer)
        generator.setSize(self.size())
        generator.setViewBox(self.rect())
        generator.setTitle("Residual by step and round")
        with QPainter(generator) as painter:
            painter.fillRect(self.rect(), QColor(self._theme.tokens.surface))
            self.render(painter)

    # --- pointing ---------------------------------------------------------------------------------

    def cell_at(self, point: QPointF) -> tuple[int, int] | None:
        """Row and step (both from 1) under a point of this widget."""
        scene = self.mapToScene(point.toPoint())
        if not self._map.sceneBoundingRect().contains(scene):
            return None
        place = self._map.mapSceneToView(scene)
        row, step = round(place.y()), round(place.x())
        rounds, steps = self.shape
        return (row, step) if 1 <= row <= rounds and 1 <= step <= steps else None

    def cell_text(self, row: int, step: int) -> str:
        """What a cell says; row and step from 1."""
        residual = float(self._residuals[row - 1, step - 1])
        steps = self.shape[1]
        if np.isnan(residual):
            done = step <= steps - int(self._finished[row - 1])
            state = "converged before" if done else "not looked at yet"
        else:
            side = "within" if residual <= self._tolerance else "above"
            state = f"residual {residual:.2g}, {side} the tolerance"
        return f"Round {self._first + row - 1}, step {step} of {steps}: {state}"

    def _point_at(self, cell: tuple[int, int] | None) -> None:
        self._cell = cell
        self._cursor.setVisible(cell is not None)
        if cell is None:
            self.pointed.emit("")
            return
        row, step = cell
        left, top = step - 0.5, row - 0.5
        corners = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))
        self._cursor.setData([left + x for x, _ in corners], [top + y for _, y in corners])
        self.pointed.emit(self.cell_text(row, step))

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        super().mouseMoveEvent(event)
        self._point_at(self.cell_at(event.position()))

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._point_at(None)

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the panel scrolls

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {
            Qt.Key.Key_Left: (0, -1),
            Qt.Key.Key_Right: (0, 1),
            Qt.Key.Key_Up: (-1, 0),
            Qt.Key.Key_Down: (1, 0),
        }
        rounds, steps = self.shape
        if event.key() not in moves or not rounds:
            event.ignore()
            return
        down, right = moves[Qt.Key(event.key())]
        row, step = self._cell or (rounds - down, 1 - right)
        self._point_at((min(rounds, max(1, row + down)), min(steps, max(1, step + right))))

    def focusOutEvent(self, event: QFocusEvent) -> None:
        super().focusOutEvent(event)
        self._point_at(None)

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for suffix in FORMATS:
            choice = menu.addAction(f"Save as {suffix.upper()}…")
            choice.triggered.connect(lambda _=False, kind=suffix: self.export_requested.emit(kind))
            choice.setEnabled(self.shape[0] > 0)
        menu.popup(event.globalPos())

    # --- look -------------------------------------------------------------------------------------

    def close(self) -> bool:
        """Close like any widget: pyqtgraph's own frees items that Python still holds, and crashes."""
        return QWidget.close(self)

    def sizeHint(self) -> QSize:
        return QSize(240, 300)

    def _use_colours(self) -> None:
        tokens = self._theme.tokens
        self.setBackground(tokens.surface)
        self._map.setBackgroundColor(tokens.sunken)
        font = tabular(self.font())
        font.setPointSizeF(max(7.0, font.pointSizeF() - 1))
        for axis in (self._left, self._bottom, self._scale_axis):
            axis.setPen(tokens.border)
            axis.setTextPen(tokens.muted)
            axis.setStyle(
                tickFont=font,
                tickLength=-3,
                tickTextOffset=4,
                hideOverlappingLabels=LABEL_OVERHANG,
            )
        self._style = {"color": tokens.muted, "font-size": f"{font.pointSizeF():g}pt"}
        self._left.setLabel("Round", **self._style)
        self._bottom.setLabel("Step, noisy → clean", **self._style)
        self._write_scale()
        self._use_pens()

    def _use_pens(self) -> None:
        # pyqtgraph counts a pen's width in pixels of the screen, however small these are.
        pixel = self.devicePixelRatioF()
        for under, over in (self._frontier, self._mark):
            under.setPen(QColor(0, 0, 0, 160), width=3 * pixel)
            over.setPen(QColor(255, 255, 255), width=pixel)
        self._cursor.setPen(self._theme.tokens.bad, width=pixel)

    def event(self, event: QEvent) -> bool:
        """Follow to a screen with other pixels."""
        if event.type() == QEvent.Type.DevicePixelRatioChange:
            self._use_pens()
        return super().event(event)

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._use_pens()

    def _write_scale(self) -> None:
        ticks = [(float(power), "1" if power == 0 else f"1e{power}") for power in range(-4, 1)]
        self._scale_axis.setTicks([ticks])
        self._scale_axis.setLabel(f"Residual (RMS), tolerance {self._tolerance:g}", **self._style)


def _labelled(values: list[int], offset: int = 0) -> list[tuple[float, str]]:
    return [(float(value), str(value + offset)) for value in values]
