"""Doubtful ways between cameras among the suspicious events, mended with Return."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from pytestqt.qtbot import QtBot

from desktop.tracks.page import TracksPage
from engine.tracks.boxes import Boxes, concatenate
from engine.tracks.cameras import Camera, Zone
from engine.tracks.scene import Scene
from tests.desktop.tracks.support import SECONDS, key, settled

EAST = ((100.0, 0.0), (300.0, 0.0), (300.0, 200.0), (100.0, 200.0))


def piece(camera: int, start: int, look: tuple[float, float]) -> Boxes:
    """Ten boxes that go to the east, into the zone."""
    frames = np.arange(start, start + 10)
    xywh = np.stack([20 * np.arange(10), np.full(10, 40), np.full(10, 20), np.full(10, 20)], axis=1)
    features = np.tile(np.array(look, np.float32), (10, 1))
    return Boxes.of(frames, xywh, cameras=camera, extra={"features": features})


def test_a_missing_and_a_wrong_link_are_mended(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    cameras = [
        Camera("a", fps=10, width=300, height=200, zones=(Zone("east", EAST, "b"),)),
        Camera("b", fps=10, width=300, height=200),
        Camera("c", fps=10, width=300, height=200),
    ]
    red, blue = (1.0, 0.0), (0.0, 1.0)
    with Scene.create(tmp_path / "scene", cameras) as scene:
        pieces = [
            piece(0, 0, red), piece(1, 50, red),  # not linked
            piece(0, 300, blue), piece(2, 350, blue), piece(1, 900, blue),  # against the zone
        ]  # fmt: skip
        scene.add_detections(concatenate(pieces), "made up")
        scene.add_result("given", list(range(50)), np.repeat([1, 2, 3, 4, 5], 10), {4: 3, 5: 3})
    page = make()
    page.accept([tmp_path / "scene"])
    qtbot.waitUntil(lambda: len(page.review.events) == 2, timeout=SECONDS)
    settled(qtbot, page)
    kinds = [event.kind for event in page.review.events]
    assert sorted(kinds) == ["against", "missing"]
    page.setFocus()
    page.suspicious.list.setCurrentRow(kinds.index("against"))
    assert "Against the zones · c" in page.suspicious.list.item(kinds.index("against")).text()
    assert page.model.selection == (4, 3)
    settled(qtbot, page)
    shown = [crop.tracklet for crop in page.suspicious.strip.crops]
    assert set(shown) == {3, 4}
    assert shown == sorted(shown, reverse=True), "one after the other"
    key(page, "Return")
    identity = page.model.state.identity_of
    assert identity(4) == identity(5) != identity(3)
    settled(qtbot, page)
    key(page, "Z")
    settled(qtbot, page)
    assert identity(4) == identity(5) == identity(3)
    page.suspicious.list.setCurrentRow([e.kind for e in page.review.events].index("missing"))
    key(page, "Return")
    assert identity(1) == identity(2)
    settled(qtbot, page)
    assert "missing" not in {event.kind for event in page.review.events}
