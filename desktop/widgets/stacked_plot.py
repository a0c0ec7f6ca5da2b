"""One of several plots that stand below one another over the same steps.

Made of pyqtgraph's parts: its own complete plot brings menus of which every one is a window.
Importing this module imports pyqtgraph, half a second.
"""

from __future__ import annotations

import pyqtgraph as pg
from PySide6.QtGui import QColor, QFont

from desktop.theme import Tokens

AXIS_WIDTH = 44
TITLE_HEIGHT, BOTTOM_HEIGHT, GAP = 20, 36, 6
ROWS = 3
"""Rows of the layout that a plot takes: title, plot, axis of the steps."""


class StackedPlot:
    """Title, left axis, view; the last of the stack also says what the steps are.

    Parameters
    ----------
    layout
        Of the widget that holds the stack.
    place
        Its place in the stack, from 0.
    title
        What is plotted, with its unit.
    height
        Of the view alone.
    bottom
        What stands below the last plot of the stack; empty for the others.
    """

    def __init__(
        self, layout: pg.GraphicsLayout, place: int, title: str, height: int, bottom: str = ""
    ) -> None:
        self._title, self._bottom_text = title, bottom
        self.view = pg.ViewBox(enableMouse=False, enableMenu=False, defaultPadding=0)
        self.left, self.bottom = pg.AxisItem("left"), pg.AxisItem("bottom", showValues=bool(bottom))
        self._label = pg.LabelItem(title, justify="left")
        for axis in (self.left, self.bottom):
            axis.linkToView(self.view)
        self.left.setWidth(AXIS_WIDTH)
        heights = (TITLE_HEIGHT, height, BOTTOM_HEIGHT if bottom else GAP)
        for row, size in enumerate(heights, start=ROWS * place):
            layout.layout.setRowFixedHeight(row, size)
        self.bottom.setHeight(heights[2])
        self._label.setMaximumHeight(TITLE_HEIGHT)
        layout.addItem(self._label, ROWS * place, 1)
        layout.addItem(self.left, ROWS * place + 1, 0)
        layout.addItem(self.view, ROWS * place + 1, 1)
        layout.addItem(self.bottom, ROWS * place + 2, 1)
        self.height = sum(heights)

    def add_curve(self) -> pg.PlotCurveItem:
        """A curve that breaks where a value is not finite."""
        curve = pg.PlotCurveItem(connect="finite", antialias=True)
        self.view.addItem(curve, ignoreBounds=True)
        return curve

    def set_range(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        """Show this part; a line at its edge stays whole."""
        low, high = up
        room = 0.06 * (high - low) or 0.5
        self.view.setRange(xRange=across, yRange=(low - room, high + room), padding=0)

    def use_colours(self, tokens: Tokens, font: QFont) -> None:
        """Take colours and the font of the ticks."""
        size = f"{font.pointSizeF():g}pt"
        self.view.setBackgroundColor(QColor(tokens.sunken))
        self._label.setText(self._title, color=tokens.muted, size=size)
        for axis in (self.left, self.bottom):
            axis.setPen(tokens.border)
            axis.setTextPen(tokens.muted)
            axis.setStyle(tickFont=font, tickLength=-3, tickTextOffset=4)
        if self._bottom_text:
            self.bottom.setLabel(self._bottom_text, **{"color": tokens.muted, "font-size": size})
