"""From joint positions to rotations: swing and twist, and the closed form of HybrIK.

A joint's rotation is a *swing*, the shortest one that turns its rest bone to where it should point,
after a *twist* about that bone, which moves no joint (Li et al. 2021, "HybrIK", CVPR, section 3).
Positions alone give the swing; the twist comes from elsewhere: a network, the plane in which the next
joint bends (:func:`hinge_twists`), or nowhere (zero).
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from engine.bodies.rotations import (
    angle_about,
    nearest_rotation,
    normalise,
    rotate,
    rotation_about,
    swing,
    swing_and_twist,
)
from engine.bodies.skeleton import (
    AIM_CHILDREN,
    ROTATING,
    check_joints,
    check_rotations,
    forward_kinematics,
    tree_levels,
)
from engine.errors import invalid_input

Form = Literal["compensating", "plain"]
Spine3 = Literal["neck", "three_children"]

PELVIS_CHILDREN = (1, 2, 3)
SPINE3, SPINE3_CHILDREN = 9, (12, 13, 14)

TRUSTED_OFFSET = 0.015
"""Metres: aiming from where a joint landed is given up where it would bend the bone by more."""

_HINGES = {1: (4, 7, -1.0), 2: (5, 8, -1.0), 16: (18, 20, 1.0), 17: (19, 21, 1.0)}
"""Joint above a hinge: the hinge, the point beyond it, and where it bends to (sign of z at rest)."""

_STRAIGHT = 0.1, 0.35
"""Sines of bending: below the first a limb says nothing of its plane, above the second all."""


def decompose(rotations: Tensor, rest_joints: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Split rotations into swings and twists.

    Parameters
    ----------
    rotations
        ``(B, 24, 3, 3)`` relative to the parents.
    rest_joints
        ``(B or 1, 29, 3)``.

    Returns
    -------
    Swings ``(B, 24, 3, 3)``, the first being the pelvis's whole rotation; twists ``(B, 23, 3, 3)`` and
    their angles about the rest bones ``(B, 23)``, radians in (-pi, pi], of the joints 1 to 23.

    Raises
    ------
    EngineError
        ``invalid_input`` for other shapes, or values that are not finite.
    """
    check_rotations(rotations)
    check_joints(rest_joints)
    bones = normalise(_rest_bones(rest_joints))[:, 1:].expand(len(rotations), -1, -1)
    inner = rotations[:, 1:]
    swings, twists = swing_and_twist(inner, bones)
    angles = angle_about(twists, bones)
    return torch.cat([rotations[:, :1], swings], 1), twists, angles


def recompose(swings: Tensor, twists: Tensor) -> Tensor:
    """Rotations ``(B, 24, 3, 3)`` of swings ``(B, 24, 3, 3)`` and twists ``(B, 23, 3, 3)``."""
    check_rotations(swings)
    if tuple(twists.shape) != (len(swings), ROTATING - 1, 3, 3):
        raise invalid_input(
            f"Twists are (B, {ROTATING - 1}, 3, 3) for the joints 1 to 23, not {tuple(twists.shape)}."
        )
    return torch.cat([swings[:, :1], swings[:, 1:] @ twists], 1)


def twist_matrices(twists: Tensor, rest_joints: Tensor) -> Tensor:
    """Rotations ``(B, 23, 3, 3)`` about the rest bones, from (cosine, sine) pairs ``(B, 23, 2)``."""
    bones = normalise(_rest_bones(rest_joints))[:, 1:].expand(len(twists), -1, -1)
    unit = normalise(twists)
    if not bool((twists.detach().square().sum(-1) > 0).all()):
        raise invalid_input(
            "A twist of (0, 0) is no angle: its cosine and sine must not both be zero.",
            "Give (1, 0) where no twist is known.",
        )
    return rotation_about(bones, unit[..., 0], unit[..., 1])


