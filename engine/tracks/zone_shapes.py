"""Whether the outline of a zone can be used, in words; and outlines within the picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.tracks.cameras import Point

LEAST_SHARE = 0.0005
"""Of the picture, that a zone has to cover."""
LEAST_APART = 1.0
"""Pixels between neighbouring corners."""


def shape_problem(polygon: Sequence[Point], width: float, height: float) -> str:
    """What is wrong with an outline; empty where nothing is.

    Parameters
    ----------
    polygon
        Its corners, pixels.
    width, height
        Of the picture, pixels.
    """
    if len(polygon) < 3:
        return "A zone needs three corners or more."
    crossing = crossing_edges(polygon)
    if crossing is not None:
        one, other = crossing
        return f"Its outline crosses itself: side {one + 1} and side {other + 1} meet."
    outside = [
        number for number, (x, y) in enumerate(polygon, 1) if not (0 <= x <= width and 0 <= y <= height)
    ]
    if outside:
        many = f"Corner {outside[0]} is" if len(outside) == 1 else f"{len(outside)} corners are"
        return f"{many} outside the picture ({width:.0f} x {height:.0f} pixels)."
    if area(polygon) < LEAST_SHARE * width * height:
        return "It is too small: hardly a box's centre would ever be in it."
    return ""


def area(polygon: Sequence[Point]) -> float:
    """Square pixels within an outline that does not cross itself (the shoelace formula)."""
    x, y = np.asarray(polygon, np.float64).T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def crossing_edges(polygon: Sequence[Point]) -> tuple[int, int] | None:
    """The first two sides that meet although they are no neighbours; side n begins at corner n."""
    corners = np.asarray(polygon, np.float64)
    count = len(corners)
    ends = np.roll(corners, -1, axis=0)
    for one in range(count):
        for other in range(one + 1, count):
            neighbours = other == one + 1 or (one == 0 and other == count - 1)
            if neighbours:
                if _folds_back(corners, one if other == one + 1 else other):
                    return one, other
            elif _meet(corners[one], ends[one], corners[other], ends[other]):
                return one, other
    return None


def clipped(polygon: Sequence[Point], width: float, height: float) -> tuple[Point, ...]:
    """The corners moved into the picture; those that fall on one another are one."""
    found: list[Point] = []
    for x, y in polygon:
        point = (min(max(float(x), 0.0), float(width)), min(max(float(y), 0.0), float(height)))
        if not found or _apart(found[-1], point) >= LEAST_APART:
            found.append(point)
    if len(found) > 1 and _apart(found[0], found[-1]) < LEAST_APART:
        found.pop()
    return tuple(found)


def moved(
    polygon: Sequence[Point], across: float, down: float, width: float, height: float
) -> tuple[Point, ...]:
    """An outline moved as a whole, as far as the picture goes."""
    x, y = np.asarray(polygon, np.float64).T
    across = min(max(across, -x.min()), width - x.max())
    down = min(max(down, -y.min()), height - y.max())
    return tuple(zip((x + across).tolist(), (y + down).tolist(), strict=True))


def nearest_side(polygon: Sequence[Point], point: Point) -> tuple[int, Point]:
    """The side of an outline nearest to a point, and the point on it; side n begins at corner n."""
    starts = np.asarray(polygon, np.float64)
    ahead = np.roll(starts, -1, axis=0) - starts
    along = ((np.asarray(point) - starts) * ahead).sum(axis=1) / np.maximum(
        (ahead**2).sum(axis=1), 1e-9
    )
    feet = starts + np.clip(along, 0, 1)[:, None] * ahead
    side = int(np.hypot(*(feet - np.asarray(point)).T).argmin())
    return side, (float(feet[side, 0]), float(feet[side, 1]))


def _apart(one: Point, other: Point) -> float:
    return float(np.hypot(one[0] - other[0], one[1] - other[1]))


def _turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _on(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> bool:
    """Whether c, which is on the line through a and b, is between them."""
    return bool(np.all(np.minimum(a, b) <= c) and np.all(c <= np.maximum(a, b)))


def _meet(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> bool:
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    on = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _on(*points) for turn, points in zip(turns, on, strict=True))


def _folds_back(corners: np.ndarray, side: int) -> bool:
    """Whether the side after a side goes back along it."""
    count = len(corners)
    a, b, c = corners[side], corners[(side + 1) % count], corners[(side + 2) % count]
    return _turn(a, b, c) == 0 and float(np.dot(b - a, c - b)) < 0
