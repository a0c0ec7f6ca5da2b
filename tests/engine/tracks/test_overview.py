"""Spans of tracklets and boxes of frames, beside what the state says box by box."""

from __future__ import annotations

import numpy as np
import pytest

from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.edits import delete, fill, merge_tracklets, split
from engine.tracks.overview import FrameIndex, duration, spans
from engine.tracks.tracklets import TrackState


@pytest.fixture
def state() -> TrackState:
    """Tracklet 5 in camera 0 (frames 0..9 without 4 and 5), tracklet 7 in camera 1 (3..6)."""
    frames = [0, 1, 2, 3, 6, 7, 8, 9, 3, 4, 5, 6]
    cameras = [0] * 8 + [1] * 4
    xywh = [[10 * frame, 5, 20, 30] for frame in frames]
    boxes = Boxes.of(frames, xywh, cameras=cameras, scores=np.linspace(0.5, 1, 12))
    return TrackState(boxes, np.array([5] * 8 + [7] * 4), {5: 5, 7: 5})


def test_spans(state: TrackState) -> None:
    first, second = spans(state)
    assert (first.tracklet, first.identity, first.camera) == (5, 5, 0)
    assert (first.first, first.last, first.boxes, first.gaps) == (0, 9, 8, ((4, 5),))
    assert (second.tracklet, second.identity, second.camera, second.gaps) == (7, 5, 1, ())
    assert first.score == pytest.approx(state.tracklet_boxes(5).scores.mean())
    state.apply(fill(state, 5))
    (filled,) = spans(state, [5])
    assert (filled.gaps, filled.boxes, filled.drawn) == ((), 10, 0.2)
    state.apply(split(state, 5, 5))
    assert [span.last for span in spans(state, [5])] == [4]
    assert spans(state, [99]) == []


def test_boxes_of_a_frame_follow_the_edits(state: TrackState) -> None:
    index = FrameIndex(state)
    assert index.at(0, 4)[1].tolist() == []
    state.apply(fill(state, 5))
    boxes, owners = index.at(0, 4)
    assert owners.tolist() == [5]
    assert boxes.xywh[0].tolist() == [40, 5, 20, 30]
    assert index.at(1, 4)[1].tolist() == [7]
    assert index.at(3, 4)[1].tolist() == []
    np.testing.assert_allclose(index.trail(5, 2, 2), [[10, 35], [20, 35], [30, 35]])
    state.apply(delete(state, 5, 0, 3))
    assert index.at(0, 2)[1].tolist() == []
    with pytest.raises(Exception, match="different cameras"):
        merge_tracklets(state, 5, 7)


def test_duration(state: TrackState) -> None:
    cameras = (Camera("a", offset=1.0, fps=10, frames=20), Camera("b", offset=0.5, fps=5))
    assert duration(cameras, state.detections) == (0.5, 3.0)
    assert duration((), Boxes.empty()) == (0.0, 1.0)
