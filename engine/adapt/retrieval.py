"""Finding the same identity again: rank-1 and mean average precision for each pair of cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.adapt.metric_objective import Matrix, squared_distances

Indices = NDArray[np.intp]


@dataclass(frozen=True)
class CameraPairs:
    """Measures of each ordered pair (query camera, gallery camera).

    Attributes
    ----------
    rank1, average_precision
        ``(K, K)`` in 0..1, means over queries whose identity the gallery has; NaN without any, and
        on the diagonal, where finding the next frame of the same track would be no achievement.
    queries
        ``(K, K)`` number of these.
    """

    rank1: Matrix
    average_precision: Matrix
    queries: Indices

    def worst(self) -> tuple[int, int] | None:
        """The pair with the lowest rank-1, the acceptance figure; None without any pair."""
        if np.isnan(self.rank1).all():
            return None
        row, column = np.unravel_index(np.nanargmin(self.rank1), self.rank1.shape)
        return int(row), int(column)


def across_cameras(embedded: Matrix, identities: Indices, cameras: Indices) -> CameraPairs:
    """Search every example ``(n, d)`` of a camera among those of each other camera.

    Parameters
    ----------
    embedded
        ``(n, d)``; Euclidean distances count.
    identities, cameras
        ``(n,)``; identity -1 is a distractor: in galleries, never a query.
    """
    count = int(cameras.max()) + 1
    rank1, precision = np.full((count, count), np.nan), np.full((count, count), np.nan)
    queries = np.zeros((count, count), np.intp)
    for asked in range(count):
        for searched in range(count):
            gallery = np.flatnonzero(cameras == searched)
            rows = np.flatnonzero((cameras == asked) & (identities >= 0))
            rows = rows[np.isin(identities[rows], identities[gallery])]
            if asked == searched or len(rows) == 0:
                continue
            order = squared_distances(embedded[rows], embedded[gallery]).argsort(1, kind="stable")
            right = identities[gallery][order] == identities[rows, None]
            places = np.arange(1, len(gallery) + 1)
            averages = (right.cumsum(1) / places * right).sum(1) / right.sum(1)
            rank1[asked, searched] = right[:, 0].mean()
            precision[asked, searched] = averages.mean()
            queries[asked, searched] = len(rows)
    return CameraPairs(rank1, precision, queries)
