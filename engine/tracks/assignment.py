"""Who belongs to whom: optimal assignment with a limit, and overlaps of boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]


def assign(cost: Float64Array, limit: float) -> tuple[Int64Array, Int64Array]:
    """The pairs that cost least, where leaving two apart costs ``limit``.

    The same as minimising over all sets of pairs the sum of ``cost - limit``; pairs from ``limit`` on
    (infinite ones too) are never made.

    Parameters
    ----------
    cost
        ``(N, M)``; no NaN.
    limit
        What a pair must cost less than.

    Returns
    -------
    int64 ``(K,)`` rows, ascending, and their columns.
    """
    if not cost.size:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    gain = np.minimum(cost - limit, 0.0)
    rows, columns = linear_sum_assignment(gain)
    good = gain[rows, columns] < 0
    return rows[good].astype(np.int64), columns[good].astype(np.int64)


def overlaps(first: Float64Array, second: Float64Array, extra: float = 0.0) -> Float64Array:
    """``(N, M)`` intersections over unions of boxes left, top, right, bottom.

    ``extra`` is added to widths and heights: 1 where the last pixel belongs to a box.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = (high - low + extra).clip(min=0).prod(2)
    areas = [(boxes[:, 2:] - boxes[:, :2] + extra).clip(min=0).prod(1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def unmatched(count: int, matched: Int64Array) -> Int64Array:
    """The numbers below ``count`` that are not in ``matched``."""
    left = np.ones(count, bool)
    left[matched] = False
    return np.flatnonzero(left)
