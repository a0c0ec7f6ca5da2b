"""The page with the real engine and the real poser: recover, correct, undo, compare, save."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QFileDialog
from pytestqt.qtbot import QtBot

from desktop.bodies.page import EXAMPLE, BodiesPage
from desktop.bodies.panels import TRUST
from desktop.bodies.trust_column import DOUBT
from engine.bodies.joints import JOINT_NAMES
from engine.bodies.params import RecoverParams
from engine.job import JobState
from tests.desktop.bodies.waiting import SECONDS, settled


def test_from_the_example_to_a_corrected_body(qtbot: QtBot, page: BodiesPage, tmp_path: Path) -> None:
    page.controls.method.setCurrentIndex(page.controls.method.findData("ik"))
    page.start_example()
    settled(qtbot, page)
    assert len(page.people.figures) == 2
    assert page.controls.people.count() == 2
    assert "keypoints are seen" in page.pose.summary.text()
    assert page.measures.csv().startswith("measure,cm")
    assert "Waist girth" in page.measures.csv()

    # The hand takes a wrist and moves it up.
    page.people.choose(0)
    photo = page.stage.photo
    person = page.people.figures[0].recovered.person
    before = person.keypoints.copy()
    index = next(i for i, name in enumerate(person_names(page)) if name == "left_wrist")
    body = page.people.figures[0].body
    assert body is not None
    place = photo._to_screen(before)[index]
    start = QPoint(*(round(float(value)) for value in place))
    QTest.mousePress(photo, Qt.MouseButton.LeftButton, pos=start)
    for step in (10, 20, 30):
        QTest.mouseMove(photo, start - QPoint(0, step))
        qtbot.wait(20)
    QTest.mouseRelease(photo, Qt.MouseButton.LeftButton, pos=start - QPoint(0, 30))
    settled(qtbot, page)
    moved = page.people.figures[0].recovered.person.keypoints
    assert moved[index, 1] < before[index, 1] - 5
    after = page.people.figures[0].body
    assert after is not None
    assert np.abs(after.vertices - body.vertices).max() > 0.02, "the body follows"
    assert "corrected" in page.controls.people.item(0).text()
    assert page.people.result is not None
    assert page.model.edits(page.people.result), "kept in the project"

    page._services.undo.undo()
    settled(qtbot, page)
    assert page.people.figures[0].recovered.person.keypoints == pytest.approx(before)
    assert not page.model.edits(page.people.result)

    page.stage.compare.setCurrentIndex(page.stage.compare.findData("niki"))
    qtbot.waitUntil(lambda: "mm apart" in page.stage.legend.text(), timeout=SECONDS)
    settled(qtbot, page)

    page.stage.parts.click()
    colours = page.people.figures[1].body.colours
    assert len(np.unique(colours, axis=0)) > 15, "a colour a part"
    assert not page.controls.photos.item(0).icon().isNull(), "a thumbnail"

    page.saving.export_to(tmp_path, ["obj", "npz"])
    qtbot.waitUntil(lambda: (tmp_path / "two.npz").exists(), timeout=SECONDS)
    assert (tmp_path / "two-p2.obj").exists()
    page.saving.save_still(tmp_path / "still.png")
    qtbot.waitUntil(lambda: (tmp_path / "still.png").exists(), timeout=SECONDS)
    settled(qtbot, page)


def test_another_detector_and_smaller_people(page: BodiesPage, monkeypatch: pytest.MonkeyPatch) -> None:
    controls = page.controls
    answers = iter(["", "/models/rtmpose.onnx"])
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_args: (next(answers), ""))
    ask = controls.detector.findData("")
    controls.detector.activated.emit(ask)
    assert controls.params()["detector"] == "blazepose", "nothing was chosen"
    controls.detector.activated.emit(ask)
    controls.levels.setCurrentIndex(4)
    assert controls.params()["detector"] == "/models/rtmpose.onnx"
    assert controls.params()["levels"] == 4
    RecoverParams.model_validate(controls.params())
    controls.detector.use("blazepose")
    assert controls.params()["detector"] == "blazepose"


def test_the_photo_gets_most_room(page: BodiesPage, qtbot: QtBot) -> None:
    wide, tall = (
        QImage(400, 200, QImage.Format.Format_RGB32),
        QImage(200, 400, QImage.Format.Format_RGB32),
    )
    page.centre.setCurrentWidget(page.stage)
    page.resize(1200, 800)
    qtbot.wait(20)
    page.stage.show_photo(wide, (400, 200))
    assert page.stage.photo.width() > 1.5 * page.stage.photo.height()
    page.stage.show_photo(tall, (200, 400))
    qtbot.wait(20)
    assert page.stage.photo.height() > 1.5 * page.stage.photo.width()


def person_names(page: BodiesPage) -> tuple[str, ...]:
    from engine.bodies.keypoints.layouts import find_layout

    return find_layout(page.people.figures[0].recovered.person.layout).names


def test_corrections_survive_and_a_click_finds_a_part(qtbot: QtBot, page: BodiesPage) -> None:
    page.controls.method.setCurrentIndex(page.controls.method.findData("ik"))
    page.accept([EXAMPLE.with_name("one.jpg")])
    settled(qtbot, page)
    page.people.toggle(0, 15)
    settled(qtbot, page)
    assert page.people.figures[0].recovered.person.keypoints[15, 2] == 0
    job = page.controls.current
    page.show_job(job)
    qtbot.waitUntil(lambda: page.background.busy or page.poser.busy, timeout=SECONDS)
    settled(qtbot, page)
    assert page.people.figures[0].recovered.person.keypoints[15, 2] == 0, "read back from the project"

    mesh = page.stage.mesh
    body = page.people.figures[0].body
    assert body is not None
    x, y = mesh.camera.project(body.joints[:1], mesh.width(), mesh.height())[0]
    mesh.clicked.emit(QPointF(x, y))
    qtbot.waitUntil(lambda: "vertex" in page.stage.legend.text(), timeout=SECONDS)
    assert page.pose.table.currentRow() >= 0
    settled(qtbot, page)


def test_a_photo_with_nobody_says_so(qtbot: QtBot, page: BodiesPage, tmp_path: Path) -> None:
    from PySide6.QtGui import QColor

    empty = QImage(200, 200, QImage.Format.Format_RGB888)
    empty.fill(QColor("#446688"))
    empty.save(str(tmp_path / "sea.png"))
    assert page.can_accept([tmp_path / "sea.png"])
    assert not page.can_accept([tmp_path / "sea.txt"])
    page.accept([tmp_path / "sea.png"])
    job = page.controls.current
    qtbot.waitUntil(lambda: page.model.job(job).state is JobState.FAILED, timeout=SECONDS)
    qtbot.waitUntil(lambda: "Nobody was found in sea.png" in page.stage.message.text())
    assert page.people.figures == []


def test_a_body_is_shaped_by_hand(qtbot: QtBot, page: BodiesPage, tmp_path: Path) -> None:
    page.controls.method.setCurrentIndex(page.controls.method.findData("ik"))
    page.start_example()
    settled(qtbot, page)
    panel, people = page.shape, page.people
    qtbot.waitUntil(panel.isEnabled, timeout=SECONDS)
    people.choose(1)
    settled(qtbot, page)
    recovered = people.figures[1].recovered.shape.copy()
    waist = panel.rows["waist"]
    before = waist.number.value()
    assert not panel.reset.isEnabled()
    assert panel.rows["right_thigh"].slider.isHidden(), "left and right go together"

    panel.rows["head"].lock.click()
    waist.slider.setSliderDown(True)
    for step in (200, 400, 600):
        waist.slider.setValue(waist.slider.value() + step // 3)
    waist.slider.setSliderDown(False)
    qtbot.waitUntil(lambda: people.shape_by_hand(1) is not None, timeout=SECONDS)
    settled(qtbot, page)
    assert waist.number.value() > before + 0.5
    assert np.abs(people.figures[1].recovered.shape - recovered).max() > 0.05
    assert "shaped" in page.controls.people.item(1).text()
    assert panel.reset.isEnabled()
    shaped = people.figures[1].recovered.shape.copy()

    # Both thighs, by number, in inches.
    page.measures.unit.setCurrentText("inch")
    panel.kind.setCurrentIndex(panel.kind.findData("length"))
    thigh = panel.rows["left_thigh"].number
    assert panel.kind.currentText() == "Lengths, inch"
    assert 13 < thigh.value() < 22
    thigh.setValue(thigh.value() + 0.8)
    qtbot.waitUntil(lambda: page._services.undo.count() == 2, timeout=SECONDS)
    settled(qtbot, page)
    page._services.undo.undo()
    settled(qtbot, page)
    assert people.figures[1].recovered.shape == pytest.approx(shaped, abs=1e-6)

    panel.ghost.click()
    qtbot.waitUntil(lambda: people.ghost is not None, timeout=SECONDS)
    panel.ghost.click()
    qtbot.waitUntil(lambda: people.ghost is None, timeout=SECONDS)

    # The shape stays when the photo is opened again, and when a keypoint moves.
    assert people.result is not None
    page.show_job(page.controls.current)
    settled(qtbot, page)
    people.choose(1)
    settled(qtbot, page)
    assert people.figures[1].recovered.shape == pytest.approx(shaped, abs=1e-6)

    panel.reset.click()
    settled(qtbot, page)
    assert people.figures[1].recovered.shape == pytest.approx(recovered, abs=1e-6)
    assert not page.model.shapes(people.result)


def test_how_sure_each_joint_is(qtbot: QtBot, page: BodiesPage) -> None:
    page.controls.method.setCurrentIndex(page.controls.method.findData("niki"))
    page.start_example()
    settled(qtbot, page)
    table = page.pose.table
    assert not table.isColumnHidden(TRUST)
    wrist = JOINT_NAMES.index("left_wrist")
    item = table.item(wrist, TRUST)
    assert item.text().startswith("±")
    assert item.data(DOUBT) == pytest.approx(page.people.figures[0].recovered.doubt[wrist])
    page.people.toggle(0, person_names(page).index("left_wrist"))
    settled(qtbot, page)
    assert table.item(wrist, TRUST).text() == "filled in"
    assert not table.grab().isNull()
    page.controls.method.setCurrentIndex(page.controls.method.findData("ik"))
    settled(qtbot, page)
    assert table.isColumnHidden(TRUST), "closed form does not know"
