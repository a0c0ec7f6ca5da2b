"""The stage of the Images page: a grid of pictures that zoom and pan together.

A tile is empty while its picture is waited for, then shows the live preview of the predicted clean
picture, then the finished picture.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPointF, QRectF, QSize, Qt, Signal
from PySide6.QtGui import (
    QColor,
    QImage,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPainterPath,
    QPaintEvent,
    QPalette,
    QPen,
)
from PySide6.QtWidgets import QWidget

from desktop.widgets.pan_zoom import PanZoomView, draw_picture

GAP = 8.0
PROGRESS_HEIGHT = 3.0
CORNER = 4.0


class TileState(Enum):
    """What a tile shows."""

    WAITING = "waiting"
    PREVIEW = "preview"
    DONE = "done"


@dataclass
class Tile:
    """One cell of the grid.

    Attributes
    ----------
    image
        What to draw; ``None`` draws an empty frame of ``size``.
    state
        See :class:`TileState`.
    key
        What the owner knows the picture by (a result id); ``None`` before there is one.
    name
        Read to users who cannot see the picture.
    mark
        Written on the picture: what must not be overlooked about it.
    """

    image: QImage | None = None
    state: TileState = TileState.WAITING
    key: int | None = None
    name: str = ""
    size: QSize = field(default_factory=lambda: QSize(128, 128))
    mark: str = ""


def image_from_array(array: NDArray[np.uint8]) -> QImage:
    """A picture that owns its pixels, from ``(H, W, 3)`` uint8 RGB or ``(H, W, 4)`` RGBA."""
    array = np.ascontiguousarray(array)
    height, width, channels = array.shape
    clear = channels == 4
    have = QImage.Format.Format_RGBA8888 if clear else QImage.Format.Format_RGB888
    want = QImage.Format.Format_ARGB32_Premultiplied if clear else QImage.Format.Format_RGB32
    return QImage(array.data, width, height, channels * width, have).convertToFormat(want)


def grid_columns(count: int, area: tuple[float, float], aspect: float = 1.0) -> int:
    """The number of columns that makes ``count`` equal tiles of ``aspect`` (width / height) largest."""
    width, height = max(1.0, area[0]), max(1.0, area[1])

    def tile_width(columns: int) -> float:
        rows = math.ceil(count / columns)
        return min((width - GAP * (columns - 1)) / columns, aspect * (height - GAP * (rows - 1)) / rows)

    return max(range(1, max(1, count) + 1), key=tile_width)


@lru_cache(maxsize=64)
def _layout_grid(
    count: int, width: int, height: int, picture: tuple[int, int]
) -> tuple[int, float, float, float, float]:
    aspect = picture[0] / max(1, picture[1])
    margin = GAP if count > 1 else 2 * GAP
    inner_width, inner_height = width - 2 * margin, height - 2 * margin
    columns = grid_columns(count, (inner_width, inner_height), aspect)
    rows = math.ceil(count / columns)
    cell_width = (inner_width - GAP * (columns - 1)) / columns
    cell_height = (inner_height - GAP * (rows - 1)) / rows
    if count > 1:
        # Cells hug their pictures, so that the grid reads as one block.
        cell_width, cell_height = (
            min(cell_width, cell_height * aspect),
            min(cell_height, cell_width / aspect),
        )
    left = (width - columns * cell_width - GAP * (columns - 1)) / 2
    top = (height - rows * cell_height - GAP * (rows - 1)) / 2
    return columns, left, top, cell_width, cell_height


class ImageCanvas(PanZoomView):
    """Draws tiles; see the module.

    Signals
    -------
    current_changed(int)
        The tile that was clicked or reached with Tab; -1 for none.
    activated(int)
        Double click or Return on a tile.
    """

    current_changed = Signal(int)
    activated = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._tiles: list[Tile] = []
        self._current = -1
        self._progress: float | None = None
        self._status = ""
        self._accent: QColor | None = None
        self.setAccessibleName("Pictures")

    # --- content ----------------------------------------------------------------------------------

    @property
    def tiles(self) -> Sequence[Tile]:
        """What is shown, in reading order."""
        return self._tiles

    @property
    def current(self) -> int:
        """Index of the marked tile; -1 for none."""
        return self._current

    def set_colours(self, ground: QColor, accent: QColor) -> None:
        """The neutral ground behind the pictures and the mark of the current one."""
        self._ground, self._accent = ground, accent
        self.update()

    def set_tiles(self, tiles: Sequence[Tile]) -> None:
        """Replace the grid; the zoom goes back to fit when the number of tiles changes."""
        if len(tiles) != len(self._tiles):
            self.transform.fit()
        self._tiles = list(tiles)
        self._current = min(self._current, len(tiles) - 1)
        self._described()
        self.zoom_changed.emit(self.current_zoom())
        self.update()

    def set_tile(self, index: int, tile: Tile) -> None:
        """Replace one tile."""
        self._tiles[index] = tile
        self.zoom_changed.emit(self.current_zoom())
        if tile.state is not TileState.PREVIEW:
            self._described()
        self.update()

    def set_progress(self, fraction: float | None, status: str = "") -> None:
        """Show a progress line with a text, or (``None``) nothing."""
        if (fraction, status) != (self._progress, self._status):
            self._progress, self._status = fraction, status
            self.update()

    def set_current(self, index: int) -> None:
        """Mark a tile."""
        if index != self._current and -1 <= index < len(self._tiles):
            self._current = index
            self._described()
            self.current_changed.emit(index)
            self.update()

    def _described(self) -> None:
        done = sum(tile.state is TileState.DONE for tile in self._tiles)
        text = f"{len(self._tiles)} pictures, {done} finished." if self._tiles else "No picture."
        if 0 <= self._current < len(self._tiles):
            tile = self._tiles[self._current]
            text += f" Current: {self._current + 1}, {tile.name or tile.state.value}."
            text += f" {tile.mark}." if tile.mark else ""
        if text != self.accessibleDescription():
            self.setAccessibleDescription(text)

    # --- geometry ---------------------------------------------------------------------------------

    def cell_rect(self, index: int) -> QRectF:
        """Where tile ``index`` is drawn; the grid is centred in the widget."""
        columns, left, top, width, height = self._grid()
        row, column = divmod(index, columns)
        return QRectF(left + column * (width + GAP), top + row * (height + GAP), width, height)

    def _grid(self) -> tuple[int, float, float, float, float]:
        """Columns, left, top, width and height of a cell."""
        first = self._tiles[0]
        size = first.image.size() if first.image is not None else first.size
        return _layout_grid(len(self._tiles), self.width(), self.height(), size.toTuple())

    def index_at(self, point: QPointF) -> int:
        """The tile under a point; -1 for none."""
        inside = (i for i in range(len(self._tiles)) if self.cell_rect(i).contains(point))
        return next(inside, -1)

    def target_at(self, point: QPointF) -> tuple[QRectF, QImage] | None:
        """See :class:`PanZoomView`."""
        index = self.index_at(point)
        image = self._tiles[index].image if index >= 0 else None
        return None if image is None else (self.cell_rect(index), image)

    def main_target(self) -> tuple[QRectF, QImage] | None:
        """See :class:`PanZoomView`."""
        order = (
            [self._current, *range(len(self._tiles))] if self._current >= 0 else range(len(self._tiles))
        )
        for index in order:
            image = self._tiles[index].image
            if image is not None:
                return self.cell_rect(index), image
        return None

    def sizeHint(self) -> QSize:
        return QSize(640, 480)

    # --- mouse and keys ---------------------------------------------------------------------------

    def mousePressEvent(self, event: QMouseEvent) -> None:
        if event.button() == Qt.MouseButton.LeftButton:
            self.set_current(self.index_at(event.position()))
        super().mousePressEvent(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent) -> None:
        index = self.index_at(event.position())
        if index >= 0:
            self.activated.emit(index)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        steps = {Qt.Key.Key_PageDown: 1, Qt.Key.Key_PageUp: -1}
        if self._tiles and event.key() in steps:
            self.set_current((self._current + steps[Qt.Key(event.key())]) % len(self._tiles))
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and (
            self._current >= 0 and not event.modifiers() & Qt.KeyboardModifier.ControlModifier
        ):
            self.activated.emit(self._current)
        else:
            super().keyPressEvent(event)

    # --- painting ---------------------------------------------------------------------------------

    def paintEvent(self, event: QPaintEvent) -> None:
        with QPainter(self) as painter:
            self.paint_ground(painter, event.rect())
            for index, tile in enumerate(self._tiles):
                cell = self.cell_rect(index)
                if cell.intersects(QRectF(event.rect())):
                    self._paint_tile(painter, cell, tile, index == self._current)
            if self._progress is not None:
                self._paint_progress(painter)

    def _paint_tile(self, painter: QPainter, cell: QRectF, tile: Tile, current: bool) -> None:
        painter.save()
        outline = cell
        if tile.image is None:
            scale = min(cell.width() / tile.size.width(), cell.height() / tile.size.height())
            outline = QRectF(0, 0, tile.size.width() * scale, tile.size.height() * scale)
            outline.moveCenter(cell.center())
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            frame = QPainterPath()
            frame.addRoundedRect(outline.adjusted(0.5, 0.5, -0.5, -0.5), CORNER, CORNER)
            waiting = self.palette().color(QPalette.ColorRole.Mid)
            painter.setPen(QPen(waiting, 1))
            painter.drawPath(frame)
        else:
            rect = self.transform.picture_rect(cell, tile.image.size())
            outline = rect.intersected(cell)
            painter.setClipRect(cell)
            draw_picture(painter, rect, tile.image, smooth_always=self.smooth)
            if tile.mark:
                self._paint_text(painter, tile.mark, rect.intersected(cell), bottom=False)
        if current and len(self._tiles) > 1:
            painter.setClipping(False)
            painter.setRenderHint(QPainter.RenderHint.Antialiasing)
            painter.setBrush(Qt.BrushStyle.NoBrush)
            accent = self._accent or self.palette().color(QPalette.ColorRole.Highlight)
            painter.setPen(QPen(accent, 2))
            painter.drawRoundedRect(outline.adjusted(-2, -2, 2, 2), CORNER, CORNER)
        painter.restore()

    def _paint_progress(self, painter: QPainter) -> None:
        accent = self._accent or self.palette().color(QPalette.ColorRole.Highlight)
        fraction = min(1.0, max(0.0, self._progress or 0.0))
        line = QRectF(0, self.height() - PROGRESS_HEIGHT, self.width() * fraction, PROGRESS_HEIGHT)
        painter.fillRect(line, accent)
        if not self._status:
            return
        self._paint_text(painter, self._status, QRectF(self.rect()), bottom=True)

    def _paint_text(self, painter: QPainter, text: str, area: QRectF, *, bottom: bool) -> None:
        """A text on a dark ground of its own, in a left corner of ``area``."""
        metrics = self.fontMetrics()
        room = max(0, int(area.width()) - (48 if bottom else 32))
        text = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room)
        box = QRectF(0, 0, metrics.horizontalAdvance(text) + 20, metrics.height() + 10)
        if bottom:
            box.moveBottomLeft(area.bottomLeft() + QPointF(12, -PROGRESS_HEIGHT - 10))
        else:
            box.moveTopLeft(area.topLeft() + QPointF(6, 6))
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(20, 20, 22, 215))
        painter.drawRoundedRect(box, CORNER + 2, CORNER + 2)
        painter.setPen(QColor(240, 240, 242))
        painter.drawText(box, Qt.AlignmentFlag.AlignCenter, text)
