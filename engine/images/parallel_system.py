"""A sampling run as one triangular system of equations: what parallel sampling solves.

State ``x_t`` (``t`` = 0..T-1) follows from the noisier ones by

    x_t = a_t x_{t+1} + b_t f_t + b'_t f_{t+1} + c_t xi_t,      f_t = eps(x_{t+1}) - J_t x_{t+1}

with fixed noise ``xi``. Without ``J`` and ``b'`` these are the first-order equations of Tang et al.
2024 (eq. 4). ``J``, a scalar a step, takes the part of the network that is linear in its input out
of the unknown prediction and into the coefficient ``a``. That changes neither the equations nor
their solution, but the fixed-point iteration: what a round cannot know are only changes of ``f``,
and those are smaller than changes of ``eps`` (a quasi-Newton step whose Jacobian is ``J``; compare
Lim et al. 2024 on parallel evaluation of sequential models). For data of standard deviation
``sigma`` that is otherwise unknown, the best linear predictor has
``J = sqrt(1 - alpha_bar) / (alpha_bar sigma^2 + 1 - alpha_bar)``.

Unrolled ``k`` times, with ``P(t, s) = a_t a_{t+1} .. a_{s-1}`` and ``s = min(t + k, top)``:

    x_t = P(t, s) x_s + sum_{j = t..s-1} P(t, j) (b_j f_j + b'_j f_{j+1} + c_j xi_j)

Everything here is float64 and numpy; the tables are T x T at most.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.images.schedule import Float64Array, TimeGrid, noise_to_signal, step_coefficients


@dataclass(frozen=True)
class TriangularSystem:
    """The equations of one run; all tables ``(T,)`` float64, index 0 the last, cleanest step.

    Attributes
    ----------
    a, b, b_above, c
        Coefficients of ``x_{t+1}``, ``f_t``, ``f_{t+1}`` and the step's noise.
    slope
        J, the linear part of the prediction.
    deviation
        DDPM's standard deviation of the step, part of the stopping test.
    linear_start
        Whether the states begin at the solution for ``f`` = 0, that of the linear model alone, and
        not all at ``x_T`` (the published way).
    """

    a: Float64Array
    b: Float64Array
    b_above: Float64Array
    c: Float64Array
    slope: Float64Array
    deviation: Float64Array
    linear_start: bool

    def __len__(self) -> int:
        return len(self.a)

    @property
    def has_noise(self) -> bool:
        """Whether any step adds noise."""
        return bool(np.any(self.c > 0))

    @property
    def looks_back(self) -> bool:
        """Whether a step also depends on the prediction before it (second-order solvers)."""
        return bool(np.any(self.b_above != 0))

    def products(self) -> Float64Array:
        """P, ``(T + 1, T + 1)``: ``P[t, s]`` for t <= s, zero elsewhere."""
        count = len(self)
        table = np.eye(count + 1)
        for s in range(count):
            table[: s + 1, s + 1] = table[: s + 1, s] * self.a[s]
        return table


def linear_slope(grid: TimeGrid, deviation: float = 1.0) -> Float64Array:
    """J of the best linear noise predictor for data of this standard deviation."""
    level = grid.alpha_bar
    slope: Float64Array = np.sqrt(1 - level) / (level * deviation**2 + 1 - level)
    return slope


def first_order_system(grid: TimeGrid, eta: float, *, linear: bool) -> TriangularSystem:
    """The steps of DDIM (``eta`` = 0) to DDPM (``eta`` = 1).

    Parameters
    ----------
    grid
        The T steps.
    eta
        Noise a step, in [0, 1].
    linear
        Take the linear part out of the prediction, for data of unit variance; otherwise the
        equations are the published ones.
    """
    step = step_coefficients(grid, eta)
    slope = linear_slope(grid) if linear else np.zeros(len(grid))
    return TriangularSystem(
        a=step.a + step.b * slope,
        b=step.b,
        b_above=np.zeros(len(grid)),
        c=step.c,
        slope=slope,
        deviation=step.s,
        linear_start=linear,
    )


def dpmpp_2m_system(grid: TimeGrid) -> TriangularSystem:
    """The steps of DPM-Solver++ (2M) (Lu et al. 2022, alg. 2) as linear equations.

    Its data prediction is ``clean = (x - s eps) / m`` with ``s = sqrt(1 - alpha_bar)`` and
    ``m = sqrt(alpha_bar)``; with ``J = 1 / s`` it is a multiple of ``f = -(m / s) clean``, so that
    a step has two coefficients: for the newest prediction and the one before.
    """
    level, arrives = grid.alpha_bar, grid.alpha_bar_prev
    ratio = noise_to_signal(level)  # s / m
    log_snr = -np.log(ratio)
    with np.errstate(divide="ignore"):
        h = -np.log(noise_to_signal(arrives)) - log_snr
    # x_t = a x_{t+1} + whole (newest clean + extrapolation (newest clean - clean before)).
    whole = -np.sqrt(arrives) * np.expm1(-h)
    extrapolation = np.zeros(len(grid))
    # First order: the first step, which has no prediction before it, and a step onto a clean end.
    second = np.isfinite(h[:-1])
    extrapolation[:-1][second] = 0.5 * h[:-1][second] / (log_snr[:-1] - log_snr[1:])[second]
    ratio_above = np.append(ratio[1:], 0.0)
    return TriangularSystem(
        a=np.sqrt((1 - arrives) / (1 - level)),
        b=-ratio * whole * (1 + extrapolation),
        b_above=ratio_above * whole * extrapolation,
        c=np.zeros(len(grid)),
        slope=1 / np.sqrt(1 - level),
        deviation=step_coefficients(grid, 0.0).s,
        linear_start=True,
    )
