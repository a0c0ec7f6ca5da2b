"""The scene on disk: nothing is lost, every edit can be taken back, damage is reported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError, ErrorCode
from engine.tracks import drawing, edits
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera, Zone
from engine.tracks.scene import DATABASE, Scene
from engine.tracks.tracklets import ADDED, Delta

SQUARE = ((0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0))


def tracked(rng: np.random.Generator, ids: int = 8, frames: int = 30) -> Boxes:
    """Boxes of some ids in two cameras, with gaps."""
    frame, track, camera = (axis.ravel() for axis in np.mgrid[0:frames, 0:ids, 0:2])
    boxes = Boxes.of(
        frame, rng.uniform(5, 50, (len(frame), 4)), tracks=track + 1, cameras=camera,
        extra={"features": rng.normal(size=(len(frame), 3)).astype(np.float32)},
    )  # fmt: skip
    return boxes.select(rng.random(len(frame)) < 0.8)


@pytest.fixture
def scene(tmp_path: Path, rng: np.random.Generator) -> Scene:
    made = Scene.create(tmp_path / "scene", [Camera("c1", 0.5, 10, 100, 80), Camera("c2", fps=25)])
    made.import_tracks(tracked(rng), "given", "a file")
    return made


def test_boxes_come_back_as_they_were(scene: Scene, rng: np.random.Generator) -> None:
    boxes = tracked(np.random.default_rng(20_011))
    scene.name_classes({0: "car"})
    scene.close()
    with Scene.open(scene.folder) as again:
        assert isinstance(again.detections.xywh, np.memmap)
        assert again.detections.equals(boxes)
        assert again.cameras == (Camera("c1", 0.5, 10, 100, 80), Camera("c2", fps=25))
        assert again.class_names == {0: "car"}
        found = again.state(1).boxes()
        expected = boxes.sorted()
        for name, column in expected.columns().items():
            np.testing.assert_array_equal(getattr(found, name), column)
        state = again.state(1)
        assert state.identities == list(range(1, 9))
        assert len(state.tracklets) == 16
        assert all(len(state.members(identity)) == 2 for identity in state.identities)


def test_more_boxes_can_follow(scene: Scene) -> None:
    before = len(scene.detections)
    edit = scene.edit(1, "confirm", edits.confirm(scene.state(1), 3))
    rows = scene.add_detections(Boxes.of([1, 2], np.ones((2, 4))), "a detector")
    assert list(rows) == [before, before + 1]
    assert scene.detections.frames[-2:].tolist() == [1, 2]
    assert np.isnan(scene.detections.extra["features"][-1]).all()
    info = scene.add_result("second", list(rows), [7, 7])
    assert scene.state(info.id).tracklets == [7]
    assert scene.state(1).marks == {"confirmed": {"3": True}}
    assert scene.log() == [edit]


def random_delta(scene: Scene, rng: np.random.Generator) -> tuple[str, Delta]:
    """Some edit that a reviewer could make now; :class:`EngineError` where it does not fit."""
    state = scene.state(1)
    a, b = rng.choice(state.tracklets, 2).tolist()
    frame = int(rng.integers(0, 30))
    kind = rng.choice(
        [
            "merge", "join", "reassign", "split", "swap", "delete", "extend", "fill", "confirm", "link",
            "check", "draw", "place", "predict",
        ]
    )  # fmt: skip
    box = rng.uniform(1, 50, 4)
    if kind == "check":
        return kind, edits.check(state, f"jump,{frame},{a}", str(rng.integers(9)))
    if kind == "draw":
        return kind, drawing.draw(state, int(rng.integers(2)), frame, box)
    if kind == "place":
        return kind, drawing.place(state, a, frame, box)
    if kind == "predict":
        return kind, drawing.predict(state, a, frame + 4, (100, 80))
    if kind == "merge":
        return kind, edits.merge_tracklets(
            state, a, b, rng.choice(["refuse", "keep_first", "keep_second"])
        )
    if kind == "join":
        return kind, edits.join_identities(state, state.identity_of(a), state.identity_of(b))
    if kind == "reassign":
        return kind, edits.reassign(state, [a], None if rng.random() < 0.5 else state.identity_of(b))
    if kind == "split":
        return kind, edits.split(state, a, frame)
    if kind == "swap":
        return kind, edits.swap(state, a, b, frame)
    if kind == "delete":
        return kind, edits.delete(state, a, frame, frame + 2)
    if kind == "extend":
        return kind, drawing.extend(state, a, [frame + 5], [[1, 2, 3, 4]])
    if kind == "fill":
        return kind, edits.fill(state, a, int(rng.integers(1, 5)))
    if kind == "confirm":
        return kind, edits.confirm(state, state.identity_of(a), bool(rng.random() < 0.7))
    return kind, edits.link(state, a, b, rng.choice(["must", "cannot"]))


def test_a_thousand_edits_undone_leave_nothing(scene: Scene, rng: np.random.Generator) -> None:
    start, cameras = scene.state(1).digest(), scene.cameras
    stored = {path: path.read_bytes() for path in scene.folder.rglob("*.npy")}
    kinds: set[str] = set()
    while len(scene.undoable()) < 1000:
        try:
            kind, delta = random_delta(scene, rng)
            scene.edit(1, kind, delta)
            kinds.add(kind)
        except EngineError:  # does not fit the tracks as they are; another one will
            continue
        if rng.random() < 0.02:
            scene.set_zones(int(rng.integers(2)), [Zone("z", SQUARE, f"c{rng.integers(9)}")])
        if rng.random() < 0.1:
            scene.undo()
        if rng.random() < 0.05:
            scene.redo()
    assert len(kinds) == 14, "every command that there is"
    assert scene.cameras != cameras
    changed = scene.state(1).digest()
    scene.close()
    with Scene.open(scene.folder) as again:
        state = again.state(1)
        assert state.digest() == changed
        owners = [row for name in state.tracklets for row in state.rows_of(name).tolist()]
        assert len(owners) == len(set(owners))
        for name in state.tracklets:
            boxes = state.tracklet_boxes(name)
            assert np.all(np.diff(boxes.frames) > 0), "a tracklet has one box a frame"
            assert len(set(boxes.cameras.tolist())) == 1
        while again.undo():
            pass
        assert state.digest() == start
        assert again.cameras == cameras
        assert {path: path.read_bytes() for path in scene.folder.rglob("*.npy")} == stored
        length = len(again.log())
        while again.redo():
            pass
        assert state.digest() == changed
        assert len(again.log()) >= length + 1000
    with Scene.open(scene.folder) as last:
        assert last.state(1).digest() == changed


def test_commands_do_what_they_say(scene: Scene) -> None:
    state = scene.state(1)
    a, b = state.tracklets[:2]
    before_a, before_b = state.tracklet_boxes(a), state.tracklet_boxes(b)
    scene.edit(1, "swap", edits.swap(state, a, b, 10))
    np.testing.assert_array_equal(
        state.tracklet_boxes(a).xywh,
        np.concatenate([before_a.xywh[before_a.frames < 10], before_b.xywh[before_b.frames >= 10]]),
    )
    scene.undo()
    scene.edit(1, "fill", edits.fill(state, a))
    filled = state.tracklet_boxes(a)
    assert np.all(np.diff(filled.frames) == 1)
    for side in range(4):
        expected = np.interp(filled.frames, before_a.frames, before_a.xywh[:, side].astype(float))
        np.testing.assert_allclose(filled.xywh[:, side], expected, rtol=1e-6)
    assert (state.rows_of(a) >= ADDED).sum() == len(filled) - len(before_a)
    scene.edit(1, "split", edits.split(state, a, 15))
    later = max(state.tracklets)
    assert state.tracklet_boxes(later).frames.min() == 15
    assert state.identity_of(later) not in range(9)
    scene.edit(1, "merge", edits.merge_tracklets(state, a, later))
    assert state.tracklet_boxes(a).equals(filled)
    with pytest.raises(EngineError, match="frames, the first"):
        edits.merge_tracklets(state, a, b)
    with pytest.raises(EngineError, match="different cameras"):
        edits.merge_tracklets(state, a, state.tracklets[-1])


def test_a_copy_stays_what_it_was(scene: Scene) -> None:
    state = scene.state(1)
    other, before = state.copy(), state.digest()
    a, b = state.tracklets[:2]
    scene.edit(1, "swap", edits.swap(state, a, b, 10))
    scene.edit(1, "fill", edits.fill(state, a))
    scene.edit(1, "confirm", edits.confirm(state, state.identity_of(a)))
    scene.edit(1, "join", edits.reassign(state, [a], state.identity_of(b)))
    assert state.digest() != before
    assert other.digest() == before
    assert other.members(other.identity_of(a)) != state.members(state.identity_of(a))
    assert len(other.boxes()) < len(state.boxes())


def test_cameras_and_zones_are_edits(scene: Scene) -> None:
    zone = Zone("north", SQUARE, "c2")
    scene.set_zones(0, [zone])
    scene.set_camera(1, Camera("c2", offset=7.0, fps=25))
    scene.undo()
    scene.close()
    with Scene.open(scene.folder) as again:
        assert again.cameras[0].zones == (zone,)
        assert again.cameras[1].offset == 0
        again.redo()
        assert again.cameras[1].offset == 7
        again.undo()
        again.undo()
        assert again.cameras[0].zones == ()
        with pytest.raises(EngineError, match="another camera"):
            again.set_camera(0, Camera("c2"))


def test_zones_contain_points() -> None:
    camera = Camera("c", zones=(Zone("a", SQUARE), Zone("b", ((5, 5), (20, 5), (20, 20)))))
    points = np.array([[5.0, 5.0], [9, 9], [12, 6], [19, 19.5], [-1, 5]])
    assert camera.zone_of(points).tolist() == [0, 0, 1, -1, -1]
    assert camera.seconds(np.array([0, 5])).tolist() == [0, 0.5]


def test_what_cannot_be_is_refused(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="has a scene already"):
        Scene.create(scene.folder)
    with pytest.raises(EngineError, match="two cameras named c1"):
        Scene.create(tmp_path / "other", [Camera("c1"), Camera("c1")])
    assert not (tmp_path / "other" / DATABASE).exists()
    with pytest.raises(EngineError, match="cameras up to 2"):
        scene.add_detections(Boxes.of([1], np.ones((1, 4)), cameras=2), "x")
    with pytest.raises(EngineError, match="finite"):
        scene.add_detections(Boxes.of([1], [[1, 2, np.nan, 4]]), "x")
    count = len(scene.detections)
    for rows, tracklets, problem in (
        ([count], [1], "does not have"),
        ([0, 0], [1, 1], "two tracklets"),
        ([0, 1], [1, 1], "two cameras|one frame"),
        ([0], [-1], "from 0"),
    ):
        with pytest.raises(EngineError, match=problem):
            scene.add_result("bad", rows, tracklets)
    with pytest.raises(EngineError, match="named 'given'"):
        scene.add_result("given", [0], [1])
    assert [info.name for info in scene.results()] == ["given"]
    for name in ("", " "):
        with pytest.raises(EngineError, match="needs a name"):
            Camera(name)
    with pytest.raises(EngineError, match="three corners"):
        Zone("z", ((0, 0), (1, 1)))


def test_two_programs_do_not_mix_their_edits(scene: Scene) -> None:
    with Scene.open(scene.folder) as other:
        scene.edit(1, "confirm", edits.confirm(scene.state(1), 1))
        before = other.state(1).digest()
        with pytest.raises(EngineError, match="another program"):
            other.edit(1, "confirm", edits.confirm(other.state(1), 2))
        assert other.state(1).digest() == before


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    changed = {"cut": data[: len(data) // 2], "empty": b"", "text": b"hello" * 100}[kind]
    path.write_bytes(changed)


@pytest.mark.parametrize("kind", ["cut", "empty", "text"])
@pytest.mark.parametrize("name", [DATABASE, "boxes/000001/xywh.npy", "results/000001/rows.npy"])
def test_damage_is_reported(scene: Scene, name: str, kind: str) -> None:
    scene.close()
    damage(scene.folder / name, kind)
    with pytest.raises(EngineError) as caught, Scene.open(scene.folder) as again:
        again.state(1)
    assert caught.value.code is ErrorCode.BAD_FILE


def test_missing_columns_and_edits_are_reported(scene: Scene) -> None:
    scene.edit(1, "confirm", edits.confirm(scene.state(1), 1))
    with scene._database.transaction() as connection:
        connection.execute("UPDATE log SET delta = x'00ff'")
    scene.close()
    with pytest.raises(EngineError, match="an edit cannot be read"), Scene.open(scene.folder) as again:
        again.state(1)
    (scene.folder / "boxes/000001/scores.npy").unlink()
    with pytest.raises(EngineError, match="scores"), Scene.open(scene.folder) as again:
        again.detections  # noqa: B018
    with pytest.raises(EngineError, match="is no scene"):
        Scene.open(scene.folder / "boxes")
