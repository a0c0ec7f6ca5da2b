"""The width lab with the real poser: sliders change the photo, the picture is saved with its labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PySide6.QtGui import QImage
from pytestqt.qtbot import QtBot

from desktop.bodies.page import EXAMPLE, BodiesPage
from desktop.widgets.compare_view import array_from_image
from engine.bodies.keypoints.manual import people_from_json
from engine.bodies.reshape import PART_NAMES
from tests.desktop.bodies.waiting import SECONDS, settled


def test_a_wider_person_with_labels(qtbot: QtBot, page: BodiesPage, tmp_path: Path) -> None:
    page._services.actions.action("bodies.lab").trigger()
    assert page.centre.currentWidget() is not page.lab.view, "there is no photo yet"
    page.controls.method.setCurrentIndex(page.controls.method.findData("ik"))
    page.accept([EXAMPLE.with_name("one.jpg")])
    settled(qtbot, page)
    lab, view = page.lab, page.lab.view
    drawn = page.stage.lab.icon().pixmap(18, 18).toImage().convertToFormat(QImage.Format.Format_Alpha8)
    assert any(bytes(drawn.constBits())), "the icon is in the font"
    page.stage.lab.click()
    assert page.centre.currentWidget() is view
    qtbot.waitUntil(lambda: lab.ratios is not None, timeout=SECONDS)
    settled(qtbot, page)
    assert np.nanmax(np.abs(lab.ratios - 1)) < 1e-6

    assert view.sliders["right_shin"].isHidden()
    view.sliders["left_shin"].setValue(125)
    view.sliders["waist"].setValue(130)
    assert view.sliders["right_shin"].value() == 125
    settled(qtbot, page)
    became = dict(zip(PART_NAMES, lab.ratios, strict=True))
    assert 1.1 < became["waist"] < 1.35
    assert abs(became["head"] - 1) < 0.05
    before, after = view.compare._images
    changed = np.abs(array_from_image(before).astype(int) - array_from_image(after)).max(2) > 20
    assert 0.002 < changed.mean() < 0.4
    assert not view.grab().isNull()

    lab.save_to(tmp_path / "wide.png")
    settled(qtbot, page)
    assert page.people.opened is not None
    assert QImage(str(tmp_path / "wide.png")).size() == page.people.opened.photo.size()
    assert (tmp_path / "wide-mask.png").exists()
    labels = json.loads((tmp_path / "wide.json").read_text())
    people, _ = people_from_json(labels, "wide.json")
    assert len(people) == 1
    assert labels["people"][0]["width_changes"]["waist"]["asked"] == 1.3

    view.reset.click()
    settled(qtbot, page)
    assert np.nanmax(np.abs(lab.ratios - 1)) < 1e-6
    view.close_lab.click()
    assert page.centre.currentWidget() is page.stage
