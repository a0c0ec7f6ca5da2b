"""Training of the lifter: recorded poses on random adults, seen by random cameras.

Part of ``python -m engine.bodies.joint_bridge_training``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.bodies.keypoints.layouts import COCO17
from engine.bodies.lifting import _HIPS, Lifter, normalised
from engine.bodies.rotations import axis_angle_to_matrix

STEPS, BATCH, RATE = 8000, 256, 1e-3
_PITCH = 0.35
"""Radians that cameras look down at most, and half as far up."""
_NEAR, _FAR = 2.5, 9.0
_BLUR = 0.02
"""Of the person's size: errors of keypoints."""
_HIDDEN = 0.08


def views(points: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Random views of points ``(B, 17, 3)``.

    Returns
    -------
    Places ``(B, 17, 2)``, what is visible ``(B, 17)``, and the true depths ``(B, 17)`` in the unit of
    the places, at the distance of the hips.
    """
    count = len(points)

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, generator=stream)

    turn = torch.zeros(count, 3)
    turn[:, 1] = between(-math.pi, math.pi)
    pitch = torch.zeros(count, 3)
    pitch[:, 0] = between(-_PITCH / 2, _PITCH)
    seen = points - points[:, _HIPS].mean(1, keepdim=True)
    seen = seen @ (axis_angle_to_matrix(pitch) @ axis_angle_to_matrix(turn)).mT
    away = between(_NEAR, _FAR)[:, None]
    aside = torch.stack([between(-0.3, 0.3), between(-0.3, 0.3)], 1)[:, None] * away[..., None]
    places = (seen[..., :2] + aside) * (away / (away - seen[..., 2]))[..., None]
    size = (places - places.mean(1, keepdim=True)).square().sum(2).mean(1).sqrt()[:, None, None]
    noise = _BLUR * size * torch.randn(places.shape, generator=stream)
    visible = (torch.rand(places.shape[:2], generator=stream) > _HIDDEN).float()
    return places + noise, visible, seen[..., 2]


def train_lifter(points: Tensor, stream: torch.Generator, steps: int = STEPS) -> Lifter:
    """Train on keypoints ``(N, 17 or more, 3)`` of people, COCO's first."""
    torch.manual_seed(0)
    network = Lifter()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-3)
    points = points[:, : len(COCO17)].float()
    for step in range(steps):
        rows = torch.randint(len(points), (BATCH,), generator=stream)
        places, visible, depth = views(points[rows], stream)
        seen, size = normalised(places, visible)
        loss = F.smooth_l1_loss(network(seen), depth / size[..., 0], beta=0.1)
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, 2.0 * (1 - step / steps) + 0.01)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval().requires_grad_(False)


@torch.no_grad()
def depth_error(network: Lifter, points: Tensor, stream: torch.Generator) -> tuple[float, float]:
    """Mean error of depths in mm for unseen people, and that of saying 0 for all."""
    places, visible, depth = views(points[:, : len(COCO17)].float(), stream)
    seen, size = normalised(places, visible)
    found = network(seen) * size[..., 0]
    return 1000 * float((found - depth).abs().mean()), 1000 * float(depth.abs().mean())
