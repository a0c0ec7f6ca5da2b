"""How plausible noise is: reference values, genuine noise, and what must not pass for noise."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.images.probability import (
    Plausibility,
    block_sizes,
    draw_permutations,
    log10_indicator,
    log_bounds,
    plausibility,
    regulariser,
)

CASES = ("c0", "c1", "c2", "c3")


class Case:
    """One case of golden/dno."""

    def __init__(self, golden: Path, name: str) -> None:
        with np.load(golden / "dno" / "probability_regularization.npz", allow_pickle=False) as file:
            data = {key.removeprefix(f"{name}_"): file[key] for key in file.files if key[:2] == name}
            # The gradients lie in the order of the tensors' names, unlike what the file says: those of
            # ar1_0p5 and scale_1p10 are exchanged in it.
            self.grad_names = sorted(file["grad_names"], key=list(data["names"]).index)
        _, self.eta, self.opt_time, _, size, _, self.length = data["meta"]
        self.blocks = (int(size),)
        self.noise = torch.from_numpy(data["noise"]).double()
        self.names = list(data["names"])
        self.permutations = torch.from_numpy(data["perms"].astype(np.int64))
        self.result, self.grad = data["result"], data["grad"]

    def vector(self, noise: torch.Tensor) -> torch.Tensor:
        used = noise[: int(self.opt_time) + 1] if self.eta > 0 else noise[-1]
        assert used.numel() == self.length
        return used.flatten()


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, golden: Path) -> Case:
    return Case(golden, request.param)


def test_values_are_the_reference_ones(case: Case) -> None:
    vectors = torch.stack([case.vector(noise) for noise in case.noise])
    lp1, lp2 = log_bounds(vectors, case.blocks)
    shuffled1, shuffled2 = log_bounds(vectors[:, case.permutations], case.blocks)
    found = [
        regulariser(vectors, case.blocks, case.permutations),
        lp1,
        lp2,
        shuffled1.mean(1),
        shuffled2.mean(1),
        10 ** log10_indicator(vectors, case.blocks, case.permutations),
    ]
    np.testing.assert_allclose(torch.stack(found, 1).numpy(), case.result[:, :6], rtol=1e-6, atol=0)


def test_one_vector_is_as_in_a_batch_and_as_in_single_precision(case: Case) -> None:
    for noise, wanted in zip(case.noise, case.result, strict=True):
        alone = regulariser(case.vector(noise.float()), case.blocks, case.permutations)
        assert float(alone) == pytest.approx(wanted[0], rel=1e-4)


def test_gradients_are_the_reference_ones(case: Case) -> None:
    for name, wanted in zip(case.grad_names, case.grad, strict=True):
        noise = case.noise[case.names.index(name)].clone().requires_grad_()
        regulariser(case.vector(noise), case.blocks, case.permutations).backward()
        assert noise.grad is not None
        error = np.abs(noise.grad.numpy() - wanted).max()
        assert error <= 1e-4 * np.abs(wanted).max()


def test_genuine_noise_is_never_doubted() -> None:
    """200 draws, k = 4, 100 permutations."""
    stream = torch.Generator().manual_seed(0)
    found = []
    for _ in range(200):
        v = torch.randn(5000, generator=stream, dtype=torch.float64)
        found.append(10 ** float(log10_indicator(v, (4,), draw_permutations(100, 5000, stream))))
    assert min(found) >= 0.05
    assert 0.3 <= float(np.median(found)) <= 0.5


def test_unremarkable_noise_has_no_gradient() -> None:
    stream = torch.Generator().manual_seed(1)
    rows = torch.randn(1250, 4, generator=stream)
    v = (rows - rows.mean(0)).flatten().requires_grad_()
    value = regulariser(v, (4,), torch.empty(0, 5000, dtype=torch.long))
    value.backward()
    assert float(value.detach()) == pytest.approx(4 * math.log(2))
    assert v.grad is not None
    assert not v.grad.any()


@pytest.mark.parametrize("length", [192, 256, 1024, 4800, 16384])
def test_collapsed_noise_is_seen_whatever_its_size(length: int) -> None:
    blocks = block_sizes(length)
    stream = torch.Generator().manual_seed(0)
    orders = draw_permutations(20, length, stream)
    collapsed = torch.zeros(length)
    assert float(log10_indicator(collapsed, blocks, orders)) < -4
    genuine = torch.randn(50, length, generator=stream)
    assert float(log10_indicator(genuine, blocks, orders).min()) > math.log10(0.02)


def test_collapsed_noise_pulls_back_to_noise() -> None:
    v = torch.full((1024,), 0.01).mul(torch.randn(1024, generator=torch.Generator().manual_seed(0)))
    v.requires_grad_()
    regulariser(v, block_sizes(1024), torch.empty(0, 1024, dtype=torch.long)).backward()
    assert v.grad is not None
    assert torch.isfinite(v.grad).all()
    assert float((v.grad * v.detach()).sum()) < 0  # against the gradient: larger values


def test_block_sizes_keep_a_hundred_squares() -> None:
    assert block_sizes(1600) == (4,)
    assert block_sizes(1599) == (4, 3)
    assert block_sizes(192) == (4, 1)
    assert block_sizes(3) == (3, 1)


def test_opposite_shifts_show_in_the_steps_only() -> None:
    """A hidden bargain: some steps shifted up, others down."""
    stream = torch.Generator().manual_seed(3)
    rows = torch.randn(24, 3, 8, 8, generator=stream)
    honest = plausibility(rows, stream)
    assert honest.status == "green"
    rows[:12] += 0.8
    rows[12:] -= 0.8
    bought = plausibility(rows, stream)
    assert bought.log10_p_step < honest.log10_p_step - 1
    shifted = torch.randn(24, 3, 8, 8, generator=stream) + 0.4
    assert plausibility(shifted, stream).status == "red"


def test_what_is_not_finite_is_red() -> None:
    rows = torch.randn(3, 192)
    rows[1, 5] = math.nan
    assert plausibility(rows, torch.Generator()).status == "red"


@pytest.mark.parametrize(
    ("p", "p_step", "status"),
    [
        (0.06, 0.03, "green"),
        (0.04, 0.5, "amber"),
        (0.5, 0.01, "amber"),
        (0.5, 5e-5, "red"),
        (5e-4, 0.5, "red"),
    ],
)
def test_the_status_is_the_worse_of_both(p: float, p_step: float, status: str) -> None:
    assert Plausibility(math.log10(p), math.log10(p_step)).status == status
