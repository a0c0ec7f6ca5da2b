"""Any object in one camera, by appearance within its class: the AOA tracker.

The winner of the TAO challenge 2020 (arXiv 2101.08040). With one picture a second and hundreds of
classes motion says nothing: detections of one class are linked by appearance alone, those of each
detector by themselves, and tracks of all detectors that are apart in time are joined afterwards.
"""

from __future__ import annotations

import itertools
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.errors import invalid_input
from engine.tracks.assignment import assign, unmatched
from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array
from engine.tracks.track_joining import join_best_first, join_in_order, one_a_frame, without_doubles
from engine.tracks.track_pool import Check

Float64Array = NDArray[np.float64]
DETECTOR = "detector"
"""Extra column of boxes: which of several detectors found each; int64, any numbers."""
_REFUSED = 1e-5
"""Pairs that are too far apart all cost this much more than the limit, as in the published program."""


class AnyObjectOptions(BaseModel):
    """Settings of the tracker by appearance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most_distance: float = Field(
        default=0.4, gt=0, le=2, description="Cosine distance of appearances up to which boxes match."
    )
    memory: int = Field(
        default=12, ge=1, description="Frames for which a track that was lost can be found again."
    )
    gallery: int = Field(
        default=70, ge=1, description="Newest appearances of a track that a box is compared with."
    )
    join: Literal["compatible", "improved", "off"] = Field(
        default="compatible",
        description="How tracks that are apart in time are joined: as published; the most alike first, "
        "without overlaps and doubles; or not at all.",
    )
    least_similarity: float = Field(
        default=0.7,
        ge=-1,
        le=1,
        description="Cosine of mean appearances above which tracks are joined.",
    )
    most_overlap: float = Field(
        default=0.5, gt=0, le=1,
        description="Improved joining: overlap in space and time above which a track is a better "
        "one's double.",
    )  # fmt: skip
    least_boxes: int = Field(default=2, ge=1, description="Shorter tracks are left out.")


def track_any_object(
    boxes: Boxes,
    features: NDArray[np.floating],
    options: AnyObjectOptions,
    check: Check = lambda _frame: None,
) -> Int64Array:
    """Link the detections of one camera.

    Parameters
    ----------
    boxes
        Of one camera, in any order. Where they have an extra column :data:`DETECTOR`, those of each
        detector are linked by themselves first.
    features
        ``(N, D)`` appearance of each, of any length but 0.
    options
        See :class:`AnyObjectOptions`.
    check
        Called for each frame with its number, ascending; raises to stop.

    Returns
    -------
    int64 ``(N,)`` the track of each box, :data:`~engine.tracks.boxes.NO_TRACK` for none. All boxes of a
    track have one class.

    Raises
    ------
    EngineError
        ``invalid_input`` without appearances.
    """
    if not len(boxes):
        return np.zeros(0, np.int64)
    if not features.shape[1]:
        raise invalid_input(
            "The tracker by appearance was given no appearances; nothing was tracked.",
            "Compute appearance features first, or choose a tracker that goes by motion.",
        )
    looks = _unit(features)
    ids = link(boxes, looks, options, check)
    if options.join == "compatible":
        ids = one_a_frame(boxes, join_in_order(boxes, ids, looks, options.least_similarity))
    elif options.join == "improved":
        ids = without_doubles(boxes, ids, options.most_overlap)
        ids = join_best_first(boxes, ids, looks, options.least_similarity)
    names, tracks, counts = np.unique(ids, return_inverse=True, return_counts=True)
    short = (counts < options.least_boxes) | (names == NO_TRACK)
    return np.where(short[tracks], NO_TRACK, ids)


def link(
    boxes: Boxes,
    looks: Float64Array,
    options: AnyObjectOptions,
    check: Check = lambda _frame: None,
) -> Int64Array:
    """Link boxes of one class that one detector found.

    Parameters
    ----------
    boxes, options, check
        As in :func:`track_any_object`.
    looks
        float64 ``(N, D)`` appearances, unit length.

    Returns
    -------
    int64 ``(N,)`` tracks from 0, by detector, class and beginning; every box has one.
    """
    detectors = boxes.extra.get(DETECTOR, np.zeros(len(boxes), np.int64))
    kinds = np.stack([detectors, boxes.classes], axis=1)
    groups = np.unique(kinds, axis=0, return_inverse=True)[1].reshape(-1)
    times = _steps(boxes.frames)
    ids = np.full(len(boxes), NO_TRACK, np.int64)
    galleries: dict[int, dict[int, list[int]]] = {}
    fresh = itertools.count()
    # In an order that is the same whatever order the boxes came in: joining goes by the numbers.
    order = np.lexsort((*boxes.xywh.T, -boxes.scores, groups, boxes.frames))
    for frame in _runs(order, boxes.frames[order]):
        check(int(boxes.frames[frame[0]]))
        now = int(times[frame[0]])
        for rows in _runs(frame, groups[frame]):
            group = int(groups[rows[0]])
            tracks = {
                track: gallery
                for track, gallery in galleries.get(group, {}).items()
                if now - times[gallery[-1]] <= options.memory
            }
            galleries[group] = tracks
            for track, row in _matches(rows, tracks, now, times, looks, options):
                ids[row] = track
                tracks[track] = [*tracks[track], row][-options.gallery :]
            for row in rows[ids[rows] == NO_TRACK].tolist():
                ids[row] = next(fresh)
                tracks[ids[row]] = [row]
    numbers = np.unique(np.stack([groups, ids], axis=1), axis=0, return_inverse=True)[1]
    return np.asarray(numbers.reshape(-1), np.int64)


def _matches(
    rows: Int64Array,
    galleries: dict[int, list[int]],
    now: int,
    times: Int64Array,
    looks: Float64Array,
    options: AnyObjectOptions,
) -> list[tuple[int, int]]:
    """Tracks and the boxes of a frame that they go on with; those seen last choose first."""
    if not galleries:
        return []
    tracks = list(galleries)
    starts = np.cumsum([0, *(len(gallery) for gallery in galleries.values())])[:-1]
    seen = np.array(list(itertools.chain.from_iterable(galleries.values())))
    nearest = 1 - np.maximum.reduceat(looks[seen] @ looks[rows].T, starts, axis=0)
    ages = now - times[[gallery[-1] for gallery in galleries.values()]]
    free = np.arange(len(rows))
    found: list[tuple[int, int]] = []
    for age in np.unique(ages).tolist():
        able = np.flatnonzero(ages == age)
        who, what = assign(nearest[np.ix_(able, free)], options.most_distance + _REFUSED)
        good = nearest[able[who], free[what]] <= options.most_distance
        who, what = who[good], what[good]
        pairs = zip(able[who].tolist(), rows[free[what]].tolist(), strict=True)
        found += [(tracks[track], row) for track, row in pairs]
        free = free[unmatched(len(free), what)]
        if not len(free):
            break
    return found


def _steps(frames: Int64Array) -> Int64Array:
    """Frames counted in steps of the pictures that detectors looked at.

    Detectors often look at every thirtieth picture only. The step is the greatest distance that all
    frames are multiples of apart, so that a picture in which nothing was found counts as well.
    """
    distinct = np.unique(frames)
    if len(distinct) < 2:
        return np.zeros_like(frames)
    return np.asarray((frames - distinct[0]) // np.gcd.reduce(np.diff(distinct)))


def _runs(rows: Int64Array, keys: NDArray[np.int64]) -> list[Int64Array]:
    """``rows`` cut where ``keys (N,)`` change."""
    return np.split(rows, np.flatnonzero(np.diff(keys)) + 1) if len(rows) else []


def _unit(features: NDArray[np.floating]) -> Float64Array:
    looks = np.asarray(features, np.float64)
    length = np.linalg.norm(looks, axis=1, keepdims=True)
    return np.asarray(np.divide(looks, length, out=np.zeros_like(looks), where=length > 0))
