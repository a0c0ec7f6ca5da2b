"""Tracks of one camera that are one object: those apart in time are joined, doubles left out (AOA)."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array
from engine.tracks.evaluate_pairs import pair_up, space_time_overlap

Float64Array = NDArray[np.float64]


def join_in_order(
    boxes: Boxes, ids: Int64Array, looks: Float64Array, least_similarity: float
) -> Int64Array:
    """Join as the published program of AOA does (arXiv 2101.08040).

    In the order of ids, each track takes the later ones of its class that nobody took, that begin after
    its end or end before its beginning, and whose mean appearance is like its own. What it took before
    does not count, so that two of them may overlap in time.

    Parameters
    ----------
    boxes
        Of one camera; those of a track have one class.
    ids
        int64 ``(N,)`` their tracks, :data:`~engine.tracks.boxes.NO_TRACK` for none.
    looks
        float64 ``(N, D)`` appearance of each, unit length.
    least_similarity
        Cosine of mean appearances above which two tracks are one.

    Returns
    -------
    int64 ``(N,)`` tracks; a joined one has the lowest of its ids, and may have two boxes in a frame
    (see :func:`one_a_frame`).
    """
    result = ids.copy()
    for groups in _classes(boxes, ids):
        means = _unit(np.stack([looks[rows].sum(axis=0) for rows in groups.values()]))
        first = np.array([boxes.frames[rows].min() for rows in groups.values()])
        last = np.array([boxes.frames[rows].max() for rows in groups.values()])
        names = list(groups)
        taken = np.zeros(len(names), bool)
        for at, name in enumerate(names):
            if taken[at]:
                continue
            apart = (first > last[at]) | (last < first[at])
            alike = (means @ means[at] > least_similarity) & apart & ~taken
            alike[: at + 1] = False
            taken |= alike
            for other in np.flatnonzero(alike).tolist():
                result[groups[names[other]]] = name
    return result


def join_best_first(
    boxes: Boxes, ids: Int64Array, looks: Float64Array, least_similarity: float
) -> Int64Array:
    """Join the most alike tracks of a class first, as long as nothing is in two places at once.

    Joined tracks have the frames and the mean appearance of all their boxes. Parameters and result as
    of :func:`join_in_order`, but no track has two boxes in a frame that did not have them before.
    """
    result = ids.copy()
    for groups in _classes(boxes, ids):
        names = list(groups)
        sums = np.stack([looks[rows].sum(axis=0) for rows in groups.values()])
        frames = [set(boxes.frames[rows].tolist()) for rows in groups.values()]
        for members in _best_first(sums, frames, least_similarity):
            for other in members:
                result[groups[names[other]]] = names[members[0]]
    return result


def _best_first(sums: Float64Array, frames: list[set[int]], least_similarity: float) -> list[list[int]]:
    """What belongs together, the lowest number first; both arguments change."""
    parts = [[at] for at in range(len(frames))]
    versions = [0] * len(frames)
    waiting: list[tuple[float, int, int, int, int]] = []

    def consider(one: int, others: list[int]) -> None:
        alike = _unit(sums[others]) @ _unit(sums[one : one + 1])[0]
        for other, likeness in zip(others, alike.tolist(), strict=True):
            if likeness > least_similarity and frames[one].isdisjoint(frames[other]):
                low, high = sorted((one, other))
                heapq.heappush(waiting, (-likeness, low, high, versions[low], versions[high]))

    for at in range(len(frames)):
        consider(at, list(range(at)))
    while waiting:
        _, one, other, version, its = heapq.heappop(waiting)
        if (versions[one], versions[other]) != (version, its):
            continue  # one of them was joined to a third since
        sums[one] += sums[other]
        frames[one] |= frames[other]
        parts[one] += parts[other]
        parts[other] = []
        versions[one] += 1
        versions[other] += 1
        consider(one, [at for at, part in enumerate(parts) if part and at != one])
    return [part for part in parts if part]


def without_doubles(boxes: Boxes, ids: Int64Array, most_overlap: float) -> Int64Array:
    """Of tracks of a class that lie on each other keep the one with the best mean score.

    Parameters
    ----------
    boxes, ids
        As of :func:`join_in_order`.
    most_overlap
        Sum of intersections over sum of unions, above which two tracks are one.

    Returns
    -------
    int64 ``(N,)`` tracks; the boxes of doubles belong to none.
    """
    result = ids.copy()
    for groups in _classes(boxes, ids):
        rows = np.concatenate(list(groups.values()))
        chosen = boxes.select(rows).replace(tracks=ids[rows])
        pairs = pair_up(chosen, chosen)
        overlap = space_time_overlap(pairs, chosen, chosen)
        names = list(groups)  # ascending, as those of the pairs
        scores = np.array([boxes.scores[rows].mean(dtype=np.float64) for rows in groups.values()])
        lengths = np.array([len(rows) for rows in groups.values()])
        gone = np.zeros(len(names), bool)
        for at in np.lexsort((-lengths, -scores)).tolist():
            if not gone[at]:
                gone |= (overlap[at] > most_overlap) & (np.arange(len(names)) != at)
        for at in np.flatnonzero(gone).tolist():
            result[groups[names[at]]] = NO_TRACK
    return result


def one_a_frame(boxes: Boxes, ids: Int64Array) -> Int64Array:
    """Tracks with one box a frame, the surest: the others of each belong to none.

    Parameters and result as of :func:`join_in_order`.
    """
    order = np.lexsort((-boxes.scores, boxes.frames, ids))
    again = (np.diff(ids[order]) == 0) & (np.diff(boxes.frames[order]) == 0)
    result = ids.copy()
    result[order[1:][again]] = NO_TRACK
    return result


def _classes(boxes: Boxes, ids: Int64Array) -> list[dict[int, Int64Array]]:
    """For each class its tracks, ascending, with the rows of their boxes by frame."""
    rows = np.flatnonzero(ids != NO_TRACK)
    if not len(rows):
        return []
    rows = rows[np.lexsort((boxes.frames[rows], ids[rows]))]
    names, starts = np.unique(ids[rows], return_index=True)
    classes: dict[int, dict[int, Int64Array]] = {}
    for name, group in zip(names.tolist(), np.split(rows, starts[1:]), strict=True):
        classes.setdefault(int(boxes.classes[group[0]]), {})[name] = group
    return list(classes.values())


def _unit(sums: Float64Array) -> Float64Array:
    """The directions of sums of appearances ``(G, D)``."""
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(np.divide(sums, length, out=np.zeros_like(sums), where=length > 0))
