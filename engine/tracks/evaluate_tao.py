"""Tracks of many classes with incomplete labels, by the rules of TAO: track mAP, and HOTA beside it.

TAO (Dave et al., 2020, arXiv 2005.10356) is federated: a class counts in a video only if it is
annotated there or known to be absent, and where a class is not annotated exhaustively, what matches
nothing is ignored. A predicted track is right when its overlap with a true one, summed over space and
time, is large enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input
from engine.tracks.boxes import Boxes, Int64Array, concatenate
from engine.tracks.evaluate import THRESHOLD, Evaluation, evaluate
from engine.tracks.evaluate_pairs import EPSILON, Float64Array, assign, pair_up, space_time_overlap
from engine.tracks.formats import TrackFile

THRESHOLDS = np.arange(0.5, 0.96, 0.05)
"""Overlaps in space and time."""
MOST_A_PICTURE = 300
"""Of each picture so many predictions count, those with the highest scores."""

_RECALLS = np.linspace(0, 1, 101)
_LARGE = 1e10
RANGES = {
    "all": ((0.0, _LARGE), (0.0, _LARGE)),
    "area_s": ((0.0, 32.0**2), (0.0, _LARGE)),
    "area_m": ((32.0**2, 96.0**2), (0.0, _LARGE)),
    "area_l": ((96.0**2, _LARGE), (0.0, _LARGE)),
    "time_s": ((0.0, _LARGE), (0.0, 3.0)),
    "time_m": ((0.0, _LARGE), (3.0, 10.0)),
    "time_l": ((0.0, _LARGE), (10.0, _LARGE)),
}
"""Mean areas of a track's boxes, and numbers of them; others are ignored."""

NOTHING = -1.0
"""A precision where there is nothing to find."""


