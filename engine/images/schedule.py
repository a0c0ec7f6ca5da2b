"""Noise schedules of diffusion models, and the time grids samplers walk on them.

A *schedule* is the table of cumulative signal powers ``alpha_bar`` over the model's training
time steps. A *grid* is the choice of a few of them, with what a sampler needs at each.
Everything is float64 and numpy: the tables are tiny, and rounding here shows in every image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input

Float64Array = NDArray[np.float64]
ScheduleName = Literal["linear", "scaled_linear", "cosine", "cosine_v"]
Spacing = Literal["spaced", "leading", "trailing", "karras"]
KARRAS_RHO = 7.0


@dataclass(frozen=True)
class NoiseSchedule:
    """Cumulative alphas of a forward diffusion.

    Attributes
    ----------
    name
        How the table was made.
    alpha_bar
        ``(N,)`` float64, strictly decreasing in (0, 1): at training step ``i`` the noised image is
        ``sqrt(alpha_bar[i]) * x_0 + sqrt(1 - alpha_bar[i]) * eps``.
    """

    name: str
    alpha_bar: Float64Array

    def __post_init__(self) -> None:
        table = self.alpha_bar
        if table.ndim != 1 or not np.all(np.isfinite(table)):
            raise invalid_input("The noise schedule is not a finite table of one dimension.")
        if not (table[0] < 1 and table[-1] > 0 and np.all(np.diff(table) < 0)):
            raise invalid_input("The noise schedule must fall strictly from below 1 to above 0.")

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def alpha_bar_at(self, timesteps: Float64Array) -> Float64Array:
        """Cumulative alphas at (fractional) training steps ``(T,)``.

        Between two tabulated steps the logarithm of the noise-to-signal ratio is linear.
        """
        table = np.log(noise_to_signal(self.alpha_bar))
        level = np.exp(np.interp(timesteps, np.arange(len(table), dtype=np.float64), table))
        alpha_bar: Float64Array = 1 / (1 + level**2)
        return alpha_bar


def make_schedule(
    name: ScheduleName = "linear",
    train_steps: int = 1000,
    beta_start: float | None = None,
    beta_end: float | None = None,
) -> NoiseSchedule:
    """Tabulate a named schedule.

    Parameters
    ----------
    name
        ``linear``: betas from 1e-4 to 0.02 (DDPM, Ho et al. 2020; DiT).
        ``scaled_linear``: square roots of the betas linear from 0.00085 to 0.012 (latent diffusion).
        ``cosine``: Nichol & Dhariwal 2021, eq. 17, s = 0.008, betas clipped at 0.999.
        ``cosine_v``: alpha = cos(pi/2 (0.998 u + 0.001)) with u = (i + 0.5) / N, the schedule our own
        generator is trained on (its times are continuous; this is their table).
    beta_start, beta_end
        Replace the ends of the two linear families (dimensionless).
    train_steps
        Length of the table.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown name or fewer than two steps.
    """
    if train_steps < 2:
        raise invalid_input(f"A noise schedule needs at least 2 training steps, not {train_steps}.")
    if name == "linear":
        betas: Float64Array = np.linspace(
            beta_start or 1e-4, beta_end or 0.02, train_steps, dtype=np.float64
        )
    elif name == "scaled_linear":
        ends = math.sqrt(beta_start or 0.00085), math.sqrt(beta_end or 0.012)
        betas = np.square(np.linspace(*ends, train_steps, dtype=np.float64))
    elif name == "cosine":
        at = np.arange(train_steps + 1, dtype=np.float64) / train_steps
        level = np.cos((at + 0.008) / 1.008 * np.pi / 2) ** 2
        betas = np.minimum(1 - level[1:] / level[:-1], 0.999)
    elif name == "cosine_v":
        at = (np.arange(train_steps, dtype=np.float64) + 0.5) / train_steps
        return NoiseSchedule(name, cosine_v_alpha(at) ** 2)
    else:
        known = ", ".join(get_args(ScheduleName))
        raise invalid_input(f"There is no noise schedule called {name!r}.", f"Known: {known}.")
    return NoiseSchedule(name, np.cumprod(1 - betas, dtype=np.float64))


def cosine_v_alpha(at: Float64Array) -> Float64Array:
    """Signal amplitude cos(pi/2 (0.998 u + 0.001)) for u in [0, 1]; the noise's is the sine."""
    return np.cos(np.pi / 2 * (0.998 * at + 0.001))


@dataclass(frozen=True)
class TimeGrid:
    """The T steps of one sampling run, ordered from clean (index 0) to noisy (index T - 1).

    Step ``t`` leads from state ``x_{t+1}`` to ``x_t``; ``x_T`` is pure noise and ``x_0`` the image.

    Attributes
    ----------
    timesteps
        ``(T,)`` float64, the training time step the network is told at each step.
    alpha_bar
        ``(T,)`` cumulative alpha of ``x_{t+1}``.
    alpha_bar_prev
        ``(T,)`` cumulative alpha of ``x_t``, what the step arrives at.
    """

    timesteps: Float64Array
    alpha_bar: Float64Array
    alpha_bar_prev: Float64Array

    def __len__(self) -> int:
        return len(self.timesteps)


