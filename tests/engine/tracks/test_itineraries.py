"""Visits, their table, origins and destinations, travel times."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera, Zone
from engine.tracks.itineraries import (
    itineraries,
    origins_and_destinations,
    travel_times,
    write_itineraries,
)
from engine.tracks.synthetic import make_scene

LEFT = Zone("left", ((0, 0), (100, 0), (100, 100), (0, 100)))
RIGHT = Zone("right", ((100, 0), (200, 0), (200, 100), (100, 100)))
CAMERAS = (Camera("a", 0.0, 10, zones=(LEFT, RIGHT)), Camera("b", 5.0, 20, zones=(LEFT, RIGHT)))


def boxes() -> Boxes:
    """1 goes from left to right at a, then at b, and comes back to a after half a minute; 2 stays."""
    rows = [(0, 10, 1, 0), (9, 150, 1, 0), (0, 150, 1, 1), (20, 20, 1, 1), (300, 150, 1, 0)]
    rows += [(5, 500, 2, 0), (100, 500, 2, 0)]
    frames, x, who, where = np.array(rows).T
    xywh = np.stack([x, np.full(7, 20), np.full(7, 20), np.full(7, 20)], axis=1)
    order = np.random.default_rng(0).permutation(7)
    return Boxes.of(frames, xywh, tracks=who, cameras=where).select(order)


def test_the_table(tmp_path: Path) -> None:
    found = itineraries(boxes(), CAMERAS)
    write_itineraries(found, CAMERAS, tmp_path / "visits.csv")
    with (tmp_path / "visits.csv").open() as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [
        ("1", "a", "0.000", "0.900", "0.900", "left", "right", "0", "9", "2"),
        ("1", "b", "5.000", "6.000", "1.000", "right", "left", "0", "20", "2"),
        ("1", "a", "30.000", "30.000", "0.000", "right", "right", "300", "300", "1"),
        ("2", "a", "0.500", "10.000", "9.500", "", "", "5", "100", "2"),
    ]
    with pytest.raises(EngineError):
        write_itineraries(found, CAMERAS, tmp_path / "visits.csv" / "inside.csv")


def test_origins_and_travel_times() -> None:
    found = itineraries(boxes(), CAMERAS)
    names, counts = origins_and_destinations(found, CAMERAS)
    assert names == ["a/", "a/left", "a/right"]
    assert counts.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    times = travel_times(found)
    assert {edge: seconds.tolist() for edge, seconds in times.items()} == {
        (0, 1): pytest.approx([4.1]), (1, 0): pytest.approx([24.0]),
    }  # fmt: skip


def test_nothing() -> None:
    found = itineraries(Boxes.empty(), CAMERAS)
    assert len(found) == 0
    assert origins_and_destinations(found, CAMERAS)[0] == []
    assert travel_times(found) == {}


def test_every_box_of_a_scene_is_in_one_visit() -> None:
    scene = make_scene("medium", 2, seconds=60, cameras=3)
    found = itineraries(scene.truth, scene.cameras)
    assert found.boxes.sum() == len(scene.truth)
    seen = np.unique(np.stack([scene.truth.tracks, scene.truth.cameras], axis=1), axis=0)
    assert len(found) >= len(seen)
    names, counts = origins_and_destinations(found, scene.cameras)
    assert counts.sum() == len(np.unique(scene.truth.tracks))
    assert all(name.split("/")[0] in {camera.name for camera in scene.cameras} for name in names)
