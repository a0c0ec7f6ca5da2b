"""What is painted as hidden, and what it covers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from engine.bodies.keypoints.person import Person
from engine.bodies.occlusion import Stroke, covered, with_hidden
from engine.errors import EngineError


def test_a_stroke_covers_what_is_within_its_radius() -> None:
    stroke = Stroke(((10.0, 10.0), (30.0, 10.0)), 4.0)
    places = np.array([[10, 13.9], [20, 6.1], [20, 14.1], [33.9, 10], [34.1, 10], [5.9, 10.0]])
    assert stroke.covers(places).tolist() == [True, True, False, True, False, False]
    dot = Stroke(((10.0, 10.0),), 4.0)
    assert dot.covers(np.array([[13.0, 12], [13, 13]])).tolist() == [True, False]


def test_the_last_stroke_decides() -> None:
    paint = Stroke(((0.0, 0.0), (40.0, 0.0)), 5.0)
    erase = Stroke(((20.0, 0.0),), 6.0, erases=True)
    places = np.array([[2.0, 0], [20, 0], [90, 0]])
    assert covered([paint, erase], places).tolist() == [True, False, False]
    assert covered([erase, paint], places).tolist() == [True, True, False]
    assert not covered([], places).any()


def test_what_is_hidden_is_not_seen_and_the_rest_stays() -> None:
    keypoints = np.concatenate([np.arange(34.0).reshape(17, 2) * 10, np.full((17, 1), 0.9)], 1)
    person = Person(keypoints, "coco17", np.array([0.0, 0, 400, 400]))
    stroke = Stroke((tuple(keypoints[9, :2].tolist()),), 5.0)
    hidden = with_hidden(person, [stroke])
    assert np.flatnonzero(hidden.confidence == 0).tolist() == [9]
    assert np.array_equal(hidden.points, person.points)
    assert person.confidence.min() == 0.9, "the person itself is as before"
    assert with_hidden(person, []) is person


def test_strokes_are_kept_exactly_enough_and_bad_ones_refused() -> None:
    stroke = Stroke(((10.04, 2.0), (7.0, 3.26)), 12.345, erases=True)
    read = Stroke.from_json(json.loads(json.dumps(stroke.to_json())))
    assert read == Stroke(((10.0, 2.0), (7.0, 3.3)), 12.35, erases=True) or read.radius == 12.34
    assert read == Stroke.from_json(read.to_json())
    for points, radius in (((), 1.0), (((0.0, 0.0),), 0.0), (((float("nan"), 0.0),), 1.0)):
        with pytest.raises(EngineError, match="paints nothing"):
            Stroke(points, radius)
