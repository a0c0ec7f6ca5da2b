"""What NIKI is trained to do (Li et al. 2023, section 3.3), each loss by name.

*Inverse process*: noisy joints give the true rotations, swings and re-posed joints; the error code is
normally distributed and **independent** of the pose. *Boundaries*: exact joints give an error code of
zero, and a pose without error code gives exact joints.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.bodies.inverse_kinematics import decompose
from engine.bodies.niki import JOINT_SCALE, Niki, Observation
from engine.bodies.rotations import matrix_to_rotation_6d
from engine.bodies.skeleton import POINTS, forward_kinematics

SCALES = (0.05, 0.2, 0.9)
"""Of the kernels by which distributions are compared."""

FILLER_NOISE = 1e-3
COMPARED = 1024
"""Samples whose distributions are compared; the cost grows with the square."""

WEIGHTS = {
    "rotations": 1.0, "swings": 1.0, "joints": 1.0,
    "code_normal": 1.0, "independent": 1.0, "code_error": 0.0,
    "clean_rotations": 1.0, "clean_swings": 1.0, "clean_joints": 1.0, "clean_code": 0.1,
    "forward_joints": 1.0, "forward_swings": 1.0, "forward_twists": 1.0, "forward_start": 1.0,
}  # fmt: skip
"""The paper's. Not there is ``code_error``: that the code *is* the error of joints, and can be read."""


@dataclass(frozen=True, eq=False)
class TrainingBatch:
    """Poses, and their joints as seen with errors and without.

    Attributes
    ----------
    rotations
        ``(B, 24, 3, 3)``, the truth.
    joints
        ``(B, 29, 3)`` of the truth, the pelvis at the origin.
    noisy, clean
        Of the same people.
    """

    rotations: Tensor
    joints: Tensor
    noisy: Observation
    clean: Observation

    def __len__(self) -> int:
        return len(self.rotations)

    def rows(self, index: Tensor | slice) -> TrainingBatch:
        """Some of them."""
        return TrainingBatch(
            self.rotations[index], self.joints[index], self.noisy.rows(index), self.clean.rows(index)
        )


def discrepancy(a: Tensor, b: Tensor) -> Tensor:
    """Maximum mean discrepancy of samples ``(N, D)`` and ``(M, D)``: how unlike they are distributed.

    Kernel: the sum over the scales s of ``s^2 / (s^2 + |x - y|^2)``; means of XX + YY - 2 XY.
    """

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        squared = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
        squared = squared.clamp(min=0)
        return sum((s**2 / (s**2 + squared) for s in SCALES), torch.zeros_like(squared)).mean()

    return kernel(a, a) + kernel(b, b) - 2 * kernel(a, b)


def losses(model: Niki, batch: TrainingBatch) -> dict[str, Tensor]:
    """All of them, unweighted, by the names of :data:`WEIGHTS`."""
    count = len(batch)
    rest = batch.noisy.rest
    true = matrix_to_rotation_6d(batch.rotations).flatten(1)
    swings = true
    if model.config.stages == 2:
        swings = matrix_to_rotation_6d(decompose(batch.rotations, rest)[0]).flatten(1)
    filler = None
    if model.config.start == "filler":
        filler = FILLER_NOISE * torch.randn(2 * count, 60, device=true.device)
    pose = model.inverse(batch.noisy.beside(batch.clean), filler)
    _, joints = forward_kinematics(pose.rotations, rest.repeat(2, 1, 1))
    found = {}
    for prefix, part in (("", slice(0, count)), ("clean_", slice(count, None))):
        found[f"{prefix}rotations"] = F.mse_loss(pose.numbers[part], true)
        found[f"{prefix}swings"] = F.mse_loss(pose.swing_numbers[part], swings)
        found[f"{prefix}joints"] = F.l1_loss(joints[part], batch.joints)
    found["clean_code"] = pose.code[count:].square().mean()
    compared = min(COMPARED, count)
    code, fresh = pose.code[:compared], torch.randn_like(pose.code[:compared])
    found["code_normal"] = discrepancy(code, fresh)
    found["independent"] = discrepancy(
        torch.cat([true[:compared], fresh], 1),
        torch.cat([pose.numbers[:compared].detach(), code], 1),
    )
    if model.config.start == "closed_form":
        wrong = (batch.noisy.joints - batch.joints).flatten(1)
        found["code_error"] = F.mse_loss(pose.code[:count, : 3 * POINTS], JOINT_SCALE * wrong)
    back = model(true, torch.zeros_like(pose.code[:count]), rest)
    clean = batch.clean
    found["forward_joints"] = F.l1_loss(back.joints, clean.joints) + F.l1_loss(
        back.uncertainty, clean.uncertainty
    )
    found["forward_swings"] = F.mse_loss(back.swing_numbers, swings)
    if back.twists is not None:
        found["forward_twists"] = F.mse_loss(back.twists, clean.twists)
    wanted = torch.zeros_like(back.start)
    if model.config.start == "closed_form":
        start = clean.swings if model.config.stages == 2 else clean.rotations
        wanted = matrix_to_rotation_6d(start).flatten(1)
    found["forward_start"] = F.mse_loss(back.start, wanted)
    return found


def weighted(found: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Their sum."""
    total = torch.zeros((), device=next(iter(found.values())).device)
    for name, value in found.items():
        total = total + weights[name] * value
    return total