def make_grid(
    schedule: NoiseSchedule,
    steps: int,
    spacing: Spacing = "spaced",
    offset: int = 0,
    final_alpha_bar: float = 1.0,
) -> TimeGrid:
    """Choose ``steps`` of the schedule's training steps.

    Parameters
    ----------
    schedule
        The model's noise levels.
    steps
        T, how many to visit.
    offset
        Shift of ``leading``, in training steps.
    spacing
        ``spaced``: round(i (N - 1) / (T - 1)), both ends included (DiT).
        ``leading``: offset + i (N div T) (Stable Diffusion, with offset 1).
        ``trailing``: round((i + 1) N / T) - 1, always ends at N - 1 (Lin et al. 2024, table 2).
        ``karras``: noise-to-signal ratios spread by the 7th root (Karras et al. 2022, eq. 5); the
        time steps between the tabulated ones are fractional.
    final_alpha_bar
        Level the last step arrives at: 1 is the clean image; Stable Diffusion's convention is
        ``schedule.alpha_bar[0]``.

    Raises
    ------
    EngineError
        ``invalid_input`` unless 1 <= steps <= number of training steps.
    """
    count = len(schedule)
    if not 1 <= steps <= count:
        raise invalid_input(
            f"{steps} steps were asked for, but this model has {count} noise levels.",
            f"Choose between 1 and {count} steps; 20 to 50 are usual.",
        )
    index = np.arange(steps, dtype=np.float64)
    if spacing == "karras":
        return _karras_grid(schedule, steps, final_alpha_bar)
    if spacing == "spaced":
        # One step alone has to start at the noisiest level, where x_T is.
        chosen = np.round(index * (count - 1) / (steps - 1)) if steps > 1 else np.array([count - 1.0])
    elif spacing == "leading":
        chosen = offset + index * (count // steps)
    elif spacing == "trailing":
        chosen = np.round((index + 1) * count / steps) - 1
    else:
        raise invalid_input(
            f"There is no spacing called {spacing!r}.", f"Known: {', '.join(get_args(Spacing))}."
        )
    if chosen[-1] >= count:
        raise invalid_input(f"Spacing {spacing!r} with offset {offset} leaves the schedule.")
    return grid_at(schedule, chosen, final_alpha_bar)


def _karras_grid(schedule: NoiseSchedule, steps: int, final_alpha_bar: float) -> TimeGrid:
    table = noise_to_signal(schedule.alpha_bar)
    ends = table[[0, -1]] ** (1 / KARRAS_RHO)
    level = np.linspace(ends[0], ends[1], steps) ** KARRAS_RHO if steps > 1 else table[-1:]
    level = np.clip(level, table[0], table[-1])
    timesteps = np.interp(np.log(level), np.log(table), np.arange(len(table), dtype=np.float64))
    alpha_bar = 1 / (1 + level**2)
    return TimeGrid(timesteps, alpha_bar, np.concatenate([[final_alpha_bar], alpha_bar[:-1]]))


def noise_to_signal(alpha_bar: Float64Array) -> Float64Array:
    """sqrt((1 - alpha_bar) / alpha_bar), the noise level of the variance-exploding view."""
    return np.sqrt((1 - alpha_bar) / alpha_bar)


@dataclass(frozen=True)
class StepCoefficients:
    """First-order steps as linear maps, each ``(T,)`` float64 (Tang et al. 2024, eq. 4).

    ``x_t = a[t] x_{t+1} + b[t] eps(x_{t+1}) + c[t] xi_t``; ``s`` is the DDPM standard deviation.
    """

    a: Float64Array
    b: Float64Array
    c: Float64Array
    s: Float64Array


def step_coefficients(grid: TimeGrid, eta: float) -> StepCoefficients:
    """Coefficients of DDIM with noise ``eta`` in [0, 1]; 1 is ancestral DDPM sampling.

    The last step (index 0) adds no noise.
    """
    level, arrives = grid.alpha_bar, grid.alpha_bar_prev
    s = np.sqrt((1 - arrives) / (1 - level)) * np.sqrt(1 - level / arrives)
    c = eta * s
    c[0] = 0.0
    a = np.sqrt(arrives / level)
    b = np.sqrt(np.maximum(1 - arrives - c**2, 0)) - np.sqrt(1 - level) * a
    return StepCoefficients(a, b, c, s)


def grid_at(schedule: NoiseSchedule, timesteps: Float64Array, final_alpha_bar: float = 1.0) -> TimeGrid:
    """Grid at given integer training steps ``(T,)``, increasing from clean to noisy."""
    alpha_bar = schedule.alpha_bar[timesteps.astype(np.int64)]
    previous = np.concatenate([[final_alpha_bar], alpha_bar[:-1]])
    return TimeGrid(np.asarray(timesteps, dtype=np.float64), alpha_bar, previous)
