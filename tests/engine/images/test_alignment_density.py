"""What a model says of a picture, and noise found for one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from engine.errors import EngineError, cancelled
from engine.images.alignment_density import SURPRISING, DensityCheck, describe, other_seeds
from engine.images.alignment_inversion import invert
from engine.images.params import DdimParams
from engine.images.samplers import ddim
from tests.engine.images.analytic import SHAPE, Analytic

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module")
def model(golden: Path) -> Analytic:
    return Analytic(golden)


def samples(model: Analytic, seeds: list[int]) -> Tensor:
    made = [model.pictures(seed) for seed in seeds]
    with torch.no_grad():
        return torch.cat([pictures(z) for pictures, z in made])


@pytest.fixture(scope="module")
def check(model: Analytic) -> DensityCheck:
    usual = samples(model, list(other_seeds(0, 16)))
    return DensityCheck(model.denoiser, model.schedule, usual)


def test_pictures_of_other_seeds_are_usual(model: Analytic, check: DensityCheck) -> None:
    scores = [check.score(x) for x in samples(model, [*range(8)])]
    assert max(abs(score) for score in scores) < SURPRISING
    assert describe(max(scores), 0.0) == ""


def test_what_is_improbable_scores_worse(model: Analytic, check: DensityCheck) -> None:
    """Where the exact density is known, the score falls in step with it."""
    x = samples(model, [0])[0]
    shifted = [x + amount for amount in (0.0, 0.2, 0.4, 0.8)]
    scores = [check.score(one) for one in shifted]
    densities = [float(model.log_density(one[None])) for one in shifted]
    assert densities == sorted(densities, reverse=True)
    assert scores == sorted(scores)
    assert scores[-1] > SURPRISING
    assert "gaming the rewards" in describe(scores[-1], scores[0])
    assert describe(scores[-1], scores[-1]) == ""  # it was so before


def test_what_is_plain_is_told_too() -> None:
    assert "plainer" in describe(-SURPRISING - 1, 0.0)
    assert describe(-SURPRISING - 1, -SURPRISING - 2) == ""


def test_other_seeds_are_others() -> None:
    seeds = other_seeds(5, 16)
    assert len({*seeds, *range(100)}) == 116


def test_noise_of_a_picture_is_found_again(golden: Path) -> None:
    model = Analytic(golden, eta=0.0)
    noise = model.noise(3)
    x_0 = ddim(model.denoiser, noise.pure[None], model.grid, (), DdimParams(), lambda *progress: None)
    found = invert(model.denoiser, x_0[0], model.grid, lambda done: None)
    again = ddim(model.denoiser, found.pure[None], model.grid, (), DdimParams(), lambda *progress: None)
    assert float((again - x_0).square().mean().sqrt()) < 0.05
    assert found.pure.shape == SHAPE


def test_finding_noise_can_be_cancelled(golden: Path) -> None:
    model = Analytic(golden, eta=0.0)

    def stop(done: int) -> None:
        if done == 2:
            raise cancelled()

    with pytest.raises(EngineError, match="cancelled"):
        invert(model.denoiser, torch.zeros(SHAPE, dtype=torch.float64), model.grid, stop)
