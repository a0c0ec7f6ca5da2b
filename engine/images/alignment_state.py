"""What alignment works with: its settings, what a step reports, and where it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from engine.images.alignment_estimate import FIRST_MU
from engine.images.probability import Plausibility, Status

Mode = Literal["gradient", "zeroth", "hybrid1", "hybrid2", "mixed"]


@dataclass(frozen=True)
class AlignSettings:
    """How the noise is optimised.

    Attributes
    ----------
    gamma
        Weight of the guard; 0 is none.
    step_share
        How much the guard of each step alone counts beside that of all noise together.
    lr
        Adam's step: how far a value of the noise moves at most.
    mode
        Where the gradient comes from.
    neighbours, mu
        Of the modes that look around the picture: how many, and how far at first.
    clip
        Largest norm of the gradient.
    permutations
        Fresh ones a step for the guard's gradient.
    step_rest
        Probability from which the guard lets go of a statistic of a single step; at 1, as published for
        all noise together, it pulls at genuine noise too, and most of what could be won is lost.
    checks
        Permutations of the displayed indicator.
    worst_kept
        The least plausible status that a picture to be kept may have.
    seed
        Of everything random.
    """

    gamma: float = 0.0
    step_share: float = 10.0
    lr: float = 0.01
    mode: Mode = "gradient"
    neighbours: int = 16
    mu: float = FIRST_MU
    clip: float = 1.0
    permutations: int = 100
    step_rest: float = 0.05
    checks: int = 100
    worst_kept: Status = "amber"
    seed: int = 0


@dataclass(frozen=True)
class StepReport:
    """What one step found of the picture that it began with; JSON-ready but for the tensors.

    Attributes
    ----------
    total, terms
        The objective and its terms, of the picture as it is saved.
    noise, plain
        ``z`` and the picture ``(1, 3, H, W)`` in [0, 1], not clipped.
    mu
        How far neighbours were, ``None`` where there are none.
    """

    step: int
    total: float
    terms: dict[str, float]
    seen: Plausibility
    regulariser: float
    gradient_norm: float
    seconds: float
    best: bool
    mu: float | None
    noise: Tensor
    plain: Tensor

    def values(self) -> dict[str, Any]:
        """The figures, for a series."""
        return {
            "step": self.step,
            "total": self.total,
            "terms": self.terms,
            "log10_p": _finite(self.seen.log10_p),
            "log10_p_step": _finite(self.seen.log10_p_step),
            "status": self.seen.status,
            "regulariser": self.regulariser,
            "gradient_norm": self.gradient_norm,
            "seconds": round(self.seconds, 3),
            "best": self.best,
        }


@dataclass
class AlignState:
    """Where an alignment stands; enough to go on to the same bits.

    Attributes
    ----------
    z
        The noise of the next step's picture.
    step
        Its number.
    first, second
        Adam's moments, of ``updates`` updates.
    mu
        How far neighbours are.
    best_step, best_total, best_z
        The best acceptable picture so far.
    idle
        Steps in a row without a usable gradient.
    """

    z: Tensor
    first: Tensor
    second: Tensor
    step: int = 0
    updates: int = 0
    mu: float = FIRST_MU
    best_step: int = -1
    best_total: float = -math.inf
    best_z: Tensor | None = None
    idle: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def begin(cls, z: Tensor, mu: float = FIRST_MU) -> AlignState:
        """The state before the first step, at noise ``z (R, C, h, w)``."""
        return cls(z.clone(), torch.zeros_like(z), torch.zeros_like(z), mu=mu)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
