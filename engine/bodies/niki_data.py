"""What inverse kinematics is trained on: recorded poses on random bodies, seen with errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.bodies.body_model import BakedBody
from engine.bodies.joint_noise import EXACT_UNCERTAINTY, blurred, occluded
from engine.bodies.mocap import mirrored
from engine.bodies.niki import observe
from engine.bodies.niki_losses import TrainingBatch
from engine.bodies.phenotype import random_phenotypes
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.skeleton import ROTATING, forward_kinematics

LEGS = (1, 2, 4, 5, 7, 8, 10, 11)

OCCLUDED_SHARE = 0.5
SWAPPED_LEGS, JITTERED = 0.3, 0.5
"""Shares of samples whose legs are of another pose, and whose joints are turned a little more."""

JITTER = 0.1
"""Radians a joint and axis: recordings never turn collars or hands."""

_CHUNK = 64


@dataclass(frozen=True, eq=False)
class PoseSource:
    """Where samples are drawn from.

    Attributes
    ----------
    poses
        ``(N, 24, 3, 3)`` relative to the parents.
    rests
        ``(M, 29, 3)`` skeletons of bodies, the pelvis at the origin.
    """

    poses: Tensor
    rests: Tensor

    def to(self, device: torch.device) -> PoseSource:
        """The same on a device."""
        return PoseSource(self.poses.to(device), self.rests.to(device))


@torch.no_grad()
def random_skeletons(body: BakedBody, count: int, stream: torch.Generator) -> Tensor:
    """Joints ``(count, 29, 3)`` of random adults at rest; ``stream`` on the CPU."""
    shapes = body.shape_from_phenotype(random_phenotypes(count, stream).float())
    parts = shapes.split(_CHUNK)
    return torch.cat([body.rest(part).joints for part in parts])


def draw_poses(
    source: PoseSource, count: int, stream: torch.Generator, varied: bool
) -> tuple[Tensor, Tensor]:
    """Poses ``(count, 24, 3, 3)`` turned any way about the vertical, and skeletons ``(count, 29, 3)``.

    Parameters
    ----------
    source
        On the stream's device.
    count
        How many.
    stream
        Decides everything.
    varied
        Also mirror them, swap legs and turn joints a little, which recordings are too few without.
    """
    device = stream.device

    def chance(share: float, *shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=stream, device=device) < share

    def some() -> Tensor:
        chosen = torch.randint(len(source.poses), (count,), generator=stream, device=device)
        return source.poses[chosen]

    poses = some()
    if varied:
        legs = torch.zeros(ROTATING, dtype=torch.bool, device=device)
        legs[list(LEGS)] = True
        swapped = chance(SWAPPED_LEGS, 1) & legs
        poses = torch.where(swapped[..., None, None], some(), poses)
        poses = torch.where(chance(0.5, 1, 1, 1), mirrored(poses), poses)
        jitter = JITTER * torch.randn(count, ROTATING, 3, generator=stream, device=device)
        poses = poses @ axis_angle_to_matrix(jitter * chance(JITTERED, 1, 1))
    yaw = torch.zeros(count, 3, device=device)
    yaw[:, 1] = 2 * torch.pi * torch.rand(count, generator=stream, device=device)
    poses = torch.cat([axis_angle_to_matrix(yaw)[:, None] @ poses[:, :1], poses[:, 1:]], 1)
    rests = source.rests[torch.randint(len(source.rests), (count,), generator=stream, device=device)]
    return poses, rests


@torch.no_grad()
def draw_samples(
    source: PoseSource, count: int, stream: torch.Generator, occluded_share: float = OCCLUDED_SHARE
) -> TrainingBatch:
    """Samples to train on; see :func:`draw_poses`."""
    poses, rests = draw_poses(source, count, stream, varied=True)
    joints = forward_kinematics(poses, rests)[1]
    joints = joints - joints[:, :1]
    seen, doubt = blurred(joints, stream)
    hidden, hidden_doubt, _ = occluded(seen, doubt, stream)
    is_hidden = torch.rand(count, 1, generator=stream, device=stream.device) < occluded_share
    seen = torch.where(is_hidden[..., None], hidden, seen)
    doubt = torch.where(is_hidden, hidden_doubt, doubt)
    exact = torch.full_like(doubt, EXACT_UNCERTAINTY)
    return TrainingBatch(poses, joints, observe(seen, doubt, rests), observe(joints, exact, rests))


def batches(
    source: PoseSource, size: int, stream: torch.Generator, drawn_at_once: int
) -> Iterator[TrainingBatch]:
    """Batches without end; many are drawn together, because drawing has much fixed cost."""
    while True:
        pool = draw_samples(source, size * drawn_at_once, stream)
        for start in range(0, size * drawn_at_once, size):
            yield pool.rows(slice(start, start + size))
