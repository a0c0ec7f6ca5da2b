"""What evaluation compares: pairs of true and predicted boxes of one frame that overlap, all at once.

Most boxes overlap one other box or none, so that pairs are kept as a list and matched by connected
components: only where objects are close to each other is there anything to decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from engine.errors import invalid_input
from engine.tracks.boxes import Boxes, Int64Array

Float64Array = NDArray[np.float64]

EPSILON = float(np.finfo(float).eps)
"""Similarities this little below a threshold count as equal to it."""

_PAIRS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Side:
    """True or predicted boxes, numbered without gaps.

    Attributes
    ----------
    rows
        Position of each box in what was given, in the order of time.
    times
        Its moment: 0, 1, 2, ... over all frames of all cameras.
    ids
        Its track: 0, 1, 2, ...
    names
        ``(K,)`` what the tracks are called.
    lengths
        ``(K,)`` boxes of each track.
    """

    rows: Int64Array
    times: Int64Array
    ids: Int64Array
    names: Int64Array
    lengths: Int64Array

    def __len__(self) -> int:
        return len(self.rows)

    def sums(self, values: NDArray[np.floating]) -> Float64Array:
        """``(K,)`` the sum over each track of values ``(N,)`` in the order of what was given."""
        ordered = np.asarray(values, np.float64)[self.rows]
        return np.bincount(self.ids, ordered, len(self.names)).astype(np.float64)


@dataclass(frozen=True)
class Pairs:
    """Pairs that overlap.

    Attributes
    ----------
    truth, predicted
        The two sides.
    moments
        How many frames there are with a box on either side.
    g, p
        ``(M,)`` positions in the two sides.
    iou
        ``(M,)`` above 0.
    """

    truth: Side
    predicted: Side
    moments: int
    g: Int64Array
    p: Int64Array
    iou: Float64Array


def pair_up(truth: Boxes, predicted: Boxes, *, ids_are_global: bool = True) -> Pairs:
    """All pairs of boxes of one camera and frame that overlap.

    Parameters
    ----------
    truth, predicted
        With tracks; each track at most once in a frame of a camera.
    ids_are_global
        Whether one id in two cameras is one object.

    Raises
    ------
    EngineError
        ``invalid_input`` for boxes without a track, and for a track twice in a frame: every measure
        would be wrong.
    """
    moments, times = _moments(truth, predicted)
    sides = (
        _side("true", truth, times[: len(truth)], ids_are_global),
        _side("predicted", predicted, times[len(truth) :], ids_are_global),
    )
    g, p, iou = _overlaps(truth.xyxy()[sides[0].rows], predicted.xyxy()[sides[1].rows], *sides)
    return Pairs(*sides, moments, g, p, iou)


def space_time_overlap(pairs: Pairs, truth: Boxes, predicted: Boxes) -> Float64Array:
    """``(G, P)`` intersections over unions of whole tracks: sums over all frames of both.

    A frame in which only one of two tracks is counts with the area of its box (the "3-D" overlap of
    TAO, arXiv 2005.10356).
    """
    areas = [
        box.areas()[side.rows] for box, side in ((truth, pairs.truth), (predicted, pairs.predicted))
    ]
    both = areas[0][pairs.g] + areas[1][pairs.p]
    sums = pairs.truth.sums(truth.areas()), pairs.predicted.sums(predicted.areas())
    common = np.zeros((len(sums[0]), len(sums[1])))
    where = (pairs.truth.ids[pairs.g], pairs.predicted.ids[pairs.p])
    np.add.at(common, where, pairs.iou * both / (1 + pairs.iou))
    return common / np.maximum(sums[0][:, None] + sums[1][None] - common, 1e-300)


def _moments(truth: Boxes, predicted: Boxes) -> tuple[int, Int64Array]:
    cameras = np.concatenate([truth.cameras, predicted.cameras])
    frames = np.concatenate([truth.frames, predicted.frames])
    order = np.lexsort((frames, cameras))
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(cameras[order]) != 0) | (np.diff(frames[order]) != 0)
    times = np.empty(len(order), np.int64)
    times[order] = np.cumsum(new) - 1
    return int(new.sum()) if len(order) else 0, times


def _side(what: str, boxes: Boxes, times: Int64Array, ids_are_global: bool) -> Side:
    if np.any(boxes.tracks < 0):
        raise invalid_input(
            f"Some {what} boxes belong to no track; tracks were not compared.",
            "Run a tracker on them first.",
        )
    names, ids = np.unique(boxes.tracks, return_inverse=True)
    if not ids_are_global:
        _, camera = np.unique(boxes.cameras, return_inverse=True)
        keys, ids = np.unique(camera * max(len(names), 1) + ids, return_inverse=True)
        names = names[keys % max(len(names), 1)]
    order = np.lexsort((ids, times))
    twice = (np.diff(times[order]) == 0) & (np.diff(ids[order]) == 0)
    if twice.any():
        row = int(order[np.flatnonzero(twice)[0]])
        raise invalid_input(
            f"The {what} track {boxes.tracks[row]} has two boxes in frame {boxes.frames[row]}; "
            "tracks were not compared.",
            "Import the file with de-duplication.",
        )
    lengths = np.bincount(ids, minlength=len(names))
    return Side(order, times[order], ids[order], names, lengths)


def _overlaps(
    truth: Float64Array, predicted: Float64Array, side_g: Side, side_p: Side
) -> tuple[Int64Array, Int64Array, Float64Array]:
    first = np.searchsorted(side_p.times, side_g.times, "left")
    counts = np.searchsorted(side_p.times, side_g.times, "right") - first
    ends = np.cumsum(counts)
    gs, ps, ious = [], [], []
    start = 0
    while start < len(counts):
        done = ends[start - 1] if start else 0
        stop = max(int(np.searchsorted(ends, done + _PAIRS_AT_ONCE, "right")), start + 1)
        number = counts[start:stop]
        g = np.repeat(np.arange(start, stop), number)
        p = np.arange(len(g)) - np.repeat(np.cumsum(number) - number, number) + first[g]
        a, b = truth[g], predicted[p]
        size = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
        touch = (size > 0).all(axis=1)
        g, p, size, a, b = g[touch], p[touch], size[touch], a[touch], b[touch]
        common = size[:, 0] * size[:, 1]
        areas = (a[:, 2] - a[:, 0]) * (a[:, 3] - a[:, 1]) + (b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1])
        gs.append(g)
        ps.append(p)
        ious.append(common / (areas - common))
        start = stop
    if not gs:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
    return np.concatenate(gs), np.concatenate(ps), np.concatenate(ious)


def components(g: Int64Array, p: Int64Array) -> list[Int64Array]:
    """Pairs that must be decided together: positions in the list, a group each.

    Groups are in the order of their first pair; pairs that share nothing with another are left out.
    """
    crowded = np.flatnonzero((np.bincount(g)[g] > 1) | (np.bincount(p)[p] > 1)) if len(g) else g
    if not len(crowded):
        return []
    _, gi = np.unique(g[crowded], return_inverse=True)
    _, pi = np.unique(p[crowded], return_inverse=True)
    offset = int(gi.max()) + 1
    size = offset + int(pi.max()) + 1
    graph = coo_matrix((np.ones(len(gi), np.int8), (gi, pi + offset)), shape=(size, size))
    _, labels = connected_components(graph, directed=False)
    label = labels[gi]
    order = np.argsort(label, kind="stable")
    groups = np.split(crowded[order], np.flatnonzero(np.diff(label[order])) + 1)
    return sorted(groups, key=lambda group: int(group[0]))


def best_of_group(g: Int64Array, p: Int64Array, weights: Float64Array) -> Int64Array:
    """Positions of the pairs of a group whose sum of weights is the largest, each side used once."""
    if (g[0] == g[-1] and np.all(g == g[0])) or np.all(p == p[0]):
        return np.array([np.argmax(weights)])
    rows, row = np.unique(g, return_inverse=True)
    columns, column = np.unique(p, return_inverse=True)
    table = np.zeros((len(rows), len(columns)))
    where = np.full(table.shape, -1)
    table[row, column] = weights
    where[row, column] = np.arange(len(g))
    chosen = where[linear_sum_assignment(table, maximize=True)]
    return chosen[chosen >= 0]


def assign(g: Int64Array, p: Int64Array, weights: Float64Array) -> Int64Array:
    """Positions of the pairs with the largest sum of weights, each ``g`` and each ``p`` used once.

    Weights are above 0. Ascending.
    """
    if not len(g):
        return np.zeros(0, np.int64)
    taken = (np.bincount(g)[g] == 1) & (np.bincount(p)[p] == 1)
    for group in components(g, p):
        taken[group[best_of_group(g[group], p[group], weights[group])]] = True
    return np.flatnonzero(taken)
