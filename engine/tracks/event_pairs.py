"""What is suspicious about two tracklets: changed places, one goes on as the other, doubles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.tracks.boxes import Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.evaluate_pairs import pair_up
from engine.tracks.event_tracklets import Found, jumps
from engine.tracks.track_motion import Flat, Float64Array, Motion
from engine.tracks.tracklet_looks import Looks, cosines

MEET = 0.3
"""Overlap from which two could be exchanged."""
LIES_ON = 0.5
"""Overlap, and share of frames with it, from which one is the other's double."""
LEAST_DOUBLE = 3
APART = 10
"""Frames after which two that overlap again meet anew."""
AROUND = 2
"""Frames before and after a meeting in which they may be exchanged too."""
ALONE_SIGMAS = 12.0
"""Two tracklets that jump this far in one frame may be exchanged without having met."""
LEAST_CHANCE = 0.2
MOST_MISFIT = 50.0
MOTION_WEIGHT, LOOK_WEIGHT, MOST_EVIDENCE = 0.1, 8.0, 7.0
PRIOR = -3.0
"""Logarithm of the odds that two that meet are exchanged."""
LONGEST_SECONDS = 3.0
"""For which somebody is lost and found again."""
LOST_PRIOR, LOST_SIGMAS = 1.5, 0.12
LIKE = 0.6


@dataclass(frozen=True)
class Meetings:
    """Moments at which two tracklets could have been exchanged: ``M`` candidates of some meetings.

    Attributes
    ----------
    group
        int64 ``(M,)`` which meeting.
    a, b
        int64 ``(M,)`` positions of tracklets in the flat list.
    before, after
        int64 ``(M,)`` the last frame before the exchange, the first one after it.
    """

    group: Int64Array
    a: Int64Array
    b: Int64Array
    before: Int64Array
    after: Int64Array


@dataclass(frozen=True)
class Touches:
    """Pairs of boxes of a frame that overlap, ``P`` of them, by tracklets and frame.

    Attributes
    ----------
    a, b
        int64 ``(P,)`` positions of tracklets, a < b.
    frames, iou
        ``(P,)``.
    """

    a: Int64Array
    b: Int64Array
    frames: Int64Array
    iou: Float64Array


def touches(flat: Flat) -> Touches:
    """Pairs of one camera and frame that overlap by :data:`MEET` or more."""
    boxes = flat.boxes.replace(tracks=flat.owner)
    pairs = pair_up(boxes, boxes)
    kept = pairs.iou >= MEET
    one = pairs.truth.rows[pairs.g[kept]]
    other = pairs.predicted.rows[pairs.p[kept]]
    iou = pairs.iou[kept]
    ordered = flat.owner[one] < flat.owner[other]
    one, other, iou = one[ordered], other[ordered], iou[ordered]
    a, b, frames = flat.owner[one], flat.owner[other], flat.boxes.frames[one]
    order = np.lexsort((frames, b, a))
    return Touches(a[order], b[order], frames[order], iou[order])


def swaps(flat: Flat, motion: Motion, near: Motion, looks: Looks, met: Touches) -> Found:
    """Two tracklets of which each goes on as the other, by motion and by looks.

    The frame is the first one after the exchange: swapping from there on mends it.

    Parameters
    ----------
    flat, motion, near, looks
        The boxes, how they move in wide and in narrow windows, and what they look like.
    met
        Of :func:`touches`.
    """
    some = _meetings(met, 0)
    alone = _alone(flat, motion, looks, int(some.group.max(initial=-1)) + 1)
    every = Meetings(
        *(
            np.concatenate([getattr(some, name), getattr(alone, name)])
            for name in ("group", "a", "b", "before", "after")
        )
    )
    gain, valid = _motion_gain(flat, (motion, near), every)
    gain = np.where(valid, gain, -np.inf)
    if not valid.any():
        return Found.of(np.zeros((0, 2)), [], [], [], [])
    order = np.lexsort((-gain, every.group))
    best = order[np.r_[True, np.diff(every.group[order]) != 0]]
    best = best[np.isfinite(gain[best])]
    a, b = every.a[best], every.b[best]
    first = _span(every.before, every.group, best, np.minimum)
    last = _span(every.after, every.group, best, np.maximum)
    evidence = np.clip(MOTION_WEIGHT * gain[best], -MOST_EVIDENCE, MOST_EVIDENCE)
    evidence += _look_evidence(
        flat, looks, a, b, (first, every.before[best]), (last, every.after[best])
    )
    chances = 1 / (1 + np.exp(-(evidence + PRIOR)))
    frames = every.after[best]
    # Whole tracklets are matched: what is lost is the smaller part of both together.
    early = sum(flat.until(side, every.before[best]) + 1 - flat.starts[side] for side in (a, b))
    won = np.minimum(early, flat.lengths[a] + flat.lengths[b] - early)
    likely = chances >= LEAST_CHANCE
    found = Found.of(np.stack([a, b], axis=1), frames, chances, won, evidence)
    return found.select(likely & (won > 0))


