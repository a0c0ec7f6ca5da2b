"""What a detector finds in one frame, and keeping each thing once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.box_overlap import suppressed

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Found:
    """Boxes of one frame.

    Attributes
    ----------
    boxes
        float64 ``(N, 4)`` left, top, right, bottom; pixels of the frame.
    scores
        float64 ``(N,)``, 0 to 1.
    classes
        int64 ``(N,)``.
    """

    boxes: Float64
    scores: Float64
    classes: Int64

    @classmethod
    def of(cls, boxes: ArrayLike, scores: ArrayLike, classes: ArrayLike = 0) -> Found:
        """From anything like arrays; one class counts for all."""
        corners = np.asarray(boxes, np.float64).reshape(-1, 4)
        kinds = np.broadcast_to(np.asarray(classes, np.int64), (len(corners),))
        return cls(corners, np.asarray(scores, np.float64).reshape(-1), kinds.copy())

    @classmethod
    def nothing(cls) -> Found:
        """No boxes."""
        return cls.of([], [])

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Found:
        return Found(self.boxes[rows], self.scores[rows], self.classes[rows])

    def clipped(self, width: int, height: int) -> Found:
        """Cut at the borders of the frame, without what is outside or thinner than a pixel."""
        boxes = np.clip(self.boxes, 0, [width, height, width, height])
        inside = ((boxes[:, 2:] - boxes[:, :2]) >= 1).all(axis=1)
        return Found(boxes[inside], self.scores[inside], self.classes[inside])

    def once(self, most: float, per_class: bool = False) -> Found:
        """The best first, without those that overlap a better one by more than ``most`` (IoU).

        ``per_class`` compares boxes of one class only.
        """
        boxes = self.boxes
        if per_class and len(self):
            # Every class in a place of its own, where it overlaps no other.
            boxes = boxes + (self.classes * 2 * (np.abs(boxes).max() + 1))[:, None]
        return self[suppressed(boxes, self.scores, most)]


def together(parts: Sequence[Found]) -> Found:
    """All of them."""
    if not parts:
        return Found.nothing()
    return Found(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.classes for part in parts]),
    )
