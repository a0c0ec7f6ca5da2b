"""The curves of an alignment: total, rewards, how plausible the noise is, and the gradient's norm.

Importing this module imports pyqtgraph, half a second: do that on a thread, when the curves are
first wanted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyqtgraph as pg
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QPointF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QContextMenuEvent,
    QKeyEvent,
    QMouseEvent,
    QPen,
    QShowEvent,
    QWheelEvent,
)
from PySide6.QtWidgets import QMenu, QWidget

from desktop.images.align_legend import curve_look
from desktop.images.align_steps import (
    AMBER,
    GREEN,
    LIMITS,
    RED,
    STATUS_WORDS,
    STEP_LIMITS,
    AlignSteps,
    StepPoint,
)
from desktop.stylesheet import blend
from desktop.theme import Theme, tabular
from desktop.widgets.plot_export import FORMATS, drawn
from desktop.widgets.stacked_plot import StackedPlot

HEIGHTS = (96, 112, 96, 96, 72)
TITLES = (
    "Total",
    "Rewards, 0 to 100",
    "P of all noise",
    "P of the worst step",
    "Gradient norm",
)
LABEL_OVERHANG = 14
FEWEST_STEPS = 10
LEAST_DEPTH, MOST_DEPTH = -5.0, -12.0
"""How far down the axes of P reach, as powers of ten: enough to see red, never only red."""
BAND_TOKENS = {GREEN: "good", AMBER: "warn", RED: "bad"}


class AlignCurves(pg.GraphicsLayoutWidget):
    """Five plots over the steps, one below the other.

    A line marks the step that is read out; a click or the arrow keys move it.

    Signals
    -------
    step_chosen(int)
        The user points at this step: shows its picture.
    export_requested(str)
        The user asks to save the curves as ``png``, ``svg`` or ``csv``.
    """

    step_chosen = Signal(int)
    export_requested = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._steps = AlignSteps(0)
        self._marked: int | None = None
        self._rewards: list[pg.PlotCurveItem] = []
        self._plots: list[StackedPlot] = []
        self._marks: list[pg.InfiniteLine] = []
        self._bands: list[tuple[pg.LinearRegionItem, str]] = []
        self._words: list[tuple[pg.TextItem, str, tuple[float, float]]] = []
        self.ci.layout.setContentsMargins(0, 0, LABEL_OVERHANG, 0)
        self.ci.layout.setSpacing(0)
        for row, title in enumerate(TITLES):
            self._plots.append(self._make_plot(row, title))
        total, _, whole, worst, gradient = self._plots
        self._total, self._gradient = total.add_curve(), gradient.add_curve()
        self._best = pg.ScatterPlotItem(size=9, symbol="star", pxMode=True)
        total.view.addItem(self._best, ignoreBounds=True)
        self._guards = [
            self._make_guard(whole, "log10_p", LIMITS),
            self._make_guard(worst, "log10_p_step", STEP_LIMITS),
        ]
        self.setFixedHeight(sum(plot.height for plot in self._plots) + 2)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Curves of the alignment")
        self.setFrameShape(self.Shape.NoFrame)
        theme.changed.connect(self._use_colours)
        self.show_steps(self._steps)
        self._use_colours()

    def _make_plot(self, place: int, title: str) -> StackedPlot:
        bottom = "Step" if place == len(TITLES) - 1 else ""
        plot = StackedPlot(self.ci, place, title, HEIGHTS[place], bottom)
        mark = pg.InfiniteLine(angle=90)
        mark.hide()
        mark.setZValue(10)
        plot.view.addItem(mark, ignoreBounds=True)
        self._marks.append(mark)
        return plot

    def _make_guard(
        self, plot: StackedPlot, name: str, limits: Sequence[float]
    ) -> tuple[str, pg.PlotCurveItem]:
        """Bands of the three states with their words, and the curve over them."""
        green, red = (math.log10(limit) for limit in limits)
        for state, low, high in (
            (GREEN, green, 1.0),
            (AMBER, red, green),
            (RED, MOST_DEPTH - 1, red),
        ):
            band = pg.LinearRegionItem((low, high), orientation="horizontal", movable=False)
            band.setZValue(-10)
            for edge in band.lines:
                edge.setPen(None)
            plot.view.addItem(band, ignoreBounds=True)
            self._bands.append((band, state))
            # Each word hangs from the top of its band.
            word = pg.TextItem(STATUS_WORDS[state], anchor=(1, 0 if state != GREEN else 0.25))
            word.setZValue(-5)
            plot.view.addItem(word, ignoreBounds=True)
            self._words.append((word, state, (0.0, min(high, 0.0))))
        return name, plot.add_curve()

    # --- content ----------------------------------------------------------------------------------

    @property
    def steps(self) -> AlignSteps:
        """What is shown."""
        return self._steps

    @property
    def marked(self) -> int | None:
        """The step that is marked."""
        return self._marked

    def show_steps(self, steps: AlignSteps) -> None:
        """Show a run, as far as it is."""
        self._steps = steps
        numbers = steps.numbers
        self._total.setData(numbers, steps.column("total"))
        best = steps.best
        self._best.setData([] if best is None else [best.step], [] if best is None else [best.total])
        self._show_rewards(numbers)
        for name, curve in self._guards:
            curve.setData(numbers, np.clip(steps.column(name), MOST_DEPTH, 0))
        self._gradient.setData(numbers, steps.column("gradient_norm"))
        self._set_ranges(numbers)
        last = steps.last
        told = f"Step {last.step} of {steps.asked}. {self.text_of(last)}" if last else "No step yet."
        self.setAccessibleDescription(told)

    def _show_rewards(self, numbers: NDArray[np.float64]) -> None:
        names = self._steps.names
        plot = self._plots[1]
        while len(self._rewards) > len(names):
            plot.view.removeItem(self._rewards.pop())
        while len(self._rewards) < len(names):
            self._rewards.append(plot.add_curve())
            self._rewards[-1].setPen(self._reward_pen(len(self._rewards) - 1))
        for name, curve in zip(names, self._rewards, strict=True):
            curve.setData(numbers, self._steps.reward(name))

    def _set_ranges(self, numbers: NDArray[np.float64]) -> None:
        first = float(numbers[0]) if len(numbers) else 0.0
        right = max(first + FEWEST_STEPS, float(self._steps.asked), *numbers[-1:])
        room = 0.02 * (right - first)
        across = (first - room, right + room)
        rewards = [self._steps.reward(name) for name in self._steps.names]
        bounds = [
            _bounds(self._steps.column("total")),
            _bounds(*rewards, np.array([0.0, 100.0])),
            *(self._depth(name) for name, _ in self._guards),
            _bounds(self._steps.column("gradient_norm"), np.zeros(1)),
        ]
        for plot, up in zip(self._plots, bounds, strict=True):
            plot.set_range(across, up)
        for word, _, (_, top) in self._words:
            word.setPos(right, top)

    def _depth(self, name: str) -> tuple[float, float]:
        """How far down an axis of P reaches."""
        column = self._steps.column(name)
        least = float(column.min()) - 0.5 if len(column) else 0.0
        return max(MOST_DEPTH, min(LEAST_DEPTH, least)), 0.0

    def text_of(self, point: StepPoint) -> str:
        """What a step says."""
        word = STATUS_WORDS.get(point.status, point.status).lower()
        return f"Total {point.total:+.2f}; {point.probabilities()}: {word}"

    def exported(self, suffix: str) -> bytes:
        """The curves as a file of this kind; see :data:`~desktop.widgets.plot_export.FORMATS`."""
        if suffix == "csv":
            return self._steps.as_csv()
        ground = QColor(self._theme.tokens.surface)
        return drawn(self, suffix, ground, "Curves of the alignment")

    # --- pointing ---------------------------------------------------------------------------------

    def mark(self, step: int | None) -> None:
        """Mark a step, or none."""
        self._marked = step
        for line in self._marks:
            line.setVisible(step is not None)
            if step is not None:
                line.setPos(float(step))

    def step_at(self, point: QPointF) -> int | None:
        """The step nearest to a point of this widget."""
        if not self._steps.points:
            return None
        box = self._plots[0].view
        wanted = box.mapSceneToView(self.mapToScene(point.toPoint())).x()
        return min((p.step for p in self._steps.points), key=lambda step: abs(step - wanted))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self._choose(self.step_at(event.position()))
        else:
            super().mousePressEvent(event)

    def mouseMoveEvent(self, event: QMouseEvent) -> None:
        if event.buttons() & Qt.MouseButton.LeftButton:
            self._choose(self.step_at(event.position()))
        else:
            super().mouseMoveEvent(event)

    def _choose(self, step: int | None) -> None:
        if step is not None:
            self.step_chosen.emit(step)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        moves = {Qt.Key.Key_Left: -1, Qt.Key.Key_Right: 1}
        numbers = [point.step for point in self._steps.points]
        ends = {Qt.Key.Key_Home: 0, Qt.Key.Key_End: -1}
        key = event.key()
        if not numbers or (key not in moves and key not in ends):
            event.ignore()
            return
        if key in ends:
            self._choose(numbers[ends[Qt.Key(key)]])
            return
        here = numbers.index(self._marked) if self._marked in numbers else len(numbers) - 1
        self._choose(numbers[min(len(numbers) - 1, max(0, here + moves[Qt.Key(key)]))])

    def wheelEvent(self, event: QWheelEvent) -> None:
        event.ignore()  # the panel scrolls

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for suffix in FORMATS:
            choice = menu.addAction(f"Save as {suffix.upper()}…")
            choice.triggered.connect(lambda _=False, kind=suffix: self.export_requested.emit(kind))
            choice.setEnabled(bool(self._steps.points))
        menu.popup(event.globalPos())

    # --- look -------------------------------------------------------------------------------------

    def close(self) -> bool:
        """Close like any widget: pyqtgraph's own frees items that Python still holds, and crashes."""
        return QWidget.close(self)

    def event(self, event: QEvent) -> bool:
        """Follow the font, and to a screen with other pixels."""
        if event.type() in (QEvent.Type.FontChange, QEvent.Type.DevicePixelRatioChange):
            self._use_colours()
        return bool(super().event(event))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._use_colours()

    def sizeHint(self) -> QSize:
        return QSize(240, self.height())

    def _reward_pen(self, index: int) -> QPen:
        colour, style = curve_look(index, dark=self._theme.dark)
        return self._pen(colour, 1.5, style)

    def _pen(self, colour: str, width: float, style: Qt.PenStyle = Qt.PenStyle.SolidLine) -> QPen:
        # pyqtgraph counts a pen's width in pixels of the screen, however small these are.
        return pg.mkPen(colour, width=width * self.devicePixelRatioF(), style=style)

    def _use_colours(self) -> None:
        tokens, accent = self._theme.tokens, self._theme.accent("images")
        self.setBackground(tokens.surface)
        font = tabular(self.font())
        font.setPointSizeF(max(7.0, font.pointSizeF() - 1))
        for plot in self._plots:
            plot.use_colours(tokens, font)
        for plot in self._plots[2:4]:
            plot.left.setTicks([_power_ticks()])
        self._total.setPen(self._pen(accent, 2))
        self._best.setBrush(tokens.text)
        self._best.setPen(pg.mkPen(tokens.sunken))
        self._gradient.setPen(self._pen(tokens.muted, 1.5))
        for index, curve in enumerate(self._rewards):
            curve.setPen(self._reward_pen(index))
        for _, curve in self._guards:
            curve.setPen(self._pen(tokens.text, 1.5))
        for band, state in self._bands:
            band.setBrush(QColor(blend(getattr(tokens, BAND_TOKENS[state]), tokens.sunken, 0.18)))
        for word, state, _ in self._words:
            word.setColor(getattr(tokens, BAND_TOKENS[state]))
            word.setFont(font)
        for line in self._marks:
            line.setPen(self._pen(accent, 1, Qt.PenStyle.DashLine))


def _power_ticks() -> list[tuple[float, str]]:
    return [(float(power), "1" if power == 0 else f"1e{power}") for power in range(-12, 1, 2)]


def _bounds(*columns: NDArray[np.float64]) -> tuple[float, float]:
    """Least and largest finite value; 0 to 1 where there is none."""
    values = np.concatenate(columns)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 1.0)
