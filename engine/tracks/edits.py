"""What a reviewer does to tracks: merge, split, swap, reassign, delete, fill, confirm, link.

Boxes by hand are in :mod:`engine.tracks.drawing`.

Each command looks at a state and returns what would change (:class:`~engine.tracks.tracklets.Delta`);
applying, recording and undoing it is the scene's business. Nothing is guessed: what does not fit is
refused with a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from engine.errors import invalid_input
from engine.tracks.boxes import NO_TRACK, Boxes, Int64Array
from engine.tracks.tracklets import ADDED, Delta, TrackState

Conflicts = Literal["refuse", "keep_first", "keep_second"]

CONFIRMED = "confirmed"
CHECKED = "checked"
LINK = "link"
MUST, CANNOT = "must", "cannot"


def merge_tracklets(
    state: TrackState, first: int, second: int, conflicts: Conflicts = "refuse"
) -> Delta:
    """Make two tracklets of one camera one, which keeps the first one's number and identity.

    Parameters
    ----------
    state
        Who is who now.
    first, second
        The tracklets.
    conflicts
        What becomes of frames in which both have a box: nothing is merged, or the box of one of them
        is kept and the other belongs to nobody.

    Raises
    ------
    EngineError
        ``invalid_input`` when they are of two cameras, one and the same, or in conflict.
    """
    rows_1, rows_2 = state.rows_of(first), state.rows_of(second)
    if first == second:
        raise invalid_input("A tracklet cannot be merged with itself; nothing was changed.")
    if state.camera_of(first) != state.camera_of(second):
        raise invalid_input(
            "The two tracklets are of different cameras; nothing was changed.",
            "Join their identities instead.",
        )
    frames_1, frames_2 = state.boxes_at(rows_1).frames, state.boxes_at(rows_2).frames
    both = np.intersect1d(frames_1, frames_2)
    if len(both) and conflicts == "refuse":
        raise invalid_input(
            f"Both tracklets have a box in {len(both)} frames, the first is frame {both[0]}; "
            "nothing was changed.",
            "Say whose boxes are kept there, or split one of them first.",
        )
    dropped_1 = rows_1[np.isin(frames_1, both)] if conflicts == "keep_second" else rows_1[:0]
    in_conflict_2 = np.isin(frames_2, both)
    after_2 = np.where(in_conflict_2 & (conflicts == "keep_first"), NO_TRACK, first)
    return Delta(
        np.concatenate([dropped_1, rows_2]),
        np.concatenate([np.full(len(dropped_1), first), np.full(len(rows_2), second)]),
        np.concatenate([np.full(len(dropped_1), NO_TRACK), after_2]).astype(np.int64),
    )


def join_identities(state: TrackState, first: int, second: int) -> Delta:
    """Give all tracklets of the second identity the first."""
    state.members(first)
    if first == second:
        raise invalid_input("These are one identity already; nothing was changed.")
    return _identify(state, state.members(second), first)


def reassign(state: TrackState, tracklets: Sequence[int], identity: int | None) -> Delta:
    """Give tracklets an identity, ``None`` for a new one."""
    return _identify(state, list(tracklets), state.free_id() if identity is None else identity)


def split(state: TrackState, tracklet: int, frame: int) -> Delta:
    """Cut a tracklet; what begins at ``frame`` becomes a new tracklet with an identity of its own."""
    rows = state.rows_of(tracklet)
    later = state.boxes_at(rows).frames >= frame
    if later.all() or not later.any():
        raise invalid_input(
            f"All of tracklet {tracklet} is on one side of frame {frame}; nothing was changed.",
            "Choose a frame inside it.",
        )
    new = state.free_id()
    moved = rows[later]
    return Delta(
        moved, np.full(len(moved), tracklet), np.full(len(moved), new),
        np.array([new]), np.array([NO_TRACK]), np.array([new]),
    )  # fmt: skip


def swap(state: TrackState, first: int, second: int, frame: int) -> Delta:
    """Exchange what two tracklets of one camera have from ``frame`` on: mends an id switch."""
    if first == second or state.camera_of(first) != state.camera_of(second):
        raise invalid_input(
            "Two different tracklets of one camera can be swapped; nothing was changed."
        )
    rows_1, rows_2 = (
        state.rows_of(name)[state.tracklet_boxes(name).frames >= frame] for name in (first, second)
    )
    if not len(rows_1) and not len(rows_2):
        raise invalid_input(f"Neither tracklet has a box from frame {frame} on; nothing was changed.")
    before = np.concatenate([np.full(len(rows_1), first), np.full(len(rows_2), second)])
    after = np.concatenate([np.full(len(rows_1), second), np.full(len(rows_2), first)])
    return Delta(np.concatenate([rows_1, rows_2]), before, after)


def delete(
    state: TrackState, tracklet: int, first: int | None = None, last: int | None = None
) -> Delta:
    """Take boxes out of a tracklet, all of them or those of some frames (both ends included)."""
    rows = state.rows_of(tracklet)
    frames = state.boxes_at(rows).frames
    low = frames[0] if first is None else first
    high = frames[-1] if last is None else last
    gone = rows[(frames >= low) & (frames <= high)]
    if not len(gone):
        raise invalid_input(f"Tracklet {tracklet} has no box there; nothing was changed.")
    return Delta(gone, np.full(len(gone), tracklet), np.full(len(gone), NO_TRACK))


def fill(state: TrackState, tracklet: int, longest: int | None = None) -> Delta:
    """Close a tracklet's gaps of at most ``longest`` frames (all, without it), linearly."""
    own = state.tracklet_boxes(tracklet)
    steps = np.diff(own.frames)
    gaps = (steps > 1) & (steps - 1 <= (steps.max(initial=0) if longest is None else longest))
    missing = [
        np.arange(own.frames[at] + 1, own.frames[at + 1]) for at in np.flatnonzero(gaps).tolist()
    ]
    if not missing:
        raise invalid_input(f"Tracklet {tracklet} has no such gap; nothing was changed.")
    frames = np.concatenate(missing)
    xywh = np.stack(
        [np.interp(frames, own.frames, own.xywh[:, side].astype(np.float64)) for side in range(4)],
        axis=1,
    )
    return adding(state, tracklet, frames, xywh, own)


