"""Boxes by hand on the page: drawn, moved, resized, carried on; kept over a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, QRectF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.tracks.box_drag import BoxDrag, Grip, grip_at
from desktop.tracks.camera_view import CameraView
from desktop.tracks.page import TracksPage
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.scene import Scene
from tests.desktop.tracks.support import key, opened


def drag(view: CameraView, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Press, move, let go, at pixels of the video; sent to the view, so that no display is asked."""
    rect, scale = view._picture_rect()
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    for kind, point, buttons in (
        (QEvent.Type.MouseButtonPress, start, left),
        (QEvent.Type.MouseMove, end, left),
        (QEvent.Type.MouseButtonRelease, end, none),
    ):
        place = rect.topLeft() + QPointF(*point) * scale
        button = none if kind == QEvent.Type.MouseMove else left
        event = QMouseEvent(
            kind, place, view.mapToGlobal(place), button, buttons, Qt.KeyboardModifier.NoModifier
        )
        QApplication.sendEvent(view, event)


def boxes(page: TracksPage, tracklet: int) -> dict[int, list[float]]:
    own = page.model.state.tracklet_boxes(tracklet)
    return {
        f: np.round(b).tolist() for f, b in zip(own.frames.tolist(), own.xywh.tolist(), strict=True)
    }


def test_boxes_are_drawn_moved_and_carried_on(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    with Scene.create(tmp_path / "scene", [Camera("a", fps=10, width=640, height=360, frames=50)]):
        pass
    page = opened(qtbot, make, tmp_path / "scene")
    assert page.model.result is None
    (view,) = page.stage.wall.views
    drag(view, (100, 100), (150, 180))
    assert page.model.result is None, "nothing is drawn by accident"
    page.setFocus()
    key(page, "B")
    assert page.stage.message.text().startswith("Drag: a new box")
    drag(view, (100, 100), (150, 180))
    assert page.model.result.name == "by hand"
    assert page.model.selection == (0,)
    assert boxes(page, 0) == {0: [100, 100, 50, 80]}

    page.stage.set_time(0.4)
    drag(view, (140, 100), (190, 180))
    assert boxes(page, 0) == {n: [100 + 10 * n, 100, 50, 80] for n in range(5)}
    drag(view, (165, 140), (165, 160))  # by its middle
    drag(view, (140, 160), (150, 160))  # by its left edge
    assert boxes(page, 0)[4] == [150, 120, 40, 80]
    assert boxes(page, 0)[2] == [125, 110, 45, 80], "what was filled follows"
    key(page, "Alt+Down")
    key(page, "Alt+Shift+Right")
    assert boxes(page, 0)[4] == [150, 121, 41, 80]
    page.stage.set_time(0.7)
    key(page, "Alt+Down")
    assert "has no box at frame 7" in page._services.notifications.notices[-1].text or any(
        "has no box at frame 7" in notice.text for notice in page._services.notifications.notices
    )
    key(page, "E")
    assert sorted(boxes(page, 0)) == list(range(8))
    page.stage.set_time(0.2)
    drag(view, (300, 20), (340, 60))
    assert page.model.selection == (1,), "the selected one has a box there, so it is somebody else"
    drag(view, (320, 40), (320, 40))
    drag(view, (600, 300), (600, 300))  # a click beside every box
    assert page.model.selection == ()
    state = page.model.state.digest()
    count = len(page.model.log())
    assert count == 8

    page = opened(qtbot, make)  # a restart
    assert page.model.state.digest() == state
    page.setFocus()
    for _ in range(count):
        key(page, "Z")
    assert len(page.model.spans) == 0
    for _ in range(count):
        key(page, "Shift+Z")
    assert page.model.state.digest() == state


def test_a_confirmed_identity_is_asked_about(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    with Scene.create(tmp_path / "scene", [Camera("a", fps=10, width=640, height=360)]) as scene:
        xywh = np.tile([10, 10, 20, 40], (20, 1))
        scene.add_detections(Boxes.of(np.r_[np.arange(10), np.arange(10)], xywh), "made up")
        scene.add_result("given", list(range(20)), np.repeat([5, 6], 10))
    page = opened(qtbot, make, tmp_path / "scene")
    page.model.select([5])
    page.setFocus()
    key(page, "C")
    before = page.model.state.digest()
    key(page, "D")
    assert page.model.state.digest() == before
    assert page.stage.message.text().startswith("Identity 5 is confirmed: nothing was changed.")
    assert page.stage.message.property("role") == "warn"
    page.stage.set_time(0.5)
    key(page, "S")  # another edit is another question
    assert page.model.state.digest() == before
    key(page, "D")
    assert page.model.state.digest() == before
    key(page, "D")
    assert page.model.state.tracklets == [6]
    assert page.stage.message.property("role") == "muted"
    key(page, "Z")
    assert page.model.state.digest() == before
    page.model.select([6])
    key(page, "D")
    assert page.model.state.tracklets == [5], "of the others nothing is asked"


@pytest.mark.parametrize(
    ("point", "grip"),
    [
        ((15, 15), Grip(0, 0)), ((10, 15), Grip(-1, 0)), ((21, 15), Grip(1, 0)), ((9, 9), Grip(-1, -1)),
        ((20, 10), Grip(1, -1)), ((15, 20), Grip(0, 1)), ((23, 15), None), ((15, 40), None),
    ],
)  # fmt: skip
def test_grips(point: tuple[float, float], grip: Grip | None) -> None:
    assert grip_at(QRectF(10, 10, 10, 10), QPointF(*point), 2) == grip


def test_a_box_is_never_turned_inside_out() -> None:
    place = QRectF(10, 10, 10, 10)
    moved = BoxDrag(1, 0, QPointF(10, 10), place, Grip(-1, -1), place)
    moved.move(QPointF(90, 90), 100, 100)
    assert moved.place == QRectF(19, 19, 1, 1)
    new = BoxDrag.new(0, QPointF(50, 50))
    new.move(QPointF(-30, 400), 100, 100)
    assert new.place == QRectF(0, 50, 50, 50)