def _span(values: Int64Array, group: Int64Array, best: Int64Array, how: np.ufunc) -> Int64Array:
    """The least or largest value of the whole meeting of each of ``best``."""
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(group[order]) != 0])
    whole = how.reduceat(values[order], starts)
    return np.asarray(whole[np.searchsorted(group[order][starts], group[best])])


def _meetings(met: Touches, first: int) -> Meetings:
    """Every frame of every meeting, and the meeting as a whole."""
    if not len(met.a):
        none = np.zeros(0, np.int64)
        return Meetings(none, none, none, none, none)
    new = np.r_[
        True,
        (np.diff(met.a) != 0) | (np.diff(met.b) != 0) | (np.diff(met.frames) > APART),
    ]
    starts = np.flatnonzero(new)
    ends = np.r_[starts[1:], len(met.a)] - 1
    low, high = met.frames[starts] - AROUND, met.frames[ends] + AROUND
    count = high - low + 1
    group = np.repeat(np.arange(len(starts)), count)
    moment = np.arange(len(group)) - np.repeat(np.cumsum(count) - count, count) + low[group]
    whole = np.arange(len(starts))
    groups = np.concatenate([group, whole])
    return Meetings(
        groups + first, met.a[starts][groups], met.b[starts][groups],
        np.concatenate([moment - 1, met.frames[starts] - 1]),
        np.concatenate([moment, met.frames[ends] + 1]),
    )  # fmt: skip


def _alone(flat: Flat, motion: Motion, looks: Looks, first: int) -> Meetings:
    """Two that jump in the same frame, wherever they are."""
    found = jumps(flat, motion, looks)
    found = found.select(found.amounts > ALONE_SIGMAS)
    who, when = found.tracklets[:, 0], found.frames
    order = np.lexsort((who, when, flat.cameras[who]))
    who, when = who[order], when[order]
    same = (np.diff(when) == 0) & (np.diff(flat.cameras[who]) == 0)
    at = np.flatnonzero(same)  # of three that jump at once, neighbours: the others are found next time
    return Meetings(first + np.arange(len(at)), who[at], who[at + 1], when[at] - 1, when[at])


def _motion_gain(
    flat: Flat, motions: tuple[Motion, ...], at: Meetings
) -> tuple[Float64Array, np.ndarray]:
    """By how much the lines meet better when two are exchanged; and where both have boxes around."""
    before = [flat.until(side, at.before) for side in (at.a, at.b)]
    after = [flat.until(side, at.after - 1) + 1 for side in (at.a, at.b)]
    # Without a box before, "until" gives -1, and the next one would be another tracklet's.
    valid = (before[0] >= 0) & (before[1] >= 0)
    for side, position in zip((at.a, at.b), after, strict=True):
        valid &= position < flat.starts[side + 1]
    gain = np.zeros(len(at.a))
    where = np.flatnonzero(valid)
    for sign, one, other in ((1, 0, 0), (1, 1, 1), (-1, 0, 1), (-1, 1, 0)):
        for motion in motions:
            found = motion.misfit(before[one][where], after[other][where])
            squares = found.position**2 + found.speed**2 + found.size**2
            gain[where] += sign * np.minimum(squares, MOST_MISFIT)
    return gain, valid


def _look_evidence(
    flat: Flat,
    looks: Looks,
    a: Int64Array,
    b: Int64Array,
    before: tuple[Int64Array, Int64Array],
    after: tuple[Int64Array, Int64Array],
) -> Float64Array:
    """Evidence from looks: of before and after the whole meeting, or else of the moment itself."""
    if not looks.known:
        return np.zeros(len(a))
    early, late = [], []
    for side in (a, b):
        position = flat.until(side, before[0])
        early.append(looks.window(np.where(position >= 0, position, flat.until(side, before[1])), -1))
        position = flat.until(side, after[0] - 1) + 1
        inside = position < flat.starts[side + 1]
        late.append(looks.window(np.where(inside, position, flat.until(side, after[1] - 1) + 1), 1))
    gain = (
        cosines(early[0], late[1]) + cosines(early[1], late[0])
        - cosines(early[0], late[0]) - cosines(early[1], late[1])
    )  # fmt: skip
    return np.clip(LOOK_WEIGHT * np.nan_to_num(gain), -MOST_EVIDENCE, MOST_EVIDENCE)


