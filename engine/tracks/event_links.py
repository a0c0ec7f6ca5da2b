"""What is suspicious about ways between cameras: whom else it could be, times, zones, who is missing.

A way goes from a tracklet of an identity to its next one at another camera. It is judged by all the
others: how alike two ends of a way usually look, how long it usually takes. What is said of ways needs
no links of :mod:`engine.tracks.association`, so it holds after every edit, and for imported tracks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.event_tracklets import Found
from engine.tracks.track_motion import Flat, Float64Array
from engine.tracks.tracklet_ends import Ends, Passages, Usual, usual_times
from engine.tracks.visits import UNKNOWN

ENOUGH = 8
"""Ways between two cameras, or looks at both ends of ways, from which one is judged by the others."""
SIGMAS = 4.0
"""From the usual time, from which a way is suspicious."""
LONGEST = 120.0
"""Seconds of a way of which nothing is known."""
DOUBT = 0.05
"""Of cosines: so much less alike than a rival, and a link is three times as likely wrong as right."""
CLAIMED = 0.25
"""Of the chance that is left where the rival's own link looks better than it would."""
UNLIKE_CHANCE, TIME_CHANCE, AGAINST_CHANCE, MISSING_CHANCE = 0.5, 0.75, 0.4, 0.6
LIKE = 0.6
"""Cosine that says that two are one, while too few ways are known to tell."""
AT_ONCE = 200_000
"""Pairs that are compared together: memory stays small, however many there are."""


@dataclass(frozen=True)
class Ways:
    """All ways of a result and what is usual.

    Attributes
    ----------
    flat, ends
        The tracklets.
    passages
        ``P`` ways.
    looks
        ``(T, D)`` mean appearances of tracklets; NaN where nobody knows.
    alike
        ``(P,)`` cosine of the two ends.
    usual
        How long ways from a camera to another take, where enough are known.
    low, high
        ``(C, C)`` seconds between which others are looked for; :data:`LONGEST` apart at the most.
    typical, spread
        Median cosine of all ways and its deviation; NaN where too few are known.
    """

    flat: Flat
    ends: Ends
    passages: Passages
    looks: Float64Array
    alike: Float64Array
    usual: Mapping[tuple[int, int], Usual]
    low: Float64Array
    high: Float64Array
    typical: float
    spread: float


def ways_of(flat: Flat, cameras: Sequence[Camera], features: NDArray[np.floating] | None) -> Ways:
    """Look at all ways.

    Parameters
    ----------
    flat
        The tracked boxes.
    cameras
        Of the scene.
    features
        ``(M, D)`` of its detections, or None.
    """
    ends = Ends(flat, cameras)
    passages = ends.passages()
    several = len(np.unique(flat.cameras)) > 1
    looks = ends.looks(features if several else None)
    alike = (looks[passages.one] * looks[passages.other]).sum(axis=1)
    shape = len(cameras), len(cameras)
    low, high = np.zeros(shape), np.full(shape, LONGEST)
    usual = usual_times(flat, passages, ENOUGH)
    for pair, known in usual.items():
        around = min(SIGMAS * known.spread, LONGEST / 2)
        low[pair], high[pair] = known.middle - around, known.middle + around
    judged = alike[np.isfinite(alike)]
    typical = spread = np.nan
    if len(judged) >= ENOUGH:
        typical = float(np.median(judged))
        spread = float(1.4826 * np.median(np.abs(judged - typical))) + 0.02
    return Ways(flat, ends, passages, looks, alike, usual, low, high, typical, spread)


def odd_times(ways: Ways) -> Found:
    """Ways that take far longer, or shorter, than those of all others between the two cameras."""
    flat, way = ways.flat, ways.passages
    middle, spread = np.full(len(way.one), np.nan), np.full(len(way.one), np.nan)
    for (one, other), usual in ways.usual.items():
        here = (flat.cameras[way.one] == one) & (flat.cameras[way.other] == other)
        middle[here], spread[here] = usual.middle, usual.spread
    sigmas = np.nan_to_num(np.abs(way.gaps - middle) / spread)
    chance = TIME_CHANCE * (1 - 0.6 * SIGMAS / np.maximum(sigmas, SIGMAS))
    return _told(ways, chance, way.gaps - middle).select(sigmas > SIGMAS)


def against_zones(ways: Ways) -> Found:
    """Ways to a camera to which the zone that was left, or come by, does not lead."""
    flat, way, ends = ways.flat, ways.passages, ways.ends
    one, other = flat.cameras[way.one], flat.cameras[way.other]
    went, came = ends.went[way.one], ends.came[way.other]
    wrong = ((went != UNKNOWN) & (went != other)).astype(int) + ((came != UNKNOWN) & (came != one))
    # A camera between can be missed, but then something else has to speak for the two.
    chance = AGAINST_CHANCE * (0.5 + 0.5 * (wrong > 1)) * np.where(_unlike(ways) > 0, 1.5, 1.0)
    return _told(ways, np.minimum(chance, 0.9), wrong.astype(float)).select(wrong > 0)


def rivals(ways: Ways) -> Found:
    """Ways whose later end another tracklet of that camera, in time, looks as much like, or more."""
    flat, way = ways.flat, ways.passages
    if not len(way.one) or not np.isfinite(ways.alike).any():
        return _none()
    own = np.full(len(flat.names), np.nan)  # how well each tracklet's own way before it looks
    own[way.other] = ways.alike
    best, best_of = np.full(len(way.one), np.nan), np.zeros(len(way.one), np.int64)
    everybody = np.ones(len(flat.names), bool)
    for row, rival in _in_time(ways, way.one, flat.cameras[way.other], everybody):
        seen = np.nan_to_num(_cosines(ways.looks, way.one[row], rival), nan=-2)
        order = np.lexsort((-seen, row))
        first = order[np.r_[True, np.diff(row[order]) != 0]]
        best[row[first]], best_of[row[first]] = seen[first], rival[first]
    margin = ways.alike - best
    chance = 1 / (1 + np.exp(np.clip(np.nan_to_num(margin, nan=9) / DOUBT + 1, -50, 50)))
    chance = np.where(own[best_of] > best, chance * CLAIMED, chance)
    chance = np.maximum(chance, UNLIKE_CHANCE * _unlike(ways))
    return _told(ways, chance, ways.alike).select((chance > 0.1) & np.isfinite(ways.alike))


