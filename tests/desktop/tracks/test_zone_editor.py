"""Zones on the page: drawn, dragged, named, led somewhere, copied; kept over a restart; files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PySide6.QtCore import QEvent, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot

from desktop.tracks.modes import WALL, ZONES
from desktop.tracks.page import TracksPage
from desktop.tracks.zone_canvas import ZoneCanvas
from desktop.tracks.zone_editing import NOTHING
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera, Zone
from engine.tracks.scene import Scene
from engine.video_writing import write_video
from tests.desktop.tracks.support import SECONDS, key, opened, press, settled

WEST = ((0.0, 100.0), (200.0, 100.0), (200.0, 300.0), (0.0, 300.0))
Place = tuple[float, float]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cameras; at the first three tracklets from left to right, at the second nothing."""
    cameras = [Camera(name, fps=10, width=640, height=360, frames=60) for name in ("a", "b")]
    with Scene.create(tmp_path / "scene", cameras) as scene:
        at = np.arange(50)
        parts = [
            np.stack([10 * at + 20, 0 * at + y, 0 * at + 40, 0 * at + 40], 1) for y in (150, 180, 210)
        ]
        scene.add_detections(Boxes.of(np.tile(at, 3), np.concatenate(parts)), "made up")
        scene.add_result("given", np.arange(150), np.repeat([4, 5, 6], 50))
    return tmp_path / "scene"


def send(
    canvas: ZoneCanvas, kind: QEvent.Type, point: Place, button: Qt.MouseButton, held: Qt.MouseButton
) -> None:
    place = canvas.place_of(point)
    event = QMouseEvent(
        kind, place, QPointF(canvas.mapToGlobal(place)), button, held, Qt.KeyboardModifier.NoModifier
    )
    QApplication.sendEvent(canvas, event)


def drag(canvas: ZoneCanvas, *points: Place, double: bool = False) -> None:
    """Press at the first point, move through the others, let go at the last."""
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
    press = QEvent.Type.MouseButtonDblClick if double else QEvent.Type.MouseButtonPress
    send(canvas, press, points[0], left, left)
    for point in points[1:]:
        send(canvas, QEvent.Type.MouseMove, point, none, left)
    send(canvas, QEvent.Type.MouseButtonRelease, points[-1], left, none)


def in_zones(qtbot: QtBot, page: TracksPage) -> ZoneCanvas:
    page.setFocus()
    key(page, "Shift+V")
    assert page.modes.current == ZONES
    assert page.side.currentWidget() is page.zones.panel
    qtbot.waitUntil(lambda: not page.zones.busy, timeout=SECONDS)
    return page.zones.canvas


def zones(page: TracksPage, camera: int = 0) -> tuple[Zone, ...]:
    return page.model.scene.cameras[camera].zones


def told(page: TracksPage) -> str:
    return "\n".join(notice.text for notice in page._services.notifications.notices)


