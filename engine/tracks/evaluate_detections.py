"""How well boxes were found, whoever they belong to: precision, recall, average precision.

Average precision as COCO computes it: detections by descending score each take the true box of their
frame that they overlap most and nobody has taken yet; precision is made monotone and averaged at 101
levels of recall (Lin et al. 2014; Everingham et al. 2010 for the measure).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from engine.tracks.boxes import Boxes
from engine.tracks.evaluate_pairs import EPSILON, Float64Array, Pairs, pair_up

LEVELS = 101


def evaluate_detections(truth: Boxes, found: Boxes, least_overlap: float = 0.5) -> dict[str, Any]:
    """Compare detections with the truth; classes and tracks do not count.

    Parameters
    ----------
    truth, found
        Boxes of the same cameras.
    least_overlap
        Intersection over union from which on a box counts as found.

    Returns
    -------
    figures
        ``precision`` and ``recall`` of all detections, whatever their score; ``AP``; the best ``F1``
        over the scores, with the ``F1_score`` it is at; the counts ``true``, ``found``, ``matched``.
    """
    # Each box is a track of its own: nothing is twice in a frame then.
    pairs = pair_up(
        truth.replace(tracks=np.arange(len(truth))), found.replace(tracks=np.arange(len(found)))
    )
    scores = found.scores[pairs.predicted.rows].astype(np.float64)
    hit = _hits(pairs, scores, least_overlap)
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(hit[order])
    matched = int(hits[-1]) if len(hits) else 0
    precision = hits / np.arange(1, len(hits) + 1)
    recall = hits / max(len(truth), 1)
    harmonic = 2 * hits / (np.arange(1, len(hits) + 1) + max(len(truth), 1))
    best = int(np.argmax(harmonic)) if len(hits) else 0
    return {
        "precision": matched / len(found) if len(found) else 0.0,
        "recall": matched / len(truth) if len(truth) else 0.0,
        "AP": _average(precision, recall),
        "F1": float(harmonic[best]) if len(hits) else 0.0,
        "F1_score": float(scores[order][best]) if len(hits) else 0.0,
        "true": len(truth),
        "found": len(found),
        "matched": matched,
    }


def _hits(pairs: Pairs, scores: Float64Array, least: float) -> np.ndarray:
    """``(P,)`` which detections, in the order of their side, are of a true box."""
    close = np.flatnonzero(pairs.iou >= least - EPSILON)
    g, p, iou = pairs.g[close], pairs.p[close], pairs.iou[close]
    hit = np.zeros(len(pairs.predicted), bool)
    taken = np.zeros(len(pairs.truth), bool)
    for row in np.lexsort((-iou, p, -scores[p])):
        if not hit[p[row]] and not taken[g[row]]:
            hit[p[row]] = taken[g[row]] = True
    return hit


def _average(precision: Float64Array, recall: Float64Array) -> float:
    if not len(precision):
        return 0.0
    falling = np.maximum.accumulate(precision[::-1])[::-1]
    at = np.searchsorted(recall, np.linspace(0, 1, LEVELS) - EPSILON)
    return float(np.where(at < len(falling), falling[np.minimum(at, len(falling) - 1)], 0).mean())
