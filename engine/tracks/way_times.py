"""How long things took from camera to camera, as far as somebody confirmed that; clocks that follow."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Int64Array
from engine.tracks.camera_graph import ENOUGH_TIMES, learnt_ways, ways_of
from engine.tracks.cameras import Camera
from engine.tracks.edits import LINK, MUST, confirmed_identities
from engine.tracks.track_motion import flatten
from engine.tracks.tracklet_ends import Ends, Usual
from engine.tracks.tracklets import TrackState
from engine.tracks.visits import places_of
from engine.tracks.zone_counts import end_points, usual_zone

Float64Array = NDArray[np.float64]

FEWEST = 3
"""Times in each direction from which clocks are compared."""
MEDIAN = 1.2533
"""By how much the error of a median is larger than that of a mean."""


@dataclass(frozen=True)
class WayTimes:
    """Ways from one camera to another, as identities took them: ``K`` of them.

    Attributes
    ----------
    seconds
        float64 ``(K,)``; negative where both cameras saw it at once.
    sure
        bool ``(K,)`` which of them are confirmed, or sure for another reason.
    """

    seconds: Float64Array
    sure: NDArray[np.bool_]


def way_times(
    state: TrackState, cameras: Sequence[Camera], sure: Collection[tuple[int, int]] = ()
) -> dict[tuple[int, int], WayTimes]:
    """Times by earlier and later camera.

    Parameters
    ----------
    state
        Who is who. What a reviewer confirmed, and links that must be, are sure.
    cameras
        Of the scene.
    sure
        Further pairs of tracklets, the earlier first, whose links are.
    """
    flat = flatten(state)
    found = Ends(flat, cameras).passages()
    if not len(found.one):
        return {}
    confirmed = np.isin(flat.identities[found.one], confirmed_identities(state))
    known = set(sure) | {
        pair
        for key, kind in state.marks.get(LINK, {}).items()
        if kind == MUST
        for pair in (tuple(map(int, key.split(","))), tuple(map(int, key.split(",")))[::-1])
    }
    pairs = zip(flat.names[found.one].tolist(), flat.names[found.other].tolist(), strict=True)
    certain = confirmed | np.array([pair in known for pair in pairs])
    ways = np.stack([flat.cameras[found.one], flat.cameras[found.other]], axis=1)
    times = {}
    for one, other in np.unique(ways, axis=0).tolist():
        own = (ways == (one, other)).all(axis=1)
        times[one, other] = WayTimes(found.gaps[own], certain[own])
    return times


def sure_times(
    times: Mapping[tuple[int, int], WayTimes],
) -> tuple[Int64Array, Int64Array, Float64Array]:
    """Earlier and later cameras and seconds ``(K,)`` of what is sure, as windows are learnt from."""
    rows = [
        (one, other, float(seconds))
        for (one, other), own in times.items()
        for seconds in own.seconds[own.sure]
    ]
    table = np.array(rows, np.float64).reshape(-1, 3)
    return table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), table[:, 2]


def learnt_window(
    cameras: Sequence[Camera], times: Mapping[tuple[int, int], WayTimes], one: int, other: int
) -> tuple[float, float] | None:
    """What is learnt of a way from sure times; ``None`` where there are too few, or there is no way."""
    own = times.get((one, other))
    start = ways_of(cameras)
    if own is None or own.sure.sum() < ENOUGH_TIMES or not np.isfinite(start.least[one, other]):
        return None
    bare = type(start)(start.least, start.most)
    ways = learnt_ways(bare, *sure_times({(one, other): own}))
    return float(ways.least[one, other]), float(ways.most[one, other])


def zone_times(state: TrackState, cameras: Sequence[Camera]) -> dict[tuple[int, int], WayTimes]:
    """Times by the camera that was left and the one that was reached, as zones say, at any clocks.

    Clocks that are wrong by more than a way takes turn the order of sights round, zones do not: of an
    identity that leaves one camera towards another once, and reaches that from there once, the time
    between is told. Pairs of cameras without such are as :func:`way_times` says.
    """
    flat = flatten(state)
    ends = Ends(flat, cameras)
    leaves: dict[tuple[int, int, int], list[int]] = {}
    arrives: dict[tuple[int, int, int], list[int]] = {}
    for here, camera in enumerate(cameras):
        points, (came, went) = end_points(flat, here), places_of(cameras, here)
        first, last = came[usual_zone(points.first, camera)], went[usual_zone(points.last, camera)]
        own = np.flatnonzero(flat.cameras == here)
        rows = zip(
            own.tolist(), flat.identities[own].tolist(), first.tolist(), last.tolist(), strict=True
        )
        for at, who, before, after in rows:
            leaves.setdefault((who, here, after), []).append(at)
            arrives.setdefault((who, before, here), []).append(at)
    gaps: dict[tuple[int, int], list[float]] = {}
    for key, one in leaves.items():
        other = arrives.get(key, [])
        if key[2] >= 0 and len(one) == len(other) == 1:
            gap = float(ends.begin[other[0]] - ends.end[one[0]])
            gaps.setdefault(key[1:], []).append(gap)
    told = {way: WayTimes(np.array(own), np.zeros(len(own), bool)) for way, own in gaps.items()}
    known = {tuple(sorted(way)) for way in told}
    others = way_times(state, cameras)
    return told | {way: own for way, own in others.items() if tuple(sorted(way)) not in known}


# --- clocks ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Clock:
    """What a camera's clock should be.

    Attributes
    ----------
    offset
        Seconds, as :attr:`engine.tracks.cameras.Camera.offset`.
    error
        Its standard error; 0 for the camera that the others are compared with.
    times
        How many ways it follows from.
    """

    offset: float
    error: float
    times: int


def clocks(cameras: Sequence[Camera], times: Mapping[tuple[int, int], WayTimes]) -> list[Clock | None]:
    """Clocks by which ways take as long there as back, and as long as somebody said.

    Of cameras that are connected the first keeps its clock; ``None`` for those of which too little is
    known: a one-way road says nothing unless its travel time was said
    (:attr:`engine.tracks.cameras.Camera.windows`). Least squares over all pairs of cameras, medians
    weighted by their errors. Lights that hold up one direction only make it wrong by half of that.

    Parameters
    ----------
    cameras
        With the clocks that ``times`` are measured by.
    times
        Of :func:`zone_times`; all of them count, sure or not.
    """
    equations: list[tuple[int, int, float, float, int]] = []  # one, other, other - one, error, count
    for (one, other), own in times.items():
        count = len(own.seconds)
        window = cameras[one].window_to(cameras[other].name)
        if count < FEWEST:
            continue
        usual = Usual.of(own.seconds)
        error = MEDIAN * usual.spread / np.sqrt(count)
        if window is not None:
            middle, half = (window.least + window.most) / 2, (window.most - window.least) / 4
            difference = middle - usual.middle
            equations.append((one, other, difference, float(np.hypot(error, half)), count))
        back = times.get((other, one))
        if one < other and back is not None and len(back.seconds) >= FEWEST:
            there = Usual.of(back.seconds)
            both = float(np.hypot(error, MEDIAN * there.spread / np.sqrt(len(back.seconds)))) / 2
            shift = (there.middle - usual.middle) / 2
            equations.append((one, other, shift, both, count + len(back.seconds)))
    return _solved(cameras, equations)


def _solved(
    cameras: Sequence[Camera], equations: Sequence[tuple[int, int, float, float, int]]
) -> list[Clock | None]:
    count = len(cameras)
    group = list(range(count))
    for one, other, *_ in equations:
        low, high = sorted((group[one], group[other]))
        group = [low if name == high else name for name in group]
    told: list[Clock | None] = [None] * count
    for first in set(group):
        members = [at for at in range(count) if group[at] == first]
        own = [equation for equation in equations if group[equation[0]] == first]
        if not own:
            continue
        place = {at: number for number, at in enumerate(members[1:])}
        matrix, wanted = np.zeros((len(own), len(place))), np.zeros(len(own))
        for row, (one, other, difference, error, _) in enumerate(own):
            wanted[row] = difference / error
            for at, sign in ((one, -1.0), (other, 1.0)):
                if at in place:
                    matrix[row, place[at]] = sign / error
        spread = np.linalg.pinv(matrix.T @ matrix)
        shifts = spread @ matrix.T @ wanted
        for at in members:
            many = sum(equation[4] for equation in own if at in equation[:2])
            shift = float(shifts[place[at]]) if at in place else 0.0
            error = float(np.sqrt(spread[place[at], place[at]])) if at in place else 0.0
            told[at] = Clock(cameras[at].offset + shift, error, many)
    return told
