"""Frames of the wall: a proxy's while the hand moves, the exact one when it rests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QObject, QSize
from PySide6.QtGui import QColor, QImage
from pytestqt.qtbot import QtBot

from desktop.tracks.frame_source import FrameSource
from desktop.tracks.page import TracksPage
from desktop.tracks.proxies import ProxyMaker, _Work
from engine.tracks.cameras import Camera
from engine.tracks.scene import Scene
from engine.video_proxy import Proxy, make_proxy
from engine.video_writing import write_video
from tests.desktop.tracks.support import SECONDS, settled

COUNT = 50


def film(path: Path) -> Path:
    """Every frame has a grey of its own."""
    greys = (np.full((360, 640, 3), 20 + 4 * n, np.uint8) for n in range(COUNT))
    write_video(path, greys, 10, {"g": "250", "sc_threshold": "0", "crf": "12"})
    return path


def frame_in(image: QImage) -> int:
    return round((QColor(image.pixel(5, 5)).red() - 20) / 4)


def test_the_proxy_comes_first_and_the_exact_frame_last(qtbot: QtBot, tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    make_proxy(path, tmp_path / "small.mp4")
    came: list[tuple[int, int, int, QSize]] = []

    def take(frame: int, image: QImage | None, size: QSize) -> None:
        assert image is not None
        came.append((frame, frame_in(image), image.height(), size))

    parent = QObject()
    source = FrameSource(path, take, parent)
    source.use(Proxy(tmp_path / "small.mp4", 640, 360))
    for frame in (30, 12, 45):  # the hand moves
        source.want(frame)
    qtbot.waitUntil(lambda: not source.busy, timeout=SECONDS)
    assert all(frame == seen for frame, seen, _, _ in came)
    assert all(size == QSize(640, 360) for *_, size in came)
    assert came[0][2] == 270
    assert came[-1][:3] == (45, 45, 360)
    assert sum(height == 360 for _, _, height, _ in came) == 1
    came.clear()
    source.want(46)
    qtbot.waitUntil(lambda: not source.busy, timeout=SECONDS)
    assert [row[:3] for row in came] == [(46, 46, 360)], "the next frame needs no proxy"
    came.clear()
    source.want(46)
    assert not source.busy

    (tmp_path / "small.mp4").write_bytes(b"gone")
    source.use(Proxy(tmp_path / "small.mp4", 640, 360))
    source.want(3)
    qtbot.waitUntil(lambda: bool(came) and not source.busy, timeout=SECONDS)
    assert came[-1][:3] == (3, 3, 360)
    assert source.failed == ""
    source.close()
    parent.deleteLater()


def test_proxies_of_a_scene_are_made_and_used(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    folder = tmp_path / "scene"
    folder.mkdir()
    film(folder / "a.mp4")
    (folder / "bad.mp4").write_bytes(b"no video")
    cameras = [
        Camera("b", fps=10, frames=COUNT, video="bad.mp4"),
        Camera("a", fps=10, frames=COUNT, video="a.mp4"),
    ]
    with Scene.create(folder, cameras):
        pass
    page = make()
    page.accept([folder])
    qtbot.waitUntil(lambda: page.model.scene is not None, timeout=SECONDS)
    qtbot.waitUntil(lambda: bool(page.proxies._made), timeout=SECONDS)
    settled(qtbot, page)
    assert set(page.proxies._made) == {1}
    assert page.stage.work.isHidden()
    assert page.proxies._made[1].path.is_relative_to(page._services.project.folder / "cache")
    page.stage.set_time(3.0)
    settled(qtbot, page)
    view = page.stage.wall.views[1]
    assert frame_in(view.picture) == 30
    assert view.picture.height() == 360
    page.model.choose_result(None)  # the wall begins anew, and gets them again
    qtbot.waitUntil(lambda: not page.background.busy, timeout=SECONDS)
    assert page.stage.wall._sources[1]._quick is not None


def test_making_is_stopped_at_once(
    qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hold(work: _Work, done: int, total: int) -> None:
        work.done = done / total
        work.stopped.wait(SECONDS / 1000)  # however slow this test is, the work is not over before

    monkeypatch.setattr(_Work, "_progress", hold)
    film(tmp_path / "long.mp4")
    maker = ProxyMaker(tmp_path / "cache")
    told: list[str] = []
    maker.progressed.connect(told.append)
    maker.open(tmp_path, [Camera("one", video="long.mp4"), Camera("none")])
    qtbot.waitUntil(lambda: maker._work.done > 0 and bool(told) and bool(told[-1]), timeout=SECONDS)
    assert told[-1] == "Quick copy of one: 2%"
    maker.stop()
    qtbot.waitUntil(lambda: not maker.busy, timeout=SECONDS)
    assert list((tmp_path / "cache").iterdir()) == []
    assert maker._made == {}
    assert told[-1] == ""
    maker.open(tmp_path, [Camera("one", video="long.mp4"), Camera("two", video="long.mp4")])
    qtbot.waitUntil(lambda: maker._work.done > 0, timeout=SECONDS)
    maker.deleteLater()  # the window closes while one is made


def test_a_video_that_is_gone_is_told(qtbot: QtBot, tmp_path: Path) -> None:
    came: list[int] = []
    parent = QObject()
    source = FrameSource(tmp_path / "gone.mp4", lambda frame, *_: came.append(frame), parent)
    source.want(4)
    qtbot.waitUntil(lambda: came == [-1], timeout=SECONDS)
    assert "not there" in source.failed
    source.want(5)
    assert not source.busy
    source.close()
    parent.deleteLater()
