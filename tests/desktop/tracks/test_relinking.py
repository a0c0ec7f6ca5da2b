"""What linking again would change: looked for, followed through edits, made and undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from desktop.tracks.page import TracksPage
from engine.tracks.boxes import Boxes, concatenate
from engine.tracks.cameras import Camera, Zone
from engine.tracks.scene import Scene
from tests.desktop.tracks.support import SECONDS, key, settled
from tests.desktop.tracks.test_review_of_links import EAST, piece

RED, GREEN, BLUE = (1.0, 0.0), (0.0, 1.0), (0.6, 0.8)


def opened(
    qtbot: QtBot, make: Callable[[], TracksPage], folder: Path, *, looks: bool = True
) -> TracksPage:
    """Red and green go from a to b; as it is, red is two and green is one with another at a."""
    cameras = [
        Camera("a", fps=10, width=300, height=200, zones=(Zone("east", EAST, "b"),)),
        Camera("b", fps=10, width=300, height=200),
    ]
    with Scene.create(folder, cameras) as scene:
        pieces = [
            piece(0, 0, RED), piece(1, 50, RED), piece(0, 300, GREEN), piece(1, 350, GREEN),
            piece(0, 700, BLUE),
        ]  # fmt: skip
        boxes = concatenate(pieces)
        scene.add_detections(boxes if looks else Boxes(**boxes.columns()), "made up")
        scene.add_result("given", list(range(50)), np.repeat([1, 2, 3, 4, 5], 10), {4: 3, 5: 3})
    page = make()
    page.accept([folder])
    qtbot.waitUntil(lambda: page.model.state is not None, timeout=SECONDS)
    settled(qtbot, page)
    page.inspector.setCurrentIndex(2)
    return page


def looked(qtbot: QtBot, page: TracksPage) -> None:
    qtbot.waitUntil(lambda: not page.relinking.busy, timeout=SECONDS)
    settled(qtbot, page)


def test_changes_are_listed_chosen_made_and_undone(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    page = opened(qtbot, make, tmp_path / "scene")
    panel, state = page.relink, page.model.state
    assert panel.begin.isVisible()
    assert not panel.list.isVisible()
    panel.begin.click()
    looked(qtbot, page)
    assert panel.text.text() == "Identities: 1 merged, 1 split. Untick what is not to be changed."
    texts = [panel.list.item(at).text() for at in range(panel.list.count())]
    assert texts == ["1, 2 become one\n0:05.0 · a, b", "3 falls into 2 parts\n0:35.0 · a, b"]
    panel.list.setCurrentRow(0)
    assert page.model.selection == (1, 2)
    assert page.stage.time == 5.0
    panel.list.item(1).setCheckState(Qt.CheckState.Unchecked)
    assert panel.apply.text() == "Apply 1"
    panel.apply.click()
    looked(qtbot, page)
    assert state.identity_of(1) == state.identity_of(2)
    assert state.identity_of(5) == 3, "what was unticked stays"
    assert panel.list.count() == 1
    assert panel.list.item(0).checkState() == Qt.CheckState.Unchecked
    assert not panel.apply.isEnabled()
    key(page, "Z")
    looked(qtbot, page)
    assert state.identity_of(2) == 2
    assert panel.list.count() == 2
    panel.discard.click()
    assert panel.begin.isVisible()
    assert not panel.list.isVisible()
    assert [state.identity_of(name) for name in range(1, 6)] == [1, 2, 3, 3, 3]


def test_the_list_follows_edits_and_respects_them(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    page = opened(qtbot, make, tmp_path / "scene")
    page.relink.begin.click()
    looked(qtbot, page)
    assert [change.kind for change in page.relinking.changes] == ["merged", "split"]
    page.editing.judge(1, 2, False)
    looked(qtbot, page)
    assert [change.kind for change in page.relinking.changes] == ["split"]
    page.model.select([5])
    page.editing.separate()
    looked(qtbot, page)
    assert page.relink.text.text() == "Linking again would change nothing."


def test_without_appearances_it_says_why_not(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    page = opened(qtbot, make, tmp_path / "scene", looks=False)
    told: list[str] = []
    page._services.notifications.posted.connect(lambda note: told.append(note.text))
    page.relink.begin.click()
    looked(qtbot, page)
    assert "no appearances" in told[0]
    assert page.relink.begin.isVisible()


def test_what_was_left_out_is_told(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    """Something that no other camera can have seen, after the links; it can be gone to."""
    page = opened(qtbot, make, tmp_path / "scene")
    links = page.links
    links.show_links([])
    links.show_left_out([{"tracklets": [5], "camera": "a", "begins": 70.0, "why": "stands in east"}])
    assert links.list.item(0).text() == "Left out: tracklet 5 of a\nstands in east"
    assert links.text.text().endswith("Left out: one object that no other camera can have seen; below.")
    links.list.setCurrentRow(0)
    assert page.model.selection == (5,)
    assert page.stage.time == 70.0
    links.judge(True)
    assert page.model.log() == [], "it is no link"
