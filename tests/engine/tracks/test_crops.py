"""Which boxes are worth a picture."""

from __future__ import annotations

import numpy as np

from engine.tracks import drawing, edits
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.crops import crops_of
from engine.tracks.tracklets import TrackState

CAMERAS = (Camera("a", fps=10), Camera("b", offset=100, fps=10))


def state() -> TrackState:
    """Tracklet 1 for 40 frames in the first camera, the largest at frames 7 and 31; 2 in the second."""
    frames = np.r_[np.arange(40), np.arange(4)]
    size = np.where(np.isin(frames, (7, 31)), 30, 20)
    xywh = np.stack([frames, frames, size, size], axis=1)
    boxes = Boxes.of(frames, xywh, cameras=np.r_[np.zeros(40), np.ones(4)].astype(int))
    return TrackState(boxes, np.r_[np.full(40, 1), np.full(4, 2)], {2: 1})


def test_crops_are_spread_over_time_and_cameras() -> None:
    found = crops_of(state(), CAMERAS, [1, 2, 99], 3)
    assert [(crop.camera, crop.frame) for crop in found] == [(0, 7), (0, 31), (1, 0)]
    assert found[0].xywh == (7, 7, 30, 30)
    assert [crop.time for crop in found] == [0.7, 3.1, 100.0]
    assert [crop.tracklet for crop in crops_of(state(), CAMERAS, [1, 2], 1)] == [1]
    assert len(crops_of(state(), CAMERAS, [2], 12)) == 4, "no box twice"
    assert crops_of(state(), CAMERAS, [], 5) == []


def test_drawn_boxes_are_shown_where_there_is_no_other() -> None:
    one = state()
    one.apply(drawing.extend(one, 2, [10], [[0, 0, 500, 500]]))
    assert [crop.frame for crop in crops_of(one, CAMERAS, [2], 1)] == [0]
    one.apply(edits.delete(one, 2, 0, 9))
    assert [crop.frame for crop in crops_of(one, CAMERAS, [2], 1)] == [10]
