"""The parallel solver on a small transformer and on made-up predictors: guarantees and options."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.errors import EngineError, ErrorCode
from engine.images.diffusion import guide
from engine.images.dit import DiT, DiTConfig
from engine.images.parallel import CONVERGED, MAX_ROUNDS, MOVEMENT, ParallelSolver, triangular_anderson
from engine.images.parallel_rows import Place, RowEvaluator, probe_network
from engine.images.parallel_state import (
    Evaluate,
    ParallelSettings,
    PictureState,
    cold_start,
    warm_start,
)
from engine.images.parallel_system import dpmpp_2m_system, first_order_system
from engine.images.params import DdimParams, DpmSolverParams, ParataaParams
from engine.images.parataa import parataa, settings_of, solve_sequentially, system_of
from engine.images.samplers import Denoiser, ddim, dpmpp_2m
from engine.images.schedule import TimeGrid, make_grid, make_schedule

pytestmark = pytest.mark.usefixtures("single_thread")
SHAPE = (3, 8, 8)
SIZE = 192
SCHEDULE = make_schedule("linear")


def quiet(done: int, total: int, clean: Tensor) -> None:
    assert 0 < done <= total


def noise_of(seed: int, steps: int) -> Tensor:
    """``(T + 1, d)`` float64; the last row is x_T."""
    return torch.randn(
        steps + 1, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


@pytest.fixture(scope="module")
def transformer() -> Denoiser:
    """A12's network: a random DiT with guidance 4, its prediction leaning on its input."""
    config = DiTConfig(
        input_size=8, patch_size=2, in_channels=3, hidden_size=64, depth=2, num_heads=4, num_classes=10
    )
    model = DiT(config).eval().requires_grad_(False)
    stream = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.copy_(torch.randn(parameter.shape, generator=stream) * 0.12)

    def predict(x: Tensor, t: Tensor) -> Tensor:
        labels = torch.cat([torch.full((len(x),), 4), torch.full((len(x),), model.null_label)])
        both = model(torch.cat([x, x]).float(), torch.cat([t, t]), labels).to(x.dtype)
        guided = guide(*both.chunk(2), 4.0)
        level = torch.from_numpy(SCHEDULE.alpha_bar_at(t.double().numpy())).view(-1, 1, 1, 1)
        return (1 - level).sqrt() * x + 0.3 * guided

    return predict


# Of a float32 network, whose products round differently with the number of rows on some processors
# (Intel's, not AMD's); through all rounds that comes to some 1e-6 of states around 1.
ROUNDING = 2e-5


class Problem:
    """A grid, a denoiser and noise, ready to be solved in several ways."""

    def __init__(self, denoiser: Denoiser, steps: int, eta: float = 0.0, seed: int = 0) -> None:
        self.grid = make_grid(SCHEDULE, steps)
        self.steps, self.eta = steps, eta
        self.denoiser = denoiser
        drawn = noise_of(seed, steps)
        self.x_T, self.noise = drawn[-1], drawn[:-1] if eta else None
        self.evaluate = RowEvaluator([Place(denoiser, "cpu", 64)], self.grid, SHAPE)

    def solver(self, settings: ParallelSettings, *, linear: bool = False) -> ParallelSolver:
        system = first_order_system(self.grid, self.eta, linear=linear)
        noise = [] if self.noise is None else [self.noise]
        start = cold_start(system, self.x_T, self.noise)
        return ParallelSolver(self.evaluate, self.grid, system, settings, noise, [start])

    def sequential(self) -> Tensor:
        system = first_order_system(self.grid, self.eta, linear=False)
        start = cold_start(system, self.x_T, self.noise)
        return solve_sequentially(self.evaluate, system, self.noise, start)[0]


def finish(solver: ParallelSolver) -> PictureState:
    while not solver.done:
        solver.round()
    return solver.pictures[0]


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


