"""From what people say of a person to shape numbers: gender, age, muscle, weight, height, proportions.

MakeHuman's macro targets are sculpted bodies at the corners of this space ("young, female, much
muscle, ..."). A body inside it mixes them with weights that are products of piecewise linear functions
of the values, one a quality (Brégier et al. 2025, "Human mesh modeling for Anny body", section 3).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from engine.errors import invalid_input

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")
"""0 to 1 each: male to female, child over young (0.67) to old, thin to muscular, ..., ideal or not."""

DEFAULTS = {"gender": 0.5, "age": 0.7, "muscle": 0.5, "weight": 0.5, "height": 0.5, "proportions": 0.5}
"""An adult in the middle of everything else."""

ADULT_AGE = (0.6, 1.0)

_ANCHORS: tuple[tuple[str, tuple[float, ...]], ...] = (
    ("gender", (0.0, 1.0)),
    ("age", (-1 / 3, 0.0, 1 / 3, 2 / 3, 1.0)),
    ("muscle", (0.0, 0.5, 1.0)),
    ("weight", (0.0, 0.5, 1.0)),
    ("height", (0.0, 1.0)),
    ("proportions", (0.0, 1.0)),
)
_ORIGINS = 3
"""Regional origins come first among the variations; they are mixed evenly."""

_REST = (0.0, 1.0, 0.0, 0.0, 1.0, 0.0)
"""Cup size and firmness, three variations each: the average."""


def variation_shares(values: Tensor) -> Tensor:
    """Shares ``(B, 26)`` of the 26 variations for phenotype values ``(B, 6)``.

    Between two anchors the two share linearly; outside of 0..1 the nearest end counts.
    """
    columns = [torch.full_like(values[:, :1], 1 / _ORIGINS).expand(-1, _ORIGINS)]
    for index, (_, anchors) in enumerate(_ANCHORS):
        at = torch.tensor(anchors, dtype=values.dtype, device=values.device)
        value = values[:, index, None].clamp(max(0.0, anchors[0]), anchors[-1])
        # Hat functions: 1 at their own anchor, 0 at the neighbours.
        rise = (value - at[:-1]) / (at[1:] - at[:-1])
        rise = rise.clamp(0, 1)
        up = torch.cat([torch.ones_like(value), rise], 1)
        down = torch.cat([rise, torch.zeros_like(value)], 1)
        columns.append(up - down)
    rest = torch.tensor(_REST, dtype=values.dtype, device=values.device)
    columns.append(rest.expand(len(values), -1))
    return torch.cat(columns, 1)


def sculpted_shares(values: Tensor, mask: Tensor) -> Tensor:
    """Shares ``(B, M)`` of the sculpted bodies: products over their variations, ``mask (M, 26)``."""
    return torch.where(mask.bool(), variation_shares(values)[:, None], 1.0).prod(-1)


def phenotype_values(phenotype: Mapping[str, float]) -> Tensor:
    """``(1, 6)`` float32 of named values; those not named are an average adult's.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown name or a value outside 0..1.
    """
    unknown = sorted(set(phenotype) - set(PHENOTYPES))
    if unknown:
        raise invalid_input(
            f"A body has no {', '.join(unknown)}.", f"Known: {', '.join(PHENOTYPES)}; 0 to 1 each."
        )
    for name, value in phenotype.items():
        if not 0 <= value <= 1:
            raise invalid_input(f"{name} is {value}, but goes from 0 to 1.")
    return torch.tensor([[float({**DEFAULTS, **phenotype}[name]) for name in PHENOTYPES]])


def random_phenotypes(count: int, stream: torch.Generator, adults: bool = True) -> Tensor:
    """``(count, 6)`` float64 drawn evenly, ages from 0.6 (about 16 years) on or all."""
    values = torch.rand(count, len(PHENOTYPES), generator=stream, dtype=torch.float64)
    if adults:
        low, high = ADULT_AGE
        values[:, 1] = low + (high - low) * values[:, 1]
    return values


def shape_of(values: Tensor, mask: Tensor, mapping: Tensor, offset: Tensor) -> Tensor:
    """Shape numbers ``(B, K)`` of phenotype values ``(B, 6)``.

    Parameters
    ----------
    values
        In 0..1.
    mask
        ``(M, 26)`` of 0 and 1: which variations each of the M sculpted bodies stands for.
    mapping, offset
        ``(M, K)`` and ``(K,)``: shape numbers of the sculpted bodies' mixture.
    """
    return sculpted_shares(values, mask) @ mapping + offset
