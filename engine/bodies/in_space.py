"""A person's keypoints in space, and from there the joints a body is solved for.

The picture says where keypoints are to the right and up, the lifter how deep they may be
(:mod:`engine.bodies.lifting`); a detector's own points in space, where it has them, say how deep they
are, what hands and feet do, and whether the two depths agree: they are averaged, as their errors have
little in common.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bodies.body_model import PosedBody
from engine.bodies.joint_bridge import load_bridge
from engine.bodies.keypoints.layouts import COCO17, find_layout
from engine.bodies.keypoints.person import SEEN, Person
from engine.bodies.lifting import lifted
from engine.bodies.skeleton import JOINT_NAMES

Array = NDArray[np.float64]

LIFTED_SHARE = 0.5
"""Of the lifted depth in the mean with the detector's."""

_ENDS = {
    f"{side}_{end}": f"{side}_{start}"
    for side in ("left", "right")
    for end, start in (
        ("hand", "wrist"), ("middle_tip", "wrist"), ("foot", "ankle"), ("big_toe", "ankle"),
    )
}  # fmt: skip
"""Joints beyond COCO's keypoints, and the joint they follow."""


@dataclass(frozen=True, eq=False)
class InSpace:
    """Keypoints of COCO in space, as large as a body.

    Attributes
    ----------
    person
        With the keypoints of COCO.
    points
        ``(17, 3)`` metres, y-up.
    ends
        Hands and feet by joint, from the joint they follow, metres; empty where nothing says.
    """

    person: Person
    points: Array
    ends: dict[str, Array]

    def joints(self, points: Array) -> Tensor:
        """Joints ``(1, 29, 3)`` float32 when the points are at ``points (17, 3)``."""
        joints = load_bridge(COCO17.name).joints(points[None], COCO17.names)[0]
        for end, offset in self.ends.items():
            joints[JOINT_NAMES.index(end)] = joints[JOINT_NAMES.index(_ENDS[end])] + offset
        return torch.from_numpy(joints).float()[None]


def in_space(person: Person, rest: PosedBody) -> InSpace:
    """Where a person's keypoints are in space, for a body that at ``rest`` is as large."""
    coco = person.to_coco17()
    points = lifted(coco.points * [1, -1], coco.confidence >= SEEN)
    if person.world is None:
        return InSpace(coco, points * scale_to_body(rest, points, COCO17.names), {})
    names = find_layout(person.layout).names
    world = person.world * [1.0, -1.0, -1.0]
    world = world * scale_to_body(rest, world, names)
    own = world[[names.index(name) for name in COCO17.names]]
    flat = points[:, :2] - points[:, :2].mean(0)
    # As large in the picture as the detector's: foreshortened limbs do not tell the size.
    points = points * np.linalg.norm(own[:, :2] - own[:, :2].mean(0)) / np.linalg.norm(flat)
    points[:, 2] = LIFTED_SHARE * points[:, 2] + (1 - LIFTED_SHARE) * own[:, 2]
    joints = load_bridge(person.layout).joints(world[None], names)[0]
    ends = {
        end: joints[JOINT_NAMES.index(end)] - joints[JOINT_NAMES.index(start)]
        for end, start in _ENDS.items()
    }
    return InSpace(coco, points * scale_to_body(rest, points, COCO17.names), ends)


def scale_to_body(rest: PosedBody, points: Array, names: tuple[str, ...]) -> float:
    """By what points are to be multiplied so that trunk and legs are as long as the body's."""
    joints = rest.joints[0].double().numpy()
    at = {name: points[names.index(name)] for name in names}

    def long(a: str, b: str) -> float:
        sides = (at[f"left_{a}"] - at[f"left_{b}"], at[f"right_{a}"] - at[f"right_{b}"])
        return float(np.mean([np.linalg.norm(side) for side in sides]))

    theirs = long("shoulder", "hip") + long("hip", "knee") + long("knee", "ankle")
    pairs = ((16, 1), (1, 4), (4, 7))
    ours = sum(float(np.linalg.norm(joints[a] - joints[b])) for a, b in pairs)
    return ours / max(theirs, 1e-3)