def confirm(state: TrackState, identity: int, confirmed: bool = True) -> Delta:
    """Say that an identity is right (or take that back); later linking must not change it."""
    state.members(identity)
    return _mark(state, CONFIRMED, str(identity), True if confirmed else None)


def check(state: TrackState, key: str, fingerprint: str) -> Delta:
    """Say that a suspicious event is right; it comes back when what it is about changes.

    Parameters
    ----------
    state
        Who is who now.
    key, fingerprint
        Of the event and of its tracklets, see :mod:`engine.tracks.events`.
    """
    return _mark(state, CHECKED, key, fingerprint)


def confirmed_identities(state: TrackState) -> list[int]:
    """Identities of which somebody said that they are right, in that order."""
    return [int(key) for key in state.marks.get(CONFIRMED, {})]


def confirmed_changed(state: TrackState, delta: Delta) -> list[int]:
    """Confirmed identities that would have other tracklets, or boxes, after a change."""
    confirmed = set(confirmed_identities(state))
    if not confirmed:
        return []
    known = set(state.tracklets)
    names = np.concatenate([delta.before, delta.after, delta.tracklets]).tolist()
    touched = {state.identity_of(name) for name in names if name in known}
    return sorted(confirmed & (touched | set(delta.new.tolist())))


def link(state: TrackState, first: int, second: int, kind: str | None) -> Delta:
    """Say that two tracklets ``must`` or ``cannot`` be one object; ``None`` takes that back."""
    if kind not in (MUST, CANNOT, None):
        raise invalid_input(f"A link is '{MUST}' or '{CANNOT}', not {kind!r}; nothing was changed.")
    for name in (first, second):
        state.rows_of(name)
    if first == second:
        raise invalid_input("A link needs two tracklets; nothing was changed.")
    low, high = sorted((first, second))
    return _mark(state, LINK, f"{low},{high}", kind)


def _mark(state: TrackState, kind: str, key: str, value: object) -> Delta:
    before = state.marks.get(kind, {}).get(key)
    if before == value:
        raise invalid_input("That is so already; nothing was changed.")
    return Delta(marks=((kind, key, before, value),))


def _identify(state: TrackState, tracklets: list[int], identity: int) -> Delta:
    changed = [name for name in tracklets if state.identity_of(name) != identity]
    if not changed:
        raise invalid_input("They have this identity already; nothing was changed.")
    old = np.array([state.identity_of(name) for name in changed], np.int64)
    return Delta(tracklets=np.array(changed, np.int64), old=old, new=np.full(len(changed), identity))


def adding(state: TrackState, tracklet: int, frames: Int64Array, xywh: ArrayLike, own: Boxes) -> Delta:
    """Add boxes ``(K, 4)`` in ``K`` frames to a tracklet; camera and class are those of its ``own``."""
    count = len(frames)
    classes = np.bincount(np.maximum(own.classes, 0)).argmax()
    added = Boxes.of(frames, np.asarray(xywh, np.float32), classes=classes, cameras=own.cameras[0])
    first = ADDED + len(state.added)
    return Delta(
        np.arange(first, first + count), np.full(count, NO_TRACK), np.full(count, tracklet),
        added=added, first_added=first,
    )  # fmt: skip