def lost(flat: Flat, motion: Motion, looks: Looks, cameras: tuple[Camera, ...]) -> Found:
    """A tracklet ends, and another of another identity begins where it was going, soon after.

    The frame is the first one of the second tracklet.
    """
    ends, starts = flat.starts[1:] - 1, flat.starts[:-1]
    reach = np.array([round(camera.fps * LONGEST_SECONDS) for camera in cameras])[flat.cameras]
    stride = int(flat.lasts.max()) + int(reach.max()) + 2
    order = np.argsort(flat.cameras * stride + flat.firsts, kind="stable")
    keys = (flat.cameras * stride + flat.firsts)[order]
    low = np.searchsorted(keys, flat.cameras * stride + flat.lasts, side="right")
    high = np.searchsorted(keys, flat.cameras * stride + flat.lasts + reach, side="right")
    count = high - low
    one = np.repeat(np.arange(len(ends)), count)
    other = order[np.arange(len(one)) - np.repeat(np.cumsum(count) - count, count) + low[one]]
    strangers = flat.identities[one] != flat.identities[other]
    one, other = one[strangers], other[strangers]
    sigmas = motion.misfit(ends[one], starts[other]).motion
    near = sigmas < 6
    one, other, sigmas = one[near], other[near], sigmas[near]
    evidence = LOST_PRIOR - LOST_SIGMAS * sigmas**2
    alike = cosines(looks.window(ends[one], -1), looks.window(starts[other], 1))
    evidence += np.clip(LOOK_WEIGHT * np.nan_to_num(alike - LIKE), -3, 3)
    chances = 1 / (1 + np.exp(-evidence))
    # The best for both sides: nobody goes on as two.
    best = np.lexsort((-evidence, one))
    best = best[np.r_[True, np.diff(one[best]) != 0]] if len(best) else best
    best = best[np.lexsort((-evidence[best], other[best]))]
    best = best[np.r_[True, np.diff(other[best]) != 0]] if len(best) else best
    best = best[chances[best] >= LEAST_CHANCE]
    one, other = one[best], other[best]
    return Found.of(
        np.stack([one, other], axis=1), flat.firsts[other], chances[best],
        np.minimum(flat.lengths[one], flat.lengths[other]), flat.firsts[other] - flat.lasts[one] - 1,
    )  # fmt: skip


def doubles(flat: Flat, met: Touches) -> Found:
    """A tracklet that lies on a longer one nearly all the time; the shorter one comes first."""
    on = met.iou >= LIES_ON
    pairs, at, count = np.unique(
        np.stack([met.a[on], met.b[on]], axis=1), axis=0, return_index=True, return_counts=True
    )
    frames = met.frames[on][at]
    swapped = flat.lengths[pairs[:, 0]] > flat.lengths[pairs[:, 1]]
    pairs[swapped] = pairs[swapped][:, ::-1]
    length = flat.lengths[pairs[:, 0]]
    share = count / np.maximum(length, 1)
    found = Found.of(pairs, frames, share.clip(0, 1), length, share)
    return found.select((share >= LIES_ON) & (count >= LEAST_DOUBLE))


def together(flat: Flat) -> Found:
    """Two tracklets of one camera and one identity at the same time; the shorter one comes first."""
    order = np.lexsort((flat.firsts, flat.cameras, flat.identities))
    same = (np.diff(flat.identities[order]) == 0) & (np.diff(flat.cameras[order]) == 0)
    one, other = order[:-1][same], order[1:][same]
    overlap = np.minimum(flat.lasts[one], flat.lasts[other]) - flat.firsts[other] + 1
    found = np.stack([one, other], axis=1)
    shorter_second = flat.lengths[one] > flat.lengths[other]
    found[shorter_second] = found[shorter_second][:, ::-1]
    result = Found.of(
        found, flat.firsts[other], np.full(len(found), 0.9), flat.lengths[found[:, 0]], overlap
    )
    return result.select(overlap > 0)
