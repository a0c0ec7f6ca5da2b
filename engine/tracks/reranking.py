"""Distances between tracklets by what is near both: k-reciprocal re-ranking (Zhong et al. 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]
WEIGHT = 0.3
"""Share of the original distance in the final one."""


def rerank(
    query: Float64Array,
    gallery: Float64Array,
    *,
    near: int = 20,
    averaged: int = 3,
    weight: float = WEIGHT,
    half_precision: bool = False,
) -> Float64Array:
    """Distances that tell by common neighbours how alike two things are (arXiv 1701.08398).

    Parameters
    ----------
    query, gallery
        float64 ``(Q, D)`` and ``(G, D)``, unit length. They may be the same array: then each thing is
        once in the ranking, not twice.
    near
        ``k1``: how many neighbours must know each other.
    averaged
        ``k2``: over how many neighbours what is near something is averaged.
    weight
        ``lambda``.
    half_precision
        Average in 16 bits, as the published program of arXiv 2105.06623 does.

    Returns
    -------
    float64 ``(Q, G)``: 0 for equal, about 1 for nothing in common.
    """
    together = query if gallery is query else np.concatenate([query, gallery])
    count = len(together)
    if not len(query) or not len(gallery):
        return np.zeros((len(query), len(gallery)))
    near = min(near, count - 1)
    distance = np.clip(2 - 2 * together @ together.T, 0, None)
    distance /= np.maximum(distance.max(axis=1, keepdims=True), 1e-12)
    order = np.argsort(distance, axis=1, kind="stable")
    place = np.empty_like(order)
    np.put_along_axis(place, order, np.arange(count)[None, :], axis=1)

    known = _mutual(place, near)
    closest = _mutual(place, round(near / 2))
    # What is close to a neighbour counts too where most of that is near oneself.
    shared = known.astype(np.float32) @ closest.T.astype(np.float32)
    trusted = known & (shared > 2 / 3 * closest.sum(axis=1)[None, :])
    known |= trusted.astype(np.float32) @ closest.astype(np.float32) > 0

    share = np.where(known, np.exp(-distance), 0.0)
    share /= share.sum(axis=1, keepdims=True)
    if half_precision:
        share = share.astype(np.float16)
    share = share[order[:, :averaged]].mean(axis=1).astype(np.float64)

    columns = slice(0, count) if gallery is query else slice(len(query), count)
    others = share[columns]
    common = np.zeros((len(query), len(gallery)))
    for row in range(len(query)):
        there = np.flatnonzero(share[row])
        common[row] = np.minimum(share[row, there], others[:, there]).sum(axis=1)
    jaccard = 1 - common / (2 - common)
    return np.asarray((1 - weight) * jaccard + weight * distance[: len(query), columns])


def _mutual(place: NDArray[np.int64], near: int) -> NDArray[np.bool_]:
    """``(N, N)`` pairs of which each is itself, or among the ``near`` nearest, of the other."""
    within = place <= near
    return np.asarray(within & within.T)
