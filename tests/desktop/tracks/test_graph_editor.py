"""Ways between cameras on the page: drawn, taken away, travel times, clocks; kept over a restart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.tracks.graph_editing import Way
from desktop.tracks.graph_layout import places
from desktop.tracks.graph_view import GraphView
from desktop.tracks.modes import WAYS
from desktop.tracks.page import TracksPage
from engine.tracks import edits
from engine.tracks.boxes import concatenate
from engine.tracks.cameras import Camera
from engine.tracks.scene import Scene
from tests.desktop.tracks.support import SECONDS, key, opened, press, settled
from tests.engine.tracks.test_association import LOOKS, passing, road


def bare(count: int = 3) -> list[Camera]:
    """Cameras whose zones lead nowhere yet."""
    return [
        replace(camera, zones=tuple(replace(zone, leads_to="") for zone in camera.zones))
        for camera in road(count)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Nine go from the first camera to the second in 7.1 or 7.2 seconds, one in 40; four come back."""
    parts = []
    for at in range(10):
        gap = 430 if at == 9 else 100 + at % 2
        parts.append(passing(2 * at, 0, 600 * at, LOOKS[at]))
        parts.append(passing(2 * at + 1, 1, 600 * at + gap, LOOKS[at]))
    for at in range(4):
        parts.append(passing(100 + 2 * at, 1, 9000 + 300 * at, LOOKS[at], back=True))
        parts.append(passing(101 + 2 * at, 0, 9000 + 300 * at + 70, LOOKS[at], back=True))
    boxes = concatenate(parts)
    names = boxes.tracks
    with Scene.create(tmp_path / "scene", bare()) as scene:
        scene.add_detections(boxes.replace(tracks=-1), "made up")
        identities = {name: name // 2 for name in np.unique(names).tolist()}
        scene.add_result("given", np.arange(len(boxes)), names, identities)
    return tmp_path / "scene"


def drag(view: GraphView, start: QPointF, end: QPointF) -> None:
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    for kind, place, button, held in (
        (QEvent.Type.MouseButtonPress, start, left, left),
        (QEvent.Type.MouseMove, (start + end) / 2, none, left),
        (QEvent.Type.MouseMove, end, none, left),
        (QEvent.Type.MouseButtonRelease, end, left, none),
    ):
        where = QPointF(view.mapToGlobal(place))
        event = QMouseEvent(kind, place, where, button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(view, event)


def in_ways(qtbot: QtBot, make: Callable[[], TracksPage], folder: Path | None = None) -> TracksPage:
    page = opened(qtbot, make, folder)
    page.setFocus()
    key(page, "Shift+G")
    assert page.modes.current == WAYS
    known(qtbot, page)
    page.ways.view.grab()  # lays the cameras out
    return page


def known(qtbot: QtBot, page: TracksPage) -> None:
    editing = page.ways.editing
    qtbot.waitUntil(lambda: editing.known is not None and not editing.busy, timeout=SECONDS)


def told(page: TracksPage) -> str:
    return "\n".join(notice.text for notice in page._services.notifications.notices)


def test_ways_are_drawn_from_zone_to_zone(
    qtbot: QtBot, make: Callable[[], TracksPage], folder: Path
) -> None:
    page = in_ways(qtbot, make, folder)
    view, editing, panel = page.ways.view, page.ways.editing, page.ways.panel
    assert "Drag from the dot of a zone" in view._hint()
    assert not page.time.isVisible()
    drag(view, view.place_of((0, 1)), view.place_of((1, 0)))
    assert editing.ways == [Way((0, 1), (1, 0)), Way((1, 0), (0, 1))]
    assert editing.way == Way((0, 1), (1, 0))
    assert panel.list.currentRow() == 0
    page.ways.both.setChecked(False)
    drag(view, view.place_of((1, 1)), view.place_of((2, 0)))
    drag(view, view.place_of((2, None)), view.box(0).center())
    assert set(editing.ways) == {
        Way((0, 1), (1, 0)), Way((1, 0), (0, 1)), Way((1, 1), (2, 0)), Way((2, None), (0, None))
    }  # fmt: skip
    drag(view, view.place_of((1, 1)), view.place_of((1, 0)))
    assert len(editing.ways) == 4, "not within a camera"
    panel.start.setCurrentIndex(panel.start.findText("c2 right"))
    panel.end.setCurrentIndex(panel.end.findText("c2 left"))
    panel.add.click()
    assert "leads to another camera" in told(page)
    panel.end.setCurrentIndex(panel.end.findText("c0 left"))
    panel.add.click()
    assert Way((2, 1), (0, 0)) in editing.ways
    press(view, Qt.Key.Key_Delete)
    assert Way((2, 1), (0, 0)) not in editing.ways

    middle = view.box(1).center()
    drag(view, middle, middle + QPointF(30, 80))
    assert editing.cameras[1].place is not None
    assert editing.camera == 1
    before = editing.place(1)
    press(view, Qt.Key.Key_Left)
    assert editing.place(1) == (before[0] - 10, before[1])
    press(view, Qt.Key.Key_Right, held=Qt.KeyboardModifier.ControlModifier)
    assert editing.camera == 2
    panel.overlaps[0].click()
    assert editing.overlaps == [(0, 2)]
    cameras, count = page.model.scene.cameras, len(page.model.log())
    assert count == 8

    page = in_ways(qtbot, make)  # a restart
    assert page.model.scene.cameras == cameras
    for _ in range(count):
        key(page, "Z")
    assert page.model.scene.cameras == tuple(bare())
    for _ in range(count):
        key(page, "Shift+Z")
    assert page.model.scene.cameras == cameras


def test_travel_times_are_learnt_or_said(
    qtbot: QtBot, make: Callable[[], TracksPage], folder: Path, tmp_path: Path
) -> None:
    page = in_ways(qtbot, make, folder)
    editing, panel = page.ways.editing, page.ways.panel
    assert editing.connect_ports((0, 1), (1, 0))
    known(qtbot, page)
    assert panel.plot is not None
    assert "10 went this way, 0 of them sure; 8 sure ones are needed" in panel.found.text()
    assert panel.plot.window == (0, 120)
    state = page.model.state
    for identity in range(9):
        page.model.edit("confirm", "ok", lambda state, who=identity: edits.confirm(state, who))
    assert state is page.model.state
    known(qtbot, page)
    assert "10 went this way, 9 of them sure: learnt 6." in panel.found.text()
    low, high = panel.plot.window
    assert 6.5 < low < 7.1 < 7.2 < high < 8
    assert panel.learn.isChecked()
    assert not panel.least.isEnabled()
    panel.learn.click()
    assert editing.window(0, 1) == (round(low, 1), round(high, 1))
    panel.plot._region.setRegion((5.0, 45.0))
    assert editing.window(0, 1) == (5, 45)
    panel.most.setValue(50)
    panel.most.editingFinished.emit()
    assert editing.window(0, 1) == (5, 50)
    panel.least.setValue(60)
    panel.least.editingFinished.emit()
    assert "cannot take 60 to 50 seconds" in told(page)
    assert panel.least.value() == 5
    event = QKeyEvent(QEvent.Type.KeyPress, Qt.Key.Key_Right, Qt.KeyboardModifier.NoModifier)
    QApplication.sendEvent(panel.plot, event)
    assert editing.window(0, 1) == (5, 51)
    assert "5 – 51 s, as you said" in panel.list.item(0).text()
    known(qtbot, page)
    page.ways.export_to("csv", tmp_path / "times.csv")
    settled(qtbot, page)
    rows = (tmp_path / "times.csv").read_text().splitlines()
    assert rows[0] == "seconds,sure"
    assert rows[1] == "7.100,1"
    assert rows[-1] == "40.100,0"
    panel.learn.click()
    assert editing.window(0, 1) is None
    panel.remove.click()
    assert [way.start for way in editing.ways] == [(1, 0)]


def test_a_clock_is_estimated_and_set(
    qtbot: QtBot, make: Callable[[], TracksPage], folder: Path
) -> None:
    """There it takes 7.1 seconds, back 4.1: the clock of the second is 1.5 seconds late."""
    page = in_ways(qtbot, make, folder)
    editing, panel = page.ways.editing, page.ways.panel
    editing.select(2)
    assert "Not known from the tracks" in panel.estimate.text()
    assert not panel.take.isEnabled()
    editing.connect_ports((0, 1), (1, 0))
    known(qtbot, page)
    editing.select(0)
    assert "compared with this one" in panel.estimate.text()
    editing.select(1)
    assert panel.estimate.text().startswith("By 14 ways: -1.")
    panel.take.click()
    assert page.model.scene.cameras[1].offset == pytest.approx(-1.5, abs=0.1)
    assert page.stage.wall.views[1].camera.offset == page.model.scene.cameras[1].offset
    known(qtbot, page)
    assert "may well be right" in panel.estimate.text()
    panel.offset.setValue(3600)
    panel.offset.editingFinished.emit()
    assert page.model.scene.cameras[1].offset == 3600
    assert page.model.duration()[1] > 3600
    known(qtbot, page)
    assert "looks wrong" in panel.estimate.text(), "an hour is found as well"
    key(page, "Z")
    key(page, "Z")
    assert page.model.scene.cameras[1].offset == 0


def test_cameras_are_laid_out_by_their_ways() -> None:
    line = places(road(5))
    gaps = [b[0] - a[0] for a, b in pairwise(line)]
    assert min(gaps) > 150
    assert max(abs(y - line[0][1]) for _, y in line) < 1
    ring = [Camera(f"c{n}", neighbours=(f"c{(n + 1) % 6}",)) for n in range(6)]
    round_it = np.array(places(ring))
    radii = np.hypot(*(round_it - round_it.mean(axis=0)).T)
    assert radii.min() > 0.9 * radii.max() > 150
    apart = np.array(places([Camera(f"c{n}") for n in range(7)]))
    away = np.abs(apart[:, None] - apart[None]).max(axis=2) + 1e9 * np.eye(7)
    assert away.min() > 100
    assert places([]) == []
    assert places([Camera("a", place=(3, 4))]) == [(3, 4)]
