"""From a mask of what moves to boxes: specks removed, parts put together, groups taken apart."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.tracks.detection.found import Float64, Found

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

_GAP = 0.012
"""Parts of one thing are closer to each other than this share of the picture's height."""
_POST = 0.03
"""Something thin before a thing, such as a pole, is narrower than this share of the picture's width."""
_BAND = 0.35
"""Something of a wide thing that looks like the ground is lower than this share of its height."""
_TIGHTER = 0.8
"""A group is taken apart where the boxes of its parts have at most this share of its box..."""
_COMPACT = 0.8
"""...and are filled to this share, as boxes of vehicles are, and not of people."""
_THIN = 0.2
_DEEPEST = 3


@dataclass(frozen=True, eq=False)
class _Part:
    """Some of a thing: its box, pixels, sum of differences, and the spot of the mask it is of."""

    box: Float64
    area: float
    total: float
    spot: int


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
    closed = cv2.morphologyEx(np.pad(clean, around), cv2.MORPH_CLOSE, _disc(2 * around + 1))
    clean = np.ascontiguousarray(closed[around:-around, around:-around])
    count, labels, stats, _ = cv2.connectedComponentsWithStats(clean, connectivity=8)
    parts: list[_Part] = []
    for spot in range(1, count):
        left, top, wide, high, area = (int(value) for value in stats[spot])
        if area < least_area / 4:
            continue
        inside = np.asarray(labels[top : top + high, left : left + wide] == spot)
        values = difference[top : top + high, left : left + wide]
        for x1, y1, x2, y2 in _apart(inside, least_area):
            some = inside[y1:y2, x1:x2]
            total = float(values[y1:y2, x1:x2][some].sum())
            box = np.array([left + x1, top + y1, left + x2, top + y2], np.float64)
            parts.append(_Part(box, float(some.sum()), total, spot))
    parts = [part for part in _joined(parts, _POST * width) if part.area >= least_area]
    if not parts:
        return Found.nothing()
    boxes = np.stack([part.box for part in parts])
    areas = np.array([part.area for part in parts])
    totals = np.array([part.total for part in parts])
    compact = np.sqrt(np.clip(areas / np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 0, 1))
    clear = np.clip(totals / areas / 40, 0, 1)
    large = areas / (areas + 2 * least_area)
    return Found.of(boxes, np.clip(compact * clear * large, 0, 1))


def _apart(inside: Mask, least_area: float, depth: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """Boxes (left, top, right, bottom) of the vehicles in a spot of a mask, often one.

    A straight cut through a group leaves parts that fill boxes of their own. Where no cut does, as
    through people, the spot stays whole.
    """
    height, width = inside.shape
    cut = _best_cut(inside, least_area) if depth < _DEEPEST else None
    if cut is None:
        yield 0, 0, width, height
        return
    for left, top, right, bottom in cut:
        for x1, y1, x2, y2 in _apart(inside[top:bottom, left:right], least_area, depth + 1):
            yield left + x1, top + y1, left + x2, top + y2


def _best_cut(inside: Mask, least_area: float) -> list[tuple[int, int, int, int]] | None:
    height, width = inside.shape
    best, chosen = _TIGHTER * height * width, None
    for sideways in (False, True):
        turned = inside.T if sideways else inside
        breadth, length = turned.shape
        if length < 2:
            continue
        places = np.arange(1, length)
        before = np.cumsum(turned, axis=1)
        cost, good = np.zeros(len(places)), np.ones(len(places), bool)
        ranges = []
        for lines, along in (
            (before[:, :-1], places),
            (before[:, -1:] - before[:, :-1], length - places),
        ):
            # Lines of which a side has little belong to what reaches in from the other side.
            thick = lines > _THIN * along
            first = thick.argmax(axis=0)
            last = breadth - thick[::-1].argmax(axis=0)
            across = np.where(thick.any(axis=0), last - first, 0)
            area = np.where(thick, lines, 0).sum(axis=0)
            wide, high = (across, along) if sideways else (along, across)
            good &= (area >= least_area) & (area >= _COMPACT * along * across) & (wide >= 0.8 * high)
            cost += along * across
            ranges.append((first, last))
        cost[~good] = np.inf
        at = int(cost.argmin())
        if cost[at] < best:
            best, place = float(cost[at]), int(places[at])
            (a, b), (c, d) = ((int(first[at]), int(last[at])) for first, last in ranges)
            sides = ((0, a, place, b), (place, c, length, d))
            chosen = [(y, x, v, u) if sideways else (x, y, u, v) for x, y, u, v in sides]
    return chosen


def _joined(parts: list[_Part], post: float) -> list[_Part]:
    """Put parts of one thing together that are not of one spot."""
    parts = sorted(parts, key=lambda part: -part.area)
    first = 0
    while first < len(parts):
        for second in range(first + 1, len(parts)):
            a, b = parts[first], parts[second]
            if a.spot != b.spot and _one_thing(a.box, b.box, post):
                box = np.concatenate(
                    [np.minimum(a.box[:2], b.box[:2]), np.maximum(a.box[2:], b.box[2:])]
                )
                parts[first] = _Part(box, a.area + b.area, a.total + b.total, a.spot)
                del parts[second]
                first = -1  # the larger one may reach others now
                break
        first += 1
    return parts


def _one_thing(a: Float64, b: Float64, post: float) -> bool:
    common = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    sizes = a[2:] - a[:2], b[2:] - b[:2]
    if (common > 0).all() and np.prod(common) > 0.5 * min(np.prod(sizes[0]), np.prod(sizes[1])):
        return True
    widths, heights = zip(*sizes, strict=True)
    whole = np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])
    # One above the other, and both as wide as a thing that is wider than high.
    band = -_BAND * whole[1] < common[1] <= 0 and common[0] > 0.8 * max(widths)
    if band and whole[1] < 0.9 * whole[0]:
        return True
    # The smaller part beside the larger one, all of its height; two whole vehicles behind one another
    # would become far wider than high.
    beside = -post < common[0] <= 0 and common[1] > 0.9 * min(heights) > 0.35 * max(heights)
    return bool(beside and whole[0] < 2.2 * max(heights))


def _disc(size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
