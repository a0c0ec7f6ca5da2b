"""From a mask of what moves to boxes: specks removed, parts of one thing put together."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.tracks.detection.found import Found

Pixels = NDArray[np.uint8]

_GAP = 0.012
"""Parts of one thing are closer to each other than this share of the picture's height."""
_POST = 0.03
"""Something thin before a thing, such as a pole, is narrower than this share of the picture's width."""


def blobs(mask: Pixels, difference: Pixels, least_area: float) -> Found:
    """Things in a mask.

    Parameters
    ----------
    mask
        uint8 ``(h, w)``, 255 where something is.
    difference
        uint8 ``(h, w)``, how much it differs from the background.
    least_area
        Pixels; smaller things are left out.

    Returns
    -------
    found
        Boxes in pixels of the mask. The score is large for things that are compact, differ much, and
        are much larger than the least.
    """
    height, width = mask.shape
    clean = cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(3))
    around = round(_GAP * height / 2) + 1
    # With room around, or what is near a border would be joined to it.
    roomy = np.pad(clean, around)
    closed = cv2.morphologyEx(roomy, cv2.MORPH_CLOSE, _disc(2 * around + 1))
    clean = np.ascontiguousarray(closed[around:-around, around:-around])
    count, labels, stats, _ = cv2.connectedComponentsWithStats(clean, connectivity=8)
    rows = [at for at in range(1, count) if stats[at, cv2.CC_STAT_AREA] >= least_area / 4]
    if not rows:
        return Found.nothing()
    boxes = stats[rows, :4].astype(np.float64)
    boxes[:, 2:] += boxes[:, :2]
    areas = stats[rows, cv2.CC_STAT_AREA].astype(np.float64)
    parts = np.bincount(labels.ravel(), np.where(clean > 0, difference, 0).ravel(), count)
    sums = np.asarray(parts[rows], np.float64)
    boxes, areas, sums = _joined(boxes, areas, sums, _POST * width)
    kept = areas >= least_area
    boxes, areas, sums = boxes[kept], areas[kept], sums[kept]
    sizes = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    compact = np.sqrt(np.clip(areas / sizes, 0, 1))
    clear = np.clip(sums / areas / 40, 0, 1)
    large = areas / (areas + 2 * least_area)
    return Found.of(boxes, np.clip(compact * clear * large, 0, 1))


def _joined(
    boxes: NDArray[np.float64], areas: NDArray[np.float64], sums: NDArray[np.float64], post: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Put parts together: one inside the box of another, and two with a post between them."""
    entries = [(box, area, total) for box, area, total in zip(boxes, areas, sums, strict=True)]
    entries.sort(key=lambda entry: -entry[1])
    done = False
    while not done:
        done = True
        for first in range(len(entries)):
            for second in range(first + 1, len(entries)):
                a, b = entries[first], entries[second]
                if _one_thing(a[0], b[0], post):
                    box = np.concatenate(
                        [np.minimum(a[0][:2], b[0][:2]), np.maximum(a[0][2:], b[0][2:])]
                    )
                    entries[first] = (box, a[1] + b[1], a[2] + b[2])
                    del entries[second]
                    done = False
                    break
            if not done:
                break
    return (
        np.array([entry[0] for entry in entries]).reshape(-1, 4),
        np.array([entry[1] for entry in entries]),
        np.array([entry[2] for entry in entries]),
    )


def _one_thing(a: NDArray[np.float64], b: NDArray[np.float64], post: float) -> bool:
    common = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    smaller = min(float(np.prod(a[2:] - a[:2])), float(np.prod(b[2:] - b[:2])))
    if (common > 0).all() and float(np.prod(common)) > 0.5 * smaller:
        return True
    heights = a[3] - a[1], b[3] - b[1]
    # The smaller part beside the larger one, all of its height.
    beside = -post < common[0] <= 0 and common[1] > 0.9 * min(heights) > 0.35 * max(heights)
    # Two whole vehicles behind one another would become far wider than high.
    return bool(beside and max(a[2], b[2]) - min(a[0], b[0]) < 2.2 * max(heights))


def _disc(size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
