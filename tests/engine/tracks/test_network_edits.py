"""What somebody says about cameras, and what the association makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks import network_edits as say
from engine.tracks.association import AssociateOptions, associate
from engine.tracks.boxes import concatenate
from engine.tracks.camera_graph import learnt_ways, possible_pairs, ways_of
from engine.tracks.cameras import Camera, Window, Zone
from engine.tracks.scene import Scene
from engine.tracks.synthetic import make_scene
from engine.tracks.trackers import track
from engine.tracks.visits import OUTSIDE, UNKNOWN, places_of, visits_of
from engine.tracks.zones import arms_of
from tests.engine.tracks.test_association import LOOKS, passing, road, seen


def applied(cameras: list[Camera], changed: dict[int, Camera]) -> list[Camera]:
    return [changed.get(at, camera) for at, camera in enumerate(cameras)]


def test_names_of_zones_are_followed() -> None:
    cameras = applied(road(), say.with_way(road(), (0, 1), (1, 0)))
    assert cameras[0].zones[1].leads_into == "left"
    renamed = say.with_zone(cameras, 1, 0, replace(cameras[1].zones[0], name="west"))
    assert set(renamed) == {0, 1}
    cameras = applied(cameras, renamed)
    assert cameras[0].zones[1].leads_into == "west"
    gone = say.without_zone(cameras, 1, 0)
    assert (gone[0].zones[1].leads_to, gone[0].zones[1].leads_into) == ("c1", "")
    assert [zone.name for zone in gone[1].zones] == ["right"]
    assert say.free_zone_name(cameras[0]) == "Zone 3"
    assert say.free_zone_name(cameras[0], "left") == "left 2"
    assert say.free_zone_name(cameras[0], "north") == "north"


def test_zones_are_copied_to_the_other_pictures_size() -> None:
    cameras = [*road(2), Camera("c2", width=600, height=150)]
    cameras = applied(cameras, say.with_way(cameras, (0, 1), (1, 0)))
    (changed,) = say.copied_zones(cameras, 0, 2).items()
    assert changed[0] == 2
    assert changed[1].zones[1] == Zone("right", ((400, 0), (600, 0), (600, 150), (400, 150)))
    renamed = applied(cameras, say.with_zone(cameras, 1, 0, replace(cameras[1].zones[0], name="west")))
    assert say.copied_zones(renamed, 0, 1)[0].zones[1].leads_into == ""
    with pytest.raises(EngineError, match="own"):
        say.copied_zones(cameras, 0, 0)


def test_ways_are_said_and_taken_back() -> None:
    cameras = [Camera("a", zones=road()[0].zones), Camera("b"), Camera("c")]
    cameras = [replace(c, zones=tuple(replace(z, leads_to="") for z in c.zones)) for c in cameras]
    cameras = applied(cameras, say.with_way(cameras, (0, 1), (1, None)))
    cameras = applied(cameras, say.with_way(cameras, (1, None), (2, None)))
    assert cameras[1].neighbours == ("c",)
    cameras = applied(cameras, say.with_window(cameras, 0, 1, (5, 9)))
    ways = ways_of(cameras)
    assert (ways.least[0, 1], ways.most[0, 1], ways.least[1, 2], ways.most[1, 2]) == (5, 9, 0, 120)
    assert np.argwhere(ways.fixed).tolist() == [[0, 1]]
    assert np.isnan(ways.least[1, 0])
    with pytest.raises(EngineError, match="already"):
        say.with_way(cameras, (0, 1), (1, None))
    with pytest.raises(EngineError, match="already"):
        say.with_way(cameras, (1, None), (2, None))
    with pytest.raises(EngineError, match="another camera"):
        say.with_way(cameras, (0, 1), (0, 0))
    with pytest.raises(EngineError, match="cannot take 9 to 9"):
        say.with_window(cameras, 0, 1, (9, 9))
    moved = applied(cameras, say.with_way(cameras, (0, 1), (2, None)))
    assert moved[0].windows == (), "the way it was about is gone"
    assert say.with_window(cameras, 0, 1, None)[0].windows == ()
    gone = applied(cameras, say.without_way(cameras, 0, 1))
    assert gone[0].zones[1].leads_to == ""
    assert gone[0].windows == ()
    with pytest.raises(EngineError, match="does not lead"):
        say.without_way(gone, 0, 1)
    dull = [replace(cameras[0], zones=(replace(cameras[0].zones[0], ignored=True),)), *cameras[1:]]
    with pytest.raises(EngineError, match="ignored"):
        say.with_way(dull, (0, 0), (1, None))


def test_one_way_roads() -> None:
    """Nothing leads back, so a zone says where things come from by what leads into it."""
    cameras = road()
    cameras = applied(cameras, say.with_way(cameras, (0, 1), (1, 0)))
    cameras = applied(cameras, say.without_way(cameras, 1, 0))
    came, went = places_of(cameras, 1)
    assert came.tolist() == [0, 2, UNKNOWN]
    assert went.tolist() == [OUTSIDE, 2, UNKNOWN]
    cameras = applied(cameras, say.with_way(cameras, (2, 0), (1, 0)))
    assert places_of(cameras, 1)[0].tolist() == [UNKNOWN, 2, UNKNOWN], "two lead into it"


def test_what_is_said_is_kept_and_taken_back(tmp_path: Path) -> None:
    with Scene.create(tmp_path / "scene", road()) as scene:
        scene.set_cameras(say.with_overlap(scene.cameras, 0, 2, True), "Overlap")
        scene.set_cameras(say.with_place(scene.cameras, 1, 30, 40), "Moved")
        scene.set_cameras(say.with_window(scene.cameras, 1, 2, (-2, 8.5)), "Window")
        scene.set_cameras(say.with_offset(scene.cameras, 1, 3600), "Clock")
        scene.set_zones(0, [replace(scene.cameras[0].zones[0], leads_into="x", ignored=True)])
        before = scene.cameras
    with Scene.open(tmp_path / "scene") as scene:
        assert scene.cameras == before
        assert (before[0].overlaps, before[2].overlaps) == (("c2",), ("c0",))
        assert before[1].windows == (Window("c2", -2, 8.5),)
        assert before[1].place == (30, 40)
        for _ in range(5):
            scene.undo()
        assert scene.cameras == tuple(road())
        again = say.with_overlap(before, 2, 0, False)
        assert again[0].overlaps == again[2].overlaps == ()
        with pytest.raises(EngineError, match="number of seconds"):
            say.with_offset(before, 0, np.inf)
        with pytest.raises(EngineError, match="sees what it sees"):
            say.with_overlap(before, 0, 0, True)


def test_windows_that_were_said_are_used_and_not_learnt() -> None:
    cameras = applied(road(2), say.with_window(road(2), 0, 1, (10, 30)))
    there = np.zeros(40, np.int64)
    ways = learnt_ways(ways_of(cameras), there, there + 1, np.linspace(20, 21, 40))
    assert (ways.least[0, 1], ways.most[0, 1]) == (10, 30)
    visits = seen((0, OUTSIDE, 1, 0, 5), (1, 0, OUTSIDE, 14, 19), (1, 0, OUTSIDE, 40, 45))
    pairs = possible_pairs(visits, ways_of(cameras))
    assert list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == []
    visits = seen((0, OUTSIDE, 1, 0, 5), (1, 0, OUTSIDE, 16, 19), (1, 0, OUTSIDE, 30, 45))
    assert len(possible_pairs(visits, ways_of(cameras))) == 2

    boxes = concatenate([passing(1, 0, 0, LOOKS[0]), passing(2, 1, 100, LOOKS[0])])  # 7.1 s apart
    for window, count in (((1, 10), 1), ((8, 30), 2)):
        told = applied(road(2), say.with_window(road(2), 0, 1, window))
        found = associate(visits_of(boxes, told), told, AssociateOptions())
        assert len(set(found.identities.tolist())) == count


def test_what_two_cameras_see_at_once_needs_no_arm() -> None:
    cameras = [replace(camera, zones=()) for camera in road(2)]
    told = applied(cameras, say.with_overlap(cameras, 0, 1, True))
    boxes = concatenate([passing(1, 0, 0, LOOKS[0]), passing(2, 1, 12, LOOKS[0])])
    found = associate(visits_of(boxes, told), told)
    assert found.identities.tolist() == [0, 0]
    assert found.links.place[0] == 0.5, "no time of these is odd"
    late = concatenate([passing(1, 0, 0, LOOKS[0]), passing(2, 1, 200, LOOKS[0])])
    assert len(set(associate(visits_of(late, told), told).identities.tolist())) == 2
    with pytest.raises(EngineError, match="No zone leads"):
        associate(visits_of(boxes, cameras), cameras, AssociateOptions(zones="on"))


def test_the_crossing_of_two_cameras() -> None:
    """The purpose scene: it is one crossing, so that zones between the two would be wrong."""
    made = make_scene("overlap", 1)
    found = track(made.detections, "jde")
    boxes = made.detections.select(found.rows).replace(tracks=found.tracklets)
    bare = [
        replace(c, zones=tuple(replace(z, leads_to="") for z in c.zones), neighbours=())
        for c in made.cameras
    ]
    told = applied(bare, say.with_overlap(bare, 0, 1, True))
    links = associate(visits_of(boxes, told), told).links
    assert len(links) == 6
    assert (links.seconds < 0).all()


def test_ignored_zones_say_nothing() -> None:
    cameras = road(2)
    dull = [cameras[0], replace(cameras[1], zones=(*cameras[1].zones,))]
    dull[1] = say.with_zone(dull, 1, 0, replace(dull[1].zones[0], ignored=True))[1]
    boxes = concatenate(
        [
            passing(1, 1, 0, LOOKS[0]),
            passing(2, 1, 50, LOOKS[1], rows=range(6)),  # never leaves it
        ]
    )
    visits = visits_of(boxes, dull)
    assert visits.tracklets == ((1,),)
    assert visits.came_from.tolist() == [UNKNOWN]
    assert len(visits_of(boxes, cameras)) == 2
    assert arms_of(dull, 1)[0] == 0
