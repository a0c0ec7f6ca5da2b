"""What an ONNX file's outputs are, by their shapes and names.

Sources: the exports of MMPose (RTMPose: Jiang et al. 2023, SimCC: Li et al. 2022, RTMO: Lu et al. 2024;
heat maps) and of Ultralytics and its predecessors (YOLO-pose: Maji et al. 2022).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from engine.bodies.keypoints.layouts import BLAZEPOSE33, COCO17
from engine.errors import EngineError, bad_file

Family = Literal["simcc", "heat", "rtmo", "yolo", "boxes"]
Shapes = Mapping[str, tuple[int, ...]]

COUNTS = {17: "COCO", 26: "Halpe", 33: "BlazePose", 133: "COCO whole-body"}
"""Numbers of keypoints that are known; all but BlazePose's begin with COCO's 17."""

_MOST_CHOSEN = 1000
"""Models that choose by themselves return fewer rows than this, those with a grid more."""

_KNOWN = (
    "Known are: SimCC (two outputs of K rows, RTMPose), heat maps (1, K, h, w), YOLO-pose (1, 5 + 3K, "
    "A) or (1, A, 5 + 3K) or chosen rows (1, A, 6 + 3K), and RTMO (dets and keypoints); "
    f"K one of {', '.join(f'{count} ({name})' for count, name in COUNTS.items())}."
)


@dataclass(frozen=True)
class Kind:
    """How to read the outputs.

    Attributes
    ----------
    family
        ``simcc`` and ``heat`` see one person in a box; ``rtmo`` and ``yolo`` see everybody;
        ``boxes`` finds people without keypoints.
    outputs
        Names; for SimCC x and y, for RTMO boxes and keypoints.
    count
        Keypoints; 0 for boxes.
    numbers
        For each keypoint of YOLO: 3 with a confidence, 2 without.
    rows_last
        YOLO's output is ``(1, C, A)`` instead of ``(1, A, C)``.
    chosen
        YOLO's rows are corners, score and class, already chosen by the network.
    objectness
        YOLO's rows have the score of a thing before those of classes.
    """

    family: Family
    outputs: tuple[str, ...]
    count: int = 0
    numbers: int = 3
    rows_last: bool = False
    chosen: bool = False
    objectness: bool = False

    @property
    def layout(self) -> str:
        """The layout of the people that are read."""
        return BLAZEPOSE33.name if self.count == len(BLAZEPOSE33) else COCO17.name

    @property
    def title(self) -> str:
        """For people."""
        names = {"simcc": "SimCC", "heat": "heat maps", "rtmo": "RTMO", "yolo": "YOLO"}
        name = names.get(self.family, "boxes of people")
        return f"{name}, {self.count} keypoints" if self.count else name

    @property
    def one_person(self) -> bool:
        """Whether it has to be told where each person is."""
        return self.family in ("simcc", "heat")


def recognise(outputs: Shapes, size: tuple[int, int], metadata: Mapping[str, str], name: str) -> Kind:
    """The kind of a model.

    Parameters
    ----------
    outputs
        Shapes by name, in the file's order, as it returned them for a picture.
    size
        Width and height of that picture.
    metadata
        Of the file; ``kpt_shape`` counts where it is there.
    name
        Of the file, for the message.

    Raises
    ------
    EngineError
        ``bad_file`` that says what was found and what is known.
    """
    for kind in _candidates(outputs, size, _told_keypoints(metadata)):
        return kind
    raise unknown(outputs, name)


def unknown(outputs: Shapes, name: str) -> EngineError:
    """The error for outputs that nobody can read."""
    found = ", ".join(f"{key} {list(shape)}" for key, shape in outputs.items()) or "no numbers"
    return bad_file(
        f"The outputs of {name} are not those of a known kind of keypoint model; nothing was "
        f"detected. It returns: {found}.",
        _KNOWN,
    )


def _candidates(outputs: Shapes, size: tuple[int, int], told: tuple[int, int] | None) -> Iterator[Kind]:
    if len(outputs) == 2:
        yield from _pairs(outputs, size)
    for name, shape in outputs.items():
        if len(shape) == 4 and shape[0] == 1 and shape[1] in COUNTS and shape[2] > 1 < shape[3]:
            across, down = size[0] / shape[3], size[1] / shape[2]
            if across == down and across >= 1:
                yield Kind("heat", (name,), shape[1])
        if len(shape) == 3 and shape[0] == 1:
            yield from _rows(name, shape, told)


def _pairs(outputs: Shapes, size: tuple[int, int]) -> Iterator[Kind]:
    (first, a), (second, b) = outputs.items()
    if len(a) == len(b) == 3 and a[:2] == b[:2] and a[0] == 1 and a[1] in COUNTS:
        for names, (x, y) in (((first, second), (a, b)), ((second, first), (b, a))):
            if x[2] / size[0] == y[2] / size[1] >= 1:
                yield Kind("simcc", names, a[1])
    for names, (boxes, points) in (((first, second), (a, b)), ((second, first), (b, a))):
        shaped = len(boxes) == 3 and len(points) == 4 and boxes[:2] == points[:2]
        if shaped and boxes[2] == 5 and points[2] in COUNTS and points[3] == 3:
            yield Kind("rtmo", names, points[2])


def _rows(name: str, shape: tuple[int, ...], told: tuple[int, int] | None) -> Iterator[Kind]:
    """Kinds of one output of rows of numbers, one row for each place in the picture."""
    layouts = [told] if told else [(count, n) for count in (17, 33, 133) for n in (3, 2)]
    # There are more rows than numbers in a row, but for networks that choose few.
    for rows_last in (True, False) if shape[2] >= shape[1] else (False, True):
        channels, rows = shape[1:] if rows_last else shape[:0:-1]
        few = rows < _MOST_CHOSEN
        for count, numbers in layouts:
            if channels == 5 + count * numbers:
                yield Kind("yolo", (name,), count, numbers, rows_last)
            # Only exports of the older kind, with a score for things beside those of classes, or with
            # rows already chosen, have the numbers of a row last.
            if channels == 6 + count * numbers and not rows_last:
                yield Kind("yolo", (name,), count, numbers, chosen=few, objectness=not few)
        if channels == 6 and few and not rows_last:
            yield Kind("boxes", (name,), chosen=True)
        if channels in (5, 84):
            yield Kind("boxes", (name,), rows_last=rows_last)
        if channels in (6, 85) and not few and not rows_last:
            yield Kind("boxes", (name,), objectness=True)


def _told_keypoints(metadata: Mapping[str, str]) -> tuple[int, int] | None:
    """Number of keypoints, and numbers for each, as Ultralytics writes them."""
    try:
        count, numbers = json.loads(metadata.get("kpt_shape", ""))
    except (ValueError, TypeError):
        return None
    return (int(count), int(numbers)) if count in COUNTS and numbers in (2, 3) else None
