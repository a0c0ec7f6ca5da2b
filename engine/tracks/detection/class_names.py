"""Names of classes: those of COCO, and those that a model's file tells."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping

COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag",
    "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite", "baseball bat",
    "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle", "wine glass", "cup", "fork",
    "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog",
    "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv",
    "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip
_NOT_IN_COCO = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
"""Numbers of COCO's 91 categories that have no annotations."""
_NUMBERED = [number for number in range(91) if number not in _NOT_IN_COCO]
COCO_BY_CATEGORY = dict(zip(_NUMBERED, COCO, strict=True))


def told_names(metadata: Mapping[str, str]) -> dict[int, str]:
    """Class names that an exporter wrote into a file; empty where there are none that can be read."""
    for key in ("names", "classes", "class_names", "labels"):
        text = metadata.get(key, "")
        for read in (json.loads, ast.literal_eval):
            try:
                value = read(text)
            except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
                continue
            if isinstance(value, Mapping):
                pairs = list(value.items())
            elif isinstance(value, list | tuple):
                pairs = list(enumerate(value))
            else:
                continue
            try:
                return {int(number): str(name) for number, name in pairs}
            except (ValueError, TypeError):
                continue
    return {}


def usual_names(count: int) -> dict[int, str]:
    """Names of the classes of a model that tells none, by their number."""
    if count == len(COCO):
        return dict(enumerate(COCO))
    if count == 91:
        return {number: COCO_BY_CATEGORY.get(number, f"class {number}") for number in range(91)}
    return {number: f"class {number}" for number in range(count)}
