"""How plausible noise is: bounds on the chance of its statistics, and a regulariser made of them.

The probability regularisation of direct noise optimisation (Tang et al. 2025, "Inference-time
alignment of diffusion models with direct noise optimization", ICML). Noise of ``D`` values is seen as
``m`` rows of ``k``. Of genuine noise the rows' mean is close to 0 and their covariance close to I;
concentration inequalities bound how unlikely a deviation is:

    ln p1 / 2 = -m |mean|^2 / (2k)                                     of the mean
    ln p2 / 2 = -(m / 2) max(sqrt(1 + |S - I|) - 1 - sqrt(k / m), 0)^2   of the covariance

(spectral norm), each no more than -ln 2, so that the gradient is exactly zero while nothing is
remarkable. One order of the values can be fooled; random permutations of them are looked at too.

Everything is natural logarithms: the probabilities of optimised noise are too small for any float.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Status = Literal["green", "amber", "red"]

BLOCK = 4
"""k of the indicators; their thresholds were measured with it."""

LARGEST_AT_REST = -math.log(2)
"""A log-bound of noise that is unremarkable."""

AMBER, RED = math.log10(0.05), math.log10(1e-3)
"""log10 of P below which noise is doubtful, and below which it is not noise any more."""

STEP_AMBER, STEP_RED = math.log10(0.02), math.log10(1e-4)
"""The same of the smallest P of a single step's noise, which is the least of many."""

_FIRES_FROM = 100
"""Covariances of blocks of k are trusted to show collapsed noise from 100 k^2 values on.

At 5.9 k^2 and below p2 is 1 even for zeros, because sqrt(2) - 1 <= sqrt(k / m).
"""


def block_sizes(length: int, preferred: int = BLOCK) -> tuple[int, ...]:
    """Block sizes with which ``length`` values are looked at without a blind spot.

    The preferred one and, where there are too few values for it to show that noise has collapsed,
    the largest with at least 100 k^2 values.
    """
    preferred = min(preferred, length)
    safe = max(1, min(preferred, math.isqrt(length // _FIRES_FROM)))
    return (preferred,) if safe == preferred else (preferred, safe)


def draw_permutations(count: int, length: int, stream: torch.Generator) -> Tensor:
    """``(count, length)`` int64 random orders, from a generator on the CPU."""
    if count == 0:
        return torch.empty(0, length, dtype=torch.long)
    return torch.stack([torch.randperm(length, generator=stream) for _ in range(count)])


def log_bounds(
    v: Tensor, blocks: Sequence[int], at_rest: float = LARGEST_AT_REST
) -> tuple[Tensor, Tensor]:
    """Log-bounds ``ln p1 / 2`` and ``ln p2 / 2`` of noise vectors ``(..., D)``, each ``(...)``.

    Parameters
    ----------
    v
        The values; what does not fill a last row is left out.
    blocks
        k. Of further sizes the covariances are looked at as well, and the least likely counts.
    at_rest
        What a bound is at most; above it there is no gradient.
    """
    wide = v if v.dtype in (torch.float32, torch.float64) else v.float()
    rows = _rows(wide, blocks[0])
    count, size = rows.shape[-2:]
    lp1 = -count / (2 * size) * rows.mean(dim=-2).square().sum(dim=-1)
    lp2 = torch.stack([_log_bound_of_covariance(_rows(wide, k)) for k in blocks]).amin(dim=0)
    return lp1.clamp(max=at_rest), lp2.clamp(max=at_rest)


def _rows(v: Tensor, size: int) -> Tensor:
    count = v.shape[-1] // size
    return v[..., : count * size].unflatten(-1, (count, size))


def _log_bound_of_covariance(rows: Tensor) -> Tensor:
    count, size = rows.shape[-2:]
    covariance = rows.mT @ rows / count
    # Small matrices: on the CPU every device has them in float64. Eigenvalues, unlike singular
    # vectors, have a gradient also where some of them are equal.
    apart = covariance.cpu().double() - torch.eye(size, dtype=torch.float64)
    largest = torch.linalg.eigvalsh(apart).abs().amax(dim=-1)
    excess = (torch.sqrt(1 + largest) - 1 - math.sqrt(size / count)).clamp(min=0)
    return (-count / 2 * excess.square()).to(rows)


def regulariser(
    v: Tensor, blocks: Sequence[int], permutations: Tensor, at_rest: float = LARGEST_AT_REST
) -> Tensor:
    """L_reg of noise vectors ``(..., D)``, ``(...)``: small for noise, at least ``-4 at_rest``.

    Parameters
    ----------
    v, blocks, at_rest
        As for :func:`log_bounds`.
    permutations
        ``(P, D)``, fresh ones each time: noise that is optimised learns to please a fixed set. Without
        any, what they would say is taken from the order as it is.
    """
    mean, covariance = log_bounds(v, blocks, at_rest)
    if len(permutations) == 0:
        return -2 * (mean + covariance)
    means, covariances = log_bounds(v[..., permutations.to(v.device)], blocks, at_rest)
    return -(mean + covariance + (means + covariances).mean(dim=-1))


@torch.no_grad()
def log10_indicator(v: Tensor, blocks: Sequence[int], permutations: Tensor) -> Tensor:
    """log10 of P, the least likely statistic of noise vectors ``(..., D)``; ``(...)``, at most 0."""
    least = torch.minimum(*log_bounds(v, blocks))
    if len(permutations):
        shuffled = torch.minimum(*log_bounds(v[..., permutations.to(v.device)], blocks))
        least = torch.minimum(least, shuffled.amin(dim=-1))
    return (least + math.log(2)) / math.log(10)


@dataclass(frozen=True)
class Plausibility:
    """What the indicators say of the noise of one picture.

    Attributes
    ----------
    log10_p
        Of all its noise together.
    log10_p_step
        Of the least plausible step alone: a picture can be bought with noise that is shifted up in
        some steps and down in others, which all of it together does not show.
    """

    log10_p: float
    log10_p_step: float

    @property
    def status(self) -> Status:
        """The worse of the two."""
        if self.log10_p < RED or self.log10_p_step < STEP_RED:
            return "red"
        return "amber" if self.log10_p < AMBER or self.log10_p_step < STEP_AMBER else "green"


def plausibility(
    rows: Tensor, stream: torch.Generator, permutations: int = 100, step_permutations: int = 20
) -> Plausibility:
    """Look at a picture's noise, a row a step: ``(R, ...)``.

    Permutations are drawn from ``stream``. Noise that is not finite is as implausible as can be.
    """
    flat = rows.detach().flatten(1)
    if not torch.isfinite(flat).all():
        return Plausibility(-math.inf, -math.inf)
    every, each = flat.numel(), flat.shape[1]
    orders = draw_permutations(permutations, every, stream)
    # A few at a time: of large noise a hundred copies would not fit.
    some = max(1, _VALUES_AT_ONCE // every)
    together = min(
        float(log10_indicator(flat.flatten(), block_sizes(every), part))
        for part in (orders.split(some) if len(orders) else [orders])
    )
    orders = draw_permutations(step_permutations, each, stream)
    alone = log10_indicator(flat, block_sizes(each), orders)
    return Plausibility(together, float(alone.min()))


_VALUES_AT_ONCE = 1 << 23
