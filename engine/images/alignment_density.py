"""How well a model knows a picture: what the noise's plausibility cannot say.

A model without an exact density still says how surprising a picture is: noise is added to it, and the
error of predicting that noise is, weighted over noise levels, the variational bound of its negative
log-likelihood (Ho et al. 2020). Here the error at a few levels is compared with that of pictures of
other seeds, under the same noise: a large one means that the picture left what the model makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.images.samplers import Denoiser
from engine.images.schedule import NoiseSchedule

LEVELS = (0.1, 0.25, 0.45, 0.7)
"""Noise powers 1 - alpha_bar at which errors are compared: from fine detail to rough layout."""

DRAWS = 4
SURPRISING = 3.0
"""Standard deviations of other seeds' errors from which a picture is told to be unlike them."""


class DensityCheck:
    """Compares clean states with those of other seeds.

    Parameters
    ----------
    denoiser
        The model's noise prediction for the picture's condition.
    schedule
        Its noise levels.
    usual
        ``(n, C, h, w)`` clean states of other seeds, at least 4.
    check
        Called before each evaluation; raises to stop.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        schedule: NoiseSchedule,
        usual: Tensor,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._denoiser, self._check = denoiser, check
        table = schedule.alpha_bar
        steps = [int(abs(1 - table - power).argmin()) for power in LEVELS]
        self._t = torch.tensor(steps, dtype=usual.dtype, device=usual.device)
        self._signal = torch.tensor(table[steps], dtype=usual.dtype, device=usual.device)
        stream = torch.Generator().manual_seed(0)
        self._noise = torch.randn(
            len(LEVELS), DRAWS, *usual.shape[1:], generator=stream, dtype=torch.float32
        ).to(usual)
        errors = torch.stack([self.errors(state) for state in usual])
        self._mean, self._deviation = errors.mean(0), errors.std(0).clamp(min=1e-12)
        scores = ((errors - self._mean) / self._deviation).mean(1)
        self._spread = float(scores.std().clamp(min=1e-6))

    @torch.no_grad()
    def errors(self, state: Tensor) -> Tensor:
        """Logarithm of the mean squared error at each level, ``(L,)``, of ``state (C, h, w)``."""
        found = []
        for t, signal, noise in zip(self._t, self._signal, self._noise, strict=True):
            self._check()
            noisy = signal.sqrt() * state.to(noise) + (1 - signal).sqrt() * noise
            wrong = self._denoiser(noisy, t.expand(len(noise))) - noise
            found.append(wrong.square().mean().clamp(min=1e-30).log())
        return torch.stack(found)

    def score(self, state: Tensor) -> float:
        """Standard deviations above (worse than) other seeds' pictures; below: plainer than they."""
        apart = (self.errors(state) - self._mean) / self._deviation
        return float(apart.mean()) / self._spread


def describe(after: float, before: float) -> str:
    """What a score means to the user, who began at ``before``; empty when it is usual."""
    if after > max(SURPRISING, before):
        return (
            f"The model knows this picture less well than those of other seeds (by {after:.1f} "
            "standard deviations): it may be gaming the rewards. Compare it with the start, or use "
            "a stricter guard."
        )
    if after < min(-SURPRISING, before):
        return (
            f"This picture is plainer than those of other seeds (by {-after:.1f} standard "
            "deviations): something of it may have been lost. Compare it with the start, or use fewer "
            "steps."
        )
    return ""


def other_seeds(seed: int, count: int) -> Sequence[int]:
    """Seeds to compare with, away from those that a user counts up from ``seed``."""
    return [(seed + 7_919 * (index + 1)) % 2**31 for index in range(count)]
