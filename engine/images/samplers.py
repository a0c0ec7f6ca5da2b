"""Sequential samplers: from pure noise to a clean sample, one network call (or two) a step.

Every sampler is one function of one signature, registered in :data:`SAMPLERS`. States stay in the
dtype of ``x_T`` (use float64: the arithmetic is free beside the network); all randomness is
handed in, so a seed gives the same picture in any batch and on any device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from engine.images.params import (
    DdimParams,
    DdpmParams,
    DpmSolverParams,
    EulerParams,
    HeunParams,
)
from engine.images.schedule import TimeGrid, noise_to_signal, step_coefficients
from engine.registry import Registry

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""``eps = denoiser(x, t)``: noise prediction for states ``(B, ...)`` at training steps ``(B,)``.

Guidance is already applied; rows do not influence one another.
"""


class OnStep(Protocol):
    """Called after each network evaluation that ends a step.

    ``clean`` is the predicted clean sample ``(B, ...)``. May raise to stop the sampler.
    """

    def __call__(self, done: int, total: int, clean: Tensor) -> None: ...


class Sample(Protocol):
    """The one signature of all samplers.

    Parameters
    ----------
    denoiser
        Noise prediction; see :data:`Denoiser`.
    x_T
        ``(B, ...)`` standard normal.
    grid
        The T steps.
    noise
        ``noise[t]`` is the standard normal ``(B, ...)`` of step ``t``; only read by samplers that
        add noise.
    params
        The sampler's own parameters.
    on_step
        Progress, preview and cancel.

    Returns
    -------
    Tensor
        ``x_0``, ``(B, ...)``.
    """

    def __call__(
        self,
        denoiser: Denoiser,
        x_T: Tensor,
        grid: TimeGrid,
        noise: Sequence[Tensor] | Tensor,
        params: Any,
        on_step: OnStep,
    ) -> Tensor: ...


@dataclass(frozen=True)
class Sampler:
    """A registered sampler: the function, its parameters' model, and what the job must know."""

    sample: Sample
    params: type[Any]
    needs_noise: Callable[[Any], bool]
    evaluations: Callable[[int], int] | None
    """Denoiser calls for a number of steps; ``None`` where that depends on the picture."""


SAMPLERS: Registry[Sampler] = Registry("sampler")


def _no_noise(params: Any) -> bool:
    return False


def _once_a_step(steps: int) -> int:
    return steps


def _times(x: Tensor, timestep: float) -> Tensor:
    return torch.full((len(x),), timestep, dtype=x.dtype, device=x.device)


def predicted_clean(x: Tensor, eps: Tensor, alpha_bar: float) -> Tensor:
    """x_0 = (x - sqrt(1 - alpha_bar) eps) / sqrt(alpha_bar)."""
    return (x - (1 - alpha_bar) ** 0.5 * eps) / alpha_bar**0.5


def _first_order(
    denoiser: Denoiser,
    x: Tensor,
    grid: TimeGrid,
    noise: Sequence[Tensor] | Tensor,
    eta: float,
    on_step: OnStep,
) -> Tensor:
    step = step_coefficients(grid, eta)
    total = len(grid)
    for t in reversed(range(total)):
        eps = denoiser(x, _times(x, grid.timesteps[t])).to(x.dtype)
        clean = predicted_clean(x, eps, grid.alpha_bar[t])
        x = step.a[t] * x + step.b[t] * eps
        if step.c[t] > 0:
            x = x + step.c[t] * noise[t].to(x)
        on_step(total - t, total, clean)
    return x


def ddim(
    denoiser: Denoiser,
    x_T: Tensor,
    grid: TimeGrid,
    noise: Sequence[Tensor] | Tensor,
    params: DdimParams,
    on_step: OnStep,
) -> Tensor:
    """DDIM (Song et al. 2021, eq. 12); ``eta`` = 0 is deterministic, 1 adds DDPM's noise."""
    return _first_order(denoiser, x_T, grid, noise, params.eta, on_step)


def ddpm(
    denoiser: Denoiser,
    x_T: Tensor,
    grid: TimeGrid,
    noise: Sequence[Tensor] | Tensor,
    params: DdpmParams,
    on_step: OnStep,
) -> Tensor:
    """Ancestral sampling (Ho et al. 2020, alg. 2) on the chosen steps: DDIM with eta = 1."""
    return _first_order(denoiser, x_T, grid, noise, 1.0, on_step)