@dataclass(frozen=True)
class TaoEvaluation:
    """Figures by class and together.

    Attributes
    ----------
    classes
        By class id: the comparison of its boxes.
    together
        All classes, boxes counted alike.
    precision, recall
        By class id: :data:`RANGES` by name, each ``(10,)`` over :data:`THRESHOLDS`;
        :data:`NOTHING` where there is no such track.
    names
        Of the classes.
    """

    classes: dict[int, Evaluation]
    together: Evaluation
    precision: dict[int, dict[str, Float64Array]]
    recall: dict[int, dict[str, Float64Array]]
    names: dict[int, str]

    def mean_precision(self, name: str = "all") -> Float64Array:
        """``(10,)`` mean over the classes that have such tracks."""
        return _mean([curves[name] for curves in self.precision.values()])

    def mean_recall(self, name: str = "all") -> Float64Array:
        """``(10,)`` mean over the classes that have such tracks."""
        return _mean([curves[name] for curves in self.recall.values()])

    def class_mean(self, figure: str) -> float:
        """Mean over classes of one of the figures of :class:`~engine.tracks.evaluate.Evaluation`."""
        return float(np.mean([result.figures[figure] for result in self.classes.values()]))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers; ``mAP50`` is the headline of the challenge."""
        mean = self.mean_precision()
        return {
            "mAP50": float(mean[0]),
            "mAP": float(mean.mean()),
            "AP": {name: list(self.mean_precision(name)) for name in RANGES},
            "AR": {name: list(self.mean_recall(name)) for name in RANGES},
            "classes": {
                self.names.get(number, str(number)): {
                    "AP50": float(self.precision[number]["all"][0]),
                    "AP": float(self.precision[number]["all"].mean()),
                    **result.figures,
                }
                for number, result in self.classes.items()
            },
            **self.together.figures,
        }


def evaluate_tao(truth: TrackFile, predicted: TrackFile) -> TaoEvaluation:
    """Compare a TAO result with its annotations.

    Parameters
    ----------
    truth
        Annotations (TAO or COCO-VID); without TAO's lists, every class counts everywhere.
    predicted
        A result read with ``truth`` as its reference, or any tracks with the same cameras.

    Raises
    ------
    EngineError
        ``invalid_input`` when a track has boxes of two classes, or nothing is annotated.
    """
    if not len(truth.boxes):
        raise invalid_input("There are no annotations; nothing can be compared.")
    videos = _Labels(truth)
    boxes = _best_of_each_picture(predicted.boxes)
    _check_classes(boxes)
    boxes = boxes.select(videos.counts(boxes))
    classes = np.unique(truth.boxes.classes).tolist()
    results: dict[int, Evaluation] = {}
    precision: dict[int, dict[str, Float64Array]] = {}
    recall: dict[int, dict[str, Float64Array]] = {}
    parts: list[tuple[Boxes, Boxes]] = []
    for number in classes:
        true = truth.boxes.select(truth.boxes.classes == number)
        found = boxes.select(boxes.classes == number)
        precision[number], recall[number] = _track_precision(true, found, videos.incomplete(number))
        kept = found.select(_counted(true, found, videos, number))
        results[number] = evaluate(true, kept, ids_are_global=False)
        parts.append(
            (_apart(true, number, len(truth.cameras)), _apart(kept, number, len(truth.cameras)))
        )
    together = evaluate(
        concatenate([true for true, _ in parts]),
        concatenate([found for _, found in parts]),
        ids_are_global=False,
    )
    names = {number: truth.class_names.get(number, str(number)) for number in classes}
    return TaoEvaluation(results, together, precision, recall, names)


class _Labels:
    """Which classes are annotated in which video."""

    def __init__(self, truth: TrackFile) -> None:
        tables = truth.tables.get("videos") or [{} for _ in truth.cameras]
        self._federated = any("neg_category_ids" in video for video in tables)
        self.absent = _pairs(tables, "neg_category_ids")
        self._incomplete = _pairs(tables, "not_exhaustive_category_ids")
        self._present = set(
            zip(truth.boxes.cameras.tolist(), truth.boxes.classes.tolist(), strict=True)
        )
        self._everywhere = not self._federated

    def counts(self, boxes: Boxes) -> NDArray[np.bool_]:
        """Which boxes are of a class that is annotated in their video, or known to be absent."""
        if self._everywhere:
            return np.ones(len(boxes), bool)
        known = self._present | self.absent
        places = zip(boxes.cameras.tolist(), boxes.classes.tolist(), strict=True)
        return np.array([place in known for place in places], bool)

    def absent_in(self, number: int, cameras: Int64Array) -> NDArray[np.bool_]:
        """Whether the class is known to be absent from the video of each box."""
        if self._everywhere:
            return np.ones(len(cameras), bool)
        return np.isin(cameras, [camera for camera, name in self.absent if name == number])

    def incomplete(self, number: int) -> set[int]:
        """Videos in which not all objects of the class are annotated."""
        return {camera for camera, name in self._incomplete if name == number}


def _pairs(tables: list[dict[str, Any]], key: str) -> set[tuple[int, int]]:
    return {(at, int(name)) for at, video in enumerate(tables) for name in video.get(key, ())}


def _best_of_each_picture(boxes: Boxes) -> Boxes:
    order = np.lexsort((-boxes.scores, boxes.frames, boxes.cameras))
    cameras, frames = boxes.cameras[order], boxes.frames[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(cameras) != 0) | (np.diff(frames) != 0)
    starts = np.flatnonzero(new)
    rank = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
    return (
        boxes
        if rank.max(initial=0) < MOST_A_PICTURE
        else boxes.select(np.sort(order[rank < MOST_A_PICTURE]))
    )


def _check_classes(boxes: Boxes) -> None:
    order = np.lexsort((boxes.tracks, boxes.cameras))
    same = (np.diff(boxes.tracks[order]) == 0) & (np.diff(boxes.cameras[order]) == 0)
    mixed = same & (np.diff(boxes.classes[order]) != 0)
    if mixed.any():
        track = boxes.tracks[order[np.flatnonzero(mixed)[0]]]
        raise invalid_input(
            f"The track {track} has boxes of several classes; nothing was compared.",
            "Give each track one class.",
        )


def _counted(true: Boxes, found: Boxes, labels: _Labels, number: int) -> NDArray[np.bool_]:
    """Which predictions of a class count: those that match, and those that are surely wrong."""
    pairs = pair_up(true, found, ids_are_global=False)
    near = np.flatnonzero(pairs.iou >= THRESHOLD - EPSILON)
    best = near[assign(pairs.g[near], pairs.p[near], pairs.iou[near])]
    counted = np.zeros(len(found), bool)
    counted[pairs.predicted.rows[pairs.p[best]]] = True
    beside = np.zeros(len(found), bool)
    beside[pairs.predicted.rows] = np.isin(pairs.predicted.times, pairs.truth.times)
    complete = ~np.isin(found.cameras, list(labels.incomplete(number)))
    return counted | (complete & (beside | labels.absent_in(number, found.cameras)))


def _apart(boxes: Boxes, number: int, cameras: int) -> Boxes:
    """The same boxes as if each class had cameras of its own."""
    return boxes.replace(cameras=boxes.cameras + number * cameras)


# --- track mAP ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Video:
    """Tracks of one class in one video, predictions by falling score."""

    overlap: Float64Array
    """``(D, G)`` in space and time."""
    scores: Float64Array
    areas: tuple[Float64Array, Float64Array]
    lengths: tuple[Float64Array, Float64Array]
    incomplete: bool


def _track_precision(
    true: Boxes, found: Boxes, incomplete: set[int]
) -> tuple[dict[str, Float64Array], dict[str, Float64Array]]:
    videos = list(_videos(true, found, incomplete))
    precision, recall = {}, {}
    for name, (area, length) in RANGES.items():
        precision[name] = np.full(len(THRESHOLDS), NOTHING)
        recall[name] = np.full(len(THRESHOLDS), NOTHING)
        for at, threshold in enumerate(THRESHOLDS):
            parts = [_match(video, area, length, threshold) for video in videos]
            wanted = sum(part[2] for part in parts)
            if wanted:
                right = np.concatenate([part[0] for part in parts])
                ignored = np.concatenate([part[1] for part in parts])
                scores = np.concatenate([video.scores for video in videos])
                order = np.argsort(-scores, kind="stable")
                order = order[~ignored[order]]
                precision[name][at], recall[name][at] = _average(right[order], wanted)
    return precision, recall


def _videos(true: Boxes, found: Boxes, incomplete: set[int]) -> Iterator[_Video]:
    for camera in np.union1d(true.cameras, found.cameras).tolist():
        boxes = [side.select(side.cameras == camera) for side in (true, found)]
        pairs = pair_up(*boxes)
        sides = (pairs.truth, pairs.predicted)
        sums = [side.sums(box.areas()) for box, side in zip(boxes, sides, strict=True)]
        lengths = [side.lengths.astype(np.float64) for side in sides]
        overlap = space_time_overlap(pairs, *boxes).T
        means = sides[1].sums(boxes[1].scores) / np.maximum(lengths[1], 1)
        order = np.argsort(-means, kind="stable")
        areas = (sums[0] / np.maximum(lengths[0], 1), (sums[1] / np.maximum(lengths[1], 1))[order])
        yield _Video(
            overlap[order], means[order], areas, (lengths[0], lengths[1][order]), camera in incomplete
        )


def _match(
    video: _Video, area: tuple[float, float], length: tuple[float, float], threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], int]:
    """Which predictions are right, which are ignored, and how many true tracks there are to find."""

    def outside(side: int) -> NDArray[np.bool_]:
        areas, lengths = video.areas[side], video.lengths[side]
        return (areas < area[0]) | (areas > area[1]) | (lengths < length[0]) | (lengths > length[1])

    true_ignored = outside(0)
    count = len(video.scores)
    right, ignored = np.zeros(count, bool), outside(1)
    if video.incomplete:
        ignored[:] = True
    free = np.ones(len(true_ignored), bool)
    least = min(threshold, 1 - 1e-10) - EPSILON
    for at in np.flatnonzero((video.overlap >= least).any(axis=1)).tolist():
        able = free & (video.overlap[at] >= least)
        if (able & ~true_ignored).any():  # those that count come first, however little they overlap
            able &= ~true_ignored
        if able.any():
            best = int(np.argmax(np.where(able, video.overlap[at], -1)))
            free[best] = False
            right[at], ignored[at] = True, true_ignored[best]
    return right, ignored, int((~true_ignored).sum())


def _average(right: NDArray[np.bool_], wanted: int) -> tuple[float, float]:
    """Average precision over 101 recalls, and the recall of all predictions together."""
    if not len(right):
        return 0.0, 0.0
    hits = np.cumsum(right)
    recalls = hits / wanted
    precisions = np.maximum.accumulate((hits / np.arange(1, len(right) + 1))[::-1])[::-1]
    at = np.searchsorted(recalls, _RECALLS, "left")
    return float(
        np.where(at < len(right), precisions[np.minimum(at, len(right) - 1)], 0).mean()
    ), float(recalls[-1])


def _mean(curves: list[Float64Array]) -> Float64Array:
    table = np.stack(curves)
    there = table > NOTHING
    sums = np.where(there, table, 0).sum(axis=0)
    return np.where(there.any(axis=0), sums / np.maximum(there.sum(axis=0), 1), NOTHING)
