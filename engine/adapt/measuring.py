"""How well vectors tell things apart on the test split: before and after, the worst domain first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.adapt.data import DISTRACTOR, Item
from engine.adapt.neighbours import classify
from engine.adapt.retrieval import across_cameras

Matrix = NDArray[np.floating[Any]]
NEIGHBOURS = 5
_DEVIATIONS = 1.96


def interval(right: int, count: int) -> tuple[float, float]:
    """Where a share lies with 95 % certainty, having been ``right`` of ``count`` (Wilson)."""
    if not count:
        return 0.0, 1.0
    share, z = right / count, _DEVIATIONS
    middle = share + z * z / (2 * count)
    spread = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    whole = 1 + z * z / count
    return max(0.0, (middle - spread) / whole), min(1.0, (middle + spread) / whole)


def accuracy_report(
    known: Matrix, known_items: Sequence[Item], asked: Matrix, asked_items: Sequence[Item]
) -> dict[str, Any]:
    """Classes by nearest neighbours: accuracy, of each domain, and the confusion matrix.

    Parameters
    ----------
    known, asked
        Vectors ``(n, d)`` of the training and the test pictures.
    known_items, asked_items
        Who is on them.

    Returns
    -------
    ``accuracy``, ``interval``, ``count``; ``domains`` with the worst first, each with ``name``,
    ``accuracy``, ``interval``, ``count``; ``classes`` and ``confusion`` (true by found).
    """
    classes = sorted({item.label for item in (*known_items, *asked_items)})
    place = {name: at for at, name in enumerate(classes)}
    truth = np.array([place[item.label] for item in asked_items])
    labels = np.array([place[item.label] for item in known_items])
    found = classify(
        np.asarray(known, np.float64),
        labels,
        np.asarray(asked, np.float64),
        min(NEIGHBOURS, len(labels)),
    )
    confusion = np.zeros((len(classes), len(classes)), int)
    np.add.at(confusion, (truth, found), 1)
    domains: list[dict[str, Any]] = []
    for name in sorted({item.domain for item in asked_items}):
        own = np.array([item.domain == name for item in asked_items])
        right, count = int((found == truth)[own].sum()), int(own.sum())
        domains.append(
            {
                "name": name,
                "accuracy": right / count,
                "interval": interval(right, count),
                "count": count,
            }
        )
    domains.sort(key=lambda row: row["accuracy"])
    right = int((found == truth).sum())
    return {
        "accuracy": right / len(truth),
        "interval": interval(right, len(truth)),
        "count": len(truth),
        "domains": domains,
        "classes": classes,
        "confusion": confusion.tolist(),
    }


def recognition_report(vectors: Matrix, items: Sequence[Item]) -> dict[str, Any]:
    """Identities across cameras: rank-1 and mean average precision, the worst pair first.

    Returns
    -------
    ``rank1`` and ``map``, means over queries; ``pairs`` with ``query``, ``gallery``, ``rank1``,
    ``map``, ``count``. Both are ``None`` when nobody is in two cameras.
    """
    cameras = sorted({item.domain for item in items})
    names = sorted({item.label for item in items if item.label != DISTRACTOR})
    who = np.array([-1 if i.label == DISTRACTOR else names.index(i.label) for i in items], np.intp)
    where = np.array([cameras.index(item.domain) for item in items], np.intp)
    found = across_cameras(np.asarray(vectors, np.float64), who, where)
    pairs = [
        {
            "query": cameras[row],
            "gallery": cameras[column],
            "rank1": float(found.rank1[row, column]),
            "map": float(found.average_precision[row, column]),
            "count": int(found.queries[row, column]),
        }
        for row, column in zip(*np.nonzero(found.queries), strict=True)
    ]
    pairs.sort(key=lambda pair: pair["rank1"])
    total = sum(pair["count"] for pair in pairs)
    if not total:
        return {"rank1": None, "map": None, "pairs": []}
    mean = {key: sum(pair[key] * pair["count"] for pair in pairs) / total for key in ("rank1", "map")}
    return {**mean, "pairs": pairs}
