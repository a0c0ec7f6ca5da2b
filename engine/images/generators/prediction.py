"""What a network predicts, turned into the noise that samplers work with."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.images.schedule import NoiseSchedule

PREDICTIONS = ("eps", "v", "clean")


def as_noise(output: Tensor, x: Tensor, t: Tensor, schedule: NoiseSchedule, prediction: str) -> Tensor:
    """Noise prediction from a network's output ``(B, ...)`` for states ``x (B, ...)`` of one dtype.

    ``eps`` is the noise itself; ``v`` is alpha eps - sigma x_0 (Salimans & Ho 2022); ``clean`` is
    x_0. ``t (B,)`` are training time steps, possibly fractional.
    """
    if prediction == "eps":
        return output
    alpha_bar = schedule.alpha_bar_at(t.cpu().double().numpy())
    level = torch.from_numpy(alpha_bar).to(x).view(-1, *[1] * (x.ndim - 1))
    if prediction == "clean":
        return (x - level.sqrt() * output) / (1 - level).sqrt()
    # v = alpha eps - sigma x_0, so eps = alpha v + sigma x_t.
    return level.sqrt() * output + (1 - level).sqrt() * x
