"""The Sampling tab's section about dynamic models: widths by block and step, places by step."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, QSize, Qt, Signal
from PySide6.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QSlider, QVBoxLayout, QWidget

from desktop.images.parameters_panel import ActionButton
from desktop.images.routes import Routes
from desktop.images.run_figures import Comparison, FigureTable, macs_text, seconds_text
from desktop.theme import SPACE_S, Theme, tabular
from desktop.widgets.field_editors import ChoiceEditor
from desktop.widgets.image_canvas import image_from_array
from desktop.widgets.parts import label, line, percent

ROW_HEIGHT = 12
MOST_ROWS_HEIGHT = 160
PLACES_EDGE = 240
NOT_COMPUTED = 0.78
"""How much of the background covers a place that no block computed."""


def shaded(values: NDArray[np.floating], low: QColor, high: QColor) -> QImage:
    """A picture of values 0..1 ``(rows, columns)``, one pixel each, between two colours."""
    ends = [np.array([c.red(), c.green(), c.blue()], np.float32) for c in (low, high)]
    mixed = ends[0] + values[..., None].astype(np.float32) * (ends[1] - ends[0])
    return image_from_array(mixed.round().astype(np.uint8))


class WidthMap(QWidget):
    """Blocks by time steps; brighter is more computed. A click chooses the step.

    Signals
    -------
    chosen(int)
        Index of a time step.
    """

    chosen = Signal(int)

    def __init__(self, theme: Theme, title: str) -> None:
        super().__init__()
        self._theme = theme
        self._values: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._step = 0
        self.setAccessibleName(title)
        self.setCursor(Qt.CursorShape.PointingHandCursor)

    def set_values(self, values: NDArray[np.float32]) -> None:
        """Show shares ``(E, L)``."""
        self._values = values
        blocks = values.shape[1]
        self.setFixedHeight(min(MOST_ROWS_HEIGHT, max(3, blocks) * ROW_HEIGHT))
        self.setAccessibleDescription(
            f"{blocks} blocks; on average {percent(float(values.mean()))} is computed."
        )
        self.update()

    def set_step(self, step: int) -> None:
        """Mark a time step."""
        self._step = step
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        tokens = self._theme.tokens
        with QPainter(self) as painter:
            painter.fillRect(self.rect(), QColor(tokens.sunken))
            steps = self._values.shape[0]
            if not steps:
                return
            # The first block at the bottom, as the plots of the papers have it.
            image = shaded(
                self._values.T[::-1], QColor(tokens.sunken), QColor(self._theme.accent("images"))
            )
            painter.drawImage(self.rect(), image)
            width = self.width() / steps
            painter.setPen(QColor(tokens.text))
            painter.drawRect(QRectF(self._step * width, 0.5, max(2.0, width), self.height() - 1))

    def mousePressEvent(self, event: QMouseEvent) -> None:
        steps = self._values.shape[0]
        if steps:
            place = int(event.position().x() / max(1, self.width()) * steps)
            self.chosen.emit(min(steps - 1, max(0, place)))

    def sizeHint(self) -> QSize:
        return QSize(240, ROW_HEIGHT * 6)


class PlaceMap(QWidget):
    """The picture, faded where its tokens were not computed."""

    def __init__(self, theme: Theme) -> None:
        super().__init__()
        self._theme = theme
        self._picture = QImage()
        self._open: NDArray[np.floating] = np.zeros((1, 1), np.float32)
        self.setFixedHeight(PLACES_EDGE)
        self.setAccessibleName("Where the MLPs were computed")

    def show_places(self, picture: QImage, opened: NDArray[np.floating]) -> None:
        """Show shares ``(side, side)`` of the blocks that computed each place."""
        self._picture, self._open = picture, opened
        self.setAccessibleDescription(f"{percent(float(opened.mean()))} of the places were computed.")
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:
        edge = min(self.width(), self.height())
        place = QRectF((self.width() - edge) / 2, 0, edge, edge)
        cover = QColor(self._theme.tokens.surface)
        side = self._open.shape[0]
        with QPainter(self) as painter:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(place, self._picture)
            cell = edge / side
            for (row, column), share in np.ndenumerate(self._open):
                cover.setAlphaF(NOT_COMPUTED * (1 - float(share)))
                left, top = place.left() + column * cell, place.top() + row * cell
                painter.fillRect(QRectF(left, top, cell, cell), cover)

    def sizeHint(self) -> QSize:
        return QSize(PLACES_EDGE, PLACES_EDGE)


class RouteView(QWidget):
    """Figures, two width maps, a slider over the time steps, and the places at that step."""

    def __init__(self, theme: Theme, complete: ActionButton) -> None:
        super().__init__()
        self._routes: Routes | None = None
        self.figures = label("", wrap=True)
        self.figures.setFont(tabular(self.figures.font()))
        self.note = label("", "muted", wrap=True)
        self.heads = WidthMap(theme, "Attention heads by block and step")
        self.groups = WidthMap(theme, "MLP channels by block and step")
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setAccessibleName("Time step that is shown")
        self.slider.setPageStep(1)
        self.step = label("", "muted", wrap=True)
        self.step.setFont(tabular(self.step.font()))
        self.block = ChoiceEditor([(-1, "All blocks")], "Blocks")
        self.places = PlaceMap(theme)
        self.complete = complete
        self.complete_note = label("", "muted", wrap=True)
        self.table = FigureTable()
        self.table.hide()
        self._maps = QWidget()
        inner = QVBoxLayout(self._maps)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(SPACE_S)
        for widget in (
            label("Attention heads, noisy → clean; block 1 at the bottom", "muted", wrap=True),
            self.heads,
            label("MLP channels", "muted"),
            self.groups,
            self.slider,
            self.step,
            self.block,
            self.places,
        ):
            inner.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(SPACE_S)
        for widget in (
            line(),
            label("What was computed", "heading"),
            self.figures,
            self.note,
            self._maps,
            self.complete,
            self.complete_note,
            self.table,
        ):
            layout.addWidget(widget)
        self.slider.valueChanged.connect(self._show_step)
        self.block.changed.connect(lambda: self._show_step(self.slider.value()))
        for chart in (self.heads, self.groups):
            chart.chosen.connect(self.slider.setValue)

    def show_figures(self, figures: str, note: str = "") -> None:
        """Say how much was computed, and what else there is to say."""
        self.figures.setText(figures)
        self.note.setText(note)
        self.note.setVisible(bool(note))

    def show_comparison(self, found: Comparison | None, note: str) -> None:
        """Show the figures of both pictures, and how far the comparison is."""
        text = note
        self.table.setVisible(found is not None)
        if found is not None:
            mine, other = found.mine, found.other
            self.table.show_rows(
                [
                    ("", "This one", "100 %"),
                    ("GMAC", macs_text(mine.macs), macs_text(other.macs)),
                    ("Seconds", seconds_text(mine.seconds), seconds_text(other.seconds)),
                    ("PSNR", found.agreement.psnr_text, ""),
                ]
            )
            verdict = found.verdict("computing less")
            if mine.pictures > 1:
                verdict = f"Its seconds are those of {mine.pictures} pictures together."
            text = f"{note} {verdict}".strip()
        self.complete_note.setText(text)
        self.complete_note.setVisible(bool(text))

    def show_routes(self, routes: Routes | None) -> None:
        """Show a run, or no maps."""
        if routes is not None and routes is self._routes:
            return
        self._routes = routes
        self._maps.setVisible(routes is not None)
        if routes is None:
            return
        self.heads.set_values(routes.heads)
        self.groups.set_values(routes.groups)
        blocks = routes.heads.shape[1]
        names = [(index, f"Block {index + 1}") for index in range(blocks)]
        self.block.set_choices([(-1, "All blocks"), *names])
        if self.block.error():
            self.block.set_value(-1)
        self.slider.setRange(0, routes.steps - 1)
        self._show_step(self.slider.value())

    def _show_step(self, step: int) -> None:
        routes = self._routes
        if routes is None or not 0 <= step < routes.steps or self.block.error():
            return
        for chart in (self.heads, self.groups):
            chart.set_step(step)
        tokens, block = routes.tokens[step], int(self.block.value())
        opened = tokens.mean(0) if block < 0 else tokens[block].astype(np.float64)
        self.places.show_places(routes.picture, opened)
        share = percent(float(routes.shares[step]))
        self.step.setText(
            f"Step {step + 1} of {routes.steps}: {share} of the arithmetic, "
            f"{percent(float(opened.mean()))} of the places. Faded places passed no MLP."
        )