def dpmpp_2m(
    denoiser: Denoiser,
    x_T: Tensor,
    grid: TimeGrid,
    noise: Sequence[Tensor] | Tensor,
    params: DpmSolverParams,
    on_step: OnStep,
) -> Tensor:
    """DPM-Solver++ (2M) (Lu et al. 2022, alg. 2): second order from the previous prediction.

    The first step and the step onto a noise-free end are first order.
    """
    x = x_T
    total = len(grid)
    # lambda = log(alpha / sigma); infinite at a noise-free end, where only e^{-h} = 0 is needed.
    level = -np.log(noise_to_signal(grid.alpha_bar))
    with np.errstate(divide="ignore"):
        arrives = -np.log(noise_to_signal(grid.alpha_bar_prev))
    previous: Tensor | None = None
    for t in reversed(range(total)):
        eps = denoiser(x, _times(x, grid.timesteps[t])).to(x.dtype)
        clean = predicted_clean(x, eps, grid.alpha_bar[t])
        h = arrives[t] - level[t]
        data = clean
        if previous is not None and np.isfinite(h):
            ratio = (level[t] - level[t + 1]) / h
            data = (1 + 0.5 / ratio) * clean - 0.5 / ratio * previous
        sigma_ratio = ((1 - grid.alpha_bar_prev[t]) / (1 - grid.alpha_bar[t])) ** 0.5
        x = sigma_ratio * x - grid.alpha_bar_prev[t] ** 0.5 * np.expm1(-h) * data
        previous = clean
        on_step(total - t, total, clean)
    return x


def _ode(denoiser: Denoiser, x: Tensor, grid: TimeGrid, on_step: OnStep, second_order: bool) -> Tensor:
    """Integrate d(x / alpha) / d(sigma / alpha) = eps, the probability-flow ODE."""
    total = len(grid)
    level = noise_to_signal(grid.alpha_bar)
    arrives = noise_to_signal(grid.alpha_bar_prev)
    scaled = x / grid.alpha_bar[-1] ** 0.5
    for t in reversed(range(total)):
        width = arrives[t] - level[t]
        alpha = grid.alpha_bar[t] ** 0.5
        slope = denoiser(alpha * scaled, _times(x, grid.timesteps[t])).to(x.dtype)
        clean = scaled - level[t] * slope
        if second_order and t > 0:
            ahead = grid.alpha_bar[t - 1] ** 0.5 * (scaled + width * slope)
            end_slope = denoiser(ahead, _times(x, grid.timesteps[t - 1])).to(x.dtype)
            slope = (slope + end_slope) / 2
        scaled = scaled + width * slope
        on_step(total - t, total, clean)
    return scaled * grid.alpha_bar_prev[0] ** 0.5


def euler(
    denoiser: Denoiser,
    x_T: Tensor,
    grid: TimeGrid,
    noise: Sequence[Tensor] | Tensor,
    params: EulerParams,
    on_step: OnStep,
) -> Tensor:
    """Euler's method on the probability-flow ODE (Karras et al. 2022, alg. 1 without the correction).

    On the same grid this is DDIM with eta = 0; it differs in practice by its Karras spacing.
    """
    return _ode(denoiser, x_T, grid, on_step, second_order=False)


def heun(
    denoiser: Denoiser,
    x_T: Tensor,
    grid: TimeGrid,
    noise: Sequence[Tensor] | Tensor,
    params: HeunParams,
    on_step: OnStep,
) -> Tensor:
    """Heun's method on the probability-flow ODE (Karras et al. 2022, alg. 1): two calls a step."""
    return _ode(denoiser, x_T, grid, on_step, second_order=True)


SAMPLERS.add("ddim", Sampler(ddim, DdimParams, lambda params: params.eta > 0, _once_a_step))
SAMPLERS.add("ddpm", Sampler(ddpm, DdpmParams, lambda params: True, _once_a_step))
SAMPLERS.add("dpmpp_2m", Sampler(dpmpp_2m, DpmSolverParams, _no_noise, _once_a_step))
SAMPLERS.add("euler", Sampler(euler, EulerParams, _no_noise, _once_a_step))
SAMPLERS.add("heun", Sampler(heun, HeunParams, _no_noise, lambda steps: 2 * steps - 1))
