"""Boxes by hand: drawn, moved, and tracklets made longer by them.

Detections stay what they are. A box that is moved leaves its tracklet, and a new one takes its place.
Boxes that a person drew are marked, so that those in between, which were only interpolated, follow
when one of them is moved; everything else is as in :mod:`engine.tracks.edits`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import invalid_input
from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array
from engine.tracks.edits import adding
from engine.tracks.tracklets import ADDED, Delta, TrackState

DRAWN = "drawn"
"""Marks of rows that a person drew."""
LONGEST = 250
"""Frames between two boxes that drawing one of them bridges."""
FOR_SPEED = 10
"""Boxes at an end that say how fast and where it goes."""


def draw(state: TrackState, camera: int, frame: int, xywh: ArrayLike, kind: int = 0) -> Delta:
    """A new tracklet, and identity, of one box.

    Parameters
    ----------
    state
        Who is who.
    camera, frame
        Where.
    xywh
        ``(4,)`` left, top, width, height in pixels.
    kind
        Its class.
    """
    box = _checked([frame], xywh)
    new, row = state.free_id(), ADDED + len(state.added)
    return Delta(
        np.array([row]), np.array([NO_TRACK]), np.array([new]),
        np.array([new]), np.array([NO_TRACK]), np.array([new]),
        Boxes.of([frame], box, classes=kind, cameras=camera), row,
        ((DRAWN, str(row), None, True),),
    )  # fmt: skip


def place(state: TrackState, tracklet: int, frame: int, xywh: ArrayLike) -> Delta:
    """Put a tracklet's box of a frame where a person says it is.

    Where it has none there, it gets one, and the frames up to its next boxes on either side are filled
    linearly (gaps of more than :data:`LONGEST` frames stay open). Boxes nearby that were filled or
    predicted before follow.

    Parameters
    ----------
    state
        Who is who.
    tracklet, frame
        Whose box, and when.
    xywh
        ``(4,)`` pixels.
    """
    box = _checked([frame], xywh)
    rows = state.rows_of(tracklet)
    own = state.boxes_at(rows)
    marks = state.marks.get(DRAWN, {})
    fixed = np.array([row < ADDED or str(row) in marks for row in rows.tolist()])
    there = own.frames == frame
    if np.array_equal(own.xywh[there], box):
        raise invalid_input("The box is there already; nothing was changed.")
    frames, boxes, gone = [np.array([frame])], [box], [rows[there]]
    anchors = np.flatnonzero(fixed & ~there)
    for side in (-1, 1):
        beyond = anchors[(own.frames[anchors] - frame) * side > 0]
        if not len(beyond):
            # What was predicted there goes along.
            after = np.flatnonzero((own.frames - frame) * side > 0)
            if there.any() and len(after):
                along = own.xywh[after].astype(np.float64) + (box - own.xywh[there])
                along[:, 2:] = np.maximum(along[:, 2:], 1)
                frames.append(own.frames[after])
                boxes.append(along)
                gone.append(rows[after])
            continue
        anchor = int(beyond[-1] if side < 0 else beyond[0])
        low, high = sorted((frame, int(own.frames[anchor])))
        between = np.flatnonzero((own.frames > low) & (own.frames < high))
        # Nobody asked for boxes in a gap beside a box that is only moved.
        wanted = own.frames[between]
        if not there.any() and high - low - 1 <= LONGEST:
            wanted = np.arange(low + 1, high)
        share = np.abs(wanted - frame)[:, None] / (high - low)
        frames.append(wanted)
        boxes.append(box + share * (own.xywh[anchor].astype(np.float64) - box))
        gone.append(rows[between])
    away = np.concatenate(gone)
    made = adding(state, tracklet, np.concatenate(frames), np.concatenate(boxes), own)
    return Delta(
        np.concatenate([away, made.rows]),
        np.concatenate([np.full(len(away), tracklet), made.before]),
        np.concatenate([np.full(len(away), NO_TRACK), made.after]),
        added=made.added, first_added=made.first_added,
        marks=((DRAWN, str(made.first_added), None, True),),
    )  # fmt: skip


def predict(state: TrackState, tracklet: int, frame: int, size: tuple[int, int] | None = None) -> Delta:
    """Make a tracklet longer, up to ``frame`` after its end or before its beginning.

    It goes on as it did in its last (first) :data:`FOR_SPEED` boxes, evenly, its size unchanged. Where
    ``size``, width and height of the picture, is known, it ends where nothing of it would be seen.

    Raises
    ------
    EngineError
        ``invalid_input`` when the frame is not outside of it, or it would leave the picture at once.
    """
    own = state.tracklet_boxes(tracklet)
    first, last = int(own.frames[0]), int(own.frames[-1])
    if first <= frame <= last or frame < 0:
        raise invalid_input(
            f"Tracklet {tracklet} has frames {first} to {last}; it was not made longer.",
            "Move the playhead to where it should begin or end.",
        )
    end = own.select(
        np.arange(len(own))[-FOR_SPEED:] if frame > last else np.arange(len(own))[:FOR_SPEED]
    )
    start = last if frame > last else first
    frames = np.arange(last + 1, frame + 1) if frame > last else np.arange(first - 1, frame - 1, -1)
    corner = end.xywh[-1 if frame > last else 0].astype(np.float64)
    middle = end.xywh[:, :2].astype(np.float64) + end.xywh[:, 2:] / 2
    speed = np.zeros(2) if len(end) < 2 else np.polyfit(end.frames - start, middle, 1)[0]
    xywh = np.tile(corner, (len(frames), 1))
    xywh[:, :2] += (frames - start)[:, None] * speed
    if size is not None:
        seen = ((xywh[:, :2] < size) & (xywh[:, :2] + xywh[:, 2:] > 0)).all(axis=1)
        count = int(np.argmin(seen)) if not seen.all() else len(seen)
        if not count:
            raise invalid_input(
                f"Tracklet {tracklet} leaves the picture there, as it moves; it was not made longer."
            )
        frames, xywh = frames[:count], xywh[:count]
    return extend(state, tracklet, frames, xywh)


def extend(state: TrackState, tracklet: int, frames: ArrayLike, xywh: ArrayLike) -> Delta:
    """Add boxes ``(K, 4)`` in ``K`` frames in which the tracklet has none."""
    frames = np.asarray(frames, np.int64)
    boxes = _checked(frames, xywh)
    own = state.tracklet_boxes(tracklet)
    taken = np.intersect1d(frames, own.frames)
    if len(taken):
        raise invalid_input(
            f"Tracklet {tracklet} has a box in frame {taken[0]} already; nothing was changed."
        )
    return adding(state, tracklet, frames, boxes, own)


def _checked(frames: Sequence[int] | Int64Array, xywh: ArrayLike) -> NDArray[np.float32]:
    """Boxes ``(K, 4)`` of frames; raises ``invalid_input`` where they are none."""
    boxes = np.asarray(xywh, np.float32).reshape(-1, 4)
    names = np.asarray(frames).tolist()
    ordinary = np.isfinite(boxes).all() and (boxes[:, 2:] > 0).all() and min(names, default=-1) >= 0
    if len(names) != len(boxes) or len(set(names)) < len(names) or not ordinary:
        raise invalid_input("Boxes need a frame each, and a width and a height; nothing was changed.")
    return boxes
