"""Poses that a network found, made to follow the joints that are sure.

A network moves all joints a little. Where a joint is sure, its bone can be aimed at it exactly: the
closed form of :mod:`engine.bodies.inverse_kinematics`, begun from the network's pose instead of the
rest pose, so that twists and all that is unsure stay the network's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.bodies.inverse_kinematics import PELVIS_CHILDREN, SPINE3, SPINE3_CHILDREN, compensated
from engine.bodies.rotations import nearest_rotation, normalise, rotate, swing
from engine.bodies.skeleton import AIM_CHILDREN, PARENTS, ROTATING, tree_levels

FOLLOWED, IGNORED = 0.01, 0.06
"""Uncertainty up to which a joint is followed exactly, and from which it is not at all."""


def follow_sure_joints(
    rotations: Tensor,
    target_joints: Tensor,
    uncertainty: Tensor,
    rest_joints: Tensor,
    limits: tuple[float, float] = (FOLLOWED, IGNORED),
) -> Tensor:
    """Turn each bone of a pose to its target, by as much as both of its ends are sure.

    Parameters
    ----------
    rotations
        ``(B, 24, 3, 3)`` a network's pose.
    target_joints, uncertainty
        ``(B, 29, 3)`` metres, ``(B, 29)`` from 0 sure to 1 lost.
    rest_joints
        ``(B, 29, 3)`` metres.
    limits
        Up to the first uncertainty a bone is turned all the way, from the second on not at all; between
        them it goes a part of the way.

    Returns
    -------
    ``(B, 24, 3, 3)`` relative to the parents.
    """
    low, high = limits
    sure = ((high - uncertainty) / (high - low)).clamp(0, 1)
    bones = rest_joints[:, list(AIM_CHILDREN)] - rest_joints[:, :ROTATING]
    target = target_joints - target_joints[:, :1]
    root = _fitted(rotations[:, 0], None, target, rest_joints, sure, target[:, 0], 0, PELVIS_CHILDREN)
    local: list[Tensor] = [root] * ROTATING
    turned: list[Tensor] = [root] * ROTATING
    landed: list[Tensor] = [target[:, 0]] * ROTATING
    for level in tree_levels(ROTATING):
        points = level.points.tolist()
        parents = [PARENTS[point] for point in points]
        above = torch.stack([turned[parent] for parent in parents], 1)
        before = torch.stack([landed[parent] for parent in parents], 1)
        here = before + rotate(above, rest_joints[:, points] - rest_joints[:, parents])
        aims = [AIM_CHILDREN[point] for point in points]
        vectors = compensated(
            target[:, aims] - target[:, points], here, target[:, points], bones[:, points]
        )
        wanted = normalise(rotate(above.mT, vectors))
        own = rotations[:, points]
        pointing = normalise(rotate(own, bones[:, points]))
        share = (sure[:, points] * sure[:, aims])[..., None]
        result = swing(pointing, pointing + share * (wanted - pointing)) @ own
        for at, point in enumerate(points):
            if point == SPINE3:
                fitted = _fitted(
                    own[:, at],
                    above[:, at],
                    target,
                    rest_joints,
                    sure,
                    here[:, at],
                    point,
                    SPINE3_CHILDREN,
                )
                result = torch.cat([result[:, :at], fitted[:, None], result[:, at + 1 :]], 1)
        new = above @ result
        for at, point in enumerate(points):
            local[point], turned[point], landed[point] = result[:, at], new[:, at], here[:, at]
    return torch.stack(local, 1)


def _fitted(
    own: Tensor,
    above: Tensor | None,
    target: Tensor,
    rest: Tensor,
    sure: Tensor,
    here: Tensor,
    joint: int,
    children: tuple[int, ...],
) -> Tensor:
    """The rotation of a joint with three children: to those that are sure, the others as they are.

    A least-squares fit to vectors that are part wanted, part where the pose ``own`` has them.
    """
    bones = rest[:, list(children)] - rest[:, joint : joint + 1]
    wanted = target[:, list(children)] - here[:, None]
    if above is not None:
        wanted = wanted @ above
    present = bones @ own.mT
    share = (sure[:, list(children)] * sure[:, joint : joint + 1])[..., None]
    return nearest_rotation((present + share * (wanted - present)).mT @ bones)
