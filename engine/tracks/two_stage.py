"""Objects in one camera by overlap alone: sure detections first, doubtful ones for what is left.

ByteTrack (Zhang et al. 2022, arXiv 2110.06864): the baseline that needs no appearance.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.tracks.assignment import assign, overlaps, unmatched
from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array
from engine.tracks.kalman import Float64Array, measurements
from engine.tracks.track_pool import Check, TrackPool, frames_of


class TwoStageOptions(BaseModel):
    """Settings of the tracker by overlap."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sure: float = Field(default=0.5, ge=0, le=1, description="Score from which a detection is sure.")
    least_score: float = Field(default=0.1, ge=0, le=1, description="Detections below are left out.")
    new_score: float = Field(default=0.6, ge=0, le=1, description="Score from which a track begins.")
    least_overlap: float = Field(default=0.2, ge=0, lt=1, description="Of sure detections.")
    least_doubtful_overlap: float = Field(default=0.5, ge=0, lt=1, description="Of doubtful ones.")
    memory: int = Field(
        default=30, ge=0, description="Frames for which a track that was lost can be found again."
    )


def track_two_stage(
    boxes: Boxes, options: TwoStageOptions, check: Check = lambda _frame: None
) -> Int64Array:
    """Link the detections of one camera.

    Parameters
    ----------
    boxes
        Of one camera, in any order; every size positive.
    options
        See :class:`TwoStageOptions`.
    check
        Called for each frame.

    Returns
    -------
    int64 ``(N,)`` the track of each box from 0, :data:`~engine.tracks.boxes.NO_TRACK` for none.
    """
    xyxy = boxes.xyxy()
    ids = np.full(len(boxes), NO_TRACK, np.int64)
    usable = np.flatnonzero(boxes.scores >= options.least_score)
    tracks, fresh, start = TrackPool(), 0, int(boxes.frames.min(initial=0))
    for frame, rows in frames_of(boxes, usable):
        check(frame)
        scores = boxes.scores[rows]
        tracks, ids[rows] = _step(tracks, frame, xyxy[rows], scores, fresh, start, options)
        fresh += int((ids[rows] >= fresh).sum())
    return ids


def _step(
    tracks: TrackPool,
    frame: int,
    xyxy: Float64Array,
    scores: np.ndarray,
    fresh: int,
    start: int,
    options: TwoStageOptions,
) -> tuple[TrackPool, Int64Array]:
    """One frame: the tracks after it, and which one each detection is; new ones from ``fresh``."""
    tracks.predict()
    cost = 1 - overlaps(tracks.motion.boxes(), xyxy)
    # A track that was seen once, and not in the first frame, waits for a second detection.
    waiting = (tracks.first == tracks.last) & (tracks.first > start)
    settled = np.flatnonzero(~waiting)
    sure, doubtful = np.flatnonzero(scores >= options.sure), np.flatnonzero(scores < options.sure)
    seen = np.full(len(xyxy), NO_TRACK, np.int64)
    matched: list[tuple[Int64Array, Int64Array]] = []

    def associate(who: Int64Array, what: Int64Array, least: float) -> tuple[Int64Array, Int64Array]:
        rows, columns = assign(cost[np.ix_(who, what)], 1 - least)
        matched.append((who[rows], what[columns]))
        return who[unmatched(len(who), rows)], what[unmatched(len(what), columns)]

    left, free = associate(settled, sure, options.least_overlap)
    associate(left[~tracks.lost[left]], doubtful, options.least_doubtful_overlap)
    _, free = associate(np.flatnonzero(waiting & ~tracks.lost), free, options.least_overlap)
    who = np.concatenate([pair[0] for pair in matched])
    what = np.concatenate([pair[1] for pair in matched])
    measured = measurements(xyxy)
    gone = tracks.lost & (frame - tracks.last > options.memory) | waiting
    gone[who] = False
    tracks.match(who, measured[what], frame)
    seen[what] = tracks.ids[who]
    new = free[scores[free] >= options.new_score]
    seen[new] = fresh + np.arange(len(new))
    begun = TrackPool.begin(measured[new], np.zeros((len(new), 0)), seen[new], frame)
    return tracks.keep(~gone).joined(begun), seen