def test_a_zone_is_drawn_reshaped_and_kept(
    qtbot: QtBot, make: Callable[[], TracksPage], folder: Path
) -> None:
    page = opened(qtbot, make, folder)
    canvas = in_zones(qtbot, page)
    editing, panel = page.zones.editing, page.zones.panel
    assert "No zones yet" in canvas.hint
    assert canvas.heat is not None, "without a picture, where boxes are"
    assert panel.outside.text().startswith("3 tracklets; without zones")
    key(page, "Shift+N")
    assert canvas.hint.startswith("Click the first corner")
    for corner in WEST[:3]:
        drag(canvas, corner)
    drag(canvas, (50, 50))
    assert "crosses itself" in editing.problem()
    press(canvas, Qt.Key.Key_Backspace)
    drag(canvas, (3, 298))  # snaps to the border
    drag(canvas, (2, 102))  # on the first corner: it is closed
    assert [zone.name for zone in zones(page)] == ["Zone 1"]
    np.testing.assert_allclose(zones(page)[0].polygon, [*WEST[:3], (0, 298)], atol=0.11)
    assert editing.draft is None
    assert editing.zone == 0
    assert canvas.counts == [(3, 0), (0, 3)]
    assert "Zone 1 · an exit\n3 come in, 0 go out" in panel.list.item(0).text()
    assert "Outside of all zones 0 begin and 3 end" in panel.outside.text()

    drag(canvas, (200, 300), (250, 300), (260, 320))  # a corner
    assert zones(page)[0].polygon[2] == pytest.approx((260, 320), abs=0.11)
    drag(canvas, (60, 200), (60, 230), (100, 700))  # all of it; the picture's border stops it
    assert zones(page)[0].polygon[2] == pytest.approx((300, 360), abs=0.11)
    drag(canvas, (140, 140), (140, 140), double=True)  # a new corner on the upper side
    assert len(zones(page)[0].polygon) == 5
    press(canvas, Qt.Key.Key_Up)
    assert zones(page)[0].polygon[1] == pytest.approx((140, 139), abs=0.11)
    press(canvas, Qt.Key.Key_Right, held=Qt.KeyboardModifier.ControlModifier)
    assert editing.corner == 2
    press(canvas, Qt.Key.Key_Delete)
    assert len(zones(page)[0].polygon) == 4
    before = zones(page)
    drag(canvas, (140, 139), (140, 350), (90, 355))  # over the other side
    assert zones(page) == before
    assert "crosses itself" in told(page)
    assert "Zone 1 is as it was" in told(page)
    count = len(page.model.log())
    assert count == 6

    page = opened(qtbot, make)  # a restart
    assert zones(page) == before
    for _ in range(count):
        key(page, "Z")
    assert zones(page) == ()
    assert page.modes.current == WALL
    for _ in range(count):
        key(page, "Shift+Z")
    assert zones(page) == before
    assert page.stage.wall.views[0].camera.zones == before


def test_zones_are_drawn_with_keys_alone(
    qtbot: QtBot, make: Callable[[], TracksPage], folder: Path
) -> None:
    page = opened(qtbot, make, folder)
    canvas = in_zones(qtbot, page)
    key(page, "Shift+N")
    left, up, down = Qt.Key.Key_Left, Qt.Key.Key_Up, Qt.Key.Key_Down
    press(canvas, Qt.Key.Key_Space, left, left, left, Qt.Key.Key_Space, up, up, up, Qt.Key.Key_Space)
    press(canvas, Qt.Key.Key_Return)
    assert zones(page)[0].polygon == ((320, 180), (290, 180), (290, 150))
    key(page, "Shift+N")
    press(canvas, Qt.Key.Key_Space, down, Qt.Key.Key_Space, Qt.Key.Key_Return)
    assert "three corners" in told(page)
    assert len(zones(page)) == 1
    press(canvas, Qt.Key.Key_Escape)
    assert page.zones.editing.draft is None
    page.zones.editing.select(0)
    press(canvas, Qt.Key.Key_Delete)
    assert zones(page) == ()


def test_what_zones_are_is_said(qtbot: QtBot, make: Callable[[], TracksPage], folder: Path) -> None:
    with Scene.open(folder) as scene:
        scene.set_zones(0, [Zone("west", WEST), Zone("east", tuple((x + 400, y) for x, y in WEST))])
        scene.set_zones(1, [Zone("in", WEST, "a")])
    page = opened(qtbot, make, folder)
    in_zones(qtbot, page)
    editing, panel = page.zones.editing, page.zones.panel
    panel.list.setCurrentRow(1)
    assert editing.zone == 1
    panel.name.setText("main road")
    panel.name.editingFinished.emit()
    panel.to.activated.emit(panel.to.findData("b"))
    panel.into.activated.emit(panel.into.findData("in"))
    zone = zones(page)[1]
    assert (zone.name, zone.leads_to, zone.leads_into) == ("main road", "b", "in")
    assert "main road · to b, in" in panel.list.item(1).text()
    panel.name.setText("west")
    panel.name.editingFinished.emit()
    assert "two of its zones have one name" in told(page)
    assert panel.name.text() == "main road"
    editing.reorder(-1)
    assert [zone.name for zone in zones(page)] == ["main road", "west"]
    assert editing.zone == 0
    panel.to.activated.emit(panel.to.count() - 1)
    assert zones(page)[0].ignored
    assert not zones(page)[0].leads_to
    panel.to.activated.emit(0)
    assert not zones(page)[0].ignored
    page.controls.camera_chosen.emit(1)
    assert editing.camera == 1
    assert panel.head.text() == "Zones of b"
    editing.show(0)
    editing.copy_to(1)
    assert [zone.name for zone in zones(page, 1)] == ["main road", "west"]
    assert {zone.leads_to for zone in zones(page, 1)} == {""}
    editing.select(NOTHING)
    assert not panel.name.isEnabled()


