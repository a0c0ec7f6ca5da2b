"""The canvas: geometry of the grid, zoom at the cursor, crisp pixels, what is under the cursor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies
from PySide6.QtCore import QPoint, QPointF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import QColor, QImage, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.widgets.image_canvas import (
    ImageCanvas,
    Tile,
    TileState,
    grid_columns,
    image_from_array,
)
from desktop.widgets.pan_zoom import MAX_SCALE, MIN_SCALE, ViewTransform


def picture(size: int = 32, seed: int = 0) -> QImage:
    rng = np.random.default_rng(seed)
    return image_from_array(rng.integers(0, 256, (size, size, 3), dtype=np.uint8))


def done(count: int, size: int = 32) -> list[Tile]:
    return [Tile(picture(size, i), TileState.DONE, i + 1, f"picture {i}") for i in range(count)]


@pytest.fixture
def canvas(qtbot: QtBot) -> ImageCanvas:
    result = ImageCanvas()
    qtbot.addWidget(result)
    result.resize(400, 300)
    result.set_colours(QColor("#202020"), QColor("#8080ff"))
    result.show()
    qtbot.waitExposed(result)
    return result


def wheel(canvas: ImageCanvas, at: QPointF, notches: float) -> None:
    event = QWheelEvent(
        at,
        canvas.mapToGlobal(at),
        QPoint(),
        QPoint(0, round(120 * notches)),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(canvas, event)


# --- geometry without a widget --------------------------------------------------------------------

sides = strategies.floats(20, 2000)
pixels = strategies.integers(1, 4096)


@given(
    width=sides,
    height=sides,
    columns=pixels,
    rows=pixels,
    across=strategies.floats(0.3, 0.7),
    down=strategies.floats(0.3, 0.7),
    factor=strategies.floats(0.5, 2),
)
def test_zooming_keeps_the_point_under_the_cursor(
    width: float, height: float, columns: int, rows: int, across: float, down: float, factor: float
) -> None:
    view, size = ViewTransform(), QSize(columns, rows)
    viewport = QRectF(10, 20, width, height)
    point = QPointF(10 + across * width, 20 + down * height)
    before = view.to_picture(viewport, size, point)
    inside = 0 <= before.x() <= columns and 0 <= before.y() <= rows
    view.zoom_at(viewport, size, point, factor)
    limited = view.scale in (MIN_SCALE, MAX_SCALE)
    clamped = any(value in (0.0, 1.0) for value in (view.centre.x(), view.centre.y()))
    after = view.to_picture(viewport, size, point)
    if inside and not limited and not clamped:
        assert after.x() == pytest.approx(before.x(), abs=1e-6 * columns + 1e-6)
        assert after.y() == pytest.approx(before.y(), abs=1e-6 * rows + 1e-6)


@given(width=sides, height=sides, columns=pixels, rows=pixels)
def test_a_fitted_picture_lies_within_its_viewport_and_touches_it(
    width: float, height: float, columns: int, rows: int
) -> None:
    rect = ViewTransform().picture_rect(QRectF(0, 0, width, height), QSize(columns, rows))
    smallest = MIN_SCALE * columns > width or MIN_SCALE * rows > height
    if not smallest:
        assert rect.width() <= width + 1e-6
        assert rect.height() <= height + 1e-6
        assert rect.width() == pytest.approx(width) or rect.height() == pytest.approx(height)
        assert rect.center().x() == pytest.approx(width / 2)


@given(moves=strategies.lists(strategies.tuples(sides, sides), max_size=8))
def test_a_picture_cannot_be_pushed_out_of_sight(moves: list[tuple[float, float]]) -> None:
    view, viewport, size = ViewTransform(), QRectF(0, 0, 300, 200), QSize(64, 64)
    view.set_scale(4)
    for x, y in moves:
        view.pan(viewport, size, QPointF(x - 1000, y - 1000))
    assert view.picture_rect(viewport, size).intersects(viewport)


@given(count=strategies.integers(1, 64), width=sides, height=sides)
def test_no_other_number_of_columns_gives_larger_tiles(count: int, width: float, height: float) -> None:
    def tile(columns: int) -> float:
        rows = -(-count // columns)
        return min((width - 8 * (columns - 1)) / columns, (height - 8 * (rows - 1)) / rows)

    best = grid_columns(count, (width, height))
    assert tile(best) == pytest.approx(max(tile(columns) for columns in range(1, count + 1)))


def test_four_square_pictures_in_a_square_stand_two_by_two() -> None:
    assert grid_columns(4, (500, 500)) == 2


# --- the widget -----------------------------------------------------------------------------------


def test_tiles_fill_the_canvas_without_overlap(canvas: ImageCanvas) -> None:
    canvas.set_tiles(done(7))
    cells = [canvas.cell_rect(index) for index in range(7)]
    for index, cell in enumerate(cells):
        assert QRectF(canvas.rect()).contains(cell)
        assert not any(cell.intersects(other) for other in cells[index + 1 :])
        assert canvas.index_at(cell.center()) == index
    assert canvas.index_at(QPointF(-5, -5)) == -1


def test_the_wheel_zooms_all_tiles_at_the_cursor(canvas: ImageCanvas, qtbot: QtBot) -> None:
    canvas.set_tiles(done(2))
    cell = canvas.cell_rect(0)
    point = cell.center() + QPointF(20, -10)
    size = QSize(32, 32)
    before = canvas.transform.to_picture(cell, size, point)
    with qtbot.waitSignal(canvas.zoom_changed):
        wheel(canvas, point, 2)
    after = canvas.transform.to_picture(cell, size, point)
    assert (after - before).manhattanLength() < 1e-6
    other = canvas.cell_rect(1)
    first = canvas.transform.picture_rect(cell, size)
    second = canvas.transform.picture_rect(other, size)
    assert second.size() == first.size()
    assert second.topLeft() - other.topLeft() == first.topLeft() - cell.topLeft()


def test_dragging_pans_and_a_fitted_picture_stays(canvas: ImageCanvas, qtbot: QtBot) -> None:
    canvas.set_tiles(done(1))
    start, end = QPoint(200, 150), QPoint(230, 140)

    def drag() -> QPointF:
        qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
        qtbot.mouseMove(canvas, end)
        qtbot.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=end)
        return canvas.transform.picture_rect(canvas.cell_rect(0), QSize(32, 32)).topLeft()

    fitted = canvas.transform.picture_rect(canvas.cell_rect(0), QSize(32, 32)).topLeft()
    assert drag() == fitted
    canvas.zoom_by(4)
    before = canvas.transform.picture_rect(canvas.cell_rect(0), QSize(32, 32)).topLeft()
    moved = drag() - before
    assert (moved.x(), moved.y()) == pytest.approx((30, -10))


def test_keys_fit_and_show_one_to_one(canvas: ImageCanvas, qtbot: QtBot) -> None:
    canvas.set_tiles(done(1))
    fitted = canvas.current_zoom()
    assert fitted == pytest.approx((300 - 32) / 32)
    qtbot.keyClick(canvas, Qt.Key.Key_1)
    assert canvas.current_zoom() == 1
    qtbot.keyClick(canvas, Qt.Key.Key_Plus)
    assert canvas.current_zoom() == 1.25
    qtbot.keyClick(canvas, Qt.Key.Key_Minus)
    assert canvas.current_zoom() == 1
    qtbot.keyClick(canvas, Qt.Key.Key_F)
    assert canvas.current_zoom() == fitted


def colours(canvas: ImageCanvas) -> set[str]:
    grabbed = canvas.grab().toImage()
    return {grabbed.pixelColor(x, y).name() for x in range(grabbed.width()) for y in range(140, 160)}


def test_pixels_are_crisp_above_twice_the_size_and_smooth_below(canvas: ImageCanvas) -> None:
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = 255
    canvas.set_tiles([Tile(image_from_array(stripes), TileState.DONE)])
    canvas.transform.set_scale(4)
    canvas.update()
    assert colours(canvas) == {"#000000", "#ffffff", "#202020"}
    canvas.set_smooth(True)
    assert len(colours(canvas)) > 3
    canvas.set_smooth(False)
    canvas.transform.set_scale(1.5)
    canvas.update()
    assert len(colours(canvas)) > 3


def test_strong_reduction_averages_instead_of_dropping_pixels(canvas: ImageCanvas) -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    canvas.set_tiles([Tile(image_from_array(stripes), TileState.DONE)])
    canvas.transform.set_scale(0.25)
    canvas.update()
    middle = canvas.grab().toImage().pixelColor(200, 150).red()
    assert middle == pytest.approx(127, abs=8)


def test_the_pixel_under_the_cursor_is_told(canvas: ImageCanvas, qtbot: QtBot) -> None:
    array = np.zeros((16, 16, 3), np.uint8)
    array[3, 5] = (255, 128, 0)
    canvas.set_tiles([Tile(image_from_array(array), TileState.DONE)])
    rect = canvas.transform.picture_rect(canvas.cell_rect(0), QSize(16, 16))
    step = rect.width() / 16
    point = rect.topLeft() + QPointF(5.5 * step, 3.5 * step)
    with qtbot.waitSignal(canvas.pixel_changed) as heard:
        qtbot.mouseMove(canvas, point.toPoint())
    assert heard.args == ["x 5  y 3   255, 128, 0   #FF8000"]
    assert canvas.pixel_text(QPointF(1, 1)) == ""


def test_waiting_preview_and_finished_tiles_are_drawn(canvas: ImageCanvas) -> None:
    red = np.full((8, 8, 3), (200, 0, 0), np.uint8)
    canvas.set_tiles([Tile(), Tile(image_from_array(red), TileState.PREVIEW)])
    grabbed = canvas.grab().toImage()
    assert grabbed.pixelColor(canvas.cell_rect(0).center().toPoint()).name() == "#202020"
    assert grabbed.pixelColor(canvas.cell_rect(1).center().toPoint()).name() == "#c80000"
    canvas.set_tile(0, Tile(image_from_array(red), TileState.DONE, 5))
    grabbed = canvas.grab().toImage()
    assert grabbed.pixelColor(canvas.cell_rect(0).center().toPoint()).name() == "#c80000"


def test_progress_is_drawn_along_the_lower_edge(canvas: ImageCanvas) -> None:
    canvas.set_tiles(done(1))
    canvas.set_progress(0.5, "Step 5 of 10")
    grabbed = canvas.grab().toImage()
    assert grabbed.pixelColor(100, 299).name() == "#8080ff"
    assert grabbed.pixelColor(300, 299).name() == "#202020"
    canvas.set_progress(None)
    assert canvas.grab().toImage().pixelColor(100, 299).name() == "#202020"


def test_clicking_and_paging_mark_a_tile_and_return_opens_it(canvas: ImageCanvas, qtbot: QtBot) -> None:
    canvas.set_tiles(done(3))
    with qtbot.waitSignal(canvas.current_changed) as heard:
        at = canvas.cell_rect(1).center().toPoint()
        qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=at)
    assert heard.args == [1]
    qtbot.keyClick(canvas, Qt.Key.Key_PageDown)
    assert canvas.current == 2
    with qtbot.waitSignal(canvas.activated) as opened:
        qtbot.keyClick(canvas, Qt.Key.Key_Return)
    assert opened.args == [2]
    assert "Current: 3, picture 2" in canvas.accessibleDescription()


def test_fewer_tiles_forget_a_mark_that_is_gone_and_the_zoom(canvas: ImageCanvas) -> None:
    canvas.set_tiles(done(3))
    canvas.set_current(2)
    canvas.zoom_by(3)
    canvas.set_tiles(done(1))
    assert canvas.current == 0
    assert canvas.transform.scale is None


def test_a_picture_owns_its_pixels() -> None:
    array = np.full((4, 4, 3), 7, np.uint8)
    image = image_from_array(array)
    array[:] = 200
    assert image.pixelColor(0, 0).red() == 7


def test_an_empty_canvas_takes_every_key_and_the_wheel(canvas: ImageCanvas, qtbot: QtBot) -> None:
    canvas.set_tiles([])
    for key in (Qt.Key.Key_F, Qt.Key.Key_1, Qt.Key.Key_PageDown, Qt.Key.Key_Return, Qt.Key.Key_Left):
        qtbot.keyClick(canvas, key)
    wheel(canvas, QPointF(50, 50), 1)
    assert canvas.current_zoom() == 0
    assert ViewTransform().scale_in(QSizeF(10, 10), QSize(0, 0)) > 0
