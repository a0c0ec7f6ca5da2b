"""Boxes of one picture: overlap and non-maximum suppression. Left, top, right, bottom; pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def overlap(box: Array, boxes: Array) -> Array:
    """Intersection over union of one box ``(4,)`` with others ``(N, 4)``, ``(N,)``."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1)
    own = np.prod(np.clip(box[2:] - box[:2], 0, None))
    return np.asarray(shared / np.maximum(own + areas - shared, 1e-12))


def suppressed(boxes: Array, scores: Array, most: float) -> NDArray[np.intp]:
    """Places of the boxes that stay, the best first, when none may overlap a better one by more.

    Parameters
    ----------
    boxes
        ``(N, 4)``.
    scores
        ``(N,)``.
    most
        Intersection over union.
    """
    left = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(left):
        kept.append(int(left[0]))
        left = left[1:][overlap(boxes[left[0]], boxes[left[1:]]) <= most]
    return np.array(kept, np.intp)