# --- A12: a transformer ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "eta", "limit"), [(25, 0.0, 14), (50, 0.0, 16), (100, 0.0, 16), (100, 1.0, 24)]
)
def test_a_transformer(transformer: Denoiser, steps: int, eta: float, limit: int) -> None:
    problem = Problem(transformer, steps, eta)
    answer = problem.sequential()
    plain, fast = (finish(problem.solver(ParallelSettings(steps, steps, m))) for m in (1, 2))
    assert fast.rounds <= limit
    assert fast.rounds < plain.rounds
    ours = finish(problem.solver(ParallelSettings(steps, steps, 2, accumulated=3.0), linear=True))
    assert ours.rounds <= fast.rounds
    for picture in (plain, fast, ours):
        assert rms(picture.states[0] - answer) <= 6e-3


# --- A8: the guarantee ----------------------------------------------------------------------------


def expanding(x: Tensor, t: Tensor) -> Tensor:
    """A predictor whose iteration does not contract (gain 5)."""
    return x + 5 * torch.sin(3 * x.roll(1, dims=-1) + t.view(-1, 1, 1, 1) / 100)


@pytest.mark.parametrize("linear", [False, True])
def test_every_run_ends_within_as_many_rounds_as_steps(linear: bool) -> None:
    draw = np.random.default_rng(5)
    denoisers: list[Denoiser] = [expanding, lambda x, t: torch.tanh(x) + 0.5 * x.roll(1, dims=-1)]
    for trial in range(100):
        steps = 25
        window = int(draw.integers(1, steps + 1))
        settings = ParallelSettings(
            order=int(draw.integers(1, window + 1)),
            window=window,
            memory=int(draw.integers(1, 6)),
            tolerance=float(10 ** draw.uniform(-6, -1)),
            accumulated=float(draw.uniform(0.5, 5)) if trial % 3 == 0 else None,
        )
        problem = Problem(denoisers[trial % 2], steps, eta=float(trial % 4 == 3), seed=trial)
        solver = problem.solver(settings, linear=linear)
        finished = [steps]
        while not solver.done:
            (round,) = solver.round()
            assert round.finished < finished[-1], settings
            finished.append(round.finished)
        picture = solver.pictures[0]
        assert picture.rounds <= steps, settings
        assert torch.isfinite(picture.states).all(), settings
        assert picture.stopped == CONVERGED


def test_a_tight_tolerance_gives_the_sequential_answer(transformer: Denoiser) -> None:
    problem = Problem(transformer, 25)
    for linear in (False, True):
        picture = finish(problem.solver(ParallelSettings(25, 25, 3, tolerance=1e-6), linear=linear))
        # The network computes in float32.
        assert (picture.states[0] - problem.sequential()).abs().max() <= 1e-4


def test_a_bfloat16_network(transformer: Denoiser) -> None:
    """Rounded predictions, states in float64: the same picture at the usual tolerance."""

    def rounded(x: Tensor, t: Tensor) -> Tensor:
        return transformer(x.bfloat16().to(x), t).bfloat16().to(x)

    problem = Problem(rounded, 50)
    picture = finish(problem.solver(ParallelSettings(50, 50, 3, accumulated=3.0), linear=True))
    exact = finish(Problem(transformer, 50).solver(ParallelSettings(50, 50, 2)))
    assert picture.rounds <= exact.rounds + 2
    assert rms(picture.states[0] - problem.sequential()) <= 2e-2


