"""The 3D view: its camera's arithmetic, the hand, and both painters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from pytestqt.qtbot import QtBot

from desktop.theme import Theme
from desktop.widgets.mesh_view import MeshView
from desktop.widgets.orbit import OrbitCamera
from desktop.widgets.ray_painter import CastOrder
from desktop.widgets.scene3d import Body3D

FACES = np.array([[0, 1, 2], [0, 2, 3]])


def square(key: int = 0, x: float = 0.0) -> Body3D:
    """One metre wide, facing +z."""
    corners = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]], np.float32)
    normals = np.tile(np.array([0, 0, 1], np.float32), (4, 1))
    return Body3D(
        key, corners + np.float32([x, 0, 0]), normals, FACES, np.array([250, 30, 30], np.uint8)
    )


def test_the_camera_projects_as_its_matrices_do() -> None:
    camera = OrbitCamera(target=(0.2, 1.0, -0.3), distance=3, azimuth=35, elevation=-12)
    points = np.random.default_rng(3).normal(0, 0.5, (20, 3))
    width, height = 640, 400
    seen = camera.project(points, width, height)
    rows = np.concatenate([points, np.ones((20, 1))], 1)
    clip = rows @ (camera.projection(width / height) @ camera.view()).T
    flat = clip[:, :2] / clip[:, 3:]
    expected = np.stack([(flat[:, 0] + 1) / 2 * width, (1 - flat[:, 1]) / 2 * height], 1)
    assert seen == pytest.approx(expected)
    assert camera.project(np.array([camera.target]), width, height)[0] == pytest.approx([320, 200])


@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.4])
def test_framing_shows_all_of_a_box(aspect: float) -> None:
    low, high = np.array([-1.0, 0.0, -3.0]), np.array([0.4, 1.8, -2.0])
    camera = OrbitCamera(azimuth=50, elevation=20).framing(low, high, aspect)
    signs = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, 8).T
    seen = camera.project(low + signs * (high - low), 100 * aspect, 100)
    assert seen.min() >= 0
    assert (seen <= [100 * aspect, 100]).all()
    share = np.ptp(seen, axis=0) / [100 * aspect, 100]
    assert share.max() > 0.75, "and no smaller than needed"


def test_turning_and_panning_follow_the_hand() -> None:
    camera = OrbitCamera(azimuth=0, elevation=0)
    assert camera.turned(-100, 0).eye[0] > 0, "dragging to the left shows more of the right side"
    assert camera.turned(0, 10_000).elevation == 89
    moved = camera.moved(40, 0, 400)
    assert moved.project(np.array([camera.target]), 600, 400)[0] == pytest.approx([340, 200])


def cast_of(orders: list[CastOrder]) -> Any:
    def cast(order: CastOrder, done: Any) -> None:
        orders.append(order)
        picture = np.zeros((order.height, order.width, 4), np.uint8)
        picture[:, :] = [10, 200, 10, 255]
        done(picture)

    return cast


def test_without_opengl_pictures_are_ordered(qtbot: QtBot, theme: Theme) -> None:
    orders: list[CastOrder] = []
    view = MeshView(theme, cast_of(orders), use_gl=False)
    view.resize(500, 400)
    qtbot.addWidget(view)
    view.show()
    view.show_bodies([square(), square(1, 1.5)])
    assert not view.uses_gl
    assert orders[-1].width * orders[-1].height <= 115_000
    qtbot.waitUntil(lambda: orders[-1].width == round(500 * view.devicePixelRatioF()), timeout=3000)
    assert view.grab().toImage().pixelColor(250, 200).green() == 200
    count = len(orders)
    QTest.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(100, 100))
    QTest.mouseMove(view, QPoint(160, 100))
    QTest.mouseRelease(view, Qt.MouseButton.LeftButton, pos=QPoint(160, 100))
    assert len(orders) > count
    qtbot.wait(200)


def test_a_click_is_no_drag(qtbot: QtBot, theme: Theme) -> None:
    view = MeshView(theme, cast_of([]), use_gl=False)
    qtbot.addWidget(view)
    view.show()
    with qtbot.waitSignal(view.clicked):
        QTest.mouseClick(view, Qt.MouseButton.LeftButton, pos=QPoint(50, 60))
    before = view.camera
    QTest.keyClick(view, Qt.Key.Key_3)
    assert view.camera.azimuth == 90
    QTest.keyClick(view, Qt.Key.Key_Plus)
    assert view.camera.distance < before.distance
    view.set_turntable(True)
    with qtbot.waitSignal(view.camera_changed):
        pass
    view.set_turntable(False)
    qtbot.wait(200)


def test_opengl_draws_the_same(qtbot: QtBot, theme: Theme) -> None:
    from desktop.widgets.gl_painter import opengl_works

    if not opengl_works():
        pytest.skip("there is no OpenGL here")
    view = MeshView(theme, cast_of([]), use_gl=True)
    view.resize(400, 400)
    qtbot.addWidget(view)
    view.show()
    qtbot.waitExposed(view)
    view.show_bodies([square()])
    view.look_from("front")
    view.frame()
    qtbot.wait(100)
    middle = view.grab().toImage().pixelColor(200, 200)
    assert middle.red() > 150
    assert middle.green() < 90
    view.set_options(wireframe=True, ground=False)
    qtbot.wait(50)
    hollow = view.grab().toImage().pixelColor(200, 260)
    assert hollow.red() < 90, "wires leave the middle of a face open"
