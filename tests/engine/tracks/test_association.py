"""Association over any network of cameras: visits, ways, clusters, the job and the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from engine.artifacts import ArtifactStore
from engine.cli import main
from engine.errors import EngineError
from engine.job import Cancelled, Failed, Finished, JobSpec
from engine.runner import run_job
from engine.tracks import edits
from engine.tracks.associate_job import AssociateParams
from engine.tracks.association import AssociateOptions, _clusters, associate, missing
from engine.tracks.boxes import Boxes, concatenate
from engine.tracks.camera_graph import Pairs, Ways, learnt_ways, possible_pairs, routes, ways_of
from engine.tracks.cameras import Camera, Zone
from engine.tracks.edits import CANNOT, MUST
from engine.tracks.evaluate_network import evaluate_network
from engine.tracks.multi_camera import complete_linkage
from engine.tracks.scene import Scene
from engine.tracks.synthetic import make_scene
from engine.tracks.trackers import track
from engine.tracks.visits import OUTSIDE, UNKNOWN, Visits, best_successors, visits_of


def road(count: int = 3) -> list[Camera]:
    """Cameras in a row; objects go through the left and the right third of the picture."""

    def zone(name: str, x: float, at: int) -> Zone:
        corners = ((x, 0.0), (x + 100, 0.0), (x + 100, 300.0), (x, 300.0))
        return Zone(name, corners, f"c{at}" if 0 <= at < count else "")

    return [
        Camera(
            f"c{at}", 0.0, 10.0, 300, 300, zones=(zone("left", 0, at - 1), zone("right", 200, at + 1))
        )
        for at in range(count)
    ]


def passing(
    tracklet: int, camera: int, first: int, look: Any, *, back: bool = False, rows: range = range(30)
) -> Boxes:
    """Something that crosses a picture from left to right in thirty frames (or back)."""
    at = np.array(rows)
    x = 10.0 * (29 - at if back else at)
    xywh = np.stack(
        [x, np.full(len(at), 100.0), np.full(len(at), 40.0), np.full(len(at), 60.0)], axis=1
    )
    looks = np.tile(np.asarray(look, np.float64), (len(at), 1))
    return Boxes.of(first + at, xywh, tracks=tracklet, cameras=camera, extra={"features": looks})


LOOKS = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]


# --- visits ---------------------------------------------------------------------------------------


def test_a_visit_tells_where_and_when() -> None:
    boxes = concatenate(
        [
            passing(4, 1, 100, LOOKS[0]),
            passing(9, 0, 50, LOOKS[1], back=True),
            passing(2, 1, 0, LOOKS[2], rows=range(12, 18)),
        ]
    )
    found = visits_of(boxes.select(np.random.default_rng(1).permutation(len(boxes))), road())
    place = {names[0]: at for at, names in enumerate(found.tracklets)}
    through, back, middle = (place[name] for name in (4, 9, 2))
    assert (found.came_from[through], found.went_to[through]) == (0, 2)
    assert (found.came_from[back], found.went_to[back]) == (1, OUTSIDE)
    assert (found.came_from[middle], found.went_to[middle]) == (UNKNOWN, UNKNOWN)
    assert (found.t_in[through], found.t_out[through]) == (10.0, 12.9)
    np.testing.assert_allclose(found.looks[through], LOOKS[0])


@pytest.mark.parametrize(
    ("second", "rows", "look", "together"),
    [
        (2, range(12, 30), 0, True),  # it was lost for four frames
        (120, range(11, 30), 0, True),  # it stood hidden for twelve seconds
        (300, range(11, 30), 0, False),  # too long
        (-12, range(25, 30), 0, False),  # too far away
        (2, range(12, 30), 1, False),  # something else
        (-3, range(10, 30), 0, False),  # at the same time
    ],
)
def test_parts_of_one_visit(second: int, rows: range, look: int, together: bool) -> None:
    one = passing(1, 0, 0, LOOKS[0], rows=range(10))
    boxes = concatenate([one, passing(2, 0, second, LOOKS[look], rows=rows)])
    assert len(visits_of(boxes, road())) == (1 if together else 2)
    assert len(visits_of(boxes, road(), join_parts=False)) == 2
    assert len(visits_of(boxes, road(), apart=[(2, 1)])) == 2


def test_appearances_that_are_missing() -> None:
    boxes = passing(1, 0, 0, LOOKS[0])
    looks = np.array(boxes.extra["features"])
    looks[3] = np.nan
    found = visits_of(boxes.with_extra(features=looks), road())
    np.testing.assert_allclose(found.looks[0], LOOKS[0])
    with pytest.raises(EngineError, match="no appearances"):
        visits_of(Boxes(**boxes.columns()), road())
    assert len(visits_of(boxes.select(slice(0, 0)), road())) == 0


def test_successors_gain_most_together(rng: np.random.Generator) -> None:
    pairs = np.unique(rng.integers(0, 12, (40, 2)), axis=0)
    gains = rng.random(len(pairs)) + 0.1
    found = best_successors(pairs, gains, 12)
    table = np.zeros((12, 12))
    table[pairs[:, 0], pairs[:, 1]] = gains
    assert len(np.unique(found[:, 0])) == len(np.unique(found[:, 1])) == len(found)
    best = table[linear_sum_assignment(-table)].sum()
    assert table[found[:, 0], found[:, 1]].sum() == pytest.approx(best)


# --- ways -----------------------------------------------------------------------------------------


def test_routes_go_round_and_take_the_quickest_way() -> None:
    """A ring of four cameras: both ways round, by the arm that is left through."""
    least = np.full((4, 4), np.nan)
    for at in range(4):
        least[at, (at + 1) % 4], least[at, (at - 1) % 4] = 5.0, 7.0
    found = routes(Ways(least, least + 10), dwell=3)
    assert found[0, 1, 1, 0] == (5, 15)
    assert found[0, 1, 2, 1] == (10, 33)
    assert found[0, 3, 2, 3] == (14, 37)
    assert found[0, 3, 1, 2] == (21, 57)
    assert not any(camera == other for camera, _, other, _ in found)
    assert not routes(ways_of([Camera("alone")]))


def seen(*rows: tuple[int, int, int, float, float], looks: Any = None) -> Visits:
    """Visits as (camera, came from, went to, from, until)."""
    camera, came, went, t_in, t_out = (np.array(column) for column in zip(*rows, strict=True))
    names = tuple((at,) for at in range(len(rows)))
    looks = LOOKS[: len(rows)] if looks is None else np.asarray(looks)
    return Visits(names, camera, came, went, t_in.astype(float), t_out.astype(float), looks)


@pytest.mark.parametrize(
    ("first", "second", "possible"),
    [
        ((0, OUTSIDE, 1, 0, 5), (1, 0, 2, 20, 25), True),
        ((0, OUTSIDE, 1, 0, 5), (1, 0, 2, 200, 205), False),  # too late
        ((0, OUTSIDE, 1, 0, 5), (1, 0, 2, 3, 8), False),  # too early
        ((0, OUTSIDE, 1, 0, 5), (1, 2, 0, 20, 25), False),  # it came from the other side
        ((1, 2, OUTSIDE, 0, 5), (2, 1, OUTSIDE, 20, 25), False),  # it left
        ((1, 0, UNKNOWN, 0, 5), (2, 1, OUTSIDE, 20, 25), True),  # nobody knows
        ((0, OUTSIDE, 1, 0, 5), (2, 1, OUTSIDE, 250, 255), True),  # missed at the camera between
        ((0, OUTSIDE, 1, 0, 5), (2, 1, OUTSIDE, 300, 305), False),
        ((1, 0, 2, 0, 5), (1, 0, 2, 20, 25), False),  # one camera
    ],
)
def test_what_can_be_one_object(first: Any, second: Any, possible: bool) -> None:
    pairs = possible_pairs(seen(first, second), ways_of(road()))
    assert [(0, 1)] * possible == list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def test_cameras_that_see_one_place_need_a_negative_least_time() -> None:
    visits = seen((0, OUTSIDE, 1, 0, 6), (1, 0, OUTSIDE, 1, 7))
    assert len(possible_pairs(visits, ways_of(road(2)))) == 0
    pairs = possible_pairs(visits, ways_of(road(2), least=-6.0))
    assert pairs.gaps.tolist() == [-5.0]
    assert pairs.first.tolist() == [0]  # the other way round is against time


def test_windows_are_learnt_from_enough_times(rng: np.random.Generator) -> None:
    ways = ways_of(road())
    seconds = 20 + rng.random(40)
    there = np.zeros(40, np.int64)
    found = learnt_ways(ways, there, there + 1, seconds)
    assert 18 < found.least[0, 1] < seconds.min() < seconds.max() < found.most[0, 1] < 23
    assert (found.least[1, 0], found.most[1, 0]) == (0, 120)
    few = learnt_ways(ways, there[:7], there[:7] + 1, seconds[:7])
    assert (few.least[0, 1], few.most[0, 1]) == (0, 120)
    nowhere = learnt_ways(ways, there, there + 2, seconds)  # there is no way without another camera
    assert np.isnan(nowhere.least[0, 2])


# --- clusters -------------------------------------------------------------------------------------


def test_clusters_are_those_of_the_whole_matrix(rng: np.random.Generator) -> None:
    """Only near pairs are looked at, and nothing is lost by it."""
    for cut in (0.2, 0.5):
        distance = rng.random((40, 40))
        distance = np.minimum(distance, distance.T)
        allowed = np.triu(rng.random((40, 40)) < 0.4, 1)
        first, second = np.nonzero(allowed)
        ignored = np.zeros(len(first))
        pairs = Pairs(first, second, ignored, ignored, ignored)
        found = _clusters(pairs, 1 - distance[first, second], cut, 40)
        whole = complete_linkage(np.where(allowed | allowed.T, distance, 4.0), cut)
        both = len(set(zip(found.tolist(), whole.tolist(), strict=True)))
        assert both == len(np.unique(found)) == len(np.unique(whole)) > 5


def test_objects_along_a_road_in_both_directions() -> None:
    ahead = [(at, at - 1, at + 1 if at < 2 else OUTSIDE, 30 * at, 30 * at + 5) for at in range(3)]
    back = [(at, at + 1 if at < 2 else OUTSIDE, at - 1, 90 - 30 * at, 95 - 30 * at) for at in range(3)]
    looks = np.repeat(LOOKS[:2], 3, axis=0)
    others = [
        (at, OUTSIDE, OUTSIDE, 10 * at, 10 * at + 5) for at in range(3)
    ]  # for the cameras' own look
    visits = seen(*ahead, *back, *others, looks=np.concatenate([looks, LOOKS[2:5]]))
    found = associate(visits, road())
    assert found.identities[:3].tolist() == [found.identities[0]] * 3
    assert found.identities[3:6].tolist() == [found.identities[3]] * 3
    assert len(np.unique(found.identities)) == 5
    assert sorted(zip(found.links.first.tolist(), found.links.second.tolist(), strict=True)) == [
        (0, 1), (1, 2), (4, 3), (5, 4),
    ]  # fmt: skip
    np.testing.assert_allclose(found.links.seconds, 25)
    np.testing.assert_allclose(found.links.place, 25 / 120)
    never = associate(visits, road(), apart=[(1, 0)])
    assert never.identities[0] != never.identities[1]
    without = associate(visits, road(), AssociateOptions(zones="off"))
    assert without.identities[:3].tolist() == [without.identities[0]] * 3


def test_margins_are_to_the_next_best_at_the_same_camera() -> None:
    """The second of two that come could be it as well; the third looks like nothing of the kind."""
    near = 0.9 * LOOKS[0] + np.sqrt(1 - 0.81) * LOOKS[1]
    rows = [(0, OUTSIDE, 1, 0, 5), *((1, 0, OUTSIDE, at, at + 5) for at in (30, 40, 50))]
    found = associate(seen(*rows, looks=[LOOKS[0], LOOKS[0], near, LOOKS[2]]), road(2))
    assert list(zip(found.links.first.tolist(), found.links.second.tolist(), strict=True)) == [(0, 1)]
    np.testing.assert_allclose(found.links.margin, 0.1)
    alone = associate(seen(*rows[:2], looks=[LOOKS[0], LOOKS[0]]), road(2))
    assert alone.links.margin.tolist() == [np.inf]


def test_nothing_one_visit_and_no_zones() -> None:
    nothing = Visits(
        (), *(np.zeros(0, np.int64) for _ in range(3)), np.zeros(0), np.zeros(0), np.zeros((0, 4))
    )
    assert len(associate(nothing, road()).identities) == 0
    assert associate(seen((0, OUTSIDE, 1, 0, 5)), road()).identities.tolist() == [0]
    plain = [Camera("a"), Camera("b")]
    with pytest.raises(EngineError, match="No zone leads to another camera"):
        associate(seen((0, UNKNOWN, UNKNOWN, 0, 5)), plain, AssociateOptions(zones="on"))
    assert (
        len(associate(seen((0, UNKNOWN, UNKNOWN, 0, 5)), plain, AssociateOptions(zones="off")).links)
        == 0
    )


@pytest.mark.parametrize(("name", "least"), [("handover", 0.99), ("hard", 0.7)])
def test_synthetic_networks(name: str, least: float) -> None:
    """Handover is solved; a short hard scene as well as its tracklets allow."""
    scene = make_scene(name, 4, seconds=75, cameras=4)
    tracked = track(scene.detections, "jde")
    boxes = scene.detections.select(tracked.rows).replace(tracks=tracked.tracklets)
    visits = visits_of(boxes, scene.cameras)
    for learn in (False, True):
        found = associate(visits, scene.cameras, AssociateOptions(learn=learn))
        identity = np.zeros(int(boxes.tracks.max()) + 1, np.int64)
        for names, one in zip(visits.tracklets, found.identities, strict=True):
            identity[list(names)] = one
        predicted = boxes.replace(tracks=identity[boxes.tracks])
        cameras = [camera.name for camera in scene.cameras]
        result = evaluate_network(scene.truth, predicted, cameras, several_cameras_only=True)
        assert result.network.figures["IDF1"] > least


@pytest.mark.slow
def test_learnt_times_help_where_there_is_enough_to_learn_from() -> None:
    """Ten minutes; every true passage is a tracklet, so that only the association counts."""
    scene = make_scene("hard", 41, seconds=600)
    real = scene.sources >= 0
    boxes, sources = scene.detections.select(real), scene.sources[real]
    keys = np.stack([sources, boxes.cameras], axis=1)
    passages, tracklets = np.unique(keys, axis=0, return_inverse=True)
    visits = visits_of(boxes.replace(tracks=tracklets.reshape(-1)), scene.cameras, join_parts=False)
    vehicles = passages[[names[0] for names in visits.tracklets], 0]

    def figure(learn: bool) -> float:
        """F1 over pairs."""
        found = associate(visits, scene.cameras, AssociateOptions(learn=learn)).identities
        same, true = (labels[:, None] == labels for labels in (found, vehicles))
        extra = len(vehicles)  # everything is with itself
        return float(2 * ((same & true).sum() - extra) / (same.sum() + true.sum() - 2 * extra))

    assert figure(True) > figure(False) > 0.97


def test_what_is_missing_is_told_where_it_is_sure() -> None:
    cameras = [replace(camera, frames=3000) for camera in road()]
    rows = [
        (0, OUTSIDE, 1, 0, 5),  # should be at the second until 125
        (1, 2, OUTSIDE, 200, 205),  # should have been at the third from 80
        (2, 1, OUTSIDE, 60, 65),  # may have been there before the video began
        (0, OUTSIDE, 1, 250, 255),  # may come after the end
        (1, UNKNOWN, OUTSIDE, 100, 105),
    ]
    visits = seen(*rows)
    found = associate(visits, cameras)
    told = [(one.visit, one.camera, one.start, one.end) for one in missing(visits, found, cameras)]
    assert told == [(0, 1, 5, 125), (1, 2, 80, 200)]
    linked = seen((0, OUTSIDE, 1, 0, 5), (1, 0, OUTSIDE, 30, 35), looks=LOOKS[[0, 0]])
    assert missing(linked, associate(linked, cameras), cameras) == []


# --- job and command ------------------------------------------------------------------------------


def stored(folder: Path) -> Path:
    """A scene in which two vehicles pass three cameras, tracked; the newest result has zones."""
    parts = [
        passing(10 * one + camera, camera, 250 * camera + 40 * one, LOOKS[one])
        for one in range(2)
        for camera in range(3)
    ]
    # What else is there shows what the cameras themselves look like.
    parts += [
        passing(50 + camera, camera, 700, LOOKS[5 + camera], rows=range(12, 18)) for camera in range(3)
    ]
    boxes = concatenate(parts)
    with Scene.create(folder / "scene", road()) as scene:
        rows = scene.add_detections(boxes.replace(tracks=-1), "made up")
        scene.add_result("tracked", np.arange(rows.start, rows.stop), boxes.tracks)
    return folder / "scene"


def run(folder: Path, **params: Any) -> tuple[Any, ArtifactStore]:
    events: list[Any] = []
    store = ArtifactStore(folder.parent / "store")
    spec = JobSpec("tracks.associate", params, {"scene": folder}, device="cpu")
    run_job(spec, "job", store, events.append, lambda: False)
    return events[-1], store


def test_the_job_adds_a_result(tmp_path: Path) -> None:
    folder = stored(tmp_path)
    done, _ = run(folder)
    assert isinstance(done, Finished), done
    assert (
        done.metrics["tracklets"],
        done.metrics["identities"],
        done.metrics["in_several_cameras"],
    ) == (9, 5, 2)
    assert done.metrics["links"] == 4
    with Scene.open(folder) as scene:
        state = scene.state(done.metrics["result"])
        assert scene.results()[-1].about["associated"] == "tracked"
        members = [len(state.members(identity)) for identity in state.identities]
        assert sorted(members) == [1, 1, 1, 3, 3]
        assert not set(state.identities) & set(state.tracklets)
        assert set(scene.state(scene.results()[0].id).identities) == {0, 1, 2, 10, 11, 12, 50, 51, 52}


def test_what_the_reviewer_said_is_respected(tmp_path: Path) -> None:
    folder = stored(tmp_path)
    with Scene.open(folder) as scene:
        state = scene.state(1)
        scene.edit(1, "link", edits.link(state, 0, 1, CANNOT))
        scene.edit(1, "link", edits.link(state, 50, 51, MUST))
        scene.edit(1, "confirm", edits.confirm(state, 11))
    done, _ = run(folder, result="tracked", name="again")
    with Scene.open(folder) as scene:
        state = scene.state(done.metrics["result"])
        frames = {
            name: (state.camera_of(name), int(state.tracklet_boxes(name).frames[0]))
            for name in state.tracklets
        }
        by_place = {place: state.identity_of(name) for name, place in frames.items()}
        assert scene.results()[-1].name == "again"
    assert by_place[0, 0] != by_place[1, 250]
    assert by_place[0, 712] == by_place[1, 712]
    assert list(by_place.values()).count(by_place[1, 290]) == 1  # confirmed: alone


def test_the_job_says_what_is_missing(tmp_path: Path) -> None:
    folder = stored(tmp_path)
    failed, _ = run(folder, result="other")
    assert isinstance(failed, Failed)
    assert "has no result 'other'" in failed.error.message
    with Scene.create(tmp_path / "new", road()):
        pass
    failed, _ = run(tmp_path / "new")
    assert "no tracks that could be associated" in failed.error.message
    stopped: list[Any] = []
    spec = JobSpec("tracks.associate", AssociateParams().model_dump(), {"scene": folder}, device="cpu")
    run_job(spec, "job", ArtifactStore(tmp_path / "s"), stopped.append, lambda: True)
    assert isinstance(stopped[-1], Cancelled)
    with Scene.open(folder) as scene:
        assert len(scene.results()) == 1


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = stored(tmp_path)
    assert main(["associate", str(folder), "--out", str(tmp_path / "out"), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    links = json.loads(Path(said["files"][0]).read_text())["links"]
    assert len(links) == said["links"] == 4
    assert {(link["from"], link["to"]) for link in links} == {("c0", "c1"), ("c1", "c2")}
    assert main(["associate", str(folder), "--least", "nan", "--json", "--out", str(tmp_path)]) != 0
    capsys.readouterr()
    words = ["associate", str(folder), "--result", "tracked", "--zones", "off", "--out", str(tmp_path)]
    assert main(words) == 0
    assert "2 of them in several cameras" in capsys.readouterr().err
