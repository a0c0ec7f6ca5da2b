"""Gradients of rewards that have none: from how the reward changes around the picture.

``zeroth`` perturbs the noise and needs no gradient at all (random gradient-free search, Nesterov &
Spokoiny 2017). ``hybrid1`` perturbs the picture, ``hybrid2`` the noise, and both go back from the
picture to the noise through the sampler (Tang et al. 2025). The neighbours of ``hybrid2`` are pictures
that the model makes; those of ``hybrid1`` are the picture with white noise on it, which misleads many
rewards.

The published direction ``mean (r_i - r)(x_i - x)`` has an arbitrary length. Here it is as long as the
linear function along it that fits the observed changes best, so that it counts as much as the true
gradient of another reward would, and the guard means the same for both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.images.alignment_sampling import PictureOf

LARGEST_MU = 0.3
FIRST_MU = 0.1
"""Smaller ones do not change a picture enough for rewards that count or compress."""

Rate = Callable[[Tensor], Tensor]
"""Rewards ``(n,)`` of pictures ``(n, 3, H, W)``."""


@dataclass(frozen=True)
class Neighbours:
    """What was found around a picture.

    Attributes
    ----------
    gradient
        Estimated gradient of the reward by the picture (hybrid) or by the noise (zeroth).
    changed
        Share of the neighbours whose reward differs at all.
    """

    gradient: Tensor
    changed: float

    def next_mu(self, mu: float) -> float:
        """A larger step where fewer than half of the neighbours say anything."""
        return min(LARGEST_MU, 2 * mu) if self.changed < 0.5 else mu


def zeroth(
    picture_of: PictureOf, z: Tensor, reward: float, rate: Rate, count: int, mu: float, u: Tensor
) -> Neighbours:
    """Gradient by the noise ``z (R, ...)`` from ``count`` neighbours ``z + mu u_i``."""
    changes = rate(picture_of.several(z + mu * u)).to(z) - reward
    gradient = torch.einsum("n,n...->...", changes / mu, u) / count
    return Neighbours(gradient, _share_of_changes(changes))


def hybrid1(x: Tensor, reward: float, rate: Rate, mu: float, u: Tensor) -> Neighbours:
    """Gradient by the picture ``x (1, 3, H, W)`` from neighbours ``x + mu u_i``."""
    return _direction(x, x + mu * u, reward, rate)


def hybrid2(
    picture_of: PictureOf, z: Tensor, x: Tensor, reward: float, rate: Rate, mu: float, u: Tensor
) -> Neighbours:
    """Gradient by the picture ``x (1, 3, H, W)`` of ``z`` from the pictures of ``z + mu u_i``."""
    return _direction(x, picture_of.several(z + mu * u), reward, rate)


def _direction(x: Tensor, neighbours: Tensor, reward: float, rate: Rate) -> Neighbours:
    changes = rate(neighbours).to(x) - reward
    apart = (neighbours - x).flatten(1)
    direction = changes @ apart / len(apart)
    along = apart @ direction
    power = along.square().sum()
    length = (changes * along).sum() / power if power > 0 else torch.zeros_like(power)
    return Neighbours((length * direction).view_as(x), _share_of_changes(changes))


def _share_of_changes(changes: Tensor) -> float:
    return float((changes != 0).double().mean())
