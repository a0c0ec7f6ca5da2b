"""Minimising a convex function over metrics: projection, accelerated gradients, low-rank factors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.adapt.metric_objective import Matrix

Function = Callable[[Matrix], tuple[float, Matrix]]
HALVINGS = 40


def project_psd(metric: Matrix) -> Matrix:
    """The nearest positive semi-definite matrix: negative eigenvalues become 0."""
    values, vectors = np.linalg.eigh((metric + metric.T) / 2)
    if values[0] >= 0:
        return (metric + metric.T) / 2
    kept = values > 0
    root = vectors[:, kept] * np.sqrt(values[kept])
    return root @ root.T


def factor_psd(metric: Matrix, share: float = 0.999, rank: int | None = None) -> Matrix:
    """``A`` of shape ``(d, r)`` with ``A A^T`` about ``metric``.

    Parameters
    ----------
    metric
        Positive semi-definite ``(d, d)``.
    share
        Of the trace, that the kept eigenvalues hold at least.
    rank
        At most so many columns.
    """
    values, vectors = np.linalg.eigh(metric)
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    total = values.sum()
    held = np.cumsum(values) / total if total > 0 else np.ones_like(values)
    # Rounding may leave the last sum a little below 1.
    count = min(int(np.searchsorted(held, share)) + 1, len(values))
    count = count if rank is None else min(count, rank)
    return vectors[:, :count] * np.sqrt(values[:count])


def minimise_psd(
    function: Function, start: Matrix, iterations: int, tolerance: float = 1e-4
) -> tuple[Matrix, list[float]]:
    """Accelerated projected gradients with backtracking and restart (FISTA; Beck, Teboulle 2009).

    Stops after ``iterations``, or when the relative change is below ``tolerance``. Returns the metric
    and the values after each step; a step that would raise the value is replaced by a plain one from
    the same place, so that they never rise.
    """
    metric = point = project_psd(start)
    value, gradient = function(point)
    values, momentum = [value], 1.0
    step = 1.0 / max(float(np.linalg.norm(gradient)), 1e-12)
    for _ in range(iterations):
        at_point, gradient = function(point) if point is not metric else (value, gradient)
        moved, reached, reached_gradient, step = _backtrack(function, point, at_point, gradient, step)
        if reached > value and point is not metric:
            point, momentum = metric, 1.0
            value, gradient = function(metric)
            continue
        change = moved - metric
        if np.vdot(point - moved, change) < 0:
            point, momentum = moved, 1.0
        else:
            grown = (1.0 + np.sqrt(1.0 + 4.0 * momentum**2)) / 2.0
            point = moved + (momentum - 1.0) / grown * change
            momentum = grown
        relative = np.linalg.norm(change) / max(float(np.linalg.norm(metric)), 1e-12)
        metric, value, gradient = moved, reached, reached_gradient
        point = metric if momentum == 1.0 else point
        values.append(value)
        if relative < tolerance:
            break
    return metric, values


def _backtrack(
    function: Function, point: Matrix, value: float, gradient: Matrix, step: float
) -> tuple[Matrix, float, Matrix, float]:
    """The first point down the gradient that its quadratic model promised; and the next step."""
    for _ in range(HALVINGS):
        moved = project_psd(point - step * gradient)
        away = moved - point
        reached, slope = function(moved)
        model = value + float(np.vdot(gradient, away)) + float(np.vdot(away, away)) / (2 * step)
        # Near the minimum both sides agree to rounding.
        if reached <= model + 1e-12 * abs(value):
            return moved, reached, slope, 1.1 * step
        step /= 2
    return point, value, gradient, step


def minimise_factor(
    function: Function, start: Matrix, iterations: int, rate: float = 0.05
) -> tuple[Matrix, list[float]]:
    """Minimise over ``M = A A^T`` with ``A`` of shape ``(d, r)``, by Adam without projection.

    For many dimensions, where an eigendecomposition a step is too slow. Not convex. Returns the best
    ``A`` seen, and the values.
    """
    factor, best = start.copy(), start
    first, second = np.zeros_like(factor), np.zeros_like(factor)
    values: list[float] = []
    for step in range(1, iterations + 1):
        value, gradient = function(factor @ factor.T)
        if not values or value < min(values):
            best = factor
        values.append(value)
        gradient = 2.0 * gradient @ factor
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        size = rate * (1 - (step - 1) / iterations)
        factor = factor - size * (first / (1 - 0.9**step)) / (
            np.sqrt(second / (1 - 0.999**step)) + 1e-8
        )
    return best, values
