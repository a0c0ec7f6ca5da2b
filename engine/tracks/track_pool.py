"""What trackers that go from frame to frame share: the tracks that can still be matched, the frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Boxes, Int64Array
from engine.tracks.kalman import Float64Array, Motion

Check = Callable[[int], object]
"""Called with each frame's number; raises to stop."""

_NONE = np.zeros(0, np.int64)


@dataclass
class TrackPool:
    """Tracks that can still be matched, a row each.

    Attributes
    ----------
    motion
        Where they are and go.
    looks
        float64 ``(N, D)`` appearance; D = 0 for trackers that do not look.
    ids, first, last
        int64 ``(N,)`` numbers, frames of the first and the last match.
    lost
        bool ``(N,)`` not matched in the last frame.
    seen
        float64 ``(N, 4)`` (cx, cy, a, h) of the last match.
    """

    motion: Motion = field(default_factory=Motion.none)
    looks: Float64Array = field(default_factory=lambda: np.zeros((0, 0)))
    ids: Int64Array = field(default_factory=lambda: _NONE)
    first: Int64Array = field(default_factory=lambda: _NONE)
    last: Int64Array = field(default_factory=lambda: _NONE)
    lost: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    seen: Float64Array = field(default_factory=lambda: np.zeros((0, 4)))

    @classmethod
    def begin(
        cls, measured: Float64Array, looks: Float64Array, ids: Int64Array, frame: int
    ) -> TrackPool:
        """New tracks from boxes ``(N, 4)`` (cx, cy, a, h) of a frame."""
        times = np.full(len(ids), frame, np.int64)
        lost = np.zeros(len(ids), bool)
        return cls(Motion.begin(measured), looks, ids, times, times.copy(), lost, measured.copy())

    def keep(self, rows: NDArray[np.bool_]) -> TrackPool:
        """Some of the tracks; these themselves where that is all of them."""
        if rows.all():
            return self
        return TrackPool(
            self.motion.select(rows), self.looks[rows], self.ids[rows],
            self.first[rows], self.last[rows], self.lost[rows], self.seen[rows],
        )  # fmt: skip

    def joined(self, other: TrackPool) -> TrackPool:
        """These tracks, then the others; one of the two itself where the other has none."""
        if not len(other.ids):
            return self
        if not len(self.ids):
            return other
        names = ("looks", "ids", "first", "last", "lost", "seen")
        columns = (np.concatenate([getattr(self, name), getattr(other, name)]) for name in names)
        return TrackPool(self.motion.joined(other.motion), *columns)

    def predict(self) -> None:
        """One frame later; the size of those that are lost stays."""
        self.motion.speed[self.lost, 3] = 0.0
        self.motion.predict()

    def match(self, who: Int64Array, measured: Float64Array, frame: int) -> None:
        """Tracks ``who (K,)`` are seen at boxes ``(K, 4)`` (cx, cy, a, h); all others are lost."""
        self.motion.update(who, measured)
        self.lost[:] = True
        self.lost[who], self.last[who], self.seen[who] = False, frame, measured


def frames_of(
    boxes: Boxes, rows: Int64Array, *, skip_empty: bool = False
) -> Iterator[tuple[int, Int64Array]]:
    """Every frame from the first box to the last, and which of ``rows`` are in it.

    Parameters
    ----------
    boxes
        Of one camera, in any order.
    rows
        Those that count.
    skip_empty
        Leave frames out in which ``boxes`` has none.
    """
    if not len(boxes):
        return
    rows = rows[np.argsort(boxes.frames[rows], kind="stable")]
    frames = np.unique(boxes.frames)
    if not skip_empty:
        frames = np.arange(frames[0], frames[-1] + 1)
    starts = np.searchsorted(boxes.frames[rows], frames)
    ends = np.searchsorted(boxes.frames[rows], frames, side="right")
    for frame, start, end in zip(frames.tolist(), starts.tolist(), ends.tolist(), strict=True):
        yield frame, rows[start:end]
