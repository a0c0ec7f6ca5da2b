"""The skeleton all of this room speaks of: 24 joints that turn, and 5 points at the ends.

The joints are in the order of SMPL (Loper et al. 2015), the ends in that of HybrIK (Li et al. 2021):
whatever estimates or exports bodies can be put beside one another joint by joint. Bodies stand y-up
and look along +z, so their left is +x. Metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from engine.bodies.joints import AIM_CHILDREN as AIM_CHILDREN
from engine.bodies.joints import JOINT_NAMES as JOINT_NAMES
from engine.bodies.joints import MIRRORED as MIRRORED
from engine.bodies.joints import PARENTS as PARENTS
from engine.bodies.joints import POINTS as POINTS
from engine.bodies.joints import ROTATING as ROTATING
from engine.bodies.keypoints.layouts import COCO17
from engine.bodies.rotations import rotate
from engine.errors import invalid_input

COCO_NAMES = (
    *COCO17.names, "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe",
    "right_heel",
)  # fmt: skip
"""The 17 keypoints of COCO, then six of the feet, as 2-D detectors name them."""


@dataclass(frozen=True)
class Level:
    """Points of one depth in the tree.

    Attributes
    ----------
    points
        ``(N,)`` int64, those that have this depth.
    parents
        ``(N,)`` int64, the parent of each.
    """

    points: Tensor
    parents: Tensor


@lru_cache(maxsize=2)
def tree_levels(points: int = POINTS) -> tuple[Level, ...]:
    """The levels below the root, from the root outwards, of the first ``points`` points (24 or 29)."""
    depth = [0] * points
    for point in range(1, points):
        depth[point] = depth[PARENTS[point]] + 1
    levels = []
    for at in range(1, max(depth) + 1):
        chosen = [point for point in range(points) if depth[point] == at]
        levels.append(Level(torch.tensor(chosen), torch.tensor([PARENTS[point] for point in chosen])))
    return tuple(levels)


def forward_kinematics(rotations: Tensor, rest_joints: Tensor) -> tuple[Tensor, Tensor]:
    """Pose a skeleton.

    Parameters
    ----------
    rotations
        ``(B, 24, 3, 3)`` of each joint relative to its parent; entry 0 in the world.
    rest_joints
        ``(B, 24 or 29, 3)`` or ``(1, ...)``, metres.

    Returns
    -------
    Global rotations ``(B, 24, 3, 3)`` and posed points as many as came in; the root stays where it is.

    Raises
    ------
    EngineError
        ``invalid_input`` for other shapes.
    """
    check_rotations(rotations)
    check_joints(rest_joints, (ROTATING, POINTS))
    count = rest_joints.shape[-2]
    batch = torch.broadcast_shapes(rotations.shape[:1], rest_joints.shape[:1])
    rotations = rotations.expand(*batch, -1, -1, -1)
    rest_joints = rest_joints.expand(*batch, -1, -1)
    turned: list[Tensor] = [rotations[:, 0]] + [rotations] * (ROTATING - 1)
    posed: list[Tensor] = [rest_joints[:, 0]] + [rest_joints] * (count - 1)
    for level in tree_levels(count):
        above = torch.stack([turned[parent] for parent in level.parents.tolist()], 1)
        before = torch.stack([posed[parent] for parent in level.parents.tolist()], 1)
        offsets = rest_joints[:, level.points] - rest_joints[:, level.parents]
        here = before + rotate(above, offsets)
        points = level.points.tolist()
        inner = [at for at, point in enumerate(points) if point < ROTATING]
        if inner:
            new = above[:, inner] @ rotations[:, [points[at] for at in inner]]
            for at, index in enumerate(inner):
                turned[points[index]] = new[:, at]
        for at, point in enumerate(points):
            posed[point] = here[:, at]
    return torch.stack(turned, 1), torch.stack(posed, 1)


def check_rotations(rotations: Tensor) -> None:
    """Raise ``invalid_input`` unless ``(B, 24, 3, 3)`` and finite floating point."""
    if rotations.ndim != 4 or tuple(rotations.shape[1:]) != (ROTATING, 3, 3):
        raise invalid_input(
            f"A pose is (B, {ROTATING}, 3, 3) rotation matrices, not {tuple(rotations.shape)}.",
            "Order and meaning of the joints: engine.bodies.skeleton.JOINT_NAMES.",
        )
    _check_finite(rotations, "The pose")


def check_joints(joints: Tensor, counts: tuple[int, ...] = (POINTS,)) -> None:
    """Raise ``invalid_input`` unless ``(B, N, 3)`` with N one of ``counts``, finite floating point."""
    if joints.ndim != 3 or joints.shape[1] not in counts or joints.shape[2] != 3:
        wanted = " or ".join(map(str, counts))
        raise invalid_input(
            f"A skeleton is (B, {wanted}, 3) positions in metres, not {tuple(joints.shape)}.",
            "Order and meaning of the joints: engine.bodies.skeleton.JOINT_NAMES.",
        )
    _check_finite(joints, "The skeleton")


def _check_finite(values: Tensor, what: str) -> None:
    if not values.is_floating_point():
        raise invalid_input(f"{what} must be floating point numbers, not {values.dtype}.")
    if not torch.isfinite(values.detach()).all():
        raise invalid_input(
            f"{what} has values that are not finite, so no body can be put there.",
            "Leave out the frames or joints that were not estimated.",
        )