def closed_form(
    target_joints: Tensor,
    rest_joints: Tensor,
    twists: Tensor | None = None,
    form: Form = "compensating",
    spine3: Spine3 = "neck",
) -> Tensor:
    """Rotations that bring a rest skeleton to target positions.

    Exact where the targets are a pose of the rest skeleton and the twists are right; otherwise the
    bones point at their targets with the lengths they have.

    Parameters
    ----------
    target_joints
        ``(B, 29, 3)`` metres.
    rest_joints
        ``(B or 1, 29, 3)`` metres.
    twists
        ``(B, 23, 2)`` cosines and sines, of any length, for the joints 1 to 23; None for no twist.
    form
        ``compensating``: each bone aims from where its joint really landed, so that errors of bone
        lengths do not add up (for use). ``plain``: from where it should have landed, with a pelvis
        that needs no SVD (for training: smooth).
    spine3
        Whether the upper spine aims at the ``neck`` alone, or at all ``three_children`` by least
        squares, which is better without its twist. ``compensating`` only.

    Returns
    -------
    ``(B, 24, 3, 3)`` relative to the parents.

    Raises
    ------
    EngineError
        ``invalid_input`` for other shapes, names, or values that are not finite.
    """
    check_joints(target_joints)
    check_joints(rest_joints)
    if form not in get_args(Form) or spine3 not in get_args(Spine3):
        raise invalid_input(
            f"There is no closed form {form!r} with {spine3!r} at the upper spine.",
            f"Known: {', '.join(get_args(Form))}; {', '.join(get_args(Spine3))}.",
        )
    if form == "plain" and spine3 != "neck":
        raise invalid_input("The plain form aims the upper spine at the neck only.")
    count = len(target_joints)
    if len(rest_joints) not in (1, count):
        raise invalid_input(
            f"{count} targets need {count} rest skeletons or one, not {len(rest_joints)}."
        )
    rest = rest_joints.expand(count, -1, -1)
    turns: Tensor | None = None
    if twists is not None:
        if tuple(twists.shape) != (count, ROTATING - 1, 2):
            raise invalid_input(
                f"Twists are ({count}, {ROTATING - 1}, 2) cosines and sines, not {tuple(twists.shape)}."
            )
        turns = twist_matrices(twists, rest)
    compensating = form == "compensating"
    root = _root_by_svd(target_joints, rest) if compensating else _root_by_spine(target_joints, rest)
    bones = _rest_bones(rest)
    aims = torch.tensor(AIM_CHILDREN)
    local: list[Tensor] = [root] * ROTATING
    turned: list[Tensor] = [root] * ROTATING
    landed: list[Tensor] = [target_joints[:, 0]] * ROTATING
    for level in tree_levels(ROTATING):
        points, parents = level.points, level.parents
        above = torch.stack([turned[parent] for parent in parents.tolist()], 1)
        before = torch.stack([landed[parent] for parent in parents.tolist()], 1)
        here = before + rotate(above, rest[:, points] - rest[:, parents])
        start = target_joints[:, points]
        vectors = target_joints[:, aims[points]] - start
        if compensating:
            vectors = compensated(vectors, here, start, bones[:, points])
        result = swing(bones[:, points], rotate(above.mT, vectors))
        if turns is not None:
            result = result @ turns[:, points - 1]
        places = points.tolist()
        if spine3 == "three_children" and SPINE3 in places:
            at = places.index(SPINE3)
            fitted = _fit_children(
                SPINE3, SPINE3_CHILDREN, target_joints, rest, above[:, at], here[:, at]
            )
            result = torch.cat([result[:, :at], fitted[:, None], result[:, at + 1 :]], 1)
        new = above @ result
        for at, point in enumerate(places):
            local[point], turned[point], landed[point] = result[:, at], new[:, at], here[:, at]
    return torch.stack(local, 1)


def compensated(vectors: Tensor, here: Tensor, start: Tensor, bones: Tensor) -> Tensor:
    """Bone vectors from where joints landed, unless that would bend a bone too far aside."""
    length = torch.linalg.vector_norm(bones, dim=-1, keepdim=True)
    direct = length * normalise(vectors)
    aimed = vectors + start - here
    aside = torch.linalg.vector_norm((aimed - direct).detach(), dim=-1, keepdim=True)
    return torch.where(aside > TRUSTED_OFFSET, direct, aimed)


def _rest_bones(rest_joints: Tensor) -> Tensor:
    """``(B, 24, 3)`` from each joint to the point it aims at."""
    return rest_joints[:, list(AIM_CHILDREN)] - rest_joints[:, :ROTATING]


