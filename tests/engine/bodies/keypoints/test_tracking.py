"""People keep their numbers; the clip of somebody who walks in, stands and leaves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.bodies.keypoints.blazepose import BlazePose, Found
from engine.bodies.keypoints.person import Person
from engine.bodies.keypoints.pictures import Picture
from engine.bodies.keypoints.regions import Region
from engine.bodies.keypoints.tracking import Tracker, follow
from engine.errors import EngineError
from engine.video import VideoFile
from tests.engine.bodies.keypoints.figure import a_person

FRAME = np.zeros((300, 1000, 3), np.uint8)


def at(x: float) -> Person:
    person = a_person()
    keypoints = person.keypoints + np.array([x, 0, 0])
    return replace(person, keypoints=keypoints, box=person.box + np.array([x, 0, x, 0]))


class Scripted:
    """A detector of which it is known where people are; frames are counted by calls."""

    name, licence, layout = "scripted", "none", "blazepose33"

    def __init__(self, places: list[list[float]]) -> None:
        self.places = iter(places)

    def detect(self, picture: Picture) -> list[Person]:
        return [at(x) for x in next(self.places)]


class ScriptedRegions(BlazePose):
    """The same for the way by regions; it counts how often the whole picture was looked at."""

    def __init__(self, places: list[list[float]]) -> None:
        self.places, self.frame = places, -1
        self.searches = self.glances = self.looks = 0

    def look(self, picture: Picture, region: Region) -> Found | None:
        self.looks += 1
        for x in self.places[self.frame]:
            if abs(region.x - (200 + x)) < 40:
                return Found(at(x), Region(200 + x, 150.0, 200.0))
        return None

    def find(
        self, picture: Picture, known: list[Region] | None = None, levels: int | None = None
    ) -> list[Found]:
        self.searches += levels is None
        self.glances += levels == 1
        return [Found(at(x), Region(200 + x, 150.0, 200.0)) for x in self.places[self.frame]]


def identities(places: list[list[float]], **settings: float) -> list[list[tuple[int, float]]]:
    """Number and place of each person in each frame, after the way by detections."""
    tracker = Tracker(Scripted(places), smooth=False, **settings)  # type: ignore[arg-type]
    return [seen(tracker.step(FRAME, 0.1 * index)) for index in range(len(places))]


def seen(people: list[Person]) -> list[tuple[int, float]]:
    return [(person.identity or 0, round(float(person.point("nose")[0]) - 200)) for person in people]


def by_regions(
    places: list[list[float]], **settings: float
) -> tuple[list[list[tuple[int, float]]], ScriptedRegions]:
    detector = ScriptedRegions(places)
    tracker = Tracker(detector, smooth=False, **settings)  # type: ignore[arg-type]
    result = []
    for index in range(len(places)):
        detector.frame = index
        result.append(seen(tracker.step(FRAME, 0.1 * index)))
    return result, detector


WALK = [[0.0, 400.0], [20.0, 380.0], [360.0, 40.0], [60.0, 340.0]]


def test_numbers_are_kept_whatever_the_order_of_detections() -> None:
    expected = [[(1, 0), (2, 400)], [(1, 20), (2, 380)], [(1, 40), (2, 360)], [(1, 60), (2, 340)]]
    assert identities(WALK) == expected
    assert by_regions(WALK)[0] == expected


def test_who_is_lost_shortly_is_remembered_and_who_stays_away_is_new() -> None:
    places = [[0.0], [], [], [10.0], [], [], [], [], [], [], [10.0]]
    for told in (identities(places, patience=0.45), by_regions(places, patience=0.45)[0]):
        assert [people[0] for people in told if people] == [(1, 0), (1, 10), (2, 10)]


def test_frames_may_be_far_apart() -> None:
    tracker = Tracker(Scripted(WALK), smooth=False)
    told = [seen(tracker.step(FRAME, 3.0 * index)) for index in range(len(WALK))]
    assert [[identity for identity, _ in people] for people in told] == [[1, 2]] * 4


def test_newcomers_and_jumps_are_found() -> None:
    places = [[0.0], [0.0], [0.0, 500.0], [0.0, 500.0], [0.0, 500.0], [0.0, 560.0]]
    told, detector = by_regions(places, interval=3)
    assert told[0] == [(1, 0)]
    assert told[4] == [(1, 0), (2, 500)]
    assert told[5] == [(1, 0), (2, 560)]  # further than its region; the search finds it again
    assert detector.searches == 3


def test_the_whole_picture_is_looked_at_only_now_and_then() -> None:
    _, detector = by_regions([[float(x)] for x in range(0, 210, 10)], interval=10)
    assert detector.searches == 3
    assert detector.looks == 20
    _, detector = by_regions([[]] * 5, interval=10)
    assert (detector.searches, detector.glances) == (1, 4)


def test_two_that_slide_onto_one_person_become_one() -> None:
    places = [[0.0, 60.0], [0.0, 30.0], [0.0, 5.0], [0.0], [0.0]]
    told, _ = by_regions(places)
    assert told[0] == [(1, 0), (2, 60)]
    assert told[2:] == [[(1, 0)]] * 3


def test_points_are_smoothed_and_begin_anew_after_a_gap() -> None:
    places = [[0.0], [0.0], [30.0], [], [60.0]]
    tracker = Tracker(Scripted(places))
    got = [tracker.step(FRAME, 0.1 * index) for index in range(5)]
    x = [people[0].point("nose")[0] - 200 if people else None for people in got]
    assert x[:2] == pytest.approx([0, 0])
    assert x[2] is not None
    assert 5 < x[2] < 29
    assert x[3] is None
    assert x[4] == pytest.approx(60)


def test_frames_have_to_come_in_order() -> None:
    tracker = Tracker(Scripted([[], [], []]))
    tracker.step(FRAME, 1.0)
    for time in (1.0, 0.5, float("nan")):
        with pytest.raises(EngineError, match="cannot follow"):
            tracker.step(FRAME, time)
    for settings in ({"interval": 0}, {"patience": -1.0}):
        with pytest.raises(EngineError, match="cannot work"):
            Tracker(Scripted([]), **settings)  # type: ignore[arg-type]


def test_one_person_of_a_clip_is_one_person(photos: Path) -> None:
    with VideoFile(photos / "clips" / "hall_person.mp4") as clip:
        told = [(f.index, people) for f, people in follow(clip, Tracker(BlazePose()), 10, 60, 2)]
    assert [index for index, _ in told] == list(range(10, 60, 2))
    assert told[0][1] == []
    there = [people for index, people in told if index >= 34]
    assert all(len(people) == 1 for people in there)
    assert {people[0].identity for people in there} == {1}
