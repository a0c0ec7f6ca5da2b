"""The parallel solver against the reference runs: rounds, answers, states on the way, warm starts."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.images.parallel import ParallelSolver
from engine.images.parallel_state import (
    Evaluate,
    ParallelSettings,
    PictureState,
    cold_start,
    warm_start,
)
from engine.images.parallel_system import TriangularSystem, first_order_system
from engine.images.schedule import TimeGrid
from tests.engine.images.references import FILES, Arrays, mixture, read

pytestmark = pytest.mark.usefixtures("single_thread")
COLD = [name for name in FILES if name != "warm_ddim50"]


class Case:
    """A golden file, ready to solve."""

    def __init__(self, golden: Path, name: str) -> None:
        self.data, self.grid, self.denoiser = read(golden, name)
        self.steps = len(self.grid)
        self.eta = float(self.data["eta"])
        noise = torch.from_numpy(self.data["noise"]).double().flatten(1)
        self.x_T = noise[-1]
        self.noise = [noise[:-1]] if self.eta else []
        self.answer = torch.from_numpy(self.data["x0_seq"]).flatten()

    def system(self, *, linear: bool = False) -> TriangularSystem:
        return first_order_system(self.grid, self.eta, linear=linear)

    def evaluate(self, x: Tensor, rows: Tensor) -> Tensor:
        t = torch.from_numpy(self.grid.timesteps)[rows]
        return self.denoiser(x.view(-1, 3, 8, 8), t).flatten(1)

    def start(self, system: TriangularSystem) -> PictureState:
        return cold_start(system, self.x_T, self.noise[0] if self.noise else None)

    def solve(self, settings: ParallelSettings, *, linear: bool = False) -> PictureState:
        system = self.system(linear=linear)
        return run(self.evaluate, self.grid, system, settings, self.noise, self.start(system))

    def miss(self, picture: PictureState) -> float:
        """RMS distance to the sequential answer."""
        return float((picture.states[0] - self.answer).square().mean().sqrt())


def run(
    evaluate: Evaluate,
    grid: TimeGrid,
    system: TriangularSystem,
    settings: ParallelSettings,
    noise: list[Tensor],
    start: PictureState,
) -> PictureState:
    solver = ParallelSolver(evaluate, grid, system, settings, noise, [start])
    while not solver.done:
        solver.round()
    return solver.pictures[0]


@pytest.fixture(scope="module")
def case(golden: Path):
    return functools.cache(lambda name: Case(golden, name))


def published(data: Arrays):
    """The recorded settings with their results."""
    for index, (k, m, w, tolerance) in enumerate(data["settings"]):
        settings = ParallelSettings(int(k), int(w), int(m), float(tolerance))
        yield index, settings


@pytest.mark.parametrize("name", FILES)
def test_every_recorded_run(case, name: str) -> None:
    """A2, A3, A4."""
    case = case(name)
    data = case.data
    for index, settings in published(data):
        picture = case.solve(settings)
        recorded = int(data["rounds"][index])
        assert abs(picture.rounds - recorded) <= 1, settings
        assert picture.rounds <= case.steps
        if settings.window == case.steps:
            assert picture.rounds == recorded, settings
            assert picture.evaluations == data["nfe"][index]
            assert case.miss(picture) <= max(2 * data["x0_rms_err"][index], 1e-3)
            ours = picture.states[0].numpy().reshape(3, 8, 8)
            assert np.abs(ours - data["x0_par"][index].reshape(3, 8, 8)).max() <= 1e-5
        else:
            assert case.miss(picture) <= 6e-3, settings
        if settings.tolerance == 1e-6:
            assert (picture.states[0] - case.answer).abs().max() <= 1e-5


def test_acceleration_saves_rounds(case) -> None:
    """A5, A6: against the plain iteration, order and window T."""
    ratios = []
    for name in FILES:
        known = case(name)
        plain, fast = (
            known.solve(ParallelSettings(known.steps, known.steps, memory)).rounds for memory in (1, 2)
        )
        ratios.append(fast / plain)
        assert ratios[-1] <= 0.85, name
        if known.steps == 100:
            limit = 28 if known.eta else 10 if name.startswith("gmm") else 15
            assert fast <= limit, name
    assert np.mean(ratios) <= 0.72


@pytest.mark.parametrize("name", FILES)
def test_states_on_the_way(case, name: str) -> None:
    """A7: the states after rounds 1 to 5; x_0 after the first round only (see the golden README)."""
    case = case(name)
    data = case.data
    compared = 0
    for (k, m, w), states in zip(data["snap_settings"], data["snap"], strict=True):
        if w != case.steps:
            continue
        system = case.system()
        settings = ParallelSettings(int(k), int(w), int(m))
        solver = ParallelSolver(
            case.evaluate, case.grid, system, settings, case.noise, [case.start(system)]
        )
        for number, expected in enumerate(states, 1):
            if solver.done or np.isnan(expected).all():
                break
            solver.round()
            for t, state in zip(data["snap_index"], expected, strict=True):
                if np.isnan(state).any() or (t == 0 and number > 1):
                    continue
                ours = solver.pictures[0].states[t].numpy()
                limit = 1e-8 if states.dtype == np.float64 else 1e-6 * max(1, np.abs(state).max())
                assert np.abs(ours - state.ravel()).max() <= limit, (k, m, number, t)
                compared += 1
    assert compared > 0


def test_warm_starts(case) -> None:
    """A9."""
    case = case("warm_ddim50")
    data = case.data

    def level_at(t: Tensor) -> Tensor:
        levels = dict(zip(case.grid.timesteps.tolist(), case.grid.alpha_bar.tolist(), strict=True))
        return torch.tensor([levels[float(value)] for value in t], dtype=torch.float64)

    other = mixture(data, data["warm_weight_b"], level_at)

    def evaluate(x: Tensor, rows: Tensor) -> Tensor:
        t = torch.from_numpy(case.grid.timesteps)[rows]
        return other(x.view(-1, 3, 8, 8), t).flatten(1)

    states = torch.from_numpy(data["warm_traj_a"]).double().flatten(1)
    system = case.system()
    for index, (step, k, m, rounds, _) in enumerate(data["warm_table"]):
        start = warm_start(evaluate, system, states, int(step))
        settings = ParallelSettings(int(k), case.steps, int(m))
        picture = run(evaluate, case.grid, system, settings, [], start)
        assert abs(picture.rounds - rounds) <= 1
        expected = torch.from_numpy(data["warm_x0_seq"][index]).double().flatten()
        assert (picture.states[0] - expected).square().mean().sqrt() <= 5e-3
        assert torch.equal(picture.states[int(step) :], states[int(step) :])
        if step == case.steps:
            own = torch.from_numpy(data["x0_seq_b"]).double().flatten()
            assert (picture.states[0] - own).square().mean().sqrt() <= 5e-3


@pytest.mark.parametrize("name", FILES)
def test_our_own_method_needs_fewer_rounds_for_a_smaller_error(case, name: str) -> None:
    """No recorded run of the published method at the same tolerance needs fewer rounds."""
    case = case(name)
    data = case.data
    picture = case.solve(
        ParallelSettings(case.steps, case.steps, 2 if case.eta else 3, accumulated=3.0), linear=True
    )
    alike = data["settings"][:, 3] == 1e-3
    assert picture.rounds < data["rounds"][alike].min() or name == "warm_ddim50"
    assert picture.rounds <= data["rounds"][alike].min()
    assert case.miss(picture) <= 2e-3


@pytest.mark.parametrize("name", ["gmm_ddim25", "mlp_ddim50", "gmm_ddpm100"])
def test_a_float32_network(case, name: str) -> None:
    """A11."""
    case = case(name)
    system = case.system()

    def rounded(x: Tensor, rows: Tensor) -> Tensor:
        return case.evaluate(x.float().double(), rows).float().double()

    settings = ParallelSettings(case.steps, case.steps, 2)
    exact = case.solve(settings)
    rough = run(rounded, case.grid, system, settings, case.noise, case.start(system))
    assert abs(rough.rounds - exact.rounds) <= 1
    assert (rough.states[0] - exact.states[0]).abs().max() <= 1e-4
