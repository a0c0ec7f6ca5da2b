"""From the numbers of BlazePose's detector to people: anchors, boxes, non-maximum suppression.

Source: the graph that comes with the models (MediaPipe, Apache-2.0): its grids and thresholds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.box_overlap import overlap

Array = NDArray[np.float64]

INPUT = 224
"""Side of the detector's input."""

_GRIDS = ((28, 2), (14, 2), (7, 6))
"""Cells along a side, and anchors in each cell."""

LEAST_SCORE = 0.5
MOST_OVERLAP = 0.3


def anchors() -> Array:
    """Centres of the detector's 2254 anchors, ``(2254, 2)``, in parts of its input."""
    parts = []
    for cells, repeats in _GRIDS:
        steps = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(steps, steps, indexing="ij")
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), repeats, axis=0))
    return np.concatenate(parts)


def sigmoid(logits: Array) -> Array:
    """Probabilities; beyond 60 they do not change any more."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))))


def refined(points: Array, heat: Array, least: float = 0.5, reach: int = 3) -> Array:
    """Landmarks moved to the centre of heat around them.

    Parameters
    ----------
    points
        ``(K, 2)`` in parts of the crop.
    heat
        ``(h, w, K)`` logits.
    least
        Landmarks near which no probability reaches this stay where they are.
    reach
        Cells to each side that count.

    Returns
    -------
    ndarray
        ``(K, 2)``.
    """
    height, width, count = heat.shape
    result = points.copy()
    for index in range(count):
        column, row = np.floor(points[index] * [width, height]).astype(int)
        if not (0 <= column < width and 0 <= row < height):
            continue
        rows = np.arange(max(0, row - reach), min(height, row + reach + 1))
        columns = np.arange(max(0, column - reach), min(width, column + reach + 1))
        sure = sigmoid(heat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1, index])
        if sure.max() >= least:
            centre = np.array([sure.sum(axis=0) @ columns, sure.sum(axis=1) @ rows]) / sure.sum()
            result[index] = centre / [width, height]
    return result


def decode(raw: Array, logits: Array, least: float = LEAST_SCORE) -> tuple[Array, Array, Array]:
    """Detections above a score.

    Parameters
    ----------
    raw
        ``(2254, 12)``: a box (centre and size) and four points, relative to the anchor, in pixels.
    logits
        ``(2254,)``.
    least
        The score.

    Returns
    -------
    boxes, points, scores
        ``(N, 4)`` left, top, right, bottom; ``(N, 4, 2)``; ``(N,)``; in parts of the input.
    """
    scores = sigmoid(logits)
    kept = scores >= least
    values = raw[kept].reshape(-1, 6, 2) / INPUT
    centres = anchors()[kept]
    middle, size = values[:, 0] + centres, values[:, 1]
    boxes = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
    return boxes, values[:, 2:] + centres[:, None], scores[kept]


def merge(
    boxes: Array, points: Array, scores: Array, most: float = MOST_OVERLAP
) -> tuple[Array, Array, Array]:
    """Non-maximum suppression that averages what it suppresses, weighted by score.

    Takes and returns ``(N, 4)``, ``(N, P, 2)``, ``(N,)``; the best first. The score is the best one's.
    """
    left = np.argsort(-scores, kind="stable")
    found: list[tuple[Array, Array, float]] = []
    while len(left):
        same = overlap(boxes[left[0]], boxes[left]) > most
        same[0] = True
        group = left[same]
        weights = scores[group] / scores[group].sum()
        found.append(
            (
                np.einsum("n,nd->d", weights, boxes[group]),
                np.einsum("n,npd->pd", weights, points[group]),
                float(scores[group[0]]),
            )
        )
        left = left[~same]
    if not found:
        return boxes[:0], points[:0], scores[:0]
    kept_boxes, kept_points, kept_scores = zip(*found, strict=True)
    return np.stack(kept_boxes), np.stack(kept_points), np.array(kept_scores)
