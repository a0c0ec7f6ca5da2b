"""Vehicles and people in one camera, by motion and appearance: the modified JDE tracker.

JDE (Wang et al. 2020) as the winner of the AI City Challenge 2021 changed it for ten frames a second
(arXiv 2105.06623): the second association goes by the distance of corners instead of overlap, as
fast vehicles do not overlap from frame to frame, and new tracks count at once.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.tracks.assignment import assign, overlaps, unmatched
from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array
from engine.tracks.kalman import GATE, Float64Array, corners, measurements
from engine.tracks.track_pool import Check, TrackPool, frames_of

PIXEL = 1.0
"""In overlaps the last pixel belongs to a box, as in the published program."""


class JdeOptions(BaseModel):
    """Settings of the tracker by motion and appearance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    least_score: float = Field(
        default=0.1, ge=0, le=1, description="Detections up to this score are left out."
    )
    most_distance: float = Field(
        default=0.4, gt=0, le=2,
        description="How far appearance (cosine distance) and motion together may be for a match.",
    )  # fmt: skip
    most_corner_distance: float = Field(
        default=150.0, gt=0, description="Of the second association: pixels, mean of the corners."
    )
    from_last_box: bool = Field(
        default=True,
        description="In the second association also measure from where a track was last seen: the "
        "filter does not follow things that the picture's border cuts off. Not so as published.",
    )
    memory: int = Field(
        default=10, ge=0, description="Frames for which a track that was lost can be found again."
    )
    least_area: float = Field(
        default=750.0, ge=0, description="Smaller boxes are followed but not in the result; pixels."
    )
    smoothing: float = Field(
        default=0.9, ge=0, lt=1, description="Share of the old appearance in a track's appearance."
    )
    skip_empty_frames: bool = Field(
        default=False,
        description="Let no time pass in frames without detections, as the published program does.",
    )


def track_jde(
    boxes: Boxes,
    features: NDArray[np.floating],
    options: JdeOptions,
    check: Check = lambda _frame: None,
) -> tuple[Int64Array, Float64Array]:
    """Link the detections of one camera.

    Parameters
    ----------
    boxes
        Of one camera, in any order; every size positive.
    features
        ``(N, D)`` appearance of each, of any length but 0.
    options
        See :class:`JdeOptions`.
    check
        Called for each frame.

    Returns
    -------
    int64 ``(N,)`` the track of each box from 0, :data:`~engine.tracks.boxes.NO_TRACK` for none; and
    float64 ``(N, D)`` the smoothed appearance of its track then, unit length (zeros for none).
    """
    looks = np.asarray(features, np.float64)
    looks = looks / np.linalg.norm(looks, axis=1, keepdims=True)
    xyxy = boxes.xyxy()
    ids = np.full(len(boxes), NO_TRACK, np.int64)
    smooth = np.zeros_like(looks)
    usable = np.flatnonzero(boxes.scores > options.least_score)
    tracks, fresh = TrackPool(looks=np.zeros((0, looks.shape[1]))), 0
    for frame, rows in frames_of(boxes, usable, skip_empty=options.skip_empty_frames):
        check(frame)
        tracks, seen = _step(tracks, frame, xyxy[rows], looks[rows], fresh, options)
        if not len(rows):
            continue
        fresh += int((seen >= fresh).sum())
        # Numbers ascend through the tracks; one that is not there was a double of another one.
        place = np.minimum(np.searchsorted(tracks.ids, seen), max(len(tracks.ids) - 1, 0))
        there = tracks.ids[place] == seen if len(tracks.ids) else np.zeros(len(seen), bool)
        ids[rows[there]], smooth[rows[there]] = seen[there], tracks.looks[place[there]]
    small = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1]) <= options.least_area
    ids[small] = NO_TRACK
    return ids, smooth


def _step(
    tracks: TrackPool,
    frame: int,
    xyxy: Float64Array,
    looks: Float64Array,
    fresh: int,
    options: JdeOptions,
) -> tuple[TrackPool, Int64Array]:
    """One frame: the tracks after it, and which one each detection is; new ones from ``fresh``."""
    if not len(tracks.ids) and not len(xyxy):
        return tracks, np.zeros(0, np.int64)
    measured = measurements(xyxy)
    motion = tracks.motion
    tracks.predict()
    cost = np.maximum(1 - tracks.looks @ looks.T, 0.0)
    apart = motion.distances(measured)
    cost = np.where(apart > GATE, np.inf, 0.98 * cost + 0.02 * apart)
    who, what = assign(cost, options.most_distance)
    # By corners only those that were there in the frame before.
    left = unmatched(len(tracks.ids), who)
    left = left[~tracks.lost[left]]
    free = unmatched(len(xyxy), what)
    if len(left) and len(free):
        apart = _corner_distances(corners(motion.place[left]), xyxy[free])
        if options.from_last_box:
            was = _corner_distances(corners(tracks.seen[left]), xyxy[free])
            apart = np.minimum(apart, was)
        near_who, near_what = assign(apart, options.most_corner_distance)
        who, what = np.concatenate([who, left[near_who]]), np.concatenate([what, free[near_what]])

    if len(who):
        mixed = options.smoothing * tracks.looks[who] + (1 - options.smoothing) * looks[what]
        tracks.looks[who] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
    forgotten = tracks.lost & (frame - tracks.last > options.memory)
    forgotten[who] = False
    tracks.match(who, measured[what], frame)
    seen = np.full(len(xyxy), NO_TRACK, np.int64)
    seen[what] = tracks.ids[who]
    tracks = tracks.keep(~forgotten)
    if len(what) < len(xyxy):
        new = unmatched(len(xyxy), what)
        seen[new] = fresh + np.arange(len(new))
        tracks = tracks.joined(TrackPool.begin(measured[new], looks[new], seen[new], frame))
    return tracks.keep(~_doubles(tracks)), seen


def _corner_distances(first: Float64Array, second: Float64Array) -> Float64Array:
    """``(N, M)`` mean distance of the four corners, pixels."""
    apart = (first[:, None, :] - second[None, :, :]) ** 2
    total = np.zeros(apart.shape[:2])
    for x in (0, 2):
        for y in (1, 3):
            total += np.sqrt(apart[:, :, x] + apart[:, :, y])
    return total / 4


def _doubles(tracks: TrackPool) -> NDArray[np.bool_]:
    """Of a track that is there and a lost one on the same spot the one with the shorter history."""
    drop = np.zeros(len(tracks.ids), bool)
    there, lost = np.flatnonzero(~tracks.lost), np.flatnonzero(tracks.lost)
    if not len(there) or not len(lost):
        return drop
    xyxy = tracks.motion.boxes()
    on_top = overlaps(xyxy[there], xyxy[lost], PIXEL) > 0.85
    if not on_top.any():
        return drop
    age = tracks.last - tracks.first
    for one, other in zip(*np.nonzero(on_top), strict=True):
        longer = age[there[one]] > age[lost[other]]
        drop[lost[other] if longer else there[one]] = True
    return drop
