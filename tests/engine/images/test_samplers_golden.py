"""Schedules and sequential samplers against the reference runs (golden/parataa) and each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import EngineError
from engine.images.params import DdimParams, DdpmParams, DpmSolverParams, EulerParams, HeunParams
from engine.images.samplers import SAMPLERS, ddim, ddpm, dpmpp_2m, euler, heun
from engine.images.schedule import make_grid, make_schedule, step_coefficients
from tests.engine.images.references import FILES, read


def quiet(done: int, total: int, clean: Tensor) -> None:
    assert torch.isfinite(clean).all()


@pytest.mark.parametrize("name", FILES)
def test_grid_and_coefficients(golden: Path, name: str) -> None:
    data, grid, _ = read(golden, name)
    count = len(grid)
    if data["alpha_bar_prev"][0] == 1:
        ours = make_grid(make_schedule("linear"), count)
    else:
        schedule = make_schedule("scaled_linear")
        ours = make_grid(schedule, count, "leading", 1, final_alpha_bar=schedule.alpha_bar[0])
    assert ours.timesteps.tolist() == data["train_timestep"].tolist()
    np.testing.assert_allclose(ours.alpha_bar, data["alpha_bar"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours.alpha_bar_prev, data["alpha_bar_prev"], rtol=0, atol=1e-12)
    step = step_coefficients(ours, float(data["eta"]))
    for mine, theirs in ((step.a, "a"), (step.b, "b"), (step.c, "c"), (step.s, "sigma_ddpm")):
        np.testing.assert_allclose(mine, data[theirs], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", FILES)
def test_sequential_answer(golden: Path, name: str) -> None:
    data, grid, denoiser = read(golden, name)
    noise = torch.from_numpy(data["noise"]).double()
    x_T = noise[-1:]
    if data["eta"] == 1:
        x_0 = ddpm(denoiser, x_T, grid, noise[:-1, None], DdpmParams(), quiet)
    else:
        x_0 = ddim(denoiser, x_T, grid, (), DdimParams(), quiet)
    assert np.abs(x_0[0].numpy() - data["x0_seq"]).max() <= 1e-10


@pytest.fixture(scope="module")
def gaussian():
    """A single Gaussian's exact noise prediction, whose probability-flow ODE has a closed form."""
    schedule = make_schedule("cosine_v")
    deviation = 0.5

    def predict(x: Tensor, t: Tensor) -> Tensor:
        at = (t.double() + 0.5) / 1000
        level = torch.cos(torch.pi / 2 * (0.998 * at + 0.001))[:, None] ** 2
        return (1 - level).sqrt() * x / (level * deviation**2 + 1 - level)

    def exact(x_T: Tensor, level: float) -> Tensor:
        return x_T * deviation / (level * deviation**2 + 1 - level) ** 0.5

    return schedule, predict, exact


def error(sample, params, schedule, predict, exact, steps: int) -> float:
    x_T = torch.linspace(-2, 2, 8, dtype=torch.float64).reshape(2, 4)
    grid = make_grid(schedule, steps, "karras")
    x_0 = sample(predict, x_T, grid, (), params, quiet)
    return (x_0 - exact(x_T, grid.alpha_bar[-1])).abs().max().item()


@pytest.mark.parametrize(
    ("sample", "params", "order"),
    [(euler, EulerParams(), 1), (heun, HeunParams(), 2), (dpmpp_2m, DpmSolverParams(), 2)],
)
def test_order_of_convergence(gaussian, sample, params, order: int) -> None:
    coarse = error(sample, params, *gaussian, steps=40)
    fine = error(sample, params, *gaussian, steps=160)
    # Twice two halvings; the last step onto sigma = 0 is first order for all, hence the margin.
    assert coarse / fine > 4**order * 0.6
    assert fine < (3e-2 if order == 1 else 2e-3)


def test_euler_is_ddim_on_the_same_grid(gaussian) -> None:
    schedule, predict, _ = gaussian
    grid = make_grid(schedule, 20, "trailing")
    x_T = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a = euler(predict, x_T, grid, (), EulerParams(), quiet)
    b = ddim(predict, x_T, grid, (), DdimParams(), quiet)
    assert (a - b).abs().max() <= 1e-9


def test_ddpm_has_the_variance_of_its_recursion(gaussian) -> None:
    """For a Gaussian every step is linear, so the variance of x_0 follows in closed form."""
    schedule, predict, _ = gaussian
    grid = make_grid(schedule, 100)
    step = step_coefficients(grid, 1.0)
    variance = 1.0
    for t in reversed(range(100)):
        level = grid.alpha_bar[t]
        slope = (1 - level) ** 0.5 / (level * 0.25 + 1 - level)
        variance = (step.a[t] + step.b[t] * slope) ** 2 * variance + step.c[t] ** 2
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn(101, 20_000, 1, dtype=torch.float64, generator=generator)
    x_0 = ddpm(predict, noise[-1], grid, noise[:-1], DdpmParams(), quiet)
    # The standard error of a variance from 20,000 draws is 1 %.
    assert abs(x_0.var().item() / variance - 1) < 0.04


SEQUENTIAL = [name for name, sampler in SAMPLERS if sampler.evaluations is not None]


@pytest.mark.parametrize("name", SEQUENTIAL)
def test_evaluations_are_counted_and_steps_reported(gaussian, name: str) -> None:
    schedule, predict, _ = gaussian
    sampler = SAMPLERS.get(name)
    params = sampler.params()
    calls, steps = [], []

    def counting(x: Tensor, t: Tensor) -> Tensor:
        calls.append(t)
        return predict(x, t)

    noise = torch.zeros(7, 2, 3, dtype=torch.float64)
    x_T = torch.ones(2, 3, dtype=torch.float64)
    grid = make_grid(schedule, 7, "spaced" if params.spacing == "model" else params.spacing)
    sampler.sample(counting, x_T, grid, noise, params, lambda d, t, c: steps.append((d, t)))
    assert len(calls) == sampler.evaluations(7)
    assert steps == [(i, 7) for i in range(1, 8)]


@pytest.mark.parametrize("spacing", ["spaced", "leading", "trailing", "karras"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50, 1000])
def test_grids_are_increasing_and_end_clean(spacing, steps: int) -> None:
    grid = make_grid(make_schedule("linear"), steps, spacing)
    assert len(grid) == steps
    assert np.all(np.diff(grid.timesteps) > 0)
    assert grid.timesteps[0] >= 0
    assert grid.timesteps[-1] <= 999
    assert grid.alpha_bar_prev[0] == 1
    np.testing.assert_array_equal(grid.alpha_bar_prev[1:], grid.alpha_bar[:-1])


@pytest.mark.parametrize("steps", [0, -1, 1001, 10**6])
def test_impossible_step_counts_are_refused(steps: int) -> None:
    with pytest.raises(EngineError, match="noise levels"):
        make_grid(make_schedule("linear"), steps)


@pytest.mark.parametrize("name", ["linear", "scaled_linear", "cosine", "cosine_v"])
def test_schedules_fall_from_one_to_zero(name) -> None:
    table = make_schedule(name).alpha_bar
    assert len(table) == 1000
    assert table.dtype == np.float64
    assert table[0] > 0.99
    assert table[-1] < 0.01
