"""How long ways between cameras take, and which visits can be one object's because of it."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input
from engine.tracks.boxes import Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.visits import UNKNOWN, Visits

Float64Array = NDArray[np.float64]

ENOUGH_TIMES = 8
"""Observed times from which a window is learnt."""
LONGEST_STAY, AT_ONCE = 600.0, 5.0
"""Seconds for which two cameras may see one thing, and by which one of them may lose it earlier."""
EARLIER_AT_ONCE = 1000
"""Visits whose pairs are looked at together: what is not kept takes little memory."""
MOST_PAIRS = 25_000_000
"""Pairs that are kept: 40 bytes each, and three times that while they are put together."""
_NONE = np.zeros(0, np.int64)
WIDER = 1.5
"""Of the interquartile range, by which a learnt window is wider than 96 % of the times. With a quarter
of it a tenth of the true pairs was lost: what is sure enough to learn from is not all that there is."""


@dataclass(frozen=True)
class Ways:
    """Ways from camera to camera with nothing between.

    Attributes
    ----------
    least, most
        float64 ``(C, C)`` seconds from leaving the one to reaching the other, NaN without a way.
        ``least`` is negative where both see one place.
    fixed
        bool ``(C, C)`` whose windows somebody said, so that they are not learnt; ``None``: none.
    overlapping
        bool ``(C, C)`` which two see a part of what the other sees; ``None``: none.
    """

    least: Float64Array
    most: Float64Array
    fixed: NDArray[np.bool_] | None = None
    overlapping: NDArray[np.bool_] | None = None

    def next_to(self, camera: int) -> list[int]:
        """Cameras that are reached from one."""
        return np.flatnonzero(np.isfinite(self.least[camera])).tolist()


@dataclass(frozen=True)
class Pairs:
    """Pairs of visits that can be one object.

    Attributes
    ----------
    first, second
        int64 ``(P,)`` the earlier and the later visit.
    gaps
        float64 ``(P,)`` seconds between them.
    least, most
        float64 ``(P,)`` the window that the gap is in.
    """

    first: Int64Array
    second: Int64Array
    gaps: Float64Array
    least: Float64Array
    most: Float64Array

    def __len__(self) -> int:
        return len(self.first)

    def select(self, rows: NDArray[np.bool_]) -> Pairs:
        """Some of them."""
        return Pairs(
            self.first[rows], self.second[rows], self.gaps[rows], self.least[rows], self.most[rows]
        )


def ways_of(cameras: Sequence[Camera], least: float = 0.0, most: float = 120.0) -> Ways:
    """Ways that zones lead and neighbours name, in windows that cameras say, or else one for all."""
    names = {camera.name: at for at, camera in enumerate(cameras)}
    shape = len(cameras), len(cameras)
    low, high = np.full(shape, np.nan), np.full(shape, np.nan)
    fixed, overlapping = np.zeros(shape, bool), np.zeros(shape, bool)
    for at, camera in enumerate(cameras):
        for name in (*(zone.leads_to for zone in camera.zones), *camera.neighbours):
            if name in names and names[name] != at:
                window = camera.window_to(name)
                way = at, names[name]
                fixed[way] = window is not None
                low[way], high[way] = (least, most) if window is None else (window.least, window.most)
        for name in camera.overlaps:
            if name in names and names[name] != at:
                overlapping[at, names[name]] = overlapping[names[name], at] = True
    return Ways(low, high, fixed, overlapping)


def routes(ways: Ways, dwell: float = 40.0) -> dict[tuple[int, int, int, int], tuple[float, float]]:
    """Windows of the quickest ways from every camera to every other, also through cameras between.

    An object can be missed at a camera that it passes.

    Parameters
    ----------
    ways
        See :class:`Ways`.
    dwell
        Seconds that it may stay at a camera between.

    Returns
    -------
    ``(camera, first on the way, other camera, last on the way before it)`` to ``(least, most)``.
    """
    found = {}
    for camera in range(len(ways.least)):
        for first in ways.next_to(camera):
            waiting = [
                (float(ways.least[camera, first]), float(ways.most[camera, first]), first, camera)
            ]
            seen = {camera}
            while waiting:
                least, most, at, before = heapq.heappop(waiting)
                if at in seen:
                    continue
                seen.add(at)
                found[camera, first, at, before] = (least, most)
                for after in ways.next_to(at):
                    if after not in seen:
                        longer = most + float(ways.most[at, after]) + dwell
                        entry = (least + float(ways.least[at, after]), longer, after, at)
                        heapq.heappush(waiting, entry)
    return found


Keep = Callable[[Int64Array, Int64Array], NDArray[np.bool_]]
"""Which of some pairs of visits are worth keeping: asked for a part of them at a time."""


def possible_pairs(visits: Visits, ways: Ways, dwell: float = 40.0, keep: Keep | None = None) -> Pairs:
    """Pairs of visits of which the later can be reached from the earlier in time, by their zones.

    Memory grows with the pairs that are kept, not with the square of the visits.

    Parameters
    ----------
    visits
        ``N`` of them.
    ways, dwell
        See :func:`routes`.
    keep
        See :data:`Keep`; all, without it.

    Raises
    ------
    EngineError
        ``invalid_input`` for more than :data:`MOST_PAIRS`.
    """
    parts = []
    for (camera, first, other, last), (least, most) in routes(ways, dwell).items():
        leaves = (visits.cameras == camera) & np.isin(visits.went_to, (first, UNKNOWN))
        arrives = (visits.cameras == other) & np.isin(visits.came_from, (last, UNKNOWN))
        parts.append(_in_window(visits, leaves, arrives, least, most, keep))
        _not_too_many(parts)
    if ways.overlapping is not None:
        # What both see at once comes and goes by zones that do not lead to the other.
        for camera, other in np.argwhere(ways.overlapping).tolist():
            leaves, arrives = visits.cameras == camera, visits.cameras == other
            both = _in_window(visits, leaves, arrives, -LONGEST_STAY, AT_ONCE, keep)
            # No time of these is more usual than another.
            parts.append(replace(both, least=both.gaps - AT_ONCE, most=both.gaps + AT_ONCE))
            _not_too_many(parts)
    return _together(parts, len(visits))


def pairs_in_time(
    visits: Visits, cameras: int, least: float, most: float, keep: Keep | None = None
) -> Pairs:
    """Pairs of visits at two cameras that follow each other within a window; zones say nothing."""
    parts: list[Pairs] = []
    for one in range(cameras):
        leaves = visits.cameras == one
        parts.append(_in_window(visits, leaves, ~leaves, least, most, keep))
        _not_too_many(parts)
    return _together(parts, len(visits))


def _not_too_many(parts: list[Pairs]) -> None:
    if sum(map(len, parts)) > MOST_PAIRS:
        raise invalid_input(
            f"More than {MOST_PAIRS:,} pairs of visits could be one object by place, time and looks: "
            "comparing all would take more than 3 GB of memory; nothing was associated.",
            "Say how long ways take, or allow less time or less different looks; or take a shorter "
            "part of the recording.",
        )


def _in_window(
    visits: Visits,
    leaves: NDArray[np.bool_],
    arrives: NDArray[np.bool_],
    least: float,
    most: float,
    keep: Keep | None,
) -> Pairs:
    earlier, later = np.flatnonzero(leaves), np.flatnonzero(arrives)
    later = later[np.argsort(visits.t_in[later], kind="stable")]
    parts = [
        _of_some(visits, earlier[at : at + EARLIER_AT_ONCE], later, least, most, keep)
        for at in range(0, len(earlier), EARLIER_AT_ONCE)
    ]
    first = np.concatenate([_NONE, *(one for one, _ in parts)])
    second = np.concatenate([_NONE, *(other for _, other in parts)])
    gaps = visits.t_in[second] - visits.t_out[first]
    return Pairs(first, second, gaps, np.full(len(gaps), least), np.full(len(gaps), most))


def _of_some(
    visits: Visits,
    earlier: Int64Array,
    later: Int64Array,
    least: float,
    most: float,
    keep: Keep | None,
) -> tuple[Int64Array, Int64Array]:
    low = np.searchsorted(visits.t_in[later], visits.t_out[earlier] + least, "left")
    high = np.searchsorted(visits.t_in[later], visits.t_out[earlier] + most, "right")
    counts = np.maximum(high - low, 0)
    first = np.repeat(earlier, counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    second = later[np.repeat(low, counts) + within]
    # Where cameras overlap, a thing comes to the second one before it leaves the first.
    forward = visits.t_in[second] > visits.t_in[first]
    first, second = first[forward], second[forward]
    if keep is not None:
        kept = keep(first, second)
        first, second = first[kept], second[kept]
    return first, second


def _together(parts: list[Pairs], count: int) -> Pairs:
    """All pairs, each once: of several windows the narrowest."""
    if not parts:
        none = np.zeros(0)
        return Pairs(none.astype(np.int64), none.astype(np.int64), none, none, none)
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("first", "second", "gaps", "least", "most")
    }
    key = columns["first"] * max(count, 1) + columns["second"]
    order = np.lexsort((columns["most"] - columns["least"], key))
    order = order[np.r_[True, np.diff(key[order]) != 0]] if len(order) else order
    return Pairs(*(column[order] for column in columns.values()))


def learnt_ways(ways: Ways, first: Int64Array, second: Int64Array, seconds: Float64Array) -> Ways:
    """Windows by times that were observed, where there are enough.

    Parameters
    ----------
    ways
        What is known without them.
    first, second
        int64 ``(K,)`` cameras that something went between.
    seconds
        float64 ``(K,)`` how long each took.
    """
    least, most = ways.least.copy(), ways.most.copy()
    for one, other in np.unique(np.stack([first, second], axis=1), axis=0).tolist():
        times = seconds[(first == one) & (second == other)]
        said = ways.fixed is not None and bool(ways.fixed[one, other])
        if len(times) >= ENOUGH_TIMES and np.isfinite(least[one, other]) and not said:
            low, early, late, high = np.quantile(times, [0.02, 0.25, 0.75, 0.98])
            least[one, other] = low - WIDER * (late - early)
            most[one, other] = high + WIDER * (late - early)
    return Ways(least, most, ways.fixed, ways.overlapping)
