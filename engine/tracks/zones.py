"""Where tracklets come from and go to: zones of their boxes, wrong merges cut, useless ones left out.

Zones and the Tracklet Filter Strategy of the AI City Challenge's winner (arXiv 2105.06623, sections 3.1
and 3.2). What was tuned to single cameras there follows here from whether an arm leads to a camera.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Boxes, Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.temporal_mask import MAIN, SIDES, Arm

Float64Array = NDArray[np.float64]

SETTLED = 2
"""Frames in a new zone after which a tracklet counts as being there."""
LEAST_BEFORE_TURN = 15
LONGEST_HOLE = 100
BORDER = 5.0
"""Pixels from the picture's border within which a box is cut off by it."""
LEAST_SIZE = 2 / 3
LEAST_AREA = 2000.0
"""Square pixels of boxes that show enough for an appearance."""


class Verdict(IntEnum):
    """What becomes of a tracklet."""

    KEEP = 0
    HOLD = 1
    """A part that could only make another one longer."""
    DROP = 2


@dataclass(frozen=True)
class Clip:
    """What a verdict has to know of a camera and its video.

    Attributes
    ----------
    first, last
        Whether the camera is the first, or the last, along the road.
    start, end
        Frames before which, and after which, a tracklet may have been cut by the video.
    longest_stay
        Frames after which what stays in its arm is parked.
    start_is_partial
        Whether what is cut by the beginning is only held (one camera of the published program).
    end_counts_towards_next
        Whether of what is cut by the end only that in the arm to the next camera is kept (likewise).
    """

    first: bool = False
    last: bool = False
    start: int = 2
    end: int = 1999
    longest_stay: int = 1500
    start_is_partial: bool = False
    end_counts_towards_next: bool = False


def arms_of(cameras: Sequence[Camera], position: int) -> list[Arm]:
    """What each zone of a camera is, along a road on which the cameras stand in this order.

    Zones that lead to a later camera are arms to the next, those to an earlier one to the previous; the
    others are the two side roads in turn.
    """
    names = [camera.name for camera in cameras]
    arms, sides = [], 0
    for zone in cameras[position].zones:
        if zone.ignored:
            arms.append(Arm.CROSSING)
        elif zone.leads_to in names and names.index(zone.leads_to) != position:
            later = names.index(zone.leads_to) > position
            arms.append(Arm.NEXT if later else Arm.PREVIOUS)
        else:
            arms.append(SIDES[sides % 2])
            sides += 1
    return arms


def box_arms(boxes: Boxes, camera: Camera, arms: Sequence[Arm]) -> Int64Array:
    """``(N,)`` the :class:`~engine.tracks.temporal_mask.Arm` that each box's centre is in."""
    codes = np.array([*arms, Arm.CROSSING], np.int64)  # zone -1 is the last: none
    return np.asarray(codes[camera.zone_of(centres(boxes))])


def centres(boxes: Boxes) -> Float64Array:
    """``(N, 2)`` pixels."""
    xywh = boxes.xywh.astype(np.float64)
    return np.asarray(xywh[:, :2] + xywh[:, 2:] / 2)


def end_zones(zones: Int64Array, frames: int = 1) -> tuple[int, int]:
    """The zone at the beginning and at the end of a tracklet.

    Parameters
    ----------
    zones
        int64 ``(N,)`` of its boxes by frame; one or more.
    frames
        How many boxes at each end are asked; the most frequent zone among them counts, of equally
        frequent ones that nearest the end.
    """
    ends = (zones[:frames], zones[::-1][:frames])
    found = [max(end.tolist(), key=end.tolist().count) for end in ends]
    return found[0], found[1]


def cuts(frames: Int64Array, zones: Int64Array, x: Float64Array) -> list[int]:
    """Where a tracklet is two: it comes back to a zone and turns round, or has a long hole.

    Parameters
    ----------
    frames, zones, x
        ``(N,)`` frames, zones and horizontal centres of its boxes by frame.

    Returns
    -------
    Ascending numbers of boxes with which a new part begins; none for most.
    """
    found = set((np.flatnonzero(np.diff(frames) > LONGEST_HOLE) + 1).tolist())
    if _comes_back(zones):
        direction = np.sign(np.diff(x))
        moving = np.flatnonzero(direction)
        turns = moving[1:][np.diff(direction[moving]) != 0]
        late = turns[turns > LEAST_BEFORE_TURN]
        if len(late):
            found.add(int(late[0]))
    return sorted(found)


