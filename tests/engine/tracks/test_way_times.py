"""Times of ways between cameras, windows and clocks that follow; what the association makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.artifacts import ArtifactStore
from engine.job import Event, Finished, JobSpec
from engine.runner import run_job
from engine.tracks import edits
from engine.tracks import network_edits as say
from engine.tracks.boxes import Boxes, concatenate
from engine.tracks.cameras import Camera
from engine.tracks.scene import Scene
from engine.tracks.synthetic import make_scene
from engine.tracks.tracklets import TrackState
from engine.tracks.way_times import WayTimes, clocks, learnt_window, sure_times, way_times, zone_times
from tests.engine.tracks.test_association import LOOKS, passing, road


def state_of(truth: Boxes) -> TrackState:
    pairs, tracklets = np.unique(
        np.stack([truth.cameras, truth.tracks], axis=1), axis=0, return_inverse=True
    )
    names = tracklets.reshape(-1) + 10_000
    return TrackState(truth, names, {10_000 + n: int(who) for n, (_, who) in enumerate(pairs.tolist())})


def test_times_are_those_between_sights() -> None:
    boxes = concatenate(
        [passing(1, 0, 0, LOOKS[0]), passing(2, 1, 100, LOOKS[0]), passing(3, 2, 250, LOOKS[0])]
    )
    names = boxes.tracks
    state = TrackState(boxes, names, {1: 7, 2: 7, 3: 7})
    times = way_times(state, road(), sure=[(2, 3)])
    assert {way: own.seconds.tolist() for way, own in times.items()} == {
        (0, 1): [pytest.approx(7.1)], (1, 2): [pytest.approx(12.1)]
    }  # fmt: skip
    assert [own.sure.tolist() for own in times.values()] == [[False], [True]]
    state.apply(edits.link(state, 2, 1, edits.MUST))
    assert way_times(state, road())[0, 1].sure.tolist() == [True]
    state.apply(edits.confirm(state, 7))
    times = way_times(state, road())
    first, second, seconds = sure_times(times)
    assert (first.tolist(), second.tolist()) == ([0, 1], [1, 2])
    np.testing.assert_allclose(seconds, [7.1, 12.1])
    assert way_times(TrackState(boxes, names, {}), road()) == {}
    assert len(sure_times({})[2]) == 0


def test_a_window_is_learnt_from_sure_times_alone(rng: np.random.Generator) -> None:
    seconds = np.r_[20 + rng.random(10), 90.0, 91.0]
    times = {(0, 1): WayTimes(seconds, np.arange(12) < 10)}
    least, most = learnt_window(road(), times, 0, 1) or (0, 0)
    assert 15 < least < 20 < 21 < most < 25
    said = road()
    said = [say.with_window(said, 0, 1, (1, 2)).get(at, camera) for at, camera in enumerate(said)]
    assert learnt_window(said, times, 0, 1) == (least, most), "what would be, were it not said"
    assert learnt_window(road(), {(0, 1): WayTimes(seconds, np.arange(12) < 7)}, 0, 1) is None
    assert learnt_window(road(), {(0, 2): WayTimes(seconds, np.ones(12, bool))}, 0, 2) is None
    assert learnt_window(road(), {}, 0, 1) is None


@pytest.mark.parametrize("late", [0.0, 7.0, -3600.0])
def test_clocks_are_found_again(late: float) -> None:
    """Of a camera that is wrong by some seconds, from who is who in traffic both ways."""
    made = make_scene("medium", 21, seconds=400.0, cameras=4)
    right = list(made.cameras)
    wrong = [replace(c, offset=c.offset + late * (at == 2)) for at, c in enumerate(right)]
    found = clocks(wrong, zone_times(state_of(made.truth), wrong))
    assert found[0] is not None
    assert (found[0].offset, found[0].error) == (right[0].offset, 0)
    for at in (1, 2, 3):
        clock = found[at]
        assert clock is not None
        assert clock.times > 10
        assert 0 < clock.error < 3
        assert abs(clock.offset - right[at].offset) < max(3 * clock.error, 3), at


def test_clocks_of_one_way_roads_need_a_time_that_was_said(rng: np.random.Generator) -> None:
    cameras = [Camera("a"), Camera("b", offset=5.0), Camera("c")]
    times = {(0, 1): WayTimes(30 + rng.random(40), np.zeros(40, bool))}
    assert clocks(cameras, times) == [None, None, None]
    cameras = list(cameras)
    cameras[0] = say.with_window(cameras, 0, 1, (10, 14))[0]
    found = clocks(cameras, times)
    assert found[2] is None
    assert found[1] is not None
    assert found[1].offset == pytest.approx(5 + 12 - 30.5, abs=0.2)
    assert found[1].error == pytest.approx(1, abs=0.1)
    assert clocks(cameras, {(0, 1): WayTimes(np.zeros(2), np.zeros(2, bool))}) == [None] * 3


def test_the_job_takes_ways_and_times_from_the_scene(tmp_path: Path) -> None:
    """A window that is too short parts them; what a reviewer confirmed is learnt from."""
    boxes = concatenate(
        [
            part
            for at in range(9)
            for part in (
                passing(2 * at, 0, 400 * at, LOOKS[at]),
                passing(2 * at + 1, 1, 400 * at + (400 if at == 8 else 100 + at % 2), LOOKS[at]),
            )
        ]
    )
    store = ArtifactStore(tmp_path / "store")
    with Scene.create(tmp_path / "scene", road(2)) as scene:
        scene.add_detections(boxes.replace(tracks=-1), "made up")
        scene.add_result("given", np.arange(len(boxes)), boxes.tracks)

    def links(**options: bool) -> int:
        params = {"result": "given", "options": options}
        spec = JobSpec("tracks.associate", params, {"scene": tmp_path / "scene"}, device="cpu")
        events: list[Event] = []
        run_job(spec, "job", store, events.append, lambda: False)
        assert isinstance(events[-1], Finished), events[-1]
        return int(events[-1].metrics["links"])

    assert links(learn=False) == 9
    with Scene.open(tmp_path / "scene") as scene:
        scene.set_cameras(say.with_window(scene.cameras, 0, 1, (8, 30)), "Window")
    assert links(learn=False) == 0
    with Scene.open(tmp_path / "scene") as scene:
        scene.undo()
        state = scene.state(1)
        for at in range(8):
            scene.edit(1, "join", edits.reassign(state, [2 * at + 1], 2 * at))
            scene.edit(1, "confirm", edits.confirm(state, 2 * at))
        first, _, seconds = sure_times(way_times(state, scene.cameras))
        assert len(first) == 8
        assert seconds.tolist() == pytest.approx([7.1, 7.2] * 4)
    assert links(learn=False) == 1
    assert links() == 0, "37 seconds are not usual"
