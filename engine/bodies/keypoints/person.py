"""What every detector returns: a person with keypoints, and checks of what they say.

The window imports this: no more than numpy at the top.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from engine.bodies.keypoints.layouts import COCO17, COCO17_IN_BLAZEPOSE33, Layout, find_layout
from engine.errors import invalid_input

Array = NDArray[np.float64]

SEEN = 0.5
"""Confidence from which on a keypoint counts as seen."""

_APART = 0.25
"""Of the trunk's length; a left and a right keypoint nearer than that do not say which is which."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Where a person is, as a small picture that lies somewhere in the large one.

    Attributes
    ----------
    values
        ``(h, w)`` uint8: how likely each pixel is the person's, 0 to 255.
    to_image
        ``(2, 3)`` float64: from positions in the small picture to positions in the image.
    """

    values: NDArray[np.uint8]
    to_image: Array

    def in_image(self, height: int, width: int) -> NDArray[np.uint8]:
        """The mask at the size of the image: ``(height, width)`` uint8, 0 outside."""
        import cv2

        half = np.array([0.5, 0.5])
        matrix = self.to_image.copy()
        # OpenCV counts from the centre of the first pixel; we from its corner.
        matrix[:, 2] += matrix[:, :2] @ half - half
        drawn = cv2.warpAffine(self.values, matrix, (width, height), flags=cv2.INTER_LINEAR)
        return np.asarray(drawn, np.uint8)


@dataclass(frozen=True, eq=False)
class Person:
    """One person in one image.

    Positions are in pixels of the original image (after its EXIF orientation); (0, 0) is the outer
    corner of the top left pixel, x to the right, y down. Points may lie outside the image.

    Attributes
    ----------
    keypoints
        ``(K, 3)`` float64: x, y, and confidence from 0 to 1.
    layout
        ``blazepose33`` or ``coco17``: which keypoint is which.
    box
        ``(4,)`` float64: left, top, right, bottom.
    score
        How sure the detector is that this is a person, 0 to 1.
    mask
        Which pixels are the person's, where the detector tells.
    world
        ``(K, 3)`` float64 in metres, the origin between the hips, x to the right of the image, y
        down, z away from the camera; a guess from one view. ``None`` where the detector has none.
    identity
        The same number for the same person while a tracker follows it.

    Raises
    ------
    EngineError
        ``invalid_input`` for other shapes, an unknown layout, numbers that are not finite, or
        confidences outside 0 to 1.
    """

    keypoints: Array
    layout: str
    box: Array
    score: float = 1.0
    mask: Mask | None = None
    world: Array | None = None
    identity: int | None = None

    def __post_init__(self) -> None:
        count = len(find_layout(self.layout))
        _check("keypoints", self.keypoints, (count, 3), self.layout)
        _check("box", self.box, (4,), self.layout)
        if self.world is not None:
            _check("world points", self.world, (count, 3), self.layout)
        confidence = [*self.keypoints[:, 2], self.score]
        if min(confidence) < 0 or max(confidence) > 1:
            raise invalid_input(
                f"A person has confidences from {min(confidence):.3g} to {max(confidence):.3g}; they "
                "go from 0 to 1. It was not used.",
                "The detector's scores have to be scaled to 0 to 1.",
            )

    @property
    def points(self) -> Array:
        """Positions only, ``(K, 2)``."""
        return self.keypoints[:, :2]

    @property
    def confidence(self) -> Array:
        """Confidences only, ``(K,)``."""
        return self.keypoints[:, 2]

    def point(self, name: str) -> Array:
        """Position and confidence of a keypoint by its name, ``(3,)``."""
        return np.asarray(self.keypoints[find_layout(self.layout).index(name)])

    def to_coco17(self) -> Person:
        """The same person with COCO's 17 keypoints; itself where it has them already."""
        if self.layout == COCO17.name:
            return self
        chosen = COCO17_IN_BLAZEPOSE33
        world = None if self.world is None else self.world[chosen]
        return replace(self, keypoints=self.keypoints[chosen], layout=COCO17.name, world=world)

    def swapped(self) -> Person:
        """The same person with left and right exchanged: a correction of mirrored labels."""
        other = find_layout(self.layout).mirrored()
        world = None if self.world is None else self.world[other]
        return replace(self, keypoints=self.keypoints[other], world=world)