# --- second order ---------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", ["trailing", "spaced", "karras"])
def test_dpm_solver_in_parallel(transformer: Denoiser, spacing) -> None:
    grid = make_grid(SCHEDULE, 25, spacing)
    system = dpmpp_2m_system(grid)
    assert system.looks_back
    x_T = noise_of(1, 25)[-1]
    expected = dpmpp_2m(transformer, x_T.view(1, *SHAPE), grid, (), DpmSolverParams(), quiet).flatten()
    evaluate = RowEvaluator([Place(transformer, "cpu", 64)], grid, SHAPE)
    ours = solve_sequentially(evaluate, system, None, cold_start(system, x_T))
    assert (ours[0] - expected).abs().max() <= 1e-10
    for window in (25, 7):
        settings = ParallelSettings(window, window, 3, tolerance=1e-6)
        picture = finish(
            ParallelSolver(evaluate, grid, system, settings, [], [cold_start(system, x_T)])
        )
        assert (picture.states[0] - expected).abs().max() <= 1e-4
        assert picture.rounds < 25
    loose = ParallelSettings(25, 25, 3, accumulated=3.0)
    picture = finish(ParallelSolver(evaluate, grid, system, loose, [], [cold_start(system, x_T)]))
    assert rms(picture.states[0] - expected) <= 6e-3
    assert picture.rounds <= 14


def test_a_warm_start_of_dpm_solver_looks_back_over_its_edge(transformer: Denoiser) -> None:
    grid = make_grid(SCHEDULE, 20, "trailing")
    system = dpmpp_2m_system(grid)
    evaluate = RowEvaluator([Place(transformer, "cpu", 64)], grid, SHAPE)
    states = solve_sequentially(evaluate, system, None, cold_start(system, noise_of(2, 20)[-1]))
    start = warm_start(evaluate, system, states, 8)
    settings = ParallelSettings(20, 20, 2, tolerance=1e-7)
    picture = finish(ParallelSolver(evaluate, grid, system, settings, [], [start]))
    # The same model and noise: below the kept states the same picture comes out again.
    assert (picture.states[0] - states[0]).abs().max() <= 1e-4


# --- batches, chunks, devices ---------------------------------------------------------------------


def test_pictures_of_a_batch_are_what_they_are_alone(transformer: Denoiser) -> None:
    """A14."""
    problems = [Problem(transformer, 25, seed=seed) for seed in range(4)]
    settings = ParallelSettings(25, 25, 2)
    alone = [finish(problem.solver(settings)) for problem in problems]
    system = first_order_system(problems[0].grid, 0.0, linear=False)
    together = ParallelSolver(
        problems[0].evaluate,
        problems[0].grid,
        system,
        settings,
        [],
        [cold_start(system, problem.x_T) for problem in problems],
    )
    rounds = 0
    while not together.done:
        together.round()
        rounds += 1
    assert rounds == max(picture.rounds for picture in alone)
    for mine, own in zip(together.pictures, alone, strict=True):
        assert mine.rounds == own.rounds
        assert (mine.states[0] - own.states[0]).abs().max() <= ROUNDING


def test_chunks_and_two_devices_change_nothing(transformer: Denoiser) -> None:
    problem = Problem(transformer, 25)
    settings = ParallelSettings(25, 25, 2)
    whole = finish(problem.solver(settings)).states
    used: list[tuple[str, int]] = []

    def on(name: str) -> Denoiser:
        def predict(x: Tensor, t: Tensor) -> Tensor:
            used.append((name, len(x)))
            return transformer(x, t)

        return predict

    checks = []
    for places in ([Place(on("a"), "cpu", 3)], [Place(on("a"), "cpu", 8), Place(on("b"), "cpu", 5)]):
        used.clear()
        problem.evaluate = RowEvaluator(places, problem.grid, SHAPE, lambda: checks.append(1))
        assert (finish(problem.solver(settings)).states - whole).abs().max() <= ROUNDING
        assert {name for name, _ in used} == set("ab"[: len(places)])
        assert max(count for _, count in used) <= 8
    assert checks


def test_two_devices_work_at_the_same_time() -> None:
    meeting = threading.Barrier(2, timeout=20)

    def meets(x: Tensor, t: Tensor) -> Tensor:
        meeting.wait()
        return x

    grid = make_grid(SCHEDULE, 4)
    evaluate = RowEvaluator([Place(meets, "cpu", 9), Place(meets, "cpu", 9)], grid, SHAPE)
    x = torch.randn(4, SIZE, dtype=torch.float64)
    assert torch.equal(evaluate(x, torch.arange(4)), x)


