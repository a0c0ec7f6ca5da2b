"""What cameras saw of each object, in short: its tracklets at a camera, where it came from and went."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.errors import invalid_input
from engine.tracks.boxes import FEATURES, Boxes, Int64Array
from engine.tracks.camera_similarity import unit
from engine.tracks.cameras import Camera
from engine.tracks.zones import centres, end_zones, mean_look

Float64Array = NDArray[np.float64]

OUTSIDE, UNKNOWN = -1, -2
"""Instead of a camera: where no camera is; and where nobody knows."""
END = 5
"""Boxes at either end of a tracklet that are asked for their zone and speed."""
SHORT_GAP, LONG_GAP = 3.0, 20.0
"""Seconds for which a tracker may lose something that moves, and something that stands hidden."""
SHORT_REACH, LONG_REACH = 1.0, 2.0
"""Widths of the box within which it has to be found again."""
SHORT_LIKENESS, LONG_LIKENESS = 0.9, 0.97
"""Cosine of mean appearances that it has to have then: with 0.6 and 0.85 the network's IDF1 was 0.03
lower (preset hard, seeds 21 to 28)."""


@dataclass(frozen=True)
class Visits:
    """``N`` objects at a camera each.

    Attributes
    ----------
    tracklets
        The tracklets of each, by time: more than one where the tracker lost it for a while.
    cameras
        int64 ``(N,)`` positions in the list of cameras.
    came_from, went_to
        int64 ``(N,)`` camera that the zone of its first and last boxes leads to; :data:`OUTSIDE` where
        that zone leads nowhere, :data:`UNKNOWN` outside of all zones.
    t_in, t_out
        float64 ``(N,)`` first and last moment, seconds on the common clock.
    looks
        float64 ``(N, D)`` mean appearance, unit length.
    """

    tracklets: tuple[tuple[int, ...], ...]
    cameras: Int64Array
    came_from: Int64Array
    went_to: Int64Array
    t_in: Float64Array
    t_out: Float64Array
    looks: Float64Array

    def __len__(self) -> int:
        return len(self.cameras)

    def select(self, rows: Int64Array) -> Visits:
        """Some of them, by position."""
        return Visits(
            tuple(self.tracklets[at] for at in rows.tolist()),
            self.cameras[rows], self.came_from[rows], self.went_to[rows],
            self.t_in[rows], self.t_out[rows], self.looks[rows],
        )  # fmt: skip


def visits_of(
    boxes: Boxes,
    cameras: Sequence[Camera],
    *,
    join_parts: bool = True,
    apart: Collection[tuple[int, int]] = (),
) -> Visits:
    """Sum up tracklets.

    Parameters
    ----------
    boxes
        ``tracks`` are tracklets, each in one camera; ``extra["features"]`` is ``(N, D)``.
    cameras
        With clocks and zones.
    join_parts
        Whether tracklets of one camera that follow each other closely, in place, time and look, are one
        visit: trackers lose what stops, or is hidden for a moment.
    apart
        Pairs of tracklets that are not one object.

    Raises
    ------
    EngineError
        ``invalid_input`` without appearances.
    """
    if FEATURES not in boxes.extra:
        raise invalid_input(
            "These tracks have no appearances, by which cameras are compared; nothing was associated.",
            "Detect with an appearance model (triptych detect), and track again.",
        )
    boxes = boxes.select(~_ignored(boxes, cameras))
    boxes = boxes.select(np.lexsort((boxes.frames, boxes.tracks)))
    features = np.asarray(boxes.extra[FEATURES])
    features = np.where(np.isfinite(features).all(axis=1, keepdims=True), features, 0)  # says nothing
    names, starts = np.unique(boxes.tracks, return_index=True)
    groups = np.split(np.arange(len(boxes)), starts[1:]) if len(names) else []
    labels = np.arange(len(groups))
    if join_parts and len(groups):
        number = {name: at for at, name in enumerate(names.tolist())}
        never = {
            (number[one], number[other]) for one, other in apart if one in number and other in number
        }
        labels = _parts(
            boxes, features, groups, cameras, never | {(other, one) for one, other in never}
        )
    joined: dict[int, list[int]] = {}
    for at, label in enumerate(labels.tolist()):
        joined.setdefault(label, []).append(at)
    visits = []
    for numbers in joined.values():
        numbers.sort(key=lambda number: int(boxes.frames[groups[number][0]]))
        rows = np.concatenate([groups[number] for number in numbers])
        visits.append((numbers, rows[np.argsort(boxes.frames[rows], kind="stable")]))
    leads = [places_of(cameras, at) for at in range(len(cameras))]
    places = [_ends(boxes.select(rows), cameras, leads) for _, rows in visits]
    areas = boxes.areas()
    looks = [mean_look(features[rows], areas[rows]) for _, rows in visits]
    camera_of = np.array([int(boxes.cameras[rows[0]]) for _, rows in visits], np.int64)
    times = np.array(
        [
            cameras[camera].seconds(boxes.frames[rows[[0, -1]]])
            for camera, (_, rows) in zip(camera_of.tolist(), visits, strict=True)
        ]
    ).reshape(-1, 2)
    zones = np.array(places, np.int64).reshape(-1, 2)
    return Visits(
        tuple(tuple(names[numbers].tolist()) for numbers, _ in visits),
        camera_of, zones[:, 0], zones[:, 1], times[:, 0], times[:, 1],
        unit(np.array(looks, np.float64).reshape(len(visits), features.shape[1])),
    )  # fmt: skip


def places_of(cameras: Sequence[Camera], position: int) -> tuple[Int64Array, Int64Array]:
    """Cameras from which objects come through the zones of a camera, and to which they go.

    They come from where a zone leads to, unless the zone of some camera leads into this one; where
    zones of several cameras do, nobody knows from which.

    Returns
    -------
    int64 ``(Z + 1,)`` each: a camera, :data:`OUTSIDE`, or :data:`UNKNOWN`; the last is for no zone.
    """
    names = {camera.name: at for at, camera in enumerate(cameras)}
    own = cameras[position]
    arrive: dict[str, set[int]] = {}
    for at, camera in enumerate(cameras):
        for zone in camera.zones:
            if zone.leads_to == own.name and zone.leads_into:
                arrive.setdefault(zone.leads_into, set()).add(at)
    came, went = [], []
    for zone in own.zones:
        to = names.get(zone.leads_to, OUTSIDE)
        by = arrive.get(zone.name, {to})
        came.append(UNKNOWN if zone.ignored or len(by) > 1 else next(iter(by)))
        went.append(UNKNOWN if zone.ignored else to)
    return np.array([*came, UNKNOWN], np.int64), np.array([*went, UNKNOWN], np.int64)


def _ignored(boxes: Boxes, cameras: Sequence[Camera]) -> NDArray[np.bool_]:
    """``(N,)`` boxes in zones that say nothing."""
    found = np.zeros(len(boxes), bool)
    for at, camera in enumerate(cameras):
        if any(zone.ignored for zone in camera.zones):
            own = np.flatnonzero(boxes.cameras == at)
            found[own] = camera.ignores(centres(boxes.select(own)))
    return found


def _ends(
    boxes: Boxes, cameras: Sequence[Camera], leads: Sequence[tuple[Int64Array, Int64Array]]
) -> tuple[int, int]:
    """Where something came from and went to; its boxes by frame."""
    camera = int(boxes.cameras[0])
    first, last = end_zones(cameras[camera].zone_of(centres(boxes)), END)
    came, went = leads[camera]
    return int(came[first]), int(went[last])


def _parts(
    boxes: Boxes,
    features: NDArray[np.floating],
    groups: list[Int64Array],
    cameras: Sequence[Camera],
    never: set[tuple[int, int]],
) -> Int64Array:
    """``(T,)`` equal numbers for tracklets (their rows by frame) that are parts of one visit."""
    middle = centres(boxes)
    first = np.array([rows[0] for rows in groups])
    last = np.array([rows[-1] for rows in groups])
    before = np.array([rows[-min(END, len(rows))] for rows in groups])
    camera = boxes.cameras[first]
    rate = np.array([one.fps for one in cameras])[camera]
    frames = np.maximum(boxes.frames[last] - boxes.frames[before], 1)
    speed = (middle[last] - middle[before]) / frames[:, None] * rate[:, None]
    width = np.array([boxes.xywh[rows, 2].mean() for rows in groups])
    looks = unit(np.stack([features[rows].mean(axis=0) for rows in groups]))
    start, end = boxes.frames[first] / rate, boxes.frames[last] / rate

    pairs, gains = [], []
    for one in np.unique(camera).tolist():
        here = np.flatnonzero(camera == one)
        here = here[np.argsort(start[here], kind="stable")]
        low = np.searchsorted(start[here], end[here], "right")
        high = np.searchsorted(start[here], end[here] + LONG_GAP, "right")
        for at, i in enumerate(here.tolist()):
            for j in here[low[at] : high[at]].tolist():
                if (i, j) in never:
                    continue
                gap = start[j] - end[i]
                places = (middle[last[i]], middle[last[i]] + speed[i] * min(gap, 1.0))
                away = min(float(np.hypot(*(middle[first[j]] - place))) for place in places) / width[i]
                alike = float(looks[i] @ looks[j])
                short = gap <= SHORT_GAP and away < SHORT_REACH and alike > SHORT_LIKENESS
                if short or (away < LONG_REACH and alike > LONG_LIKENESS):
                    pairs.append((i, j))
                    gains.append(1 + alike - 0.2 * away - 0.02 * gap)
    chosen = best_successors(np.array(pairs, np.int64).reshape(-1, 2), np.array(gains), len(groups))
    graph = coo_matrix((np.ones(len(chosen)), (chosen[:, 0], chosen[:, 1])), (len(groups),) * 2)
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def best_successors(pairs: Int64Array, gains: Float64Array, count: int) -> Int64Array:
    """Of pairs (earlier, later) those that gain most together, each thing once in either place.

    Parameters
    ----------
    pairs, gains
        int64 ``(P, 2)`` and positive float64 ``(P,)``.
    count
        Of things.

    Returns
    -------
    int64 ``(K, 2)``.
    """
    if not len(pairs):
        return pairs
    # What shares no thing with the rest is decided by itself: matrices stay small.
    graph = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1] + count)), (2 * count,) * 2)
    group = connected_components(graph, directed=False)[1][pairs[:, 0]]
    chosen = []
    for rows in np.split(np.argsort(group, kind="stable"), np.flatnonzero(np.diff(np.sort(group))) + 1):
        ones, i = np.unique(pairs[rows, 0], return_inverse=True)
        others, j = np.unique(pairs[rows, 1], return_inverse=True)
        table = np.zeros((len(ones), len(others)))
        table[i, j] = gains[rows]
        one, other = linear_sum_assignment(-table)
        good = table[one, other] > 0
        chosen.append(np.stack([ones[one[good]], others[other[good]]], axis=1))
    return np.concatenate(chosen)
