"""The brush on the photo, with the real poser: what is painted is unseen and the pose follows."""

from __future__ import annotations

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent, QWheelEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.bodies.page import EXAMPLE, BodiesPage
from engine.bodies.keypoints.layouts import find_layout
from engine.bodies.keypoints.person import SEEN
from tests.desktop.bodies.waiting import settled


def stroke(page: BodiesPage, start: QPointF, end: QPointF, button: Qt.MouseButton) -> None:
    photo, kinds = page.stage.photo, QMouseEvent.Type
    none, free = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    places = [start + (end - start) * step / 8 for step in range(9)]
    for kind, place, which, held in (
        (kinds.MouseButtonPress, start, button, button),
        *((kinds.MouseMove, place, none, button) for place in places),
        (kinds.MouseButtonRelease, end, button, none),
    ):
        event = QMouseEvent(kind, place, photo.mapToGlobal(place), which, held, free)
        QApplication.sendEvent(photo, event)
        QApplication.processEvents()


def test_what_is_painted_is_hidden_and_the_pose_follows(qtbot: QtBot, page: BodiesPage) -> None:
    page.controls.method.setCurrentIndex(page.controls.method.findData("niki"))
    page.accept([EXAMPLE.with_name("one.jpg")])
    settled(qtbot, page)
    people, stage, undo = page.people, page.stage, page._services.undo
    layout = find_layout(people.figures[0].recovered.person.layout)
    wrist, elbow = layout.index("left_wrist"), layout.index("left_elbow")
    found = people.figures[0]
    assert found.body is not None
    stage.hide_tool.click()
    QApplication.processEvents()
    places = stage.photo._to_screen(found.recovered.person.keypoints)
    ends = [QPointF(*places[at]) for at in (elbow, wrist)]
    wheel = QWheelEvent(
        ends[0], stage.photo.mapToGlobal(ends[0]), QPoint(), QPoint(0, -240), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    before = stage.brush.radius
    QApplication.sendEvent(stage.photo, wheel)
    assert stage.brush.radius < before
    page._services.actions.action("bodies.brush_larger").trigger()
    page._services.actions.action("bodies.brush_smaller").trigger()
    stage.brush.radius = 10.0

    stroke(page, ends[0], ends[1], Qt.MouseButton.LeftButton)
    settled(qtbot, page)
    now = people.figures[0]
    assert now.seen.confidence[[wrist, elbow]].tolist() == [0, 0]
    assert now.recovered.person.confidence[wrist] >= SEEN, "what was found is not lost"
    assert {"left_wrist", "left_elbow"} <= set(now.recovered.guessed)
    assert now.body is not None
    assert np.abs(now.body.vertices - found.body.vertices).max() > 0.01, "the pose follows"
    assert "partly hidden" in page.controls.people.item(0).text()
    assert "hidden by hand" in stage.hint.text()
    painted = now.body.vertices.copy()

    # Read back from the project, the same.
    page.show_job(page.controls.current)
    qtbot.waitUntil(lambda: page.background.busy or page.poser.busy, timeout=30_000)
    settled(qtbot, page)
    again = people.figures[0]
    assert again.body is not None
    assert again.body.vertices == pytest.approx(painted, abs=1e-4)

    places = stage.photo._to_screen(found.recovered.person.keypoints)
    ends = [QPointF(*places[at]) for at in (elbow, wrist)]
    # The right button erases at the wrist, and both are undone.
    stroke(page, ends[1], ends[1] + QPointF(3, 3), Qt.MouseButton.RightButton)
    settled(qtbot, page)
    assert people.figures[0].seen.confidence[wrist] >= SEEN
    assert people.figures[0].seen.confidence[elbow] == 0
    undo.undo()
    settled(qtbot, page)
    assert people.figures[0].seen.confidence[wrist] == 0
    page.hiding.wipe()
    settled(qtbot, page)
    assert people.result is not None
    assert not page.model.paintings(people.result)
    wiped = people.figures[0].body
    assert wiped is not None
    assert wiped.vertices == pytest.approx(found.body.vertices, abs=1e-4)

    # A method that cannot use it says so; without the brush, the mouse drags keypoints again.
    page.controls.method.setCurrentIndex(page.controls.method.findData("ik"))
    settled(qtbot, page)
    stage.hide_tool.click()
    assert stage.hint.isHidden()
    page._services.actions.action("bodies.eraser").trigger()
    assert stage.brush.active
    assert "choose NIKI" in stage.hint.text()
    assert not stage.grab().isNull()
    stage.hide_tool.click()
    assert not stage.erase_tool.isChecked()