def test_a_failure_on_one_device_is_the_rounds_failure() -> None:
    def fails(x: Tensor, t: Tensor) -> Tensor:
        raise ValueError("device lost")

    grid = make_grid(SCHEDULE, 4)
    evaluate = RowEvaluator([Place(lambda x, t: x, "cpu", 1), Place(fails, "cpu", 1)], grid, SHAPE)
    with pytest.raises(ValueError, match="device lost"):
        evaluate(torch.zeros(4, SIZE), torch.arange(4))


def test_a_cancel_reaches_all_devices() -> None:
    release = threading.Event()

    def slow(x: Tensor, t: Tensor) -> Tensor:
        release.wait(20)
        return x

    def check() -> None:
        release.set()
        raise EngineError(ErrorCode.CANCELLED, "stop")

    grid = make_grid(SCHEDULE, 8)
    evaluate = RowEvaluator([Place(slow, "cpu", 1), Place(slow, "cpu", 1)], grid, SHAPE, check)
    with pytest.raises(EngineError, match="stop"):
        evaluate(torch.zeros(8, SIZE), torch.arange(8))


def test_short_memory_makes_smaller_chunks() -> None:
    sizes: list[int] = []

    def tight(x: Tensor, t: Tensor) -> Tensor:
        sizes.append(len(x))
        if len(x) > 3:
            raise torch.OutOfMemoryError("out of memory")
        return 2 * x

    grid = make_grid(SCHEDULE, 10)
    evaluate = RowEvaluator([Place(tight, "cpu", 10)], grid, SHAPE)
    x = torch.randn(10, SIZE)
    assert torch.equal(evaluate(x, torch.arange(10)), 2 * x)
    assert sizes[:3] == [10, 5, 2]
    sizes.clear()
    evaluate(x, torch.arange(10))
    assert max(sizes) == 2, "it remembers"


