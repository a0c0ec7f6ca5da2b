"""How long a way took: a histogram with the window that counts, to be dragged.

Importing this module imports pyqtgraph, half a second: do that when the first way is selected.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QContextMenuEvent, QKeyEvent, QWheelEvent
from PySide6.QtWidgets import QMenu, QWidget

from desktop.theme import tabular
from desktop.widgets.plot_export import FORMATS, drawn
from desktop.widgets.stacked_plot import StackedPlot

if TYPE_CHECKING:
    from desktop.theme import Theme
    from engine.tracks.way_times import WayTimes

HEIGHT = 130
MOST_BINS = 40
WIDTHS = (1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0)
"""Seconds that a bar may be wide."""
MARGIN = 14


class TravelTimes(pg.GraphicsLayoutWidget):
    """See the module. Solid bars are sure, pale ones only found.

    Signals
    -------
    window_chosen(float, float)
        The window was dragged, or moved with the arrow keys: seconds.
    export_requested(str)
        The user asks for a ``png``, ``svg`` or ``csv``.
    """

    window_chosen = Signal(float, float)
    export_requested = Signal(str)

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._times: WayTimes | None = None
        self._title = ""
        self.window = (0.0, 120.0)
        self.ci.layout.setContentsMargins(0, 0, MARGIN, 0)
        self.ci.layout.setSpacing(0)
        self._plot = StackedPlot(self.ci, 0, "Ways", HEIGHT, "Seconds on the way")
        self._found = pg.BarGraphItem(x=[], height=[], width=1.0)
        self._sure = pg.BarGraphItem(x=[], height=[], width=1.0)
        self._region = pg.LinearRegionItem(self.window, swapMode="block")
        self._region.setZValue(5)
        for item in (self._found, self._sure, self._region):
            self._plot.view.addItem(item, ignoreBounds=True)
        self._region.sigRegionChangeFinished.connect(self._dragged)
        self.setFixedHeight(self._plot.height + 2)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setAccessibleName("Histogram of travel times")
        self.setFrameShape(self.Shape.NoFrame)
        theme.changed.connect(self._use_colours)
        self._use_colours()

    def show_times(
        self, title: str, times: WayTimes | None, window: tuple[float, float], *, said: bool
    ) -> None:
        """Show a way.

        Parameters
        ----------
        title
            From where to where.
        times
            How long it took; ``None`` where nobody knows.
        window
            Seconds that count.
        said
            Whether somebody said that window; else it is learnt, or the usual one.
        """
        self._title, self._times, self.window = title, times, window
        self._region.blockSignals(True)
        self._region.setRegion(window)
        self._region.blockSignals(False)
        style = Qt.PenStyle.SolidLine if said else Qt.PenStyle.DashLine
        for edge in self._region.lines:
            edge.setPen(pg.mkPen(self._theme.tokens.accents["tracks"], width=2, style=style))
        seconds = np.zeros(0) if times is None else times.seconds
        sure = np.zeros(0, bool) if times is None else times.sure
        low = min(window[0], float(seconds.min(initial=np.inf)))
        high = max(window[1], float(seconds.max(initial=-np.inf)))
        width = next((w for w in WIDTHS if (high - low) / w <= MOST_BINS), (high - low) / MOST_BINS)
        edges = np.arange(np.floor(low / width), np.ceil(high / width) + 1) * width
        edges = edges if len(edges) > 1 else np.array([low, low + width])
        every, _ = np.histogram(seconds, edges)
        certain, _ = np.histogram(seconds[sure], edges)
        middle = (edges[:-1] + edges[1:]) / 2
        self._found.setOpts(x=middle, height=every, width=0.9 * width)
        self._sure.setOpts(x=middle, height=certain, width=0.9 * width)
        room = 0.04 * max(high - low, width)
        self._plot.set_range((low - room, high + room), (0, max(int(every.max(initial=0)), 1)))
        self.setAccessibleDescription(
            f"{title}: {len(seconds)} times, {int(sure.sum())} of them sure; window {window[0]:g} to "
            f"{window[1]:g} seconds."
        )

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Left and right move the end of the window, with Shift its beginning."""
        steps = {Qt.Key.Key_Left: -1.0, Qt.Key.Key_Right: 1.0}
        if event.key() not in steps:
            super().keyPressEvent(event)
            return
        step, (low, high) = steps[Qt.Key(event.key())], self.window
        if event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            low = min(low + step, high - 1)
        else:
            high = max(high + step, low + 1)
        self.window_chosen.emit(low, high)

    def _dragged(self) -> None:
        low, high = (round(float(edge), 1) for edge in self._region.getRegion())
        if (low, high) != self.window and low < high:
            self.window_chosen.emit(low, high)

    def wheelEvent(self, event: QWheelEvent) -> None:
        """Leave it to what scrolls."""
        event.ignore()

    def contextMenuEvent(self, event: QContextMenuEvent) -> None:
        """Save the plot."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for suffix in FORMATS:
            choice = menu.addAction(f"Save as {suffix.upper()}…")
            choice.triggered.connect(lambda _=False, kind=suffix: self.export_requested.emit(kind))
        menu.popup(event.globalPos())

    def exported(self, suffix: str) -> bytes:
        """The plot as a file of this kind; see :data:`~desktop.widgets.plot_export.FORMATS`."""
        if suffix == "csv":
            text = io.StringIO()
            table = csv.writer(text, lineterminator="\n")
            table.writerow(("seconds", "sure"))
            if self._times is not None:
                rows = zip(self._times.seconds.tolist(), self._times.sure.tolist(), strict=True)
                table.writerows((f"{seconds:.3f}", int(sure)) for seconds, sure in sorted(rows))
            return text.getvalue().encode()
        return drawn(self, suffix, QColor(self._theme.tokens.surface), self._title)

    def close(self) -> bool:
        """Close like any widget: pyqtgraph's own frees items that Python still holds, and crashes."""
        return QWidget.close(self)

    def sizeHint(self) -> QSize:
        """No wider than the inspector."""
        return QSize(240, self.height())

    def _use_colours(self) -> None:
        tokens = self._theme.tokens
        self.setBackground(tokens.surface)
        self._plot.use_colours(tokens, tabular(self.font()))
        accent, pale = QColor(tokens.accents["tracks"]), QColor(tokens.muted)
        pale.setAlpha(110)
        self._found.setOpts(brush=pale, pen=None)
        self._sure.setOpts(brush=accent, pen=None)
        ground = QColor(accent)
        ground.setAlpha(36)
        self._region.setBrush(ground)
        self._region.setHoverBrush(ground)