def missing(ways: Ways) -> Found:
    """An identity ends where a zone leads to another camera; one that begins there looks like it.

    The first of a pair is the one that ends. Nobody is missing where nothing was linked at all.
    """
    flat, ends = ways.flat, ways.ends
    if not len(ways.passages.one) or not np.isfinite(ways.looks).any():
        return _none()
    order = np.lexsort((ends.begin, flat.identities))
    same = flat.identities[order][1:] == flat.identities[order][:-1]
    last, first = order[~np.r_[same, False]], np.zeros(len(order), bool)
    first[order[~np.r_[False, same]]] = True
    last = last[ends.went[last] >= 0]
    expected = ways.typical if np.isfinite(ways.typical) else LIKE
    spread = ways.spread if np.isfinite(ways.spread) else 0.1
    parts = []
    for row, other in _in_time(ways, last, ends.went[last], first):
        one = last[row]
        fits = (ends.came[other] == UNKNOWN) | (ends.came[other] == flat.cameras[one])
        one, other = one[fits], other[fits]
        alike = _cosines(ways.looks, one, other)
        good = alike > expected - 2 * spread  # not where it is unknown
        parts.append((one[good], other[good], alike[good]))
    if not parts:
        return _none()
    one, other, alike = (np.concatenate(column) for column in zip(*parts, strict=True))
    mutual = _best(one, alike) & _best(other, alike)
    one, other, alike = one[mutual], other[mutual], alike[mutual]
    chance = MISSING_CHANCE / (1 + np.exp(-(alike - expected + spread) / spread))
    sizes = np.minimum(_boxes_of(flat)[one], _boxes_of(flat)[other])
    return Found.of(np.stack([one, other], axis=1), flat.lasts[one], chance, sizes, alike)


def _unlike(ways: Ways) -> Float64Array:
    """From 0 to 1: how far below the usual the two ends of each way look alike."""
    if not np.isfinite(ways.typical):
        return np.zeros(len(ways.alike))
    sigmas = (ways.typical - ways.alike) / ways.spread
    return np.clip(np.nan_to_num(sigmas - 3) / 3, 0, 1)


def _in_time(
    ways: Ways, one: Int64Array, camera: Int64Array, which: NDArray[np.bool_]
) -> Iterator[tuple[Int64Array, Int64Array]]:
    """Tracklets of other identities, of ``which``, that begin when one would come to its camera.

    Rows of ``one`` and tracklets, some rows at a time, each of them with all that it has.
    """
    flat, ends = ways.flat, ways.ends
    for at in np.unique(camera).tolist():
        there = np.flatnonzero((flat.cameras == at) & which)
        there = there[np.argsort(ends.begin[there], kind="stable")]
        mine = np.flatnonzero(camera == at)
        left, by = ends.end[one[mine]], flat.cameras[one[mine]]
        low = np.searchsorted(ends.begin[there], left + ways.low[by, at], "left")
        high = np.searchsorted(ends.begin[there], left + ways.high[by, at], "right")
        counts = np.maximum(high - low, 0)
        blocks = np.cumsum(counts) // AT_ONCE
        for block in np.unique(blocks).tolist():
            some = np.flatnonzero(blocks == block)
            count = counts[some]
            within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
            rows, found = np.repeat(mine[some], count), there[np.repeat(low[some], count) + within]
            good = flat.identities[found] != flat.identities[one[rows]]
            if good.any():
                yield rows[good], found[good]


def _cosines(looks: Float64Array, one: Int64Array, other: Int64Array) -> Float64Array:
    return np.asarray(np.einsum("nd,nd->n", looks[one], looks[other]))


def _best(of: Int64Array, values: Float64Array) -> NDArray[np.bool_]:
    """Which rows have the greatest value of all with the same number."""
    greatest = np.full(int(of.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(greatest, of, values)
    return values >= greatest[of]


def _boxes_of(flat: Flat) -> Int64Array:
    """``(T,)`` boxes of each tracklet's identity."""
    _, number = np.unique(flat.identities, return_inverse=True)
    return np.bincount(number, flat.lengths).astype(np.int64)[number]


def _told(ways: Ways, chance: Float64Array, amount: Float64Array) -> Found:
    """Ways as events: the later tracklet is the one to change, where it begins."""
    flat, way = ways.flat, ways.passages
    # What would be right: the smaller part of the identity, before the way or after it.
    order = np.lexsort((ways.ends.begin, flat.identities))
    before = np.zeros(len(order), np.int64)
    total = np.cumsum(flat.lengths[order])
    starts = np.flatnonzero(np.r_[True, np.diff(flat.identities[order]) != 0]) if len(order) else order
    base = np.repeat(total[starts] - flat.lengths[order][starts], np.diff(np.r_[starts, len(order)]))
    before[order] = total - base
    boxes = np.minimum(before[way.one], _boxes_of(flat)[way.one] - before[way.one])
    pairs = np.stack([way.other, way.one], axis=1)
    return Found.of(pairs, flat.firsts[way.other], chance, boxes, amount)


def _none() -> Found:
    return Found.of(np.zeros((0, 2)), [], [], [], [])
