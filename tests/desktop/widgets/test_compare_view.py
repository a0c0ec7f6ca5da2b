"""The comparison: the difference in numbers, and what each mode paints."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from desktop.widgets.compare_view import (
    CompareMode,
    CompareView,
    agreement,
    array_from_image,
    difference,
)
from desktop.widgets.image_canvas import image_from_array

pixels = arrays.arrays(np.uint8, (5, 7, 3), elements=strategies.integers(0, 255))


def plain(colour: tuple[int, int, int], size: int = 40) -> NDArray[np.uint8]:
    return np.full((size, size, 3), colour, np.uint8)


@given(first=pixels, second=pixels)
def test_the_difference_is_that_of_the_arrays(
    first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> None:
    shown, mean, largest = difference(image_from_array(first), image_from_array(second))
    expected = np.abs(first.astype(int) - second.astype(int))
    assert np.array_equal(array_from_image(shown), expected)
    assert mean == pytest.approx(expected.mean())
    assert largest == expected.max()


@given(values=pixels)
def test_pixels_survive_the_way_through_a_picture(values: NDArray[np.uint8]) -> None:
    assert np.array_equal(array_from_image(image_from_array(values)), values)


@given(first=pixels, second=pixels)
def test_rms_and_psnr_are_those_of_the_pixels_between_minus_one_and_one(
    first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> None:
    found = agreement(image_from_array(first), image_from_array(second))
    a, b = first / 127.5 - 1, second / 127.5 - 1
    expected = np.sqrt(np.mean((a - b) ** 2))
    assert found.rms == pytest.approx(expected, abs=1e-12)
    if expected:
        assert found.psnr == pytest.approx(10 * np.log10(4 / expected**2))
    else:
        assert (found.rms_text, found.psnr_text) == ("0", "∞ dB")


def test_the_difference_is_amplified_and_limited() -> None:
    first, second = image_from_array(plain((10, 0, 0))), image_from_array(plain((0, 100, 0)))
    shown, _, _ = difference(first, second, gain=4)
    assert array_from_image(shown)[0, 0].tolist() == [40, 255, 0]


@pytest.fixture
def view(qtbot: QtBot) -> CompareView:
    result = CompareView()
    qtbot.addWidget(result)
    result.resize(300, 200)
    result.set_ground(QColor("#101010"))
    result.show()
    qtbot.waitExposed(result)
    result.set_images(image_from_array(plain((255, 0, 0))), image_from_array(plain((0, 0, 255))))
    return result


def colour_at(view: CompareView, x: int, y: int) -> str:
    return view.grab().toImage().pixelColor(x, y).name()


def test_the_wipe_shows_a_left_and_b_right_of_the_divider(view: CompareView) -> None:
    assert (colour_at(view, 100, 150), colour_at(view, 200, 150)) == ("#ff0000", "#0000ff")
    view.set_split(1)
    assert colour_at(view, 200, 150) == "#ff0000"
    view.set_split(0)
    assert colour_at(view, 100, 150) == "#0000ff"


def test_the_divider_is_dragged_and_moved_with_keys(view: CompareView, qtbot: QtBot) -> None:
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(150, 100))
    qtbot.mouseMove(view, QPoint(104, 100))
    qtbot.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(104, 100))
    assert view.split == pytest.approx((104 - 58) / 184, abs=0.01)
    assert view.transform.scale is None
    before = view.split
    qtbot.keyClick(view, Qt.Key.Key_Right, Qt.KeyboardModifier.ShiftModifier)
    assert view.split == pytest.approx(before + 0.02)


def test_side_by_side_shows_both_whole(view: CompareView) -> None:
    view.set_mode(CompareMode.SIDE_BY_SIDE)
    assert (colour_at(view, 75, 130), colour_at(view, 225, 130)) == ("#ff0000", "#0000ff")


def test_the_difference_of_red_and_blue_is_magenta(view: CompareView) -> None:
    view.set_mode(CompareMode.DIFFERENCE)
    view.set_gain(1)
    assert colour_at(view, 150, 100) == "#ff00ff"
    assert view.note == (
        "RMS 1.6, PSNR 1.8 dB; mean difference 170.00, largest 255 of 255, shown 1 times. "
        "RMS is of pixels in [-1, 1], from 8-bit pixels."
    )


def test_equal_pictures_are_said_to_be_equal(view: CompareView, qtbot: QtBot) -> None:
    with qtbot.waitSignal(view.described) as heard:
        view.set_images(image_from_array(plain((1, 2, 3))), image_from_array(plain((1, 2, 3))))
    assert heard.args == ["The two pictures are equal in every pixel."]


def test_another_size_is_scaled_and_said(view: CompareView) -> None:
    view.set_images(image_from_array(plain((9, 9, 9))), image_from_array(plain((9, 9, 9), 20)))
    assert "another size" in view.note


def test_the_pixel_of_the_picture_under_the_cursor_is_told(view: CompareView) -> None:
    from PySide6.QtCore import QPointF

    assert view.pixel_text(QPointF(100, 150)).endswith("#FF0000")
    assert view.pixel_text(QPointF(200, 150)).endswith("#0000FF")


def test_a_view_without_pictures_paints_its_ground(qtbot: QtBot) -> None:
    view = CompareView()
    qtbot.addWidget(view)
    view.set_ground(QColor("#334455"))
    view.set_mode(CompareMode.DIFFERENCE)
    assert colour_at(view, 50, 50) == "#334455"
