"""From outputs of ONNX detectors to boxes; positions in pixels of the network's input."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.tracks.detection.found import Found
from engine.tracks.detection.onnx_layouts import Layout

Array = NDArray[np.float64]

_MOST = 2000
"""Boxes of one picture before any suppression; the surest are kept."""


def decode(outputs: Sequence[Array], layout: Layout, size: tuple[int, int], least: float) -> Found:
    """Boxes of one picture.

    Parameters
    ----------
    outputs
        Without the batch, in the order of ``layout.outputs``.
    layout
        How to read them.
    size
        Width and height of the network's input.
    least
        Scores below are left out.
    """
    if layout.family == "labelled":
        boxes, labels = outputs[0], outputs[1]
        scores = outputs[2] if len(outputs) > 2 else boxes[:, 4]
        return _best(boxes[:, :4], scores, labels, least)
    if layout.family == "detr":
        logits, boxes = outputs
        chances = (
            _softmax(logits)[:, :-1] if layout.softmax else 1 / (1 + np.exp(-np.clip(logits, -60, 60)))
        )
        return _classified(_corners(boxes * [*size, *size]), chances, least)
    rows = outputs[0].T if layout.rows_last else outputs[0]
    if layout.family == "chosen":
        return _best(rows[:, :4], rows[:, 4], rows[:, 5], least)
    chances = rows[:, layout.first : layout.first + layout.classes]
    if layout.first == 5:
        chances = chances * rows[:, 4:5]
    boxes = rows[:, :4]
    if layout.family == "rtdetr":
        boxes = boxes * [*size, *size]
    elif layout.family == "yolox":
        boxes = _from_grid(boxes, layout.strides, size)
    return _classified(_corners(boxes), chances, least)


def _from_grid(boxes: Array, strides: Sequence[int], size: tuple[int, int]) -> Array:
    """YOLOX's boxes in pixels, whether the file decodes them or not.

    A file that does not returns places relative to the cells, in cells, and logarithms of sizes (Ge et
    al. 2021). Which of the two it is shows in which reading has boxes near their cells.
    """
    cells, widths = [], []
    for stride in strides:
        across, down = size[0] // stride, size[1] // stride
        x, y = np.meshgrid(np.arange(across), np.arange(down))
        cells.append(np.stack([x.ravel(), y.ravel()], axis=1))
        widths.append(np.full(across * down, stride))
    cell, step = np.concatenate(cells), np.concatenate(widths)[:, None]
    decoded = np.median(np.abs(boxes[:, :2] / step - cell - 0.5))
    raw = np.median(np.abs(boxes[:, :2] - 0.5))
    if decoded <= raw:
        return boxes
    return np.concatenate(
        [(boxes[:, :2] + cell) * step, np.exp(np.clip(boxes[:, 2:], -20, 12)) * step], axis=1
    )


def _corners(boxes: Array) -> Array:
    """Centre and size to left, top, right, bottom."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def _classified(boxes: Array, chances: Array, least: float) -> Found:
    classes = chances.argmax(axis=1)
    return _best(boxes, chances[np.arange(len(chances)), classes], classes, least)


def _best(boxes: Array, scores: Array, classes: Array | NDArray[np.intp], least: float) -> Found:
    found = Found.of(boxes, np.clip(scores, 0, 1), np.round(classes).astype(np.int64))
    # Files of a fixed number of rows fill up with zeros or with class -1.
    found = found[(scores >= max(least, 1e-6)) & (found.classes >= 0)]
    return found[np.argsort(-found.scores, kind="stable")[:_MOST]]


def _softmax(logits: Array) -> Array:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
