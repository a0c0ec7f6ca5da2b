"""The setting of the alignment page: an exact Gaussian mixture, 3 x 8 x 8, T = 25."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.images.alignment import Aligner
from engine.images.alignment_noise import ActiveNoise, PictureNoise
from engine.images.alignment_sampling import Recipe, StepByStep
from engine.images.alignment_state import AlignSettings, AlignState
from engine.images.params import DdimParams
from engine.images.schedule import NoiseSchedule, make_grid, make_schedule
from tests.engine.images.references import mixture

SHAPE = (3, 8, 8)
STEPS = 25


class MeanPixel:
    """Brightness in [-1, 1], neither clipped nor rounded."""

    def total(
        self, x: Tensor, clipped: bool = False, only: Any = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        values = x.flatten(1).mean(1)
        return values, {"brightness": values}


class Analytic:
    """The mixture as a model whose pictures are its states."""

    def __init__(self, golden: Path, steps: int = STEPS, eta: float = 1.0) -> None:
        with np.load(golden / "parataa" / "gmm_ddpm100.npz", allow_pickle=False) as file:
            data = {key: file[key] for key in file.files}
        self.schedule: NoiseSchedule = make_schedule("linear")
        self.grid = make_grid(self.schedule, steps)
        self.sampler = DdimParams(eta=eta)

        def level_at(t: Tensor) -> Tensor:
            return torch.from_numpy(self.schedule.alpha_bar_at(t.numpy()))

        self.denoiser = mixture(data, data["gmm_weight"], level_at)
        self.mean = torch.from_numpy(data["gmm_mean"]).double().flatten(1)
        self.variance = torch.from_numpy(data["gmm_std"]).double().square()
        self.log_weight = torch.from_numpy(data["gmm_weight"]).double().log()

    def log_density(self, x: Tensor) -> Tensor:
        """Logarithm of the density ``(B,)`` of pictures under the mixture."""
        flat = x.double().flatten(1)
        apart = (flat[:, None] - self.mean).square().sum(-1)
        size = flat.shape[1]
        logs = self.log_weight - apart / (2 * self.variance)
        return (logs - size / 2 * (2 * torch.pi * self.variance).log()).logsumexp(1)

    def recipe(self, check: Any = lambda: None) -> Recipe:
        state = torch.empty(0, dtype=torch.float64)
        return Recipe(
            self.denoiser, lambda states: states, self.grid, self.sampler, state, check, batch=64
        )

    def noise(self, seed: int) -> PictureNoise:
        noise = PictureNoise.of_seed(seed, SHAPE, len(self.grid), self.sampler.eta > 0)
        return PictureNoise(noise.pure.double(), noise.steps.double())

    def pictures(
        self, seed: int, last_steps: int | None = None, *, keep: bool = False, check: Any = lambda: None
    ) -> tuple[StepByStep, Tensor]:
        """The function from noise to a picture, and the noise of this seed."""
        active = ActiveNoise.choose(len(self.grid), self.sampler.eta > 0, last_steps)
        noise = self.noise(seed)
        made = StepByStep(self.recipe(check), noise, active, keep_activations=keep)
        return made, active.take(noise)

    def aligner(self, seed: int, objective: Any = None, **settings: Any) -> Aligner:
        pictures, z = self.pictures(seed)
        chosen = AlignSettings(**{"seed": seed, **settings})
        return Aligner(pictures, objective or MeanPixel(), chosen, AlignState.begin(z, chosen.mu))
