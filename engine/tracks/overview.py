"""A result at a glance, for timelines and pictures: spans of tracklets, boxes of one frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.tracklets import ADDED, TrackState


@dataclass(frozen=True)
class Span:
    """One tracklet in time.

    Attributes
    ----------
    tracklet, identity, camera
        Which.
    first, last
        Frames.
    boxes
        How many it has.
    drawn
        Share of them that an edit added.
    score
        Mean score.
    gaps
        ``(first, last)`` frames that it lacks.
    """

    tracklet: int
    identity: int
    camera: int
    first: int
    last: int
    boxes: int
    drawn: float
    score: float
    gaps: tuple[tuple[int, int], ...]


def spans(state: TrackState, tracklets: Iterable[int] | None = None) -> list[Span]:
    """The spans of tracklets (all, without them), those without boxes left out."""
    known = set(state.tracklets)
    names = sorted(known if tracklets is None else known & set(tracklets))
    if not names:
        return []
    groups = [state.rows_of(name) for name in names]
    boxes = state.boxes_at(np.concatenate(groups))
    rows = np.concatenate(groups)
    starts = np.cumsum([0, *(len(group) for group in groups)])
    scores = np.add.reduceat(boxes.scores.astype(np.float64), starts[:-1])
    drawn = np.add.reduceat((rows >= ADDED).astype(np.int64), starts[:-1])
    holes = np.flatnonzero(np.diff(boxes.frames) > 1)
    inside = np.searchsorted(starts, holes, side="right") == np.searchsorted(
        starts, holes + 1, side="right"
    )
    gaps: dict[int, list[tuple[int, int]]] = {}
    for hole, owner in zip(
        holes[inside].tolist(),
        (np.searchsorted(starts, holes[inside], side="right") - 1).tolist(),
        strict=True,
    ):
        gaps.setdefault(owner, []).append(
            (int(boxes.frames[hole]) + 1, int(boxes.frames[hole + 1]) - 1)
        )
    found = []
    for at, name in enumerate(names):
        first, last = int(starts[at]), int(starts[at + 1]) - 1
        count = last - first + 1
        found.append(
            Span(
                name,
                state.identity_of(name),
                int(boxes.cameras[first]),
                int(boxes.frames[first]),
                int(boxes.frames[last]),
                count,
                float(drawn[at]) / count,
                float(scores[at]) / count,
                tuple(gaps.get(at, ())),
            )
        )
    return found


class FrameIndex:
    """Finds the boxes of a camera's frame quickly, those that edits added included.

    Parameters
    ----------
    state
        Looked at anew with each question; only its detections have to stay.
    """

    def __init__(self, state: TrackState) -> None:
        self._state = state
        boxes = state.detections
        self._order: dict[int, Int64Array] = {}
        self._frames: dict[int, Int64Array] = {}
        for camera in np.unique(boxes.cameras).tolist():
            rows = np.flatnonzero(boxes.cameras == camera)
            rows = rows[np.argsort(boxes.frames[rows], kind="stable")]
            self._order[camera], self._frames[camera] = rows, boxes.frames[rows]

    def at(self, camera: int, frame: int) -> tuple[Boxes, Int64Array]:
        """The tracked boxes of a frame, and the tracklet of each ``(N,)``."""
        rows = np.zeros(0, np.int64)
        if camera in self._order:
            frames = self._frames[camera]
            low, high = np.searchsorted(frames, [frame, frame + 1])
            rows = self._order[camera][low:high]
        added = self._state.added
        extra = np.flatnonzero((added.cameras == camera) & (added.frames == frame)) + ADDED
        rows = np.concatenate([rows, extra])
        owners = self._state.owners(rows)
        rows, owners = rows[owners != NO_TRACK], owners[owners != NO_TRACK]
        return self._state.boxes_at(rows), owners

    def trail(self, tracklet: int, frame: int, length: int) -> NDArray[np.float64]:
        """``(K, 2)`` feet (middles of lower edges) of a tracklet in the ``length`` frames before."""
        boxes = self._state.tracklet_boxes(tracklet)
        low, high = np.searchsorted(boxes.frames, [frame - length, frame + 1])
        xywh = boxes.xywh[low:high].astype(np.float64)
        return np.stack([xywh[:, 0] + xywh[:, 2] / 2, xywh[:, 1] + xywh[:, 3]], axis=1)


def duration(cameras: Sequence[Camera], boxes: Boxes) -> tuple[float, float]:
    """First and last second of everything, on the scene's clock; (0, 1) of nothing."""
    starts, ends = [], []
    for at, camera in enumerate(cameras):
        own = boxes.frames[boxes.cameras == at]
        last = max(int(own.max(initial=-1)) + 1, camera.frames)
        if last > 0:
            starts.append(camera.offset)
            ends.append(camera.offset + last / camera.fps)
    return (min(starts), max(ends)) if starts else (0.0, 1.0)
