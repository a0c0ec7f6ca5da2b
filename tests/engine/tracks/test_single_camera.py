"""The tracker by motion and appearance: the published program's tracks, and what it must do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.kalman import Motion, corners, measurements
from engine.tracks.repair import RepairOptions, distances, doubles, linkable, summarise
from engine.tracks.single_camera import JdeOptions, track_jde


@pytest.mark.parametrize("seed", [1, 2])
def test_the_filter_is_the_published_one(golden: Path, seed: int) -> None:
    data = np.load(golden / "mtmc" / f"kalman_seed{seed}.npz")
    motion = Motion.begin(data["z0"][None])
    for step, candidates in enumerate(data["meas_and_candidates"]):
        motion.predict()
        mean = np.concatenate([motion.place, motion.speed], axis=1)[0]
        np.testing.assert_allclose(mean, data["mean_pred"][step], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(motion.matrices()[0], data["cov_pred"][step], rtol=1e-9, atol=1e-12)
        apart = motion.distances(candidates[1:])[0]
        np.testing.assert_allclose(apart, data["gate_sq_maha"][step], rtol=1e-9)
        motion.update(np.array([0]), candidates[:1])
        mean = np.concatenate([motion.place, motion.speed], axis=1)[0]
        np.testing.assert_allclose(mean, data["mean_upd"][step], rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(motion.matrices()[0], data["cov_upd"][step], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_tracks_are_the_published_ones(golden: Path, seed: int) -> None:
    data = np.load(golden / "mtmc" / f"sct_tracker_seed{seed}.npz")
    rows, expected = data["detections"], data["tracks"]
    xywh = np.concatenate([rows[:, 1:3], rows[:, 3:5] - rows[:, 1:3]], axis=1)
    boxes = Boxes.of(rows[:, 0], xywh, scores=rows[:, 5])
    ids, _ = track_jde(boxes, data["features"], JdeOptions(skip_empty_frames=True, from_last_box=False))
    linked = np.flatnonzero(ids != NO_TRACK)
    assert len(linked) == len(expected)
    ours = {(int(rows[r, 0]), *np.round(xywh[r], 3)): int(ids[r]) for r in linked}
    theirs = {(int(r[0]), *np.round(r[2:6], 3)): int(r[1]) for r in expected}
    assert ours.keys() == theirs.keys()
    pairs = {(ours[key], theirs[key]) for key in ours}
    assert len(pairs) == len(set(ours.values())) == len(set(theirs.values()))


def test_corners_are_the_inverse_of_measurements() -> None:
    xyxy = np.array([[3.0, 4.0, 13.0, 44.0], [0.0, 0.0, 5.0, 2.5]])
    np.testing.assert_allclose(corners(measurements(xyxy)), xyxy, atol=1e-12)


@pytest.mark.parametrize("seed", [1, 2])
def test_the_repair_is_the_published_one(golden: Path, seed: int) -> None:
    data = np.load(golden / "mtmc" / f"sct_post_seed{seed}.npz")
    rows = data["rows"]
    boxes, ids = Boxes.of(rows[:, 0], rows[:, 2:6]), rows[:, 1].astype(np.int64)
    options = RepairOptions(both_ways=True)
    tracks = summarise(boxes, ids, rows[:, 10:])
    assert tracks.ids.tolist() == data["ids"].tolist()
    others = ~np.eye(len(tracks.ids), dtype=bool)  # a track and itself are not compared there
    np.testing.assert_allclose(distances(tracks)[others], data["cos_dist"][others], atol=1e-9)
    np.testing.assert_array_equal(linkable(tracks, options), data["linkable"])
    left = set(ids.tolist()) - set(doubles(boxes, ids, options.most_overlap).tolist())
    assert sorted(left) == sorted(data["ids_after_track_nms"].tolist())


@pytest.mark.parametrize("from_last_box", [True, False])
def test_what_comes_in_over_the_border_stays_one(from_last_box: bool) -> None:
    # A car seen from above comes in from below: 15 pixels high at first, 150 in the end.
    frames = np.arange(18)
    heights = np.minimum(15 + 15 * frames, 150)
    tops = 270 - 15 * (frames + 1)
    xywh = np.stack([np.full(18, 180), tops, np.full(18, 110), heights], axis=1)
    boxes = Boxes.of(frames, xywh)
    options = JdeOptions(from_last_box=from_last_box, least_area=0, most_corner_distance=40)
    ids, _ = track_jde(boxes, np.ones((18, 4)), options)
    assert (len(np.unique(ids)) == 1) == from_last_box
