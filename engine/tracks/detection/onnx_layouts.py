"""What an ONNX detector's outputs are, by their shapes and names.

Sources: the exports of YOLOX (Ge et al. 2021), of Ultralytics and its predecessors (YOLOv5 to v11,
RT-DETR), of RT-DETR (Zhao et al. 2024), of transformers (DETR: Carion et al. 2020, RT-DETR), of
RF-DETR, and of MMDeploy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from engine.errors import EngineError, bad_file, invalid_input

Family = Literal["yolox", "yolov5", "yolov8", "chosen", "rtdetr", "detr", "labelled"]
Shapes = Mapping[str, tuple[int, ...]]

TITLES: dict[Family, str] = {
    "yolox": "YOLOX",
    "yolov5": "YOLOv5",
    "yolov8": "YOLOv8",
    "chosen": "rows already chosen",
    "rtdetr": "RT-DETR",
    "detr": "DETR",
    "labelled": "boxes with labels",
}
_MOST_CHOSEN = 1000
"""Models that choose by themselves return at most so many rows, those with a grid more."""
_STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32))
_WITH_NOTHING = (92, 251)
"""Numbers of classes of which the last means that there is nothing (DETR, COCO and panoptic)."""

_KNOWN = (
    "Known are: YOLOX and YOLOv5 (N, A, 5 + C), YOLOv8 and later (N, 4 + C, A), rows already chosen "
    "(N, M, 6), RT-DETR (N, M, 4 + C) or labels, boxes, scores; DETR (logits and boxes); dets "
    "(N, M, 5) and labels (N, M). A places on a grid, M at most 1000, C classes."
)


@dataclass(frozen=True)
class Layout:
    """How to read the outputs.

    Attributes
    ----------
    family
    outputs
        Names; for ``detr`` logits and boxes, for ``labelled`` boxes, labels and scores (or boxes with
        scores, and labels).
    classes
        How many; 0 where the model returns numbers of classes.
    first
        Column of the first class in a row.
    rows_last
        The output is ``(N, numbers, rows)`` instead of ``(N, rows, numbers)``.
    strides
        Of the grid, for ``yolox``.
    softmax
        For ``detr``: classes exclude each other, and the last means that there is nothing.
    """

    family: Family
    outputs: tuple[str, ...]
    classes: int = 0
    first: int = 4
    rows_last: bool = False
    strides: tuple[int, ...] = ()
    softmax: bool = False

    @property
    def title(self) -> str:
        """For people."""
        return TITLES[self.family]


def recognise(outputs: Shapes, size: tuple[int, int], told: int, wanted: str, name: str) -> Layout:
    """The layout of a model.

    Parameters
    ----------
    outputs
        Shapes by name, in the file's order, as it returned them for one picture.
    size
        Width and height of that picture.
    told
        How many classes the file names; 0 where it does not.
    wanted
        A :data:`Family` that the user named, or ``auto``.
    name
        Of the file, for messages.

    Raises
    ------
    EngineError
        ``bad_file`` that says what was found and what is known; ``invalid_input`` for a family that
        there is not.
    """
    if wanted != "auto" and wanted not in TITLES:
        raise invalid_input(
            f"There is no layout of detectors called {wanted!r}; nothing was detected.",
            f"Known: auto, {', '.join(TITLES)}.",
        )
    for layout in _candidates(outputs, size, told):
        if wanted in ("auto", layout.family):
            return layout
    raise _unknown(outputs, wanted, name)


def _unknown(outputs: Shapes, wanted: str, name: str) -> EngineError:
    found = ", ".join(f"{key} {list(shape)}" for key, shape in outputs.items()) or "no numbers"
    what = "a known kind of detector" if wanted == "auto" else f"the layout {wanted}"
    return bad_file(
        f"The outputs of {name} are not those of {what}; nothing was detected. It returns: {found}.",
        _KNOWN,
    )


def _candidates(outputs: Shapes, size: tuple[int, int], told: int) -> Iterator[Layout]:
    yield from _named(outputs, told)
    masks = sum(shape[1] for shape in outputs.values() if len(shape) == 4)
    for name, shape in outputs.items():
        if len(shape) == 3 and shape[0] == 1:
            yield from _rows(name, shape, size, told, masks)


def _named(outputs: Shapes, told: int) -> Iterator[Layout]:
    """Layouts with an output for boxes and another one for classes."""
    # Of two outputs of four columns the boxes are what is called so.
    called = sorted(outputs, key=lambda name: "box" not in name.lower() and "det" not in name.lower())
    for boxes, shape in ((name, outputs[name]) for name in called):
        if len(shape) != 3 or shape[0] != 1 or shape[2] not in (4, 5):
            continue
        others = {name: s for name, s in outputs.items() if name != boxes and s[:2] == shape[:2]}
        flat = [name for name, s in others.items() if len(s) == 2]
        labels = [name for name in flat if "label" in name.lower() or "class" in name.lower()]
        if shape[2] == 5 and labels:
            yield Layout("labelled", (boxes, labels[0]))
        if shape[2] == 4 and len(flat) == 2 and labels:
            scores = next(name for name in flat if name != labels[0])
            yield Layout("labelled", (boxes, labels[0], scores))
        for name, other in others.items():
            if shape[2] == 4 and len(other) == 3:
                softmax = other[2] == told + 1 if told else other[2] in _WITH_NOTHING
                classes = other[2] - 1 if softmax else other[2]
                yield Layout("detr", (name, boxes), classes, softmax=softmax)


def _rows(
    name: str, shape: tuple[int, ...], size: tuple[int, int], told: int, masks: int
) -> Iterator[Layout]:
    """Layouts of one output of rows of numbers."""
    for rows_last in (shape[1] < shape[2], shape[1] >= shape[2]):
        numbers, rows = shape[1:] if rows_last else shape[:0:-1]
        strides, anchors = _grid(rows, size)
        if not rows_last and not strides and rows <= _MOST_CHOSEN:
            if numbers == 6 and told != 2:
                yield Layout("chosen", (name,))
            if numbers >= 5 and told in (0, numbers - 4):
                yield Layout("rtdetr", (name,), numbers - 4)
            continue
        plain, with_thing = numbers - 4 - masks, numbers - 5 - masks
        # What the file says about its classes counts; further numbers in a row are keypoints or masks.
        if told and anchors != 3 and plain >= told and (rows_last or plain == told):
            yield Layout("yolov8", (name,), told, rows_last=rows_last)
        if rows_last and plain >= 1 and (strides or rows > numbers):
            yield Layout("yolov8", (name,), told or plain, rows_last=True)
        if not rows_last and with_thing >= max(told, 1):
            family: Family = "yolox" if anchors == 1 else "yolov5"
            yield Layout(family, (name,), told or with_thing, first=5, strides=strides)


def _grid(rows: int, size: tuple[int, int]) -> tuple[tuple[int, ...], int]:
    """The strides of the grid that has so many places, and how many boxes are in each."""
    for strides in _STRIDES:
        places = sum((size[0] // stride) * (size[1] // stride) for stride in strides)
        for anchors in (1, 3):
            if rows == anchors * places:
                return strides, anchors
    return (), 0
