"""Errors that keypoint networks make, drawn: joints blurred, limbs lost.

The amounts are those NIKI's authors use with motion capture (Li et al. 2023, released code). The camera
looks along z: depth is seen worst.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.bodies.skeleton import MIRRORED, POINTS

_MILLIMETRES = {
    3: (0,), 15: (1, 2, 3), 40: (4, 5, 6, 9), 65: (7, 8, *range(10, 20)),
    80: (20, 21, 22, 23, 24, 27, 28), 120: (25, 26),
}  # fmt: skip
"""Scale of the error of each point."""

_AXES = (0.3, 0.4, 0.6)
_DEPTH_SPREAD = 0.05
_FACTOR = (0.5, 1.5)
_STRETCH = (0.95, 1.05)
"""Sideways and up, by mistakes about the distance."""

LIMBS = {
    "left_leg": (1, (4, 7, 10, 27)), "right_leg": (2, (5, 8, 11, 28)),
    "left_arm": (16, (18, 20, 22, 25)), "right_arm": (17, (19, 21, 23, 26)),
}  # fmt: skip
"""Where a limb begins, and its points beyond."""

_LOST = (
    ("left_leg",), ("right_leg",), ("left_arm",), ("right_arm",), ("left_leg", "right_leg"),
    ("left_arm", "right_arm"),
)  # fmt: skip

LOST_METRES = 0.18
LOST_UNCERTAINTY = (0.6, 0.2)
"""Mean and deviation."""

SEEN_UNCERTAINTY, SEEN_SPREAD = 0.1, 0.03
EXACT_UNCERTAINTY = 1e-3
"""Of joints without error."""


def _uniform(shape: tuple[int, ...], low: float, high: float, stream: torch.Generator) -> Tensor:
    values = torch.rand(shape, generator=stream, device=stream.device)
    return low + (high - low) * values


def _normal(shape: tuple[int, ...], stream: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=stream, device=stream.device)


def blurred(joints: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Joints with a detector's usual errors, and their uncertainty.

    Parameters
    ----------
    joints
        ``(B, 29, 3)`` float32, metres, the pelvis at the origin, z towards the camera.
    stream
        On the joints' device.

    Returns
    -------
    ``(B, 29, 3)``, and uncertainty ``(B, 29)`` about :data:`SEEN_UNCERTAINTY`, larger where the error
    was drawn from a wider distribution.
    """
    count = len(joints)
    scale = torch.zeros(POINTS, device=joints.device)
    for millimetres, points in _MILLIMETRES.items():
        scale[list(points)] = millimetres / 1000
    axes = torch.tensor(_AXES, device=joints.device).repeat(count, POINTS, 1)
    axes[..., 2] += _DEPTH_SPREAD * _uniform((count, POINTS), -1, 1, stream)
    factor = _uniform((count, POINTS), *_FACTOR, stream)
    error = _normal((count, POINTS, 3), stream) * (factor * scale)[..., None] * axes
    stretch = torch.ones(count, 1, 3, device=joints.device)
    stretch[..., :2] = _uniform((count, 1, 1), *_STRETCH, stream)
    seen = (joints + error) * stretch
    doubt = SEEN_UNCERTAINTY * factor + SEEN_SPREAD * _normal((count, POINTS), stream)
    return seen - seen[:, :1], doubt.clamp(EXACT_UNCERTAINTY, 1)


def occluded(
    joints: Tensor, uncertainty: Tensor, stream: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Lose a limb, both legs or both arms of each person.

    What takes their place is, one time in three each: the truth with errors of 180 mm; the limb of
    somebody else in the batch (as frozen in another moment); the limb of the other side, mirrored.

    Parameters
    ----------
    joints, uncertainty
        ``(B, 29, 3)`` and ``(B, 29)``, as they are seen otherwise.
    stream
        On their device.

    Returns
    -------
    Joints, uncertainty, and which points were lost ``(B, 29)``.
    """
    count, device = len(joints), joints.device
    lost = torch.zeros(len(_LOST), POINTS, dtype=torch.bool, device=device)
    for row, limbs in enumerate(_LOST):
        for limb in limbs:
            lost[row, list(LIMBS[limb][1])] = True
    chosen = lost[torch.randint(len(_LOST), (count,), generator=stream, device=device)]
    noisy = joints + LOST_METRES * _normal((count, POINTS, 3), stream)
    others = torch.randperm(count, generator=stream, device=device)
    frozen, mirrored = joints.clone(), joints.clone()
    reflected = joints[:, list(MIRRORED)] * torch.tensor([-1.0, 1.0, 1.0], device=device)
    for start, points in LIMBS.values():
        at = list(points)
        here = joints[:, start : start + 1]
        frozen[:, at] = here + joints[others][:, at] - joints[others][:, start : start + 1]
        mirrored[:, at] = here + reflected[:, at] - reflected[:, start : start + 1]
    kind = torch.randint(3, (count, 1, 1), generator=stream, device=device)
    wrong = torch.where(kind == 0, noisy, torch.where(kind == 1, frozen, mirrored))
    mean, spread = LOST_UNCERTAINTY
    doubt = (mean + spread * _normal((count, POINTS), stream)).clamp(0, 1)
    return (
        torch.where(chosen[..., None], wrong, joints),
        torch.where(chosen, doubt, uncertainty),
        chosen,
    )
