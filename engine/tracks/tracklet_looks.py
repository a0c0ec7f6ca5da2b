"""What tracklets look like, part by part: halves, and the boxes before and after a moment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Int64Array
from engine.tracks.track_motion import Flat, Float64Array
from engine.tracks.tracklets import ADDED

WINDOW = 15
"""Boxes that say what somebody looks like before or after a moment."""
_BOXES_AT_ONCE = 100_000


class Looks:
    """Mean appearances, unit length; everything is NaN where no box has features.

    Parameters
    ----------
    features
        ``(M, D)`` of all detections of a scene, or None. Boxes that edits added have none.
    flat
        The boxes that are asked about.
    """

    def __init__(self, features: NDArray[Any] | None, flat: Flat) -> None:
        self._features, self._flat = features, flat
        self.known = features is not None and features.ndim == 2

    def window(self, boxes: Int64Array, step: int) -> Float64Array:
        """Mean looks of up to 15 boxes of a tracklet.

        Parameters
        ----------
        boxes
            ``(K,)`` positions in ``flat``; -1 for nobody.
        step
            -1 for these boxes and those before, 1 for these and those after.

        Returns
        -------
        ``(K, D)``, or ``(K, 1)`` without features.
        """
        if not self.known:
            return np.full((len(boxes), 1), np.nan)
        flat = self._flat
        owner = flat.owner[boxes]
        limit = flat.starts[owner] if step < 0 else flat.starts[owner + 1] - 1
        total = np.zeros((len(boxes), self._features.shape[1]))  # type: ignore[union-attr]
        for k in range(WINDOW):
            index = boxes + step * k
            valid = (boxes >= 0) & ((limit - index) * step >= 0)
            total[valid] += self._of(index[valid])
        return _unit(total)

    def halves(self, least: int) -> Float64Array:
        """``(T,)`` cosine of the first and the second half of each tracklet.

        NaN where it has fewer than ``least`` boxes, or a half has no features.
        """
        flat, lengths = self._flat, self._flat.lengths
        alike = np.full(len(flat.names), np.nan)
        if not self.known:
            return alike
        wanted = np.flatnonzero(lengths >= least)
        groups = np.cumsum(lengths[wanted]) // _BOXES_AT_ONCE
        for group in np.unique(groups).tolist():
            some = wanted[groups == group]
            first, last = flat.starts[some], flat.starts[some + 1]
            middle = (first + last) // 2
            rows = np.concatenate([np.arange(a, b) for a, b in zip(first, last, strict=True)])
            begin = np.cumsum(last - first) - (last - first)
            cuts = np.stack([begin, begin + middle - first], axis=1).reshape(-1)
            sums = _unit(np.add.reduceat(self._of(rows), cuts, axis=0))
            alike[some] = (sums[0::2] * sums[1::2]).sum(axis=1)
        return alike

    def cut(self, tracklet: int) -> tuple[int, float]:
        """Where a tracklet (position in ``flat``) changes its look most, and the cosine across.

        The position in ``flat`` of the first box afterwards. Both parts have a quarter of the boxes at
        the least, or 4.
        """
        start, end = self._flat.starts[tracklet : tracklet + 2].tolist()
        sums = np.cumsum(self._of(np.arange(start, end)), axis=0)
        count = end - start
        edge = min(max(4, count // 4), count // 2)
        at = np.arange(edge, count - edge + 1)
        alike = (_unit(sums[at - 1]) * _unit(sums[-1] - sums[at - 1])).sum(axis=1)
        best = int(np.argmin(np.nan_to_num(alike, nan=np.inf)))
        return start + int(at[best]), float(alike[best])

    def _of(self, boxes: Int64Array) -> Float64Array:
        """Features of boxes, 0 where there are none."""
        rows = self._flat.rows[boxes]
        real = rows < ADDED
        found = np.zeros((len(rows), self._features.shape[1]))  # type: ignore[union-attr]
        found[real] = self._features[rows[real]]  # type: ignore[index]
        return np.nan_to_num(found, copy=False)


def cosines(first: Float64Array, second: Float64Array) -> Float64Array:
    """``(K,)`` of unit vectors; NaN where one is unknown."""
    return np.asarray((first * second).sum(axis=1))


def _unit(vectors: Float64Array) -> Float64Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.full_like(vectors, np.nan), where=length > 0)
