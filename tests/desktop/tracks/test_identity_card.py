"""Pictures of the selected identity, and who else it could be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtGui import QColor
from pytestqt.qtbot import QtBot

from desktop.tracks.crops import CropLoader
from desktop.tracks.page import TracksPage
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.crops import Crop
from engine.tracks.scene import Scene
from engine.video_writing import write_video
from tests.desktop.tracks.support import SECONDS, key, settled, write


def film(path: Path) -> Path:
    """A red square that goes to the right, five pixels a frame."""

    def frames() -> Iterator[np.ndarray]:
        for number in range(40):
            picture = np.full((120, 320, 3), 90, np.uint8)
            picture[40:80, 5 * number : 5 * number + 40] = (220, 30, 30)
            yield picture

    write_video(path, frames(), 10)
    return path


def filmed(folder: Path) -> Path:
    """A scene with two videos, the second of which is gone; tracklet 1 and 3 in the first, 2 in it."""
    folder.mkdir()
    film(folder / "a.mp4")
    cameras = (
        Camera("a", fps=10, width=320, height=120, frames=40, video="a.mp4"),
        Camera("b", fps=10, width=320, height=120, frames=40, video="gone.mp4", offset=5),
    )
    frames = np.r_[np.arange(16), np.arange(20, 36), np.arange(8)]
    x = np.r_[5 * np.arange(16), 5 * np.arange(20, 36), np.zeros(8)]
    xywh = np.stack([x, np.full(40, 40), np.full(40, 40), np.full(40, 40)], axis=1)
    camera = np.r_[np.zeros(32), np.ones(8)].astype(np.int64)
    tracklets = np.r_[np.full(16, 1), np.full(16, 3), np.full(8, 2)]
    with Scene.create(folder, cameras) as scene:
        rows = scene.add_detections(Boxes.of(frames, xywh, cameras=camera), "made up")
        scene.add_result("given", list(rows), tracklets, {2: 1})
    return folder


def test_the_card_shows_pictures_and_alternatives(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    page = make()
    page.accept([filmed(tmp_path / "scene")])
    qtbot.waitUntil(lambda: page.model.result is not None, timeout=SECONDS)
    settled(qtbot, page)
    assert page.card.isHidden()
    page.model.select_identity(1)
    settled(qtbot, page)
    crops = page.card.strip.crops
    assert {crop.camera for crop in crops} == {0, 1}
    assert [crop.time for crop in crops] == sorted(crop.time for crop in crops)
    seen = next(crop for crop in crops if crop.camera == 0)
    picture = page.crops.image(seen)
    assert picture is not None
    middle = QColor(picture.pixel(picture.rect().center()))
    assert middle.red() > 180 > 80 > middle.green()
    assert QColor(picture.pixel(0, 0)).red() < 130, "what is around it is in the picture too"
    lost = next(crop for crop in crops if crop.camera == 1)
    assert page.crops.image(lost) is None
    assert "gone.mp4" in page.card.note.text()
    assert page.card.others.count() == 1
    assert page.card.others.item(0).text().startswith("1:  identity 3\nlooks unknown · 0.5 s later")

    page.card.strip.itemActivated.emit(page.card.strip.item(0))
    assert page.stage.time == pytest.approx(seen.time)
    page.card.others.itemClicked.emit(page.card.others.item(0))
    assert 2.0 <= page.stage.time < 3.6
    page.setFocus()
    key(page, "2")  # there is none
    assert page.edits.list.count() == 0
    key(page, "1")
    assert page.model.state.identities == [3]
    assert "Identity 1 is identity 3" in page.stage.message.text()
    settled(qtbot, page)
    assert len(page.card.found.crops) == 12
    assert page.card.heading.text() == "Nobody else fits by time and place."
    key(page, "Z")
    assert page.model.state.identities == [1, 3]
    page.model.select([])
    assert page.card.isHidden()


def test_boxes_without_video_are_told(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    page = make()
    boxes = Boxes.of(np.arange(9), np.tile([10, 10, 20, 40], (9, 1)), tracks=4)
    page.accept([write(tmp_path / "cam.txt", boxes)])
    qtbot.waitUntil(lambda: page.model.result is not None, timeout=SECONDS)
    settled(qtbot, page)
    page.model.select_identity(4)
    settled(qtbot, page)
    assert page.card.note.text().startswith("No video: boxes only")
    assert page.card.strip.count() == 9
    assert not page.card.strip.item(0).icon().isNull()


def test_pictures_are_bounded(qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("desktop.tracks.crops.BUDGET", 30_000)
    loader = CropLoader()
    loader.open(tmp_path, (Camera("a", video=film(tmp_path / "a.mp4").name), Camera("none")))
    crops = [Crop(1, 0, frame, (5.0 * frame, 40, 40, 40), 0.0) for frame in range(0, 40, 2)]
    loader.request(crops)
    loader.request([Crop(1, 1, 0, (0, 0, 9, 9), 0.0)])
    qtbot.waitUntil(lambda: not loader.busy, timeout=SECONDS)
    assert 0 < loader.used_bytes <= 30_000
    assert loader.image(crops[0]) is None
    assert loader.image(crops[-1]) is not None
    loader.request([crops[0]])
    qtbot.waitUntil(lambda: not loader.busy, timeout=SECONDS)
    assert loader.image(crops[0]) is not None
    outside = Crop(1, 0, 0, (-500.0, -500.0, 20.0, 20.0), 0.0)
    loader.request([outside])
    qtbot.waitUntil(lambda: not loader.busy, timeout=SECONDS)
    assert loader.image(outside) is not None
    assert loader.why_not(outside) == ""
    loader.deleteLater()
