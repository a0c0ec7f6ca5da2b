"""What is mended once a camera is tracked: broken tracks are joined, doubles removed.

As the winner of the AI City Challenge 2021 does it (arXiv 2105.06623).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array
from engine.tracks.kalman import Float64Array

LEAST_FRAMES = 5
"""Two tracks that are together in fewer frames say nothing about being one object."""
PASSES = 2


class RepairOptions(BaseModel):
    """Settings of the repair."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    longest_gap: int = Field(default=50, ge=0, description="Frames between two parts of one track.")
    reach: tuple[float, float] = Field(
        default=(400.0, 300.0), description="Pixels sideways and up that it may move meanwhile."
    )
    both_ways: bool = Field(
        default=False,
        description="Also hold the way from the first part's beginning to the second's end within "
        "reach, as the published program does: long tracks are not joined then.",
    )
    most_distance: float = Field(
        default=0.1, ge=0, le=2,
        description="Cosine distance of mean appearances below which parts are joined.",
    )  # fmt: skip
    most_overlap: float = Field(
        default=0.65, gt=0, le=1,
        description="Share of a track's boxes, over time, above which it is a longer one's double.",
    )  # fmt: skip


@dataclass(frozen=True)
class Summaries:
    """Tracks in short, ``T`` of them.

    Attributes
    ----------
    ids
        int64 ``(T,)`` ascending.
    first, last
        int64 ``(T,)`` frames.
    start, end
        float64 ``(T, 2)`` centres of the first and the last box.
    looks
        float64 ``(T, D)`` mean appearance.
    """

    ids: Int64Array
    first: Int64Array
    last: Int64Array
    start: Float64Array
    end: Float64Array
    looks: Float64Array


def repair(boxes: Boxes, ids: Int64Array, looks: Float64Array, options: RepairOptions) -> Int64Array:
    """Join parts of tracks and remove doubles.

    Parameters
    ----------
    boxes
        Of one camera.
    ids
        int64 ``(N,)`` their tracks, :data:`~engine.tracks.boxes.NO_TRACK` for none.
    looks
        ``(N, D)`` appearance of each; with D = 0 nothing is joined.
    options
        See :class:`RepairOptions`.

    Returns
    -------
    int64 ``(N,)``.
    """
    ids = ids.copy()
    if looks.shape[1]:
        for _ in range(PASSES):
            ids = relink(boxes, ids, looks, options)
    for double in doubles(boxes, ids, options.most_overlap).tolist():
        ids[ids == double] = NO_TRACK
    return ids


def summarise(boxes: Boxes, ids: Int64Array, looks: Float64Array) -> Summaries:
    """The tracks of :func:`repair`'s arguments in short."""
    rows = np.flatnonzero(ids != NO_TRACK)
    rows = rows[np.lexsort((boxes.frames[rows], ids[rows]))]
    names, starts, counts = np.unique(ids[rows], return_index=True, return_counts=True)
    first, last = rows[starts], rows[starts + counts - 1]
    centres = boxes.xywh[:, :2].astype(np.float64) + boxes.xywh[:, 2:].astype(np.float64) / 2
    sums = np.add.reduceat(looks[rows], starts, axis=0) if len(rows) else looks[:0]
    return Summaries(
        names, boxes.frames[first], boxes.frames[last], centres[first], centres[last],
        sums / counts[:, None],
    )  # fmt: skip


def linkable(tracks: Summaries, options: RepairOptions) -> NDArray[np.bool_]:
    """``(T, T)`` whether two tracks can be parts of one: symmetric, False on the diagonal.

    They are apart in time by at most the longest gap, and the end of the earlier is within reach of
    the start of the later (both ways round, where the options say so).
    """
    gap = tracks.first[None, :] - tracks.last[:, None]
    ordered = (gap > 0) & (gap <= options.longest_gap)
    shift = np.abs(tracks.start[None, :, :] - tracks.end[:, None, :])
    near = (shift <= np.asarray(options.reach)).all(2)
    if options.both_ways:
        return np.asarray((ordered | ordered.T) & near & near.T)
    joins = ordered & near
    return np.asarray(joins | joins.T)