def _comes_back(zones: Int64Array) -> bool:
    """Whether a zone is visited a second time; passing through for a frame is no visit."""
    starts = np.flatnonzero(np.r_[True, np.diff(zones) != 0])
    lengths = np.diff(np.r_[starts, len(zones)])
    visited = zones[starts[lengths >= SETTLED]]
    visited = visited[np.r_[True, np.diff(visited) != 0]] if len(visited) else visited
    return len(np.unique(visited)) < len(visited)


def verdict(frames: Int64Array, zones: Int64Array, clip: Clip) -> Verdict:
    """Whether a tracklet can be seen by another camera.

    Parameters
    ----------
    frames, zones
        int64 ``(N,)`` frames and :class:`~engine.tracks.temporal_mask.Arm` of its boxes by frame.
    clip
        Of its camera.
    """
    zone_in, zone_out = int(zones[0]), int(zones[-1])
    if zone_in != zone_out:
        ends = {zone_in, zone_out}
        if ends == set(SIDES):
            return Verdict.DROP  # from side road to side road: no neighbour ever sees it
        leaves = (clip.first and Arm.PREVIOUS in ends) or (clip.last and Arm.NEXT in ends)
        return Verdict.DROP if leaves and ends & set(SIDES) else Verdict.KEEP
    if zone_in in SIDES:
        return Verdict.DROP
    if zone_in != Arm.CROSSING and Arm.CROSSING in zones:
        return Verdict.KEEP  # onto the crossing and back to the same arm
    return _standing(int(frames[0]), int(frames[-1]), zone_in, clip)


def _standing(first: int, last: int, zone: int, clip: Clip) -> Verdict:
    """The verdict on what never left its zone, which is no side road."""
    if last - first > clip.longest_stay:
        return Verdict.DROP
    in_arm = zone in MAIN
    if first < clip.start and clip.start_is_partial:
        return Verdict.HOLD if in_arm else Verdict.DROP
    if last > clip.end and clip.end_counts_towards_next:
        return Verdict.KEEP if zone == Arm.NEXT else Verdict.DROP
    if not in_arm:
        return Verdict.DROP
    return Verdict.KEEP if first < clip.start or last > clip.end else Verdict.HOLD


def whole_boxes(xywh: Float64Array, height: float) -> Int64Array:
    """Boxes of a tracklet that the picture's border does not cut off, as far as it matters.

    Boxes at the left or lower border at either end of the tracklet stay where they are wider and taller
    than two thirds of the first, or last, that is whole. Nothing is done where no box has its left or
    top at 0.

    Parameters
    ----------
    xywh
        float64 ``(N, 4)`` by frame.
    height
        Of the picture; pixels.

    Returns
    -------
    int64 numbers of boxes; none where all are cut off.
    """
    every = np.arange(len(xywh))
    if not np.any(xywh[:, :2] <= 0):
        return every
    touching = (xywh[:, 0] < BORDER) | (xywh[:, 1] + xywh[:, 3] > height - BORDER)
    inner = np.flatnonzero(~touching)
    if not len(inner):
        return inner
    large = np.ones(len(xywh), bool)
    for run, model in ((slice(0, inner[0]), inner[0]), (slice(inner[-1] + 1, None), inner[-1])):
        large[run] = (xywh[run, 2:] > LEAST_SIZE * xywh[model, 2:]).all(axis=1)
    return every[large]


def mean_look(features: NDArray[np.floating], areas: Float64Array) -> Float64Array:
    """``(D,)`` mean appearance ``(N, D)`` of large boxes; of all where fewer than two are large."""
    large = areas > LEAST_AREA
    chosen = features[large] if large.sum() >= 2 else features
    return np.asarray(chosen.mean(axis=0, dtype=np.float64))
