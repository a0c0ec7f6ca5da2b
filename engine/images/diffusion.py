"""The Gaussian diffusion process of DiT models: noising, guidance, learned variances, the loss.

Tensors are ``(B, C, ...)``; time-step indices ``t`` are integer ``(B,)`` into a
:class:`~engine.images.schedule.NoiseSchedule`. The tables are float64, results keep ``x``'s dtype.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.errors import invalid_input
from engine.images.schedule import Float64Array, NoiseSchedule


def at_steps(table: Float64Array, t: Tensor, like: Tensor) -> Tensor:
    """Entries of a table ``(N,)`` at ``t (B,)``, shaped to broadcast over ``like``."""
    values = torch.from_numpy(table).to(like.device)[t].to(like.dtype)
    return values.reshape(-1, *[1] * (like.ndim - 1))


def add_noise(schedule: NoiseSchedule, clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """``sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) eps`` (Ho et al. 2020, eq. 4)."""
    signal = at_steps(np.sqrt(schedule.alpha_bar), t, clean)
    return signal * clean + at_steps(np.sqrt(1 - schedule.alpha_bar), t, clean) * noise


def guide(
    conditional: Tensor, unconditional: Tensor, scale: float, channels: int | None = None
) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022): ``u + scale (c - u)``.

    ``channels`` limits it to the first so many channels, the others keeping the conditional value;
    the original DiT program uses 3 even for latents of 4.
    """
    guided = unconditional + scale * (conditional - unconditional)
    if channels is None or channels >= conditional.shape[1]:
        return guided
    return torch.cat([guided[:, :channels], conditional[:, channels:]], dim=1)


@dataclass(frozen=True)
class Posterior:
    """Gaussian over x_{t-1}, each part ``(B, C, ...)``; ``clean`` is the x_0 behind it."""

    mean: Tensor
    variance: Tensor
    log_variance: Tensor
    clean: Tensor


class LearnedVariance:
    """A DiT with learned variance as a reverse process (Nichol & Dhariwal 2021, sec. 3.1).

    The network's output ``(B, 2C, ...)`` is the noise and v in [-1, 1], with
    ``log sigma^2 = u log beta_t + (1 - u) log beta~_t``, u = (v + 1) / 2.
    """

    def __init__(self, schedule: NoiseSchedule) -> None:
        self.schedule = schedule
        level = schedule.alpha_bar
        before = np.concatenate([[1.0], level[:-1]])
        self.betas = 1 - level / before
        posterior = self.betas * (1 - before) / (1 - level)
        # beta~_0 is zero; its logarithm is taken from the next entry.
        self._log_posterior = np.log(np.concatenate([posterior[1:2], posterior[1:]]))
        self._from_clean = self.betas * np.sqrt(before) / (1 - level)
        self._from_noisy = (1 - before) * np.sqrt(1 - self.betas) / (1 - level)

    def posterior(self, output: Tensor, x: Tensor, t: Tensor) -> Posterior:
        """The network's p(x_{t-1} | x_t) from its raw output."""
        eps, v = output.chunk(2, dim=1)
        level = self.schedule.alpha_bar
        inverse = at_steps(np.sqrt(1 / level), t, x)
        clean = inverse * x - at_steps(np.sqrt(1 / level - 1), t, x) * eps
        u = (v + 1) / 2
        longest = at_steps(np.log(self.betas), t, x)
        log_variance = u * longest + (1 - u) * at_steps(self._log_posterior, t, x)
        mean = self._mean(clean, x, t)
        return Posterior(mean, log_variance.exp(), log_variance, clean)

    def _mean(self, clean: Tensor, x: Tensor, t: Tensor) -> Tensor:
        weighted = at_steps(self._from_clean, t, x) * clean
        return weighted + at_steps(self._from_noisy, t, x) * x

    def losses(self, output: Tensor, clean: Tensor, noise: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Noise error and variational-bound term in bits per dimension, each ``(B,)``.

        The bound trains the variance only: its mean prediction is detached. DiT's loss is the sum.
        """
        x = add_noise(self.schedule, clean, noise, t)
        eps, v = output.chunk(2, dim=1)
        error = _mean_per_row((eps - noise).square())
        predicted = self.posterior(torch.cat([eps.detach(), v], dim=1), x, t)
        true_mean = self._mean(clean, x, t)
        true_log_variance = at_steps(self._log_posterior, t, x)
        divergence = 0.5 * (
            predicted.log_variance
            - true_log_variance
            + torch.exp(true_log_variance - predicted.log_variance)
            + (true_mean - predicted.mean).square() * torch.exp(-predicted.log_variance)
            - 1
        )
        likelihood = _discretised_log_likelihood(clean, predicted.mean, 0.5 * predicted.log_variance)
        first = (t == 0).to(x.dtype)
        bound = first * -_mean_per_row(likelihood) + (1 - first) * _mean_per_row(divergence)
        return error, bound / math.log(2)


def _mean_per_row(x: Tensor) -> Tensor:
    return x.flatten(1).mean(dim=1)


def _discretised_log_likelihood(x: Tensor, mean: Tensor, log_deviation: Tensor) -> Tensor:
    """Log-probability of 8-bit data scaled to [-1, 1] under a Gaussian (Ho et al. 2020, eq. 13)."""
    scale = torch.exp(-log_deviation)
    upper = _normal_cdf(scale * (x - mean + 1 / 255))
    lower = _normal_cdf(scale * (x - mean - 1 / 255))
    inside = (upper - lower).clamp(min=1e-12)
    probability = torch.where(x < -0.999, upper.clamp(min=1e-12), inside)
    return torch.where(x > 0.999, (1 - lower).clamp(min=1e-12), probability).log()


def _normal_cdf(x: Tensor) -> Tensor:
    # The tanh approximation is what published DiT losses are computed with.
    return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def uniform_stride(count: int, steps: int) -> Float64Array:
    """Every k-th training step from 0, with the smallest k that gives exactly ``steps`` of them.

    The "ddimN" respacing of DiT's programs. Raises ``invalid_input`` when no stride fits.
    """
    for stride in range(1, count):
        if len(range(0, count, stride)) == steps:
            return np.arange(0, count, stride, dtype=np.float64)
    raise invalid_input(f"No whole stride through {count} noise levels gives exactly {steps} steps.")