def distances(tracks: Summaries) -> Float64Array:
    """``(T, T)`` cosine distances of mean appearances."""
    length = np.linalg.norm(tracks.looks, axis=1, keepdims=True)
    unit = np.divide(tracks.looks, length, out=np.zeros_like(tracks.looks), where=length > 0)
    return np.asarray(1 - unit @ unit.T)


def relink(boxes: Boxes, ids: Int64Array, looks: Float64Array, options: RepairOptions) -> Int64Array:
    """Join pairs of parts: each track in one pair at most, the whole as near as can be."""
    import networkx

    tracks = summarise(boxes, ids, looks)
    cost = distances(tracks)
    good = np.triu(linkable(tracks, options) & (cost < options.most_distance), 1)
    graph = networkx.Graph()
    for one, other in zip(*(side.tolist() for side in np.nonzero(good)), strict=True):
        graph.add_edge(one, other, weight=options.most_distance - cost[one, other])
    ids = ids.copy()
    for pair in networkx.max_weight_matching(graph):
        one, other = sorted(tracks.ids[list(pair)].tolist())
        ids[ids == other] = one
    return ids


def doubles(boxes: Boxes, ids: Int64Array, most_overlap: float) -> Int64Array:
    """Tracks that lie on a longer one (track NMS).

    The overlap of two tracks is the sum of intersections over the sum of unions on their common frames,
    plus the shorter one's area on the frames that it alone has.
    """
    rows = np.flatnonzero(ids != NO_TRACK)
    rows = rows[np.lexsort((boxes.frames[rows], ids[rows]))]
    names, starts, counts = np.unique(ids[rows], return_index=True, return_counts=True)
    groups = dict(zip(names.tolist(), np.split(rows, starts[1:]), strict=True))
    xyxy = boxes.xyxy()
    areas = (xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1])
    order = names[np.argsort(-counts, kind="stable")].tolist()
    bounds = {name: _bounds(boxes, xyxy, group) for name, group in groups.items()}
    kept: list[int] = []
    gone: list[int] = []
    for name in order:
        mine = groups[name]
        for longer in kept:
            if not _touch(bounds[name], bounds[longer]):
                continue
            theirs = groups[longer]
            if _overlap(boxes, xyxy, areas, theirs, mine) > most_overlap:
                gone.append(name)
                break
        else:
            kept.append(name)
    return np.array(gone, np.int64)


def _bounds(boxes: Boxes, xyxy: Float64Array, rows: Int64Array) -> tuple[float, ...]:
    """First and last frame, and the box around everything."""
    frames = boxes.frames[rows]
    low, high = xyxy[rows, :2].min(0), xyxy[rows, 2:].max(0)
    return (float(frames[0]), *low.tolist(), float(frames[-1]), *high.tolist())


def _touch(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    return all(first[at] <= second[at + 3] and second[at] <= first[at + 3] for at in range(3))


def _overlap(
    boxes: Boxes, xyxy: Float64Array, areas: Float64Array, longer: Int64Array, shorter: Int64Array
) -> float:
    frames = np.union1d(boxes.frames[longer], boxes.frames[shorter])
    if len(frames) < LEAST_FRAMES:
        return 0.0
    _, of_longer, of_shorter = np.intersect1d(
        boxes.frames[longer], boxes.frames[shorter], assume_unique=True, return_indices=True
    )
    one, other = longer[of_longer], shorter[of_shorter]
    low = np.maximum(xyxy[one, :2], xyxy[other, :2])
    high = np.minimum(xyxy[one, 2:], xyxy[other, 2:])
    shared = (high - low).clip(min=0).prod(1).sum()
    union = areas[one].sum() + areas[other].sum() - shared
    alone = areas[shorter].sum() - areas[other].sum()
    return float(shared / (union + alone)) if union + alone > 0 else 0.0