def _root_by_svd(target: Tensor, rest: Tensor) -> Tensor:
    children = list(PELVIS_CHILDREN)
    wanted = target[:, children] - target[:, :1]
    return _nearest_to_bones(wanted, rest[:, children] - rest[:, :1])


def _nearest_to_bones(wanted: Tensor, bones: Tensor) -> Tensor:
    """The rotation ``(B, 3, 3)`` that brings bones ``(B, N, 3)`` nearest to the wanted vectors."""
    return nearest_rotation(wanted.mT @ bones)


def _fit_children(
    joint: int, children: tuple[int, ...], target: Tensor, rest: Tensor, above: Tensor, here: Tensor
) -> Tensor:
    bones = rest[:, list(children)] - rest[:, joint : joint + 1]
    wanted = target[:, list(children)] - here[:, None]
    return _nearest_to_bones(wanted @ above, bones)


def _root_by_spine(target: Tensor, rest: Tensor) -> Tensor:
    """Spine first, then a turn about it that brings the middle of the hips to its side."""
    left, right, spine = PELVIS_CHILDREN
    spine_rest, spine_target = rest[:, spine] - rest[:, 0], target[:, spine] - target[:, 0]
    first = swing(spine_rest, spine_target)
    axis = normalise(spine_target)
    hips_rest = (rest[:, left] + rest[:, right]) / 2 - rest[:, 0]
    hips = (target[:, left] + target[:, right]) / 2 - target[:, 0]
    start = _orthogonal_part(rotate(first, hips_rest), axis)
    end = _orthogonal_part(hips, axis)
    cosine = (normalise(start) * normalise(end)).sum(-1)
    sine = (torch.linalg.cross(normalise(start), normalise(end)) * axis).sum(-1)
    return rotation_about(axis, cosine, sine) @ first


def _orthogonal_part(v: Tensor, axis: Tensor) -> Tensor:
    return v - (v * axis).sum(-1, keepdim=True) * axis


def hinge_twists(target_joints: Tensor, rest_joints: Tensor) -> Tensor:
    """Twists ``(B, 23, 2)`` of hips and shoulders from the planes in which knees and elbows bend.

    Knees bend backwards and elbows forwards (at rest: -z and +z); the twist of the joint above is
    what turns that direction to where the lower limb is. A straight limb shows no plane; its twist is
    zero, and changes smoothly with bending. All other twists are zero: (1, 0).

    Parameters
    ----------
    target_joints
        ``(B, 29, 3)`` metres.
    rest_joints
        ``(B or 1, 29, 3)`` metres.

    Raises
    ------
    EngineError
        ``invalid_input`` for other shapes, or values that are not finite.
    """
    rotations = closed_form(target_joints, rest_joints, spine3="three_children")
    rest = rest_joints.expand(len(target_joints), -1, -1)
    twists = torch.zeros(
        len(rest), ROTATING - 1, 2, dtype=target_joints.dtype, device=target_joints.device
    )
    twists[..., 0] = 1
    columns = list(twists.unbind(1))
    turned, _ = forward_kinematics(rotations, rest)
    for joint, (hinge, beyond, sign) in _HINGES.items():
        bone = normalise(rest[:, hinge] - rest[:, joint])
        lower = normalise(target_joints[:, beyond] - target_joints[:, hinge])
        aside = _orthogonal_part(rotate(turned[:, joint].mT, lower), bone)
        forwards = torch.zeros_like(bone)
        forwards[:, 2] = sign
        natural = normalise(_orthogonal_part(forwards, bone))
        bending = torch.linalg.vector_norm(aside.detach(), dim=-1)
        share = ((bending - _STRAIGHT[0]) / (_STRAIGHT[1] - _STRAIGHT[0])).clamp(0, 1)
        plane = normalise(aside)
        angle = torch.atan2(
            (torch.linalg.cross(natural, plane) * bone).sum(-1), (natural * plane).sum(-1)
        )
        angle = torch.where(share > 0, angle, 0.0) * share
        columns[joint - 1] = torch.stack([angle.cos(), angle.sin()], -1)
    return torch.stack(columns, 1)
