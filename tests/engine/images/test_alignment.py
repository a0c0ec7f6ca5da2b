"""Alignment on the exact mixture: gradients, what changes, stopping, going on, plateaus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.errors import EngineError, cancelled
from engine.images.alignment import PATIENCE, Aligner
from engine.images.alignment_estimate import LARGEST_MU
from engine.images.alignment_noise import ActiveNoise
from engine.images.alignment_state import AlignSettings, AlignState, StepReport
from engine.images.alignment_sweep import SolvedInParallel
from engine.images.params import DdimParams, ParataaParams
from engine.images.parataa import settings_of, system_of
from engine.images.samplers import ddim
from tests.engine.images.analytic import SHAPE, STEPS, Analytic, MeanPixel

pytestmark = pytest.mark.usefixtures("single_thread")


@pytest.fixture(scope="module")
def model(golden: Path) -> Analytic:
    return Analytic(golden)


def curved(x: Tensor) -> Tensor:
    """A reward with a gradient that differs everywhere."""
    ramp = torch.linspace(-1, 1, x[0].numel(), dtype=x.dtype)
    return (torch.tanh(x).flatten(1) * ramp).sum()


def gradient(pictures: Any, z: Tensor) -> Tensor:
    leaf = z.clone().requires_grad_()
    (found,) = torch.autograd.grad(curved(pictures(leaf)), leaf)
    return found


# --- gradients ------------------------------------------------------------------------------------


@pytest.mark.parametrize("last_steps", [None, 4])
def test_gradients_are_those_of_differences(golden: Path, last_steps: int | None) -> None:
    pictures, z = Analytic(golden, steps=10).pictures(0, last_steps)
    found = gradient(pictures, z)
    stream = torch.Generator().manual_seed(0)
    for _ in range(20):
        u = torch.randn(z.shape, generator=stream, dtype=z.dtype)
        h = 1e-5
        with torch.no_grad():
            wanted = float(curved(pictures(z + h * u)) - curved(pictures(z - h * u))) / (2 * h)
        assert float((found * u).sum()) == pytest.approx(wanted, rel=1e-6)


def test_computing_again_changes_no_gradient(model: Analytic) -> None:
    again, z = model.pictures(0)
    kept, _ = model.pictures(0, keep=True)
    torch.testing.assert_close(gradient(again, z), gradient(kept, z), rtol=0, atol=1e-12)


def test_a_shorter_run_has_the_gradient_of_its_steps(model: Analytic) -> None:
    whole, z = model.pictures(0)
    short, few = model.pictures(0, last_steps=6)
    assert short.active.rows == (1, 2, 3, 4, 5)
    assert torch.equal(whole(z), short(few))
    torch.testing.assert_close(gradient(whole, z)[:5], gradient(short, few), rtol=0, atol=1e-12)


@pytest.mark.parametrize(("eta", "last_steps"), [(1.0, None), (0.5, 10), (0.0, None)])
def test_solving_in_parallel_has_the_sequential_gradient(
    golden: Path, eta: float, last_steps: int | None
) -> None:
    model = Analytic(golden, eta=eta)
    pictures, z = model.pictures(1, last_steps)
    sampler = ParataaParams(eta=eta, tolerance=1e-8)
    settings = settings_of(sampler, STEPS, z[0].numel())
    parallel = SolvedInParallel(
        model.recipe(), pictures.noise, pictures.active, system_of(sampler, model.grid), settings, 64
    )
    wanted, found = gradient(pictures, z), gradient(parallel, z)
    assert float((found - wanted).norm() / wanted.norm()) <= 1e-5
    first = parallel.rounds
    gradient(parallel, z + 1e-3)
    assert parallel.rounds - first < first  # from where it was


@pytest.mark.parametrize(("dtype", "apart"), [(torch.float16, 0.05), (torch.bfloat16, 0.3)])
def test_gradients_survive_half_precision(model: Analytic, dtype: torch.dtype, apart: float) -> None:
    """A reward so small that its gradient vanishes in half precision unless it is scaled."""
    pictures, z = model.pictures(0)
    weight = torch.eye(192, dtype=dtype)

    def half(x: Tensor, t: Tensor) -> Tensor:
        return model.denoiser((x.to(dtype).flatten(1) @ weight).view_as(x).to(x.dtype), t)

    narrow = type(pictures)(
        type(pictures.recipe)(half, pictures.recipe.decode, model.grid, model.sampler, z[0]),
        pictures.noise, pictures.active,
    )  # fmt: skip
    leaf = z.clone().requires_grad_()
    (found,) = torch.autograd.grad(1e-9 * curved(narrow(leaf)), leaf)
    wanted = 1e-9 * gradient(pictures, z)
    assert float((found - wanted).norm() / wanted.norm()) < apart


# --- what changes ---------------------------------------------------------------------------------


def test_the_first_picture_is_that_of_generation(model: Analytic) -> None:
    reports: list[StepReport] = []
    model.aligner(0).run(1, reports.append)
    noise = model.noise(0)
    kicks = [kick[None] for kick in noise.steps]
    wanted = ddim(
        model.denoiser, noise.pure[None], model.grid, kicks, DdimParams(eta=1), lambda *a: None
    )
    assert torch.equal(reports[0].plain, wanted)
    assert not torch.equal(reports[1].plain, wanted)


def test_without_noise_in_steps_only_the_first_noise_changes(golden: Path) -> None:
    model = Analytic(golden, eta=0.0)
    aligner = model.aligner(0)
    active = aligner.picture_of.active
    assert active.rows == (STEPS,)
    aligner.run(3)
    noise = model.noise(0)
    changed = active.put(noise, aligner.state.z)
    assert not torch.equal(changed.pure, noise.pure)
    assert torch.equal(changed.steps, noise.steps)


def test_noise_that_is_left_out_stays_to_the_bit(model: Analytic) -> None:
    pictures, z = model.pictures(0, last_steps=5)
    aligner = Aligner(pictures, MeanPixel(), AlignSettings(), AlignState.begin(z))
    aligner.run(3)
    noise = model.noise(0)
    changed = pictures.active.put(noise, aligner.state.z)
    assert torch.equal(changed.pure, noise.pure)
    assert torch.equal(changed.steps[5:], noise.steps[5:])
    assert torch.equal(changed.steps[0], noise.steps[0])
    assert all(not torch.equal(changed.steps[t], noise.steps[t]) for t in range(1, 5))


@pytest.mark.parametrize(("noisy", "last_steps"), [(False, 5), (True, 1)])
def test_nothing_to_change_is_refused(noisy: bool, last_steps: int) -> None:
    with pytest.raises(EngineError, match="nothing was started"):
        ActiveNoise.choose(STEPS, noisy, last_steps)


def test_the_optimiser_is_adam(model: Analytic) -> None:
    aligner = model.aligner(0)
    pictures, z = model.pictures(0)
    leaf = z.clone().requires_grad_()
    reference = torch.optim.AdamW([leaf], lr=0.01, weight_decay=0)
    for _ in range(4):
        reference.zero_grad()
        (-pictures(leaf).mean()).backward()
        torch.nn.utils.clip_grad_norm_([leaf], 1.0)
        reference.step()
        aligner.advance()
    torch.testing.assert_close(aligner.state.z, leaf.detach(), rtol=0, atol=1e-12)


# --- stopping and going on ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["gradient", "hybrid2"])
def test_going_on_makes_the_same_numbers(model: Analytic, mode: str) -> None:
    settings: dict[str, Any] = {"gamma": 0.3, "mode": mode, "neighbours": 2}
    whole = model.aligner(0, **settings)
    whole.run(10)
    first = model.aligner(0, **settings)
    first.run(4)
    second = Aligner(*_parts(model, first), first.state)
    second.run(10)
    assert torch.equal(second.state.z, whole.state.z)
    timeless = [
        [{k: v for k, v in point.items() if k != "seconds"} for point in aligner.state.history]
        for aligner in (whole, second)
    ]
    assert timeless[0] == timeless[1]


def _parts(model: Analytic, aligner: Aligner) -> tuple[Any, Any, AlignSettings]:
    return model.pictures(0)[0], MeanPixel(), aligner.settings


def test_a_cancel_within_a_step_leaves_what_was(model: Analytic) -> None:
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 2 * 2 * STEPS + STEPS + 7:  # on the way back in the third step
            raise cancelled()

    pictures, z = model.pictures(0, check=check)
    aligner = Aligner(pictures, MeanPixel(), AlignSettings(), AlignState.begin(z))
    with pytest.raises(EngineError, match="cancelled"):
        aligner.run(10)
    assert calls == 2 * 2 * STEPS + STEPS + 8  # the very next evaluation did not happen
    assert aligner.state.step == 2
    assert len(aligner.state.history) == 2
    assert aligner.state.best_step == 1


def test_it_stops_at_red_and_keeps_what_was_not(model: Analytic) -> None:
    aligner = model.aligner(0, lr=0.1)
    assert aligner.run(100, stop_at_red=True) == "red"
    history = aligner.state.history
    assert history[-1]["status"] == "red"
    assert all(point["status"] != "red" for point in history[:-1])
    kept = history[aligner.state.best_step]
    assert kept["total"] == max(p["total"] for p in history if p["status"] != "red")


def test_it_stops_when_the_time_is_up(model: Analytic) -> None:
    aligner = model.aligner(0)
    assert aligner.run(100, seconds=0.0) == "time"
    assert aligner.state.step == 1


class Constant:
    """A reward that nothing changes."""

    def total(
        self, x: Tensor, clipped: bool = False, only: Any = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        values = torch.full((len(x),), 0.5, dtype=x.dtype)
        return values, {"constant": values}


@pytest.mark.parametrize("mode", ["gradient", "zeroth", "hybrid1", "hybrid2"])
def test_a_constant_reward_is_a_plateau(model: Analytic, mode: str) -> None:
    aligner = model.aligner(0, Constant(), mode=mode, neighbours=2, gamma=0.3, mu=0.01)
    before = aligner.state.z.clone()
    assert aligner.run(50) == "plateau"
    assert aligner.state.step == PATIENCE
    assert torch.equal(aligner.state.z, before)
    assert torch.isfinite(aligner.state.z).all()
    if mode != "gradient":
        assert aligner.state.mu == LARGEST_MU


class Broken(MeanPixel):
    """Its gradient is not a number, its value is."""

    def total(
        self, x: Tensor, clipped: bool = False, only: Any = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        values, raw = super().total(x)
        if x.requires_grad:
            values = values + (x - x.detach()).abs().sqrt().sum() * 0
        return values, raw


def test_gradients_that_are_not_finite_are_said(model: Analytic) -> None:
    aligner = model.aligner(0, Broken())
    before = aligner.state.z.clone()
    with pytest.raises(EngineError, match="not finite several times"):
        aligner.run(50)
    assert torch.equal(aligner.state.z, before)
    assert aligner.state.best_z is not None


def test_shapes(model: Analytic) -> None:
    pictures, z = model.pictures(0)
    assert z.shape == (STEPS, *SHAPE)
    assert pictures(z).shape == (1, *SHAPE)
    assert torch.equal(pictures.several(torch.stack([z, z + 1]))[:1], pictures(z))
