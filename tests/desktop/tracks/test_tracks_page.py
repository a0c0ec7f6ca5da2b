"""The page with the real engine: import, review with keys, undo across a restart, measure, export."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from desktop.tracks.page import TracksPage
from engine.tracks.boxes import Boxes
from engine.tracks.evaluate import evaluate
from engine.tracks.formats import read_tracks
from engine.tracks.scene import Scene
from engine.tracks.synthetic import make_scene
from engine.video_writing import write_video
from tests.desktop.tracks.support import SECONDS, SWAP_FROM, key, settled, walk, write


def test_a_swap_is_mended_with_keys_and_stays_mended(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    truth = write(tmp_path / "true.txt", walk(swapped=False))
    page = make()
    page.accept([write(tmp_path / "cam.txt", walk(swapped=True))])
    qtbot.waitUntil(lambda: page.model.result is not None, timeout=SECONDS)
    settled(qtbot, page)
    assert len(page.identities.table.rows) == 2
    assert len(page.stage.wall.views[0].boxes) == 2

    before = evaluate(walk(swapped=False), walk(swapped=True)).figures["IDF1"]
    page.compare_with(truth)
    qtbot.waitUntil(lambda: "IDF1" in page.measures.text.text(), timeout=SECONDS)
    assert f"IDF1 {before:.3f}" in page.measures.text.text()
    first = page.measures.errors.item(0)
    assert first.text().startswith("Switch")
    page.measures.errors.itemActivated.emit(first)
    assert page.stage.time == pytest.approx(SWAP_FROM / 10)

    page.model.select(span.tracklet for span in page.model.spans)
    page.setFocus()
    key(page, "W")
    assert "swapped from frame 30" in page.stage.message.text()
    mended = page.model.state.digest()
    key(page, "Z")
    assert page.model.state.digest() != mended
    key(page, "Shift+Z")
    assert page.model.state.digest() == mended
    assert page.edits.list.count() == 3

    # A restart: another page and undo stack, the same project.
    page = make()
    qtbot.waitUntil(lambda: page.model.result is not None, timeout=SECONDS)
    settled(qtbot, page)
    assert page.model.state.digest() == mended
    assert page._services.undo.canUndo()
    page.setFocus()
    key(page, "Z")
    assert page.model.state.digest() != mended
    key(page, "Shift+Z")

    page.export_to(tmp_path / "out.txt", "mot")
    qtbot.waitUntil(lambda: (tmp_path / "out.txt").exists(), timeout=SECONDS)
    settled(qtbot, page)
    after = evaluate(walk(swapped=False), read_tracks(tmp_path / "out.txt").boxes).figures["IDF1"]
    assert after == 1.0
    page.compare_with(truth)
    qtbot.waitUntil(lambda: "IDF1 1.000" in page.measures.text.text(), timeout=SECONDS)


def crowd(swapped: bool) -> Boxes:
    """Six walkers; a tracker exchanged the first two, who walk in opposite directions, at frame 30."""
    frames, who = np.tile(np.arange(60), 6), np.repeat(np.arange(1, 7), 60)
    way = np.where(who % 2 == 1, 1, -1)
    x = 310 - way * 240 + way * 8 * frames
    y = 20 + 120 * ((who - 1) // 2) + 60 * (who % 2)
    xywh = np.stack([x, y, np.full(360, 40), np.full(360, 80)], axis=1)
    named = np.where(swapped & (frames >= SWAP_FROM) & (who <= 2), 3 - who, who)
    return Boxes.of(frames, xywh, tracks=named)


def test_a_planted_swap_is_among_the_first_events_and_is_mended_there(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    page = make()
    page.accept([write(tmp_path / "cam.txt", crowd(swapped=True))])
    qtbot.waitUntil(lambda: bool(page.review.events), timeout=SECONDS)
    settled(qtbot, page)
    before = evaluate(crowd(swapped=False), crowd(swapped=True)).figures["IDF1"]
    page.setFocus()
    for _ in range(5):
        key(page, "N")
        event = page.review.event
        if event.kind == "swap":
            break
    assert event.kind == "swap"
    assert page.suspicious.list.item(page.review.at).text().startswith("Exchanged · cam, 0:03.0\n")
    assert page.stage.time == pytest.approx(SWAP_FROM / 10)
    assert set(page.model.selection) == set(event.tracklets)
    wrong = page.model.state.digest()
    key(page, "W")
    mended = page.model.state.digest()
    key(page, "Z")
    assert page.model.state.digest() == wrong
    key(page, "Shift+Z")
    assert page.model.state.digest() == mended
    settled(qtbot, page)
    assert event.key not in {other.key for other in page.review.events}

    page = make()  # reopened
    qtbot.waitUntil(lambda: page.model.result is not None, timeout=SECONDS)
    settled(qtbot, page)
    assert page.model.state.digest() == mended
    page.export_to(tmp_path / "out.txt", "mot")
    settled(qtbot, page)
    after = evaluate(crowd(swapped=False), read_tracks(tmp_path / "out.txt").boxes).figures["IDF1"]
    assert after - before == pytest.approx(event.boxes / 360) == 60 / 360
    page.export_to(tmp_path / "visits.csv", "visits")
    settled(qtbot, page)
    assert len((tmp_path / "visits.csv").read_text().splitlines()) == 1 + 6


def test_events_are_accepted_and_rejected_with_keys(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    boxes = crowd(swapped=True)
    lost = boxes.replace(tracks=np.where((boxes.tracks == 5) & (boxes.frames > 20), 9, boxes.tracks))
    page = make()
    page.accept([write(tmp_path / "cam.txt", lost.select((lost.tracks != 5) | (lost.frames < 16)))])
    qtbot.waitUntil(lambda: len(page.review.events) == 2, timeout=SECONDS)
    settled(qtbot, page)
    assert [event.kind for event in page.review.events] == ["swap", "lost"]
    assert (
        page.suspicious.list.item(1)
        .text()
        .endswith("5 is lost; 9 goes on from there (missing frames: 5)")
    )
    assert len(page.time.timeline._markers) == 2
    page.setFocus()
    key(page, "Return")  # nothing is current yet
    assert page.edits.list.count() == 0
    page.suspicious.list.setCurrentRow(1)
    assert page.stage.time == pytest.approx(2.1)
    page.setFocus()
    key(page, "Return")
    settled(qtbot, page)
    assert "goes on as" in page.edits.list.item(0).text()
    assert [event.kind for event in page.review.events] == ["swap"]
    key(page, "N")
    key(page, "X")
    settled(qtbot, page)
    assert page.review.events == []
    assert page.suspicious.count.text() == "Nothing looks suspicious."
    key(page, "Z")
    settled(qtbot, page)
    assert [event.kind for event in page.review.events] == ["swap"]
    key(page, "P")
    key(page, "Return")
    settled(qtbot, page)
    assert page.review.events == []


def test_the_other_keys(qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path) -> None:
    page = make()
    boxes = walk(swapped=False)
    holes = boxes.select((boxes.tracks == 2) | (boxes.frames < 20) | (boxes.frames > 24))
    page.accept([write(tmp_path / "cam.txt", holes)])
    qtbot.waitUntil(lambda: page.model.result is not None, timeout=SECONDS)
    settled(qtbot, page)
    page.setFocus()
    key(page, "S")
    assert page._services.notifications.notices[0].text.startswith("To split, select a tracklet")
    one, two = sorted(page.model.spans, key=lambda span: span.boxes)
    page.model.select([one.tracklet])
    key(page, "G")
    assert page.model.span(one.tracklet).gaps == ()
    page.stage.set_time(4.0)
    assert len(page.stage.wall.views[0].boxes) == 2
    key(page, "S")
    assert len(page.model.spans) == 3
    parts = [span.tracklet for span in page.model.spans if span.tracklet != two.tracklet]
    page.model.select(parts)
    key(page, "M")
    assert len(page.model.spans) == 2
    key(page, "C")
    assert page.identities.table.data(page.identities.table.index(0, 0)).startswith("✓")
    page.model.select([two.tracklet])
    key(page, "R")
    key(page, "End")
    assert page.stage.time == pytest.approx(5.9)
    key(page, "D")
    assert len(page.model.spans) == 1
    for _ in range(6):
        key(page, "Z")
    assert {(span.tracklet, span.boxes) for span in page.model.spans} == {
        (one.tracklet, one.boxes), (two.tracklet, two.boxes),
    }  # fmt: skip
    key(page, "Space")
    qtbot.waitUntil(lambda: page.stage.time > 6 or not page.stage.playing, timeout=SECONDS)
    key(page, "K")
    page.time.by.setCurrentIndex(1)
    assert page.time.timeline._labels == ("cam",)
    page.identities.filter.setText("99")
    assert page.identities.table.rows == []


def test_tracking_adds_a_result(qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path) -> None:
    made = make_scene("easy", 3, seconds=120, cameras=2)
    with Scene.create(tmp_path / "scene", made.cameras) as scene:
        scene.add_detections(made.detections, "made up")
    page = make()
    page.accept([tmp_path / "scene"])
    qtbot.waitUntil(lambda: page.model.scene is not None, timeout=SECONDS)
    assert page.model.result is None
    page.controls.tracker.setCurrentIndex(1)
    page.run_main_action()
    qtbot.waitUntil(lambda: page.model.result is not None, timeout=SECONDS)
    assert page.model.result.name == "bytetrack"
    assert "tracklets" in page.stage.message.text() or len(page.model.spans)
    settled(qtbot, page)

    page.associate()
    qtbot.waitUntil(lambda: page.links.list.count() > 0, timeout=SECONDS)
    settled(qtbot, page)
    assert page.model.result.name == "bytetrack over cameras"
    page.links.list.setCurrentRow(0)
    first, second = page.model.selection
    identity = page.model.state.identity_of
    assert identity(first) == identity(second)
    page.links.judge(False)
    assert identity(first) != identity(second)
    assert page.links.list.item(0).text().startswith("✗")
    page._services.undo.undo()
    page._services.undo.undo()
    assert identity(first) == identity(second)


def test_a_video_is_detected_and_tracked(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    ground = rng.integers(90, 130, (180, 320, 3), np.uint8)

    def frames() -> Iterator[np.ndarray]:
        for number in range(60):
            picture = ground.copy()
            if number >= 15:
                left = 5 * (number - 15)
                picture[60:110, left : left + 60] = (200, 40, 40)
            yield picture

    write_video(tmp_path / "street.mp4", frames(), 10)
    page = make()
    page.accept([tmp_path / "street.mp4"])
    qtbot.waitUntil(lambda: page.model.scene is not None, timeout=SECONDS)
    settled(qtbot, page)
    assert not page.run_button.isEnabled()
    assert page.detect_button.isEnabled()
    page.detect()
    qtbot.waitUntil(page.run_button.isEnabled, timeout=SECONDS)
    page.controls.tracker.setCurrentIndex(page.controls.tracker.findData("bytetrack"))
    page.run_main_action()
    qtbot.waitUntil(lambda: page.model.result is not None, timeout=SECONDS)
    settled(qtbot, page)
    longest = max(span.boxes for span in page.model.spans)
    assert longest > 25
    page.stage.set_time(4.0)
    settled(qtbot, page)
    assert page.stage.wall.views[0].picture is not None
    assert page.stage.wall.views[0].boxes


def test_the_example_and_what_cannot_be_opened(
    qtbot: QtBot, make: Callable[[], TracksPage], tmp_path: Path
) -> None:
    page = make()
    page.start_example()
    qtbot.waitUntil(lambda: page.model.result is not None, timeout=SECONDS)
    settled(qtbot, page)
    assert len(page.stage.wall.views) == 3
    (tmp_path / "bad.txt").write_text("these are no boxes\n")
    (tmp_path / "bad.mp4").write_bytes(b"nothing of the kind" * 20)
    for name in ("bad.txt", "bad.mp4"):
        count = len(page._services.notifications.notices)
        assert page.can_accept([tmp_path / name])
        page.accept([tmp_path / name])
        qtbot.waitUntil(lambda c=count: len(page._services.notifications.notices) > c, timeout=SECONDS)
        settled(qtbot, page)
    assert page.model.scene is not None, "what was open stays"
    assert not page.can_accept([tmp_path / "photo.png"])