def test_zones_come_from_files(
    qtbot: QtBot, make: Callable[[], TracksPage], folder: Path, tmp_path: Path
) -> None:
    page = opened(qtbot, make, folder)
    in_zones(qtbot, page)
    image = np.zeros((180, 320, 3), np.uint8)
    image[:, :80] = (0, 255, 0)
    image[:, 240:] = 255
    cv2.imwrite(str(tmp_path / "c041.png"), image)
    page.zones.import_from(tmp_path / "c041.png")
    qtbot.waitUntil(lambda: len(zones(page)) == 2, timeout=SECONDS)
    assert [(zone.name, zone.leads_to) for zone in zones(page)] == [("white", ""), ("green", "b")]
    assert max(x for x, _ in zones(page)[0].polygon) == pytest.approx(640, abs=3)
    page.zones.export_to(tmp_path / "zones.json")
    settled(qtbot, page)
    before = zones(page)
    key(page, "Z")
    assert zones(page) == ()
    page.zones.import_from(tmp_path / "zones.json")
    qtbot.waitUntil(lambda: zones(page) == before, timeout=SECONDS)
    (tmp_path / "bad.json").write_text("{}")
    page.zones.import_from(tmp_path / "bad.json")
    qtbot.waitUntil(lambda: "holds no zones" in told(page), timeout=SECONDS)
    assert zones(page) == before


def test_zones_are_drawn_on_the_frame_at_the_playhead(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    shades = [np.full((90, 160, 3), 20 + 30 * n, np.uint8) for n in range(6)]
    write_video(tmp_path / "v.mp4", iter(shades), 10.0)
    camera = Camera("a", fps=10, frames=6, video=str(tmp_path / "v.mp4"))
    with Scene.create(tmp_path / "scene", [camera]):
        pass
    page = opened(qtbot, make, tmp_path / "scene")
    canvas = in_zones(qtbot, page)
    qtbot.waitUntil(lambda: canvas.picture is not None, timeout=SECONDS)
    assert page.zones.editing.size == (160, 90)
    assert canvas.heat is None
    page.stage.set_time(0.5)
    qtbot.waitUntil(lambda: canvas.picture.pixelColor(80, 40).red() > 150, timeout=SECONDS)
    assert page.zones.panel.outside.text().startswith("Track the scene")


def test_zones_are_suggested_where_there_are_none(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    """Twelve go from left to right, at one camera of three."""
    cameras = [Camera(name, fps=10, width=640, height=360, frames=900) for name in "abc"]
    with Scene.create(tmp_path / "scene", cameras) as scene:
        frames = np.concatenate([60 * n + np.arange(56) for n in range(12)])
        x = np.tile(11.0 * np.arange(56), 12)
        xywh = np.stack([x - 10, 150 + 5.0 * (frames // 60), 0 * x + 30, 0 * x + 30], axis=1)
        scene.add_detections(Boxes.of(frames, xywh), "made up")
        scene.add_result("given", np.arange(len(x)), np.repeat(np.arange(12), 56))
    page = opened(qtbot, make, tmp_path / "scene")
    canvas = in_zones(qtbot, page)
    panel = page.zones.panel
    panel.suggest_wanted.emit(True)
    assert {zone.name for zone in zones(page)} == {"left", "right"}
    assert zones(page, 1) == ()
    assert (
        "b: 0 tracklets are too few" in page.zones.message.text() or "c: 0" in page.zones.message.text()
    )
    assert sorted(canvas.counts[:2]) == [(0, 12), (12, 0)]
    panel.suggest_wanted.emit(False)
    assert "there are zones already" in page.zones.message.text()
    assert len(zones(page)) == 2
    page.zones.editing.show(1)
    panel.suggest_wanted.emit(False)
    assert "0 tracklets are too few" in told(page)
    key(page, "Z")
    assert zones(page) == ()
