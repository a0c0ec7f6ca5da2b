"""Suspicious ways between cameras: planted errors are found, true ways are left alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from engine.tracks import edits
from engine.tracks.boxes import NO_TRACK, Boxes, concatenate
from engine.tracks.cameras import Camera, Zone
from engine.tracks.events import WAYS, Event, suspicious_events
from engine.tracks.synthetic import make_scene
from engine.tracks.track_motion import Flat, flatten
from engine.tracks.tracklet_ends import Ends
from engine.tracks.tracklets import TrackState

ACROSS = (*WAYS, "missing")
EAST = ((100.0, 0.0), (300.0, 0.0), (300.0, 200.0), (100.0, 200.0))
CAMERAS = (
    Camera("a", fps=10, zones=(Zone("east", EAST, "b"),)),
    Camera("b", fps=10),
    Camera("c", fps=10),
)


@cache
def true_scene() -> tuple[TrackState, tuple[Camera, ...]]:
    """Ten minutes at four cameras; tracklets are true passages, identities true vehicles."""
    made = make_scene("medium", 11, seconds=600, cameras=4)
    truth, found = made.truth, made.detections
    _, passage = np.unique(truth.extra["passage"], return_inverse=True)
    keys = zip(truth.cameras.tolist(), truth.frames.tolist(), truth.tracks.tolist(), strict=True)
    known = dict(zip(keys, passage.tolist(), strict=True))
    asked = zip(found.cameras.tolist(), found.frames.tolist(), made.sources.tolist(), strict=True)
    owner = np.array([known.get(key, NO_TRACK) for key in asked])
    whose = dict(zip(passage.tolist(), truth.tracks.tolist(), strict=True))
    return TrackState(found, owner, whose), made.cameras


def across(state: TrackState, cameras: tuple[Camera, ...]) -> list[Event]:
    return [event for event in suspicious_events(state, cameras) if event.kind in ACROSS]


def test_true_ways_are_left_alone() -> None:
    state, cameras = true_scene()
    ways = Ends(flatten(state), cameras).passages()
    assert len(ways.one) > 100
    assert len(across(state, cameras)) <= 0.03 * len(ways.one)


def test_planted_exchanges_and_breaks_come_first() -> None:
    state, cameras = true_scene()
    flat = flatten(state)
    ends = Ends(flat, cameras)
    ways = ends.passages()
    exchanged, broken = [], []
    for at in np.random.default_rng(2).choice(len(ways.one), 12, replace=False).tolist():
        one, x = (int(flat.names[tracklets[at]]) for tracklets in (ways.one, ways.other))
        there = np.flatnonzero(flat.cameras == flat.cameras[ways.other[at]])
        near = np.argsort(np.abs(ends.begin[there] - ends.begin[ways.other[at]]))
        y = int(flat.names[there[near[1]]])
        wrong = state.copy()
        first, second = wrong.identity_of(x), wrong.identity_of(y)
        if first != second:
            wrong.apply(edits.reassign(wrong, [x], second))
            wrong.apply(edits.reassign(wrong, [y], first))
            found = suspicious_events(wrong, cameras, 5)
            exchanged.append(any({x, y} & set(e.tracklets) for e in found if e.kind in ACROSS))
        wrong = state.copy()
        own = [
            n for n in wrong.members(first) if ends.begin[n_at(flat, n)] >= ends.begin[ways.other[at]]
        ]
        wrong.apply(edits.reassign(wrong, own, None))
        found = [e for e in suspicious_events(wrong, cameras, 5) if e.kind == "missing"]
        broken.append((one, x) in [event.tracklets for event in found])
    assert np.mean(exchanged) >= 0.9
    assert np.mean(broken) >= 0.8


def n_at(flat: Flat, name: int) -> int:
    return int(np.searchsorted(flat.names, name))


def piece(track: int, camera: int, start: int, look: tuple[float, float] | None = None) -> Boxes:
    """Ten boxes that go to the east, into the zone."""
    frames = np.arange(start, start + 10)
    xywh = np.stack([20 * np.arange(10), np.full(10, 40), np.full(10, 20), np.full(10, 20)], axis=1)
    extra = {} if look is None else {"features": np.tile(np.array(look, np.float32), (10, 1))}
    return Boxes.of(frames, xywh, tracks=track, cameras=camera, extra=extra)


def state_of(pieces: list[Boxes], who: dict[int, int]) -> TrackState:
    boxes = concatenate(pieces)
    return TrackState(boxes.replace(tracks=np.full(len(boxes), NO_TRACK)), boxes.tracks, who)


def test_times_are_judged_by_the_others() -> None:
    pieces = [piece(n, 0, 1000 * n) for n in range(10)]
    late = {4: 900}
    pieces += [piece(20 + n, 1, 1000 * n + 100 + n % 3 + late.get(n, 0)) for n in range(10)]
    state = state_of(pieces, {20 + n: n for n in range(10)})
    (event,) = across(state, CAMERAS)
    assert (event.kind, event.tracklets, event.camera, event.frame) == ("time", (24, 4), 1, 5001)
    assert event.amount == pytest.approx(90.0)
    assert event.boxes == 10
    assert event.reason() == "24 comes +90.0 s from the usual time after 4"
    state.apply(edits.link(state, 4, 24, edits.MUST))
    assert across(state, CAMERAS) == []


def test_ways_against_the_zones() -> None:
    state = state_of([piece(1, 0, 0), piece(2, 2, 50)], {2: 1})
    (event,) = across(state, CAMERAS)
    assert (event.kind, event.tracklets) == ("against", (2, 1))
    assert across(state_of([piece(1, 0, 0), piece(2, 1, 50)], {2: 1}), CAMERAS) == []


def test_who_is_missing_at_the_next_camera() -> None:
    pieces = [
        piece(1, 0, 0, (1.0, 0.0)), piece(2, 1, 50, (0.95, 0.31)), piece(3, 1, 55, (0.0, 1.0)),
        piece(4, 2, 50, (1.0, 0.0)),
    ]  # fmt: skip
    assert across(state_of(pieces, {}), CAMERAS) == [], "nothing was linked yet"
    linked = [piece(7, 0, 9000, (0.0, 1.0)), piece(8, 1, 9050, (0.0, 1.0))]
    state = state_of(pieces + linked, {8: 7})
    (event,) = across(state, CAMERAS)
    assert (event.kind, event.tracklets, event.camera, event.frame) == ("missing", (1, 2), 0, 9)
    assert "should be at the next camera" in event.reason()
    state.apply(edits.link(state, 1, 2, edits.CANNOT))
    assert across(state, CAMERAS) == []


def test_a_link_that_another_fits_better() -> None:
    pieces = [
        piece(1, 0, 0, (1.0, 0.0)), piece(2, 1, 50, (0.7, 0.71)), piece(3, 1, 55, (0.99, 0.14)),
        piece(4, 0, 400, (0.0, 1.0)),
    ]  # fmt: skip
    (event,) = [e for e in across(state_of(pieces, {2: 1}), CAMERAS) if e.kind == "doubt"]
    assert event.tracklets == (2, 1)
    assert event.chance > 0.9
    assert across(state_of(pieces, {3: 1}), CAMERAS) == []


def test_one_camera_and_nobody_at_all() -> None:
    assert across(state_of([piece(1, 0, 0), piece(2, 0, 50)], {2: 1}), CAMERAS[:1]) == []
    assert suspicious_events(TrackState(Boxes.empty(), np.zeros(0, np.int64), {}), CAMERAS) == []