def _check(what: str, values: Array, shape: tuple[int, ...], layout: str) -> None:
    if values.shape != shape:
        raise invalid_input(
            f"The {what} of a person have the shape {values.shape}; {layout} has {shape}. It was not "
            "used.",
            "Choose the layout that belongs to the detector.",
        )
    if not np.isfinite(values).all():
        where = sorted({int(index[0]) for index in np.argwhere(~np.isfinite(values))})
        raise invalid_input(
            f"The {what} of a person are not finite numbers at {where}; it was not used.",
            "The detector's model is damaged, or was exported in a precision that is too low.",
        )


def box_around(points: Array, confidence: Array, least: float = SEEN) -> Array:
    """The box around keypoints that are seen, ``(4,)``; around all where fewer than three are."""
    seen = confidence >= least
    chosen = points[seen] if seen.sum() >= 3 else points
    return np.concatenate([chosen.min(axis=0), chosen.max(axis=0)])


def mirrored_labels(person: Person) -> tuple[str, ...]:
    """Signs that left and right are exchanged, in words; empty when nothing contradicts.

    In the image, pairs that are clearly apart must be in the same order in the face, at the shoulders
    and at the hips (a twisted trunk can break this; therefore these are signs, not proof). With
    world points, the face and the feet must point to the side that the trunk faces: up x right.
    """
    layout = find_layout(person.layout)
    trunk = _trunk_length(person, layout)
    signs = []
    orders = {
        pair: order
        for pair in ("eye", "shoulder", "hip")
        if (order := _order(person, layout, pair, trunk if pair != "eye" else trunk / 5))
    }
    if len(set(orders.values())) > 1:
        told = ", ".join(f"{pair}s {'<' if order < 0 else '>'}" for pair, order in orders.items())
        signs.append(f"left and right are not in one order in the image (left to right: {told})")
    if person.world is not None:
        signs.extend(_against_the_trunk(person.world, person.confidence, layout))
    return tuple(signs)


def _trunk_length(person: Person, layout: Layout) -> float:
    def middle(name: str) -> Array:
        return (person.point(f"left_{name}") + person.point(f"right_{name}"))[:2] / 2

    return float(np.linalg.norm(middle("shoulder") - middle("hip")))


def _order(person: Person, layout: Layout, pair: str, trunk: float) -> int:
    left, right = person.point(f"left_{pair}"), person.point(f"right_{pair}")
    if min(left[2], right[2]) < SEEN or abs(left[0] - right[0]) < _APART * trunk:
        return 0
    return 1 if left[0] > right[0] else -1


def _against_the_trunk(world: Array, confidence: Array, layout: Layout) -> list[str]:
    def at(name: str) -> Array:
        return np.asarray(world[layout.index(name)])

    across = at("right_shoulder") + at("right_hip") - at("left_shoulder") - at("left_hip")
    up = at("left_shoulder") + at("right_shoulder") - at("left_hip") - at("right_hip")
    forward = np.cross(up, across)
    forward /= max(float(np.linalg.norm(forward)), 1e-9)
    pointers = {"face points": [("left_ear", "nose"), ("right_ear", "nose")]}
    if "left_heel" in layout.names:
        pointers["feet point"] = [(f"{side}_heel", f"{side}_foot_index") for side in ("left", "right")]
    signs = []
    for what, pairs in pointers.items():
        seen = [min(confidence[layout.index(name)] for name in pair) for pair in pairs]
        direction = np.sum([at(end) - at(start) for start, end in pairs], axis=0)
        length = float(np.linalg.norm(direction))
        # Beyond 120 degrees: heads and feet turn, but not backwards.
        if min(seen) >= SEEN and length > 0.05 and direction @ forward < -0.5 * length:
            signs.append(f"the {what} to the back of the trunk")
    return signs
