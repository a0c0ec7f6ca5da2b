"""A plain network for the task of NIKI, to see what the invertible one is worth.

It gets what NIKI gets (the closed form's rotations and twists, joints, uncertainty, bone lengths),
writes what the closed form's rotations lack, and is trained on the same samples with the same losses
as far as they apply: it has no error code and knows no way back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.bodies.niki import JOINT_SCALE, SIX, TWISTS, Observation
from engine.bodies.niki_losses import TrainingBatch
from engine.bodies.rotations import matrix_to_rotation_6d, rotation_6d_to_matrix
from engine.bodies.skeleton import PARENTS, POINTS, ROTATING, forward_kinematics


class PlainNetwork(nn.Module):
    """Four layers, ``width`` wide inside, from an observation to rotations."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        self.layers = nn.Sequential(
            nn.Linear(SIX + TWISTS + 4 * POINTS + POINTS - 1, width),
            nn.LeakyReLU(),
            nn.Linear(width, width),
            nn.LeakyReLU(),
            nn.Linear(width, width),
            nn.LeakyReLU(),
            nn.Linear(width, SIX),
        )

    def forward(self, seen: Observation) -> Tensor:
        """``(B, 144)``, the first two rows of rotations, not yet orthonormal."""
        bones = seen.rest[:, 1:] - seen.rest[:, list(PARENTS[1:])]
        start = matrix_to_rotation_6d(seen.rotations).flatten(1)
        inputs = (
            start,
            seen.twists.flatten(1),
            JOINT_SCALE * seen.joints.flatten(1),
            seen.uncertainty,
            JOINT_SCALE * torch.linalg.vector_norm(bones, dim=-1),
        )
        return start + self.layers(torch.cat(inputs, 1))

    def rotations(self, seen: Observation) -> Tensor:
        """``(B, 24, 3, 3)``."""
        return rotation_6d_to_matrix(self(seen).unflatten(1, (ROTATING, 6)))


def plain_losses(model: PlainNetwork, batch: TrainingBatch) -> dict[str, Tensor]:
    """Those of :func:`engine.bodies.niki_losses.losses` that a plain network has."""
    count = len(batch)
    numbers = model(batch.noisy.beside(batch.clean))
    turned = rotation_6d_to_matrix(numbers.unflatten(1, (ROTATING, 6)))
    _, joints = forward_kinematics(turned, batch.noisy.rest.repeat(2, 1, 1))
    true = matrix_to_rotation_6d(batch.rotations).flatten(1)
    return {
        "rotations": F.mse_loss(numbers[:count], true),
        "joints": F.l1_loss(joints[:count], batch.joints),
        "clean_rotations": F.mse_loss(numbers[count:], true),
        "clean_joints": F.l1_loss(joints[count:], batch.joints),
    }
