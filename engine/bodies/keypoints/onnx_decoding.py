"""From outputs of ONNX models to keypoints; positions in pixels of the network's input.

(0, 0) is the outer corner of the first pixel. Each function takes outputs without the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.bodies.keypoints.onnx_kinds import Kind
from engine.box_overlap import suppressed

Array = NDArray[np.float64]

MOST_OVERLAP = 0.65


@dataclass(frozen=True, eq=False)
class Rows:
    """People of one picture, the best first.

    Attributes
    ----------
    boxes
        ``(N, 4)``: left, top, right, bottom.
    scores
        ``(N,)``.
    keypoints
        ``(N, K, 3)``: x, y, confidence.
    """

    boxes: Array
    scores: Array
    keypoints: Array

    def __getitem__(self, places: NDArray[np.intp] | NDArray[np.bool_]) -> Rows:
        return Rows(self.boxes[places], self.scores[places], self.keypoints[places])


def from_simcc(x: Array, y: Array, size: tuple[int, int]) -> Array:
    """Keypoints ``(K, 3)`` of one person from SimCC (Li et al. 2022).

    Parameters
    ----------
    x, y
        ``(K, s W)`` and ``(K, s H)``: how likely each place is, s places to a pixel.
    size
        W and H.
    """
    places = np.column_stack([x.argmax(axis=1), y.argmax(axis=1)])
    step = np.array([size[0] / x.shape[1], size[1] / y.shape[1]])
    # MMPose: the lower of both, as one uncertain direction spoils the point.
    sure = np.minimum(x.max(axis=1), y.max(axis=1))
    # Place i is i / s pixels from the centre of the first one.
    return np.column_stack([places * step + 0.5, np.clip(sure, 0, 1)])


def from_heat(heat: Array, size: tuple[int, int]) -> Array:
    """Keypoints ``(K, 3)`` of one person from heat maps ``(K, h, w)``.

    Between cells by the second-order step on the logarithm (DARK: Zhang et al. 2020), which is exact
    for a Gaussian; at the border, or where there is no maximum, the cell itself. Logits (below -0.5 or
    above 1.5 somewhere) become probabilities first.
    """
    if heat.min() < -0.5 or heat.max() > 1.5:
        heat = 1 / (1 + np.exp(-np.clip(heat, -60, 60)))
    count, height, width = heat.shape
    rows, columns = np.unravel_index(heat.reshape(count, -1).argmax(axis=1), (height, width))
    found = np.column_stack([columns, rows]).astype(np.float64)
    for index, (row, column) in enumerate(zip(rows, columns, strict=True)):
        if 0 < row < height - 1 and 0 < column < width - 1:
            found[index] += _step(heat[index, row - 1 : row + 2, column - 1 : column + 2])
    sure = heat.reshape(count, -1).max(axis=1)
    stride = np.array([size[0] / width, size[1] / height])
    # MMPose: cell i stands for the pixel i * stride, whose centre is half a pixel further.
    return np.column_stack([found * stride + 0.5, np.clip(sure, 0, 1)])


def _step(patch: Array) -> Array:
    """From the middle of 3 x 3 values to the maximum of the paraboloid through their logarithms."""
    if patch.min() <= 0:
        return np.zeros(2)
    log = np.log(patch)
    slope = np.array([log[1, 2] - log[1, 0], log[2, 1] - log[0, 1]]) / 2
    mixed = (log[2, 2] - log[2, 0] - log[0, 2] + log[0, 0]) / 4
    bend = np.array(
        [
            [log[1, 2] - 2 * log[1, 1] + log[1, 0], mixed],
            [mixed, log[2, 1] - 2 * log[1, 1] + log[0, 1]],
        ]
    )
    if bend[0, 0] >= 0 or np.linalg.det(bend) <= 1e-12:  # no maximum
        return np.zeros(2)
    return np.clip(-np.linalg.solve(bend, slope), -0.5, 0.5)


def from_rtmo(boxes: Array, points: Array, least: float) -> Rows:
    """People from RTMO: ``(N, 5)`` corners and score, ``(N, K, 3)``."""
    scores = np.clip(boxes[:, 4], 0, 1)
    keypoints = points.copy()
    keypoints[..., 2] = np.clip(keypoints[..., 2], 0, 1)
    return _best(Rows(boxes[:, :4], scores, keypoints), least)


def from_yolo(output: Array, kind: Kind, least: float) -> Rows:
    """People from YOLO's rows, with keypoints or without; see :class:`Kind` for the order in a row."""
    rows = output.T if kind.rows_last else output
    if kind.chosen:
        boxes, scores, rest = rows[:, :4], rows[:, 4], rows[:, 6:]
        scores = scores * (rows[:, 5].round() == 0)  # the class; 0 is a person
    else:
        half = rows[:, 2:4] / 2
        boxes = np.concatenate([rows[:, :2] - half, rows[:, :2] + half], axis=1)
        first = 5 if kind.objectness else 4
        classes = 1 if kind.count else max(1, rows.shape[1] - first)
        probable = rows[:, first : first + classes]
        scores = probable[:, 0] * (probable.argmax(axis=1) == 0)
        if kind.objectness:
            scores = scores * rows[:, 4]
        rest = rows[:, first + classes :]
    keypoints = np.ones((len(rows), kind.count, 3))
    if kind.count:
        keypoints[..., : kind.numbers] = rest.reshape(len(rows), kind.count, kind.numbers)
    if kind.numbers == 2:  # no confidences of their own
        keypoints[..., 2] = np.clip(scores, 0, 1)[:, None]
    keypoints[..., 2] = np.clip(keypoints[..., 2], 0, 1)
    return _best(Rows(boxes, np.clip(scores, 0, 1), keypoints), least)


def _best(rows: Rows, least: float) -> Rows:
    rows = rows[rows.scores >= max(least, 1e-6)]
    return rows[suppressed(rows.boxes, rows.scores, MOST_OVERLAP)]
