"""Who else somebody could be."""

from __future__ import annotations

import numpy as np
import pytest

from engine.tracks.alternatives import Alternatives
from engine.tracks.boxes import NO_TRACK, Boxes, concatenate
from engine.tracks.cameras import Camera, Zone
from engine.tracks.synthetic import make_scene
from engine.tracks.tracklets import TrackState

RIGHT = ((80.0, 0.0), (200.0, 0.0), (200.0, 100.0), (80.0, 100.0))
CAMERAS = (
    Camera("a", fps=10, zones=(Zone("east", RIGHT, "b"),)),
    Camera("b", fps=10, zones=(Zone("rest", RIGHT, ""),)),
)


def piece(track: int, camera: int, start: int, x: float, look: tuple[float, float] | None) -> Boxes:
    """Ten boxes that go to the right, ten pixels a frame."""
    frames = np.arange(start, start + 10)
    xywh = np.stack([x + 10 * np.arange(10), np.full(10, 40), np.full(10, 20), np.full(10, 20)], axis=1)
    extra = {} if look is None else {"features": np.tile(np.array(look, np.float32), (10, 1))}
    return Boxes.of(frames, xywh, tracks=track, cameras=camera, extra=extra)


def state_of(*pieces: Boxes) -> TrackState:
    boxes = concatenate(pieces)
    return TrackState(boxes.replace(tracks=np.full(len(boxes), NO_TRACK)), boxes.tracks, {})


def test_place_and_time_speak_where_nobody_knows_looks() -> None:
    state = state_of(
        piece(1, 0, 0, 0, None),
        piece(2, 0, 14, 140, None),  # where 1 was going
        piece(3, 0, 14, -200, None),
        piece(4, 0, 5, 0, None),  # at the same time
        piece(5, 1, 40, 0, None),  # the zone leads there
        piece(6, 1, 900, 0, None),
    )
    found = Alternatives(state, CAMERAS).of([1])
    assert [other.identity for other in found][:2] == [2, 5]
    assert 4 not in {other.identity for other in found}
    assert found[0].reason == "looks unknown · 0.5 s later · 0.0 sizes from where it went"
    assert found[1].reason == "looks unknown · 3.1 s later · at b, as its zones lead"
    assert all(np.isnan(other.looks) for other in found)
    assert np.all(np.diff([other.score for other in found]) <= 0)
    assert len(Alternatives(state, CAMERAS).of([1], 1)) == 1
    assert Alternatives(state, CAMERAS).of([77]) == []
    back = Alternatives(state, CAMERAS).of([2])[0]
    assert (back.identity, back.reason) == (
        1, "looks unknown · 0.5 s earlier · 0.0 sizes from where it came from",
    )  # fmt: skip


def test_looks_decide_between_equals() -> None:
    state = state_of(
        piece(1, 0, 0, 0, (1.0, 0.0)),
        piece(2, 1, 40, 0, (0.0, 1.0)),
        piece(3, 1, 41, 0, (0.8, 0.6)),
    )
    found = Alternatives(state, CAMERAS).of([1])
    assert [other.identity for other in found] == [3, 2]
    assert found[0].looks == pytest.approx(0.8)
    assert found[0].reason.startswith("looks 0.80 · 3.2 s later")


def test_the_usual_time_is_learnt() -> None:
    pieces = [piece(10 + n, 0, 1000 * n, 0, None) for n in range(6)]
    pieces += [piece(20 + n, 1, 1000 * n + 300, 0, None) for n in range(6)]
    state = state_of(
        *pieces,
        piece(1, 0, 90_000, 0, None),
        piece(2, 1, 90_020, 0, None),
        piece(3, 1, 90_310, 0, None),
    )
    for n in range(6):
        state._identity_of[20 + n] = 10 + n
    state = TrackState(
        state.detections, state.owners(np.arange(len(state.detections))), state._identity_of
    )
    found = Alternatives(state, CAMERAS).of([1])
    assert found[0].identity == 3
    assert "30.1 s later (usually 29.1 s)" in found[0].reason


def test_the_true_identity_is_among_the_first_in_a_synthetic_network() -> None:
    made = make_scene("medium", 4, seconds=90, cameras=4)
    truth = made.truth
    passages, tracklets = np.unique(truth.extra["passage"], return_inverse=True)
    whose = {at: int(truth.tracks[tracklets == at][0]) for at in range(len(passages))}
    state = TrackState(truth, tracklets.astype(np.int64), {})
    look = Alternatives(state, made.cameras)
    ranks = []
    for name in state.tracklets:
        others = [other for other in state.tracklets if whose[other] == whose[name] and other != name]
        if others:
            ranks.append(any(other.identity in others for other in look.of([name])))
    assert len(ranks) > 15
    assert np.mean(ranks) > 0.9, "without looks, by zones and times alone"