def test_memory_that_is_not_there_for_one_row_is_an_error() -> None:
    def never(x: Tensor, t: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("out of memory")

    evaluate = RowEvaluator([Place(never, "cpu", 4)], make_grid(SCHEDULE, 4), SHAPE)
    with pytest.raises(torch.OutOfMemoryError):
        evaluate(torch.zeros(4, SIZE), torch.arange(4))


# --- A10, A13: noise, stopping, going on ----------------------------------------------------------


def test_noise_is_fixed_by_its_seed(transformer: Denoiser) -> None:
    settings = ParallelSettings(25, 25, 2)
    first, again, other = (
        finish(Problem(transformer, 25, 1.0, seed).solver(settings)).states[0] for seed in (4, 4, 5)
    )
    assert torch.equal(first, again)
    assert rms(first - other) > 0.1


@pytest.mark.parametrize("linear", [False, True])
def test_stopping_after_a_round_and_going_on(transformer: Denoiser, linear: bool) -> None:
    problem = Problem(transformer, 25, 1.0)
    settings = ParallelSettings(12, 12, 3)
    whole = finish(problem.solver(settings, linear=linear))
    stopped = problem.solver(settings, linear=linear)
    for _ in range(3):
        stopped.round()
    later = ParallelSolver(
        problem.evaluate,
        problem.grid,
        stopped.system,
        settings,
        [problem.noise] if problem.noise is not None else [],
        stopped.pictures,
    )
    resumed = finish(later)
    assert torch.equal(resumed.states, whole.states)
    assert (resumed.rounds, resumed.evaluations) == (whole.rounds, whole.evaluations)


def test_a_round_that_is_stopped_half_way_did_not_happen(transformer: Denoiser) -> None:
    problem = Problem(transformer, 25)
    settings = ParallelSettings(12, 12, 3)
    problem.evaluate = RowEvaluator([Place(transformer, "cpu", 4)], problem.grid, SHAPE)
    whole = finish(problem.solver(settings))
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 8:
            raise EngineError(ErrorCode.CANCELLED, "stop")

    problem.evaluate = RowEvaluator([Place(transformer, "cpu", 4)], problem.grid, SHAPE, check)
    solver = problem.solver(settings)
    with pytest.raises(EngineError, match="stop"):
        finish(solver)
    assert solver.pictures[0].rounds == 2
    assert torch.equal(finish(solver).states, whole.states)


def test_early_stops(transformer: Denoiser) -> None:
    problem = Problem(transformer, 50)
    few = finish(problem.solver(ParallelSettings(50, 50, 2, max_rounds=4)))
    assert (few.rounds, few.stopped) == (4, MAX_ROUNDS)
    assert 0 < few.finished < 50
    still = finish(problem.solver(ParallelSettings(50, 50, 2, stop_movement=0.02)))
    whole = finish(problem.solver(ParallelSettings(50, 50, 2)))
    assert still.stopped == MOVEMENT
    assert still.rounds < whole.rounds
    assert rms(still.states[0] - whole.states[0]) < 0.05 * rms(whole.states[0])


def test_output_that_is_not_finite_stops_the_run(transformer: Denoiser) -> None:
    calls = 0

    def breaks(x: Tensor, t: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        eps = transformer(x, t)
        return eps if calls < 3 else torch.full_like(eps, float("nan"))

    problem = Problem(breaks, 25)
    solver = problem.solver(ParallelSettings(25, 25, 2))
    with pytest.raises(EngineError, match="not a finite number"):
        finish(solver)
    picture = solver.pictures[0]
    assert picture.rounds == 2
    assert picture.clean is not None
    assert torch.isfinite(picture.clean).all()
    assert torch.isfinite(picture.states).all()


# --- the network is looked at ---------------------------------------------------------------------


def mixes(x: Tensor, t: Tensor) -> Tensor:
    return x - 0.05 * x.mean(dim=0, keepdim=True)


@pytest.mark.parametrize(
    ("denoiser", "independent"),
    [
        (lambda x, t: torch.tanh(x), True),
        (lambda x, t: torch.tanh(x.bfloat16()).to(x), True),
        (mixes, False),
        (lambda x, t: (x.half() / x.half().std()).to(x), False),
    ],
    ids=["smooth", "bfloat16", "mean over the batch", "batch statistics"],
)
def test_rows_that_depend_on_their_neighbours_are_found(denoiser: Denoiser, independent: bool) -> None:
    grid = make_grid(SCHEDULE, 50)
    probe = probe_network(denoiser, grid, SHAPE, torch.empty(0, dtype=torch.float64))
    assert probe.independent is independent
    if independent:
        probe.require_independent("Model")
    else:
        with pytest.raises(EngineError, match="depends on the others in the batch"):
            probe.require_independent("Model")


def test_the_noise_of_half_precision_is_measured() -> None:
    grid, like = make_grid(SCHEDULE, 50), torch.empty(0, dtype=torch.float64)

    def noise(round_to: Callable[[Tensor], Tensor]) -> float:
        return probe_network(lambda x, t: torch.tanh(round_to(x)).to(x), grid, SHAPE, like).noise

    single, half, brain = (noise(cast) for cast in (Tensor.float, Tensor.half, Tensor.bfloat16))
    assert single < 1e-5 < half < brain
    assert 1e-4 < half < 2e-3
    assert 3e-4 < brain < 2e-2


# --- settings -------------------------------------------------------------------------------------


def test_auto_settings() -> None:
    auto = settings_of(ParataaParams(), 50, SIZE)
    assert (auto.order, auto.window, auto.memory) == (50, 50, 3)
    picard = settings_of(ParataaParams(method="picard", window=10), 50, SIZE)
    assert (picard.order, picard.window, picard.memory, picard.accumulated) == (10, 10, 1, None)
    published = settings_of(ParataaParams(method="published", window=100, order=100), 50, SIZE)
    assert (published.order, published.window, published.memory) == (50, 50, 2)
    small = settings_of(ParataaParams(), 50, SIZE, budget=400_000)
    assert 4 <= small.window < 50
    assert small.order == small.window


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(EngineError, match="does not fit into a window"):
        settings_of(ParataaParams(order=20, window=10), 50, SIZE)
    with pytest.raises(EngineError, match=r"window of 40 steps needs .* MiB"):
        settings_of(ParataaParams(window=40), 50, SIZE, budget=200_000)
    with pytest.raises(EngineError, match="adds no noise"):
        system_of(ParataaParams(solver="dpmpp_2m", eta=0.5), make_grid(SCHEDULE, 10))


# --- the sampler ----------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("method", ["auto", "published", "picard"])
def test_the_sampler_makes_ddims_picture(transformer: Denoiser, eta: float, method) -> None:
    grid = make_grid(SCHEDULE, 25)
    drawn = torch.stack([noise_of(seed, 25) for seed in (1, 2)], dim=1).view(26, 2, *SHAPE)
    x_T, noise = drawn[-1], drawn[:-1]
    params = ParataaParams(eta=eta, method=method, tolerance=1e-5)
    ours = parataa(transformer, x_T, grid, noise, params, quiet)
    theirs = ddim(transformer, x_T, grid, noise, DdimParams(eta=eta), quiet)
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 2e-3


# --- pieces ---------------------------------------------------------------------------------------


def test_triangular_anderson_against_its_definition() -> None:
    stream = torch.Generator().manual_seed(0)
    steps, changes = (torch.randn(3, 7, 5, dtype=torch.float64, generator=stream) for _ in range(2))
    residual = torch.randn(7, 5, dtype=torch.float64, generator=stream)
    known = torch.ones(3, 7, dtype=torch.bool)
    known[1, :2] = known[2, :4] = False
    steps[~known] = changes[~known] = 0
    ours = triangular_anderson(steps, changes, residual, known, 1e-3)
    for row in range(7):
        usable = [j for j in range(3) if known[j, row]]
        matrix = torch.stack([changes[j, row:].flatten() for j in usable])
        weights = torch.linalg.solve(
            matrix @ matrix.T + 1e-3 * torch.eye(len(usable), dtype=torch.float64),
            matrix @ residual[row:].flatten(),
        )
        expected = sum(
            w * (steps[j, row] + changes[j, row]) for w, j in zip(weights, usable, strict=True)
        )
        torch.testing.assert_close(ours[row], expected, rtol=0, atol=1e-12)


def test_a_linear_predictor_is_solved_at_once() -> None:
    """For data of unit variance the linear start is the answer, and one round confirms it."""

    def exact(x: Tensor, t: Tensor) -> Tensor:
        level = torch.from_numpy(SCHEDULE.alpha_bar_at(t.double().numpy())).view(-1, 1, 1, 1)
        return (1 - level).sqrt() * x

    for eta in (0.0, 1.0):
        problem = Problem(exact, 50, eta)
        picture = finish(problem.solver(ParallelSettings(50, 50, 2), linear=True))
        assert picture.rounds == 1
        assert (picture.states[0] - problem.sequential()).abs().max() <= 1e-10


def test_an_evaluation_is_of_the_right_state_and_step() -> None:
    grid: TimeGrid = make_grid(SCHEDULE, 6)
    system = first_order_system(grid, 0.0, linear=False)
    seen: list[tuple[Tensor, Tensor]] = []

    def evaluate(x: Tensor, rows: Tensor) -> Tensor:
        seen.append((x.clone(), rows))
        return torch.zeros_like(x)

    check: Evaluate = evaluate
    x_T = noise_of(0, 6)[-1]
    solver = ParallelSolver(
        check, grid, system, ParallelSettings(3, 3, 1), [], [cold_start(system, x_T)]
    )
    solver.round()
    x, rows = seen[0]
    assert rows.tolist() == [3, 4, 5]
    assert torch.equal(x, x_T.repeat(3, 1))
