"""Whether two results show one person, and whether one shows a person at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.bodies.keypoints.person import SEEN, Mask, Person

Array = NDArray[np.float64]

_TOGETHER = 0.12
"""Median distance of keypoints, over the size of a person, below which two are the same one."""
_COVERED = 0.5
"""Share of a person's mask that lies in those of others; with more it is nobody else."""
_STEP = 4
"""Every which row and column of a mask is compared."""


def distance(a: Person, b: Person) -> float:
    """How far the keypoints of two results are apart: the median, over the larger one's size."""
    size = max(float(np.max(p.box[2:] - p.box[:2])) for p in (a, b))
    apart = np.linalg.norm(a.to_coco17().points - b.to_coco17().points, axis=1)
    return float(np.median(apart)) / max(size, 1e-6)


def same_person(a: Person, b: Person) -> bool:
    """Whether the keypoints of two results lie together."""
    return distance(a, b) < _TOGETHER


def covered(mask: Mask, others: list[Mask]) -> float:
    """Share of a mask that lies in at least one of the others; 1 for an empty one."""
    rows, columns = np.nonzero(mask.values[_STEP // 2 :: _STEP, _STEP // 2 :: _STEP] > 127)
    if not len(rows):
        return 1.0
    points = np.stack([columns, rows], axis=1) * _STEP + _STEP // 2 + 0.5
    points = points @ mask.to_image[:, :2].T + mask.to_image[:, 2]
    shared = np.zeros(len(points), bool)
    for other in others:
        shared |= inside(other, points)
    return float(shared.mean())


def inside(mask: Mask, points: Array) -> NDArray[np.bool_]:
    """Which positions in the image ``(N, 2)`` lie in a mask, ``(N,)``."""
    back = np.linalg.inv(mask.to_image[:, :2])
    columns, rows = np.floor((points - mask.to_image[:, 2]) @ back.T).astype(int).T
    height, width = mask.values.shape
    within = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    result = np.zeros(len(points), bool)
    result[within] = mask.values[rows[within], columns[within]] > 127
    return result


def without_duplicates(people: list[Person]) -> list[int]:
    """Which of several results to keep, so that each person is there once.

    Parameters
    ----------
    people
        The best first.

    Returns
    -------
    list
        Their places, the best first: each is not :func:`same_person` as one before, and its mask, if
        there is one, is less than half covered by theirs. (Of two people one behind the other each
        has the pixels where it is seen, so both stay.)
    """
    kept: list[int] = []
    for place, person in enumerate(people):
        before = [people[index] for index in kept]
        if any(same_person(person, other) for other in before):
            continue
        masks = [other.mask for other in before if other.mask is not None]
        if person.mask is not None and masks and covered(person.mask, masks) > _COVERED:
            continue
        kept.append(place)
    return kept


def agreement(person: Person) -> float:
    """Share of the seen keypoints that lie in the mask, 0 to 1; 1 where there is no mask.

    The two are answers of one network to one question; where they contradict, there is nobody.
    """
    if person.mask is None:
        return 1.0
    seen = person.confidence >= SEEN
    return float(inside(person.mask, person.points[seen]).mean()) if seen.any() else 0.0
