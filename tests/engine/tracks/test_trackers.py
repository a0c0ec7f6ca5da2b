"""All trackers: what must hold whatever they do, the job, the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.artifacts import ArtifactStore
from engine.cli import main
from engine.errors import EngineError
from engine.job import Cancelled, Failed, Finished, JobSpec, Progress
from engine.runner import run_job
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.evaluate import evaluate
from engine.tracks.formats import read_tracks
from engine.tracks.scene import Scene
from engine.tracks.synthetic import make_scene
from engine.tracks.trackers import TRACKERS, Tracked, track

NAMES = TRACKERS.names()


def walkers(count: int = 4, frames: int = 40, gap: range = range(0)) -> tuple[Boxes, np.ndarray]:
    """Objects that move evenly on lines of their own, in random order; and who is who."""
    rng = np.random.default_rng(0)
    looks = np.linalg.qr(rng.normal(size=(8, 8)))[0][:count]
    rows, who = [], []
    for frame in range(frames):
        for one in range(count):
            if one == 0 and frame in gap:
                continue
            rows.append([frame, 30 + 4 * frame, 150 * one, 60, 90])
            who.append(one)
    order = rng.permutation(len(rows))
    array, names = np.array(rows, float)[order], np.array(who)[order]
    features = looks[names] + 0.02 * rng.normal(size=(len(names), 8))
    boxes = Boxes.of(array[:, 0], array[:, 1:], scores=0.9, extra={"features": features})
    return boxes, names


def of_truth(found: Tracked, names: np.ndarray) -> set[tuple[int, int]]:
    """Which tracklets each true object is in."""
    return set(zip(names[found.rows].tolist(), found.tracklets.tolist(), strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_who_moves_evenly_is_followed_over_a_gap(name: str) -> None:
    boxes, names = walkers(gap=range(15, 21))
    found = track(boxes, name)
    assert len(found.rows) == len(boxes)
    assert len(of_truth(found, names)) == 4


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_detections_changes_nothing(name: str) -> None:
    scene = make_scene("hard", 5, seconds=20, cameras=2).detections
    shuffled = np.random.default_rng(1).permutation(len(scene))
    first, second = track(scene, name), track(scene.select(shuffled), name)
    ours = dict(zip(first.rows.tolist(), first.tracklets.tolist(), strict=True))
    theirs = dict(zip(shuffled[second.rows].tolist(), second.tracklets.tolist(), strict=True))
    assert ours == theirs


@pytest.mark.parametrize("name", NAMES)
def test_a_tracklet_is_in_one_camera_and_once_in_a_frame(name: str) -> None:
    scene = make_scene("hard", 6, seconds=60, cameras=3)
    found = track(scene.detections, name)
    own = scene.detections.select(found.rows)
    for tracklet in np.unique(found.tracklets):
        of_it = own.select(found.tracklets == tracklet)
        assert len(np.unique(of_it.cameras)) == 1
        assert len(np.unique(of_it.frames)) == len(of_it)
    linked = own.replace(tracks=found.tracklets)
    scores = [
        evaluate(scene.truth.select(scene.truth.cameras == c), linked.select(linked.cameras == c))
        for c in range(3)
    ]
    assert np.mean([score.figures["IDF1"] for score in scores]) > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_damaged_boxes_are_left_out_and_counted(name: str) -> None:
    boxes, names = walkers()
    xywh, features = boxes.xywh.copy(), np.array(boxes.extra["features"])
    xywh[0, 2], xywh[1, 0], features[2] = -5, np.nan, 0
    found = track(boxes.replace(xywh=xywh).with_extra(features=features), name)
    assert found.left_out["not finite"] == 1
    assert found.left_out["without area"] == 1
    assert found.left_out.get("without appearance", 0) == int(TRACKERS.get(name).needs_appearance)
    assert not {0, 1} & set(found.rows.tolist())
    assert len(of_truth(found, names)) == 4


@pytest.mark.parametrize("name", NAMES)
def test_little_is_enough(name: str) -> None:
    assert len(track(Boxes.empty(), name).rows) == 0
    boxes, _ = walkers(frames=1)
    assert len(track(boxes.select(slice(0, 0)), name).rows) == 0
    assert len(track(boxes, name).rows) in (0, 4)


def test_wrong_settings_and_missing_appearance_are_named() -> None:
    boxes, _ = walkers(frames=3)
    with pytest.raises(EngineError, match="no tracker called 'jed'"):
        track(boxes, "jed")
    with pytest.raises(EngineError, match="memory"):
        track(boxes, "jde", {"memory": -1})
    plain = Boxes(**boxes.columns())
    with pytest.raises(EngineError, match="these boxes have none"):
        track(plain, "jde")
    assert len(track(plain, "bytetrack").rows) == len(plain)


def made(folder: Path) -> Path:
    """A scene's folder."""
    scene = make_scene("easy", 3, seconds=60, cameras=2)
    with Scene.create(folder / "scene", scene.cameras) as stored:
        stored.add_detections(scene.detections, "made up")
    return folder / "scene"


def test_the_job_stores_a_result_and_can_be_cancelled(tmp_path: Path) -> None:
    folder, store = made(tmp_path), ArtifactStore(tmp_path / "store")
    events: list[Any] = []
    spec = JobSpec("tracks.track", {"tracker": "jde"}, {"scene": folder}, device="cpu")
    run_job(spec, "job", store, events.append, lambda: False)
    assert isinstance(events[-1], Finished)
    assert any(isinstance(event, Progress) and "Frame" in event.stage for event in events)
    run_job(spec, "again", store, events.append, lambda: False)
    with Scene.open(folder) as scene:
        assert [info.name for info in scene.results()] == ["jde", "jde 2"]
        state = scene.state(scene.results()[0].id)
        assert len(state.tracklets) == events[-1].metrics["tracklets"]
    cancelled: list[Any] = []
    run_job(spec, "no", store, cancelled.append, lambda: True)
    assert isinstance(cancelled[-1], Cancelled)
    with Scene.open(folder) as scene:
        assert len(scene.results()) == 2
    nowhere = JobSpec("tracks.track", {}, {"scene": tmp_path / "none"}, device="cpu")
    run_job(nowhere, "none", store, events.append, lambda: False)
    assert isinstance(events[-1], Failed)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = made(tmp_path)
    words = ["track", str(folder), "--set", "memory=20", "--set", "repair=null", "--json"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    said = json.loads(capsys.readouterr().out)
    tracks = read_tracks(said["files"][0])
    assert len(tracks.boxes) == said["boxes"]
    assert len(tracks.cameras) == 2
    assert main(["track", str(folder), "--set", "memory", "--json"]) == 2
    assert "no setting" in json.loads(capsys.readouterr().out)["error"]["message"]


def test_imported_tracks_are_not_detections(tmp_path: Path) -> None:
    boxes, names = walkers()
    with Scene.create(tmp_path / "scene", (Camera("a"),)) as scene:
        scene.import_tracks(boxes.replace(tracks=names), "theirs", "a file")
    events: list[Any] = []
    spec = JobSpec("tracks.track", {}, {"scene": tmp_path / "scene"}, device="cpu")
    run_job(spec, "job", ArtifactStore(tmp_path / "s"), events.append, lambda: False)
    assert isinstance(events[-1], Failed)
    assert "no detections" in events[-1].error.message
