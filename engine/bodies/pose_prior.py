"""How plausible a pose is: a Gaussian over recorded poses, and how far joints turn in them.

The prior of the fit to a picture. Rotations of the 23 joints below the pelvis as the first two columns
of their matrices, 138 numbers, smooth everywhere; limits as ranges of their rotation vectors. Fitted by
:mod:`engine.bodies.joint_bridge_training` to recorded motion, mirrored and varied.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from engine.bodies.rotations import matrix_to_axis_angle
from engine.weight_files import read_safetensors

FILE = Path(__file__).resolve().parents[2] / "resources" / "weights" / "body" / "pose_prior.safetensors"

RANGE = (0.002, 0.998)
MARGIN = 0.15
"""Radians beyond the recorded range that are still free."""
_FLOOR = 0.01
"""Added to the variance of each number, as joints that recordings never turn do turn a little."""


@dataclass(frozen=True, eq=False)
class PosePrior:
    """A Gaussian and limits.

    Attributes
    ----------
    mean
        ``(138,)``.
    whitening
        ``(138, 138)``: what it makes of a recorded pose less the mean has unit covariance.
    low, high
        ``(23, 3)`` radians, components of rotation vectors.
    """

    mean: Tensor
    whitening: Tensor
    low: Tensor
    high: Tensor

    def unlikeliness(self, rotations: Tensor) -> Tensor:
        """Mean squared deviation ``(B,)`` of poses ``(B, 24, 3, 3)``: of recorded ones it is 1."""
        return ((_numbers(rotations) - self.mean) @ self.whitening.T).square().mean(1)

    def beyond_limits(self, rotations: Tensor) -> Tensor:
        """Sum of squared radians ``(B,)`` by which joints turn too far."""
        vectors = matrix_to_axis_angle(rotations[:, 1:])
        over = (vectors - self.high - MARGIN).relu() + (self.low - MARGIN - vectors).relu()
        return over.square().sum((1, 2))


def _numbers(rotations: Tensor) -> Tensor:
    return rotations[:, 1:, :, :2].flatten(1)


def fit_pose_prior(poses: Tensor) -> PosePrior:
    """The prior of poses ``(N, 24, 3, 3)``."""
    numbers = _numbers(poses).double()
    mean = numbers.mean(0)
    apart = numbers - mean
    covariance = apart.T @ apart / len(apart) + _FLOOR * torch.eye(len(mean), dtype=torch.float64)
    values, vectors = torch.linalg.eigh(covariance)
    whitening = values.rsqrt()[:, None] * vectors.T
    low, high = matrix_to_axis_angle(poses[:, 1:]).quantile(torch.tensor(RANGE), dim=0)
    return PosePrior(mean.float(), whitening.float(), low, high)


def save_pose_prior(prior: PosePrior, path: Path) -> None:
    """Write a prior, float16."""
    save_file({name: value.half().contiguous() for name, value in vars(prior).items()}, path)


@cache
def load_pose_prior() -> PosePrior:
    """The prior that ships.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file``.
    """
    return PosePrior(**{name: value.float() for name, value in read_safetensors(FILE).items()})
