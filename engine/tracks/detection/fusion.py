"""Several detectors as one: boxes of one thing become their weighted mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.box_overlap import overlap
from engine.errors import invalid_input
from engine.tracks.detection.catalogue import Detector
from engine.tracks.detection.found import Found
from engine.video import Frame, VideoFile

OVERLAP = 0.55


def fuse(
    parts: Sequence[Found], weights: Sequence[float] | None = None, least_overlap: float = OVERLAP
) -> Found:
    """Weighted boxes fusion (Solovyev, Wang and Gabruseva 2021, section 3).

    Boxes of one class join the cluster whose box they overlap most, if that is more than
    ``least_overlap``. Its box is the mean of its boxes, weighted by their scores; its score is their
    mean times ``min(boxes in it, detectors) / detectors``.

    Parameters
    ----------
    parts
        What each detector found in one frame.
    weights
        Of the detectors; scores are multiplied by them, and divided by the largest in the end.
    least_overlap
        Intersection over union.
    """
    shares = np.asarray(weights if weights is not None else [1.0] * len(parts), np.float64)
    boxes = np.concatenate([part.boxes for part in parts]) if parts else np.zeros((0, 4))
    if not len(boxes):
        return Found.nothing()
    scores = np.concatenate([share * part.scores for share, part in zip(shares, parts, strict=True)])
    classes = np.concatenate([part.classes for part in parts])
    order = np.argsort(-scores, kind="stable")
    sums = np.zeros((len(order), 4))
    totals, counts = np.zeros(len(order)), np.zeros(len(order), np.int64)
    kinds = np.zeros(len(order), np.int64)
    used = 0
    for row in order:
        same = np.flatnonzero(kinds[:used] == classes[row])
        overlaps = overlap(boxes[row], sums[same] / totals[same, None])
        if len(same) and overlaps.max() > least_overlap:
            at = int(same[np.argmax(overlaps)])
        else:
            at, used = used, used + 1
            kinds[at] = classes[row]
        weight = max(scores[row], 1e-9)
        sums[at] += weight * boxes[row]
        totals[at] += weight
        counts[at] += 1
    mean = sums[:used] / totals[:used, None]
    sure = totals[:used] / counts[:used] * np.minimum(counts[:used], len(parts)) / shares.sum()
    best = np.argsort(-sure, kind="stable")
    return Found.of(mean, np.clip(sure, 0, 1), kinds[:used])[best]


class Fused:
    """Detectors that look at the same frames.

    Classes are told apart by their names.

    Raises
    ------
    EngineError
        ``invalid_input`` when weights and detectors do not fit each other.
    """

    def __init__(
        self,
        parts: Sequence[Detector],
        weights: Sequence[float] | None = None,
        least_overlap: float = OVERLAP,
    ) -> None:
        self._weights = [1.0] * len(parts) if weights is None else list(weights)
        if not parts or len(self._weights) != len(parts) or min(self._weights) <= 0:
            raise invalid_input(
                f"{len(parts)} detectors cannot be put together with the weights {self._weights}; "
                "nothing was detected.",
                "Give each detector a weight above 0.",
            )
        self._parts, self._least = tuple(parts), least_overlap
        self.name = " + ".join(part.name for part in parts)
        self.batch = max(part.batch for part in parts)
        names = dict.fromkeys(name for part in parts for name in part.class_names.values())
        self._names = list(names)

    @property
    def class_names(self) -> Mapping[int, str]:
        """See :class:`~engine.tracks.detection.catalogue.Detector`."""
        return dict(enumerate(self._names))

    def begin(self, video: VideoFile, camera: str, check: Callable[[], None]) -> None:
        """See :class:`~engine.tracks.detection.catalogue.Detector`."""
        for part in self._parts:
            part.begin(video, camera, check)

    def detect(self, frames: Sequence[Frame]) -> list[Found]:
        """See :class:`~engine.tracks.detection.catalogue.Detector`."""
        found = [part.detect(frames) for part in self._parts]
        return [
            fuse(
                [
                    Found(f.boxes, f.scores, self._common(f.classes, part.class_names))
                    for f, part in zip(of_frame, self._parts, strict=True)
                ],
                self._weights,
                self._least,
            )
            for of_frame in zip(*found, strict=True)
        ]

    def _common(self, classes: NDArray[np.int64], names: Mapping[int, str]) -> NDArray[np.int64]:
        """Numbers of a part's classes among those of all."""
        numbers = []
        for kind in classes.tolist():
            name = names.get(kind, f"class {kind}")
            if name not in self._names:
                self._names.append(name)
            numbers.append(self._names.index(name))
        return np.array(numbers, np.int64)
