"""Parallel sampling of the generator that ships: rounds until the picture is the sequential one."""

from __future__ import annotations

import pytest
import torch

from engine.images.comparison import difference
from engine.images.generators import Generator, initial_noise, load_generator
from engine.images.parallel import ParallelSolver
from engine.images.parallel_rows import Place, RowEvaluator, probe_network
from engine.images.parallel_state import cold_start
from engine.images.params import ParataaParams
from engine.images.parataa import settings_of, solve_sequentially, system_of
from engine.weights import find_model


@pytest.fixture(scope="module")
def generator() -> Generator:
    return load_generator(find_model("builtin"), "cpu")


def rounds_until(
    generator: Generator, prompt: str, seed: int, steps: int, eta: float, limit: float
) -> tuple[int, int, float]:
    """Rounds until the picture is within ``limit`` (RMS in [-1, 1]), all rounds, the final RMS."""
    shape = generator.latent_shape(None, None)
    grid = generator.grid(steps, "model")
    denoiser = generator.denoiser(generator.condition(prompt, None), 3.0)
    evaluate = RowEvaluator([Place(denoiser, "cpu", 32)], grid, shape)
    params = ParataaParams(eta=eta)
    system = system_of(params, grid)
    pure, drawn = initial_noise([seed], shape, steps, eta > 0)
    x_T, noise = pure.flatten().double(), drawn[:, 0].flatten(1) if eta else None
    start = cold_start(system, x_T, noise)
    states = solve_sequentially(evaluate, system, noise, start)
    answer = generator.decode(states[:1].view(-1, *shape))
    settings = settings_of(params, steps, x_T.numel())
    noises = [] if noise is None else [noise]
    solver = ParallelSolver(evaluate, grid, system, settings, noises, [start])
    within = 0
    apart = float("inf")
    while not solver.done:
        (round,) = solver.round()
        decoded = generator.decode(solver.pictures[0].states[:1].view(-1, *shape))
        apart = difference(decoded, answer)["rms"] or 0.0
        within = within if within and apart <= limit else round.number if apart <= limit else 0
    return within, solver.pictures[0].rounds, apart


def test_ddim_100_takes_at_most_twelve_rounds(generator: Generator) -> None:
    within, rounds, apart = rounds_until(generator, "red heart", 7, 100, 0.0, 0.01)
    assert 0 < within <= 12
    assert rounds <= 14
    assert apart <= 2e-3


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("prompt", "seed", "eta", "most"),
    [
        ("grinning cat", 3, 0.0, 12),
        ("rocket", 11, 0.0, 12),
        ("rocket", 11, 1.0, 30),
        ("red heart", 7, 1.0, 30),
    ],
)
def test_more_pictures(generator: Generator, prompt: str, seed: int, eta: float, most: int) -> None:
    within, _, apart = rounds_until(generator, prompt, seed, 100, eta, 0.01)
    assert 0 < within <= most
    assert apart <= 0.01


def test_its_rows_are_independent(generator: Generator) -> None:
    denoiser = generator.denoiser(generator.condition("red heart", None), 3.0)
    shape = generator.latent_shape(None, None)
    like = torch.empty(0, dtype=torch.float64)
    probe = probe_network(denoiser, generator.grid(50, "model"), shape, like)
    assert probe.deviation <= 1e-6
    assert probe.noise < 1e-5
