"""Which keypoint is which: the two layouts that are used, their mirror images, and the way between.

Left and right are the person's own. Sources: the names of BlazePose GHUM 3D (Bazarevsky et al. 2020)
and of COCO keypoints (Lin et al. 2014).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input

_FACE = ("nose", "left_eye", "right_eye", "left_ear", "right_ear")
_LIMBS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")


@dataclass(frozen=True)
class Layout:
    """The order of the keypoints of a detector.

    Attributes
    ----------
    names
        One for each keypoint.
    edges
        Pairs of keypoints to draw a line between.
    """

    name: str
    names: tuple[str, ...]
    edges: tuple[tuple[str, str], ...]

    def __len__(self) -> int:
        return len(self.names)

    def index(self, name: str) -> int:
        """Place of a keypoint; raises ``invalid_input`` where the layout does not have it."""
        if name not in self.names:
            raise invalid_input(
                f"The layout {self.name} has no keypoint {name!r}.", f"It has {', '.join(self.names)}."
            )
        return self.names.index(name)

    def mirrored(self) -> NDArray[np.intp]:
        """For each keypoint the one on the other side of the body, ``(K,)``; itself in the middle."""
        return np.array([self.names.index(_other_side(name)) for name in self.names])


def _other_side(name: str) -> str:
    for side, other in (("left", "right"), ("right", "left")):
        if side in name.split("_"):
            return name.replace(side, other)
    return name


def _both(*pairs: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in pairs)


_BODY_EDGES = (
    ("left_shoulder", "right_shoulder"),
    ("left_hip", "right_hip"),
    *_both(
        ("shoulder", "elbow"),
        ("elbow", "wrist"),
        ("shoulder", "hip"),
        ("hip", "knee"),
        ("knee", "ankle"),
    ),
)

COCO17 = Layout(
    "coco17",
    (*_FACE, *(f"{side}_{limb}" for limb in _LIMBS for side in ("left", "right"))),
    (
        *_BODY_EDGES,
        ("nose", "left_eye"),
        ("nose", "right_eye"),
        ("left_eye", "left_ear"),
        ("right_eye", "right_ear"),
    ),
)

BLAZEPOSE33 = Layout(
    "blazepose33",
    (
        "nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye",
        "right_eye_outer", "left_ear", "right_ear", "mouth_left", "mouth_right", "left_shoulder",
        "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_pinky",
        "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb", "left_hip",
        "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_heel",
        "right_heel", "left_foot_index", "right_foot_index",
    ),
    (
        *COCO17.edges,
        ("mouth_left", "mouth_right"),
        *_both(
            ("wrist", "pinky"), ("wrist", "index"), ("wrist", "thumb"), ("pinky", "index"),
            ("ankle", "heel"), ("ankle", "foot_index"), ("heel", "foot_index"),
        ),
    ),
)  # fmt: skip

LAYOUTS = {layout.name: layout for layout in (BLAZEPOSE33, COCO17)}

COCO17_IN_BLAZEPOSE33 = np.array([BLAZEPOSE33.names.index(name) for name in COCO17.names])
"""For each COCO keypoint its place among BlazePose's, ``(17,)``."""


def find_layout(name: str) -> Layout:
    """The layout called ``name``; raises ``invalid_input`` when there is none."""
    if name not in LAYOUTS:
        raise invalid_input(
            f"There is no keypoint layout called {name!r}.", f"Known: {', '.join(LAYOUTS)}."
        )
    return LAYOUTS[name]
