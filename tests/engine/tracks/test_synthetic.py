"""The synthetic network: the same for one seed, honest, and as difficult as it says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.errors import EngineError
from engine.tracks.evaluate import evaluate
from engine.tracks.formats import read_tracks
from engine.tracks.scene import Scene
from engine.tracks.synthetic import PRESETS, PURPOSES, make_scene


@pytest.mark.parametrize("name", [*PRESETS, *PURPOSES])
def test_equal_seeds_make_equal_scenes_that_tell_nothing(name: str) -> None:
    made, again = (make_scene(name, 3, seconds=40) for _ in range(2))
    assert made.detections.equals(again.detections)
    assert made.truth.equals(again.truth)
    assert not made.detections.equals(make_scene(name, 4, seconds=40).detections)
    assert (made.detections.tracks == -1).all()
    assert made.detections.extra.keys() == {"features"}
    np.testing.assert_allclose(np.linalg.norm(made.detections.extra["features"], axis=1), 1, atol=1e-5)
    assert evaluate(made.truth, made.truth).figures["HOTA"] == 1
    assert made.truth.extra["visibility"].min() > 0.25
    corners = made.truth.xyxy()
    assert corners.min() >= 0
    assert corners[:, 2].max() <= 960.001
    assert corners[:, 3].max() <= 540.001


def test_a_hard_scene_has_the_size_and_the_mistakes_of_the_plan() -> None:
    made = make_scene("hard", 3)
    assert 10_000 < len(made.truth) < 50_000
    visible = make_scene("hard", 3).truth.extra["visibility"] > 0.7
    false = (made.sources == -1).mean()
    assert 0.03 < false < 0.07
    found = (made.sources >= 0).sum()
    assert 0.7 * len(made.truth) < found < 0.95 * len(made.truth)
    assert visible.mean() > 0.5
    several = {
        vehicle for vehicle in set(made.truth.tracks.tolist())
        if len(set(made.truth.cameras[made.truth.tracks == vehicle].tolist())) > 1
    }  # fmt: skip
    assert len(several) > 20


def separation(name: str) -> float:
    """How much more alike a vehicle's mean features of two passages are than those of two vehicles."""
    made = make_scene(name, 5)
    good = made.sources >= 0
    keys = np.stack([made.sources[good], made.detections.cameras[good]], axis=1)
    places, row = np.unique(keys, axis=0, return_inverse=True)
    sums = np.zeros((len(places), 64))
    np.add.at(sums, row.reshape(-1), made.detections.extra["features"][good])
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    alike = sums @ sums.T
    same = places[:, :1] == places[:, 0]
    cameras = places[:, 1:] != places[:, 1]
    rival = np.where(same, -1, alike).max(axis=1)
    own = np.where(same & cameras, alike, -1).max(axis=1)
    return float((own > rival)[(same & cameras).any(axis=1)].mean())


def test_presets_are_of_rising_difficulty() -> None:
    easy, medium, hard = (separation(name) for name in ("easy", "medium", "hard"))
    assert easy > 0.9
    assert easy > medium > hard
    assert hard < 0.5


def test_purposes() -> None:
    handover = make_scene("handover", 1)
    assert len(set(handover.truth.tracks.tolist())) == 5
    assert set(handover.truth.cameras.tolist()) == {0, 1}
    clock = make_scene("clock_off", 1)
    wrong = np.subtract(clock.clocks, [camera.offset for camera in clock.cameras])
    assert wrong.tolist() == pytest.approx([0, 7, 0])
    missing = make_scene("missing_camera", 1)
    times = missing.clocks[2] + missing.detections.frames[missing.detections.cameras == 2] / 10
    assert not ((times >= 20) & (times < 60)).any()
    assert make_scene("queue", 1).truth.extra["visibility"].min() < 0.9
    overlap = make_scene("overlap", 1)
    first = [(overlap.truth.cameras == at) & (overlap.truth.tracks == 0) for at in (0, 1)]
    starts = [
        overlap.clocks[at] + overlap.truth.frames[first[at]].min() / 10
        for at in (0, 1)
    ]  # fmt: skip
    assert abs(starts[1] - starts[0]) < 3


def test_unknown_scenes_are_refused() -> None:
    with pytest.raises(EngineError, match="no synthetic scene 'harder'"):
        make_scene("harder", 1)
    with pytest.raises(EngineError, match="1 to 200 cameras"):
        make_scene("hard", 1, cameras=0)


def test_the_command_writes_scene_and_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "demo")
    words = ["scene", "make", "--preset", "handover", "--seed", "2", "--out", out]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    made = make_scene("handover", 2)
    with Scene.open(said["scene"]) as scene:
        assert scene.cameras == made.cameras
        assert scene.detections.equals(made.detections)
    truth = read_tracks(said["truth"])
    assert len(truth.boxes) == said["true_boxes"] == len(made.truth)
    assert main(["evaluate", said["truth"], said["truth"], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["IDF1"] == 1
    assert main(words) == 2
