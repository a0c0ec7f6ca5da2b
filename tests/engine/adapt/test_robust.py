"""Robust training: saddle points known in closed form, any model, the gap, notes, and one domain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.adapt.domain_weights import DomainWeights
from engine.adapt.robust import (
    Domain,
    domain_accuracies,
    domain_risks,
    duality_gap,
    step_rates,
    train_robust,
)
from engine.errors import EngineError


class Point(nn.Module):
    """One number w; its output is w for every input."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(0.7))

    def forward(self, x: Tensor) -> Tensor:
        return self.w.expand(len(x))


def parabola(w: Tensor, targets: Tensor) -> Tensor:
    """``(w - a)^2 + b`` with targets ``(a, b)``."""
    return (w - targets[:, 0]).square() + targets[:, 1]


def parabolas(*pairs: tuple[float, float]) -> list[Domain]:
    return [(torch.zeros(1, 1), torch.tensor([pair])) for pair in pairs]


def classes(
    seed: int, flips: float = 0.0, turn: float = 0.0, count: int = 300, noise: float = 0.5
) -> Domain:
    """Two classes on a line that is turned; a share of the labels is wrong."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(2, (count,), generator=generator)
    way = torch.tensor([np.cos(turn), np.sin(turn)], dtype=torch.float32)
    points = (2.0 * labels[:, None] - 1) * way + noise * torch.randn(count, 2, generator=generator)
    wrong = torch.rand(count, generator=generator) < flips
    return points, torch.where(wrong, 1 - labels, labels)


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(2, 2)


@pytest.mark.parametrize(
    ("domains", "w", "p"),
    [
        (parabolas((1.0, 0.0), (-1.0, 0.0)), 0.0, (0.5, 0.5)),
        (parabolas((0.0, 0.0), (2.0, 1.0)), 1.25, (0.375, 0.625)),
    ],
)
def test_saddle_points_in_closed_form(domains: list[Domain], w: float, p: tuple[float, float]) -> None:
    model = Point()
    weights = DomainWeights(2, "eg", rate=0.1)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    run = train_robust(
        model, domains, weights, optimiser, steps=1000, batch=1, loss=parabola, convex=True
    )
    assert model.w.item() == pytest.approx(w, abs=0.02)
    np.testing.assert_allclose(run.weights[500:].mean(0), p, atol=0.02)
    assert abs(duality_gap(model, domains, weights, parabola)) < 1e-2


def test_the_gap_falls_with_the_steps_at_the_rates_of_the_paper() -> None:
    domains = [classes(1, 0.1), classes(2, 0.1, turn=1.0), classes(3, 0.3, turn=2.0)]
    gaps = []
    for steps in (100, 1600):
        model = linear()
        rate, weights_rate = step_rates(steps, 3, "l2", True, 0.5)
        assert weights_rate is None
        optimiser = torch.optim.SGD(model.parameters(), 4 * rate)
        weights = DomainWeights(3, "l2", 0.5)
        train_robust(
            model, domains, weights, optimiser, steps=steps, convex=True, schedule=lambda part: 1.0
        )
        gaps.append(duality_gap(model, domains, weights))
    assert gaps[1] > -1e-6
    assert gaps[1] < gaps[0] / 4


def test_rates_of_weights_are_slower_than_the_models_where_nothing_is_convex() -> None:
    model, weights = step_rates(1000, 4, "eg", False, 0.0)
    assert model == pytest.approx(0.1)
    assert weights == pytest.approx(0.01)
    assert step_rates(1000, 4, "eg", True, 0.0)[1] == pytest.approx(np.sqrt(8 * np.log(4) / 1000))


def test_the_worst_domain_gains_over_the_mixture() -> None:
    common, rare = classes(1, count=3000), classes(2, turn=1.8, count=100)
    tests = [classes(11), classes(12, turn=1.8)]
    worst = {}
    for kind in ("proportional", "kl"):
        model = linear()
        weights = DomainWeights(2, kind, 0.1, sizes=[3000, 100])  # type: ignore[arg-type]
        optimiser = torch.optim.SGD(model.parameters(), 0.3)
        train_robust(model, [common, rare], weights, optimiser, steps=400)
        worst[kind] = domain_accuracies(model, tests).min()
    assert worst["kl"] > worst["proportional"] + 0.1


def test_a_domain_that_takes_all_is_named() -> None:
    domains = [classes(1), classes(2, flips=0.5)]
    notes = {}
    for kind in ("eg", "kl"):
        model = linear()
        optimiser = torch.optim.SGD(model.parameters(), 0.1)
        weights = DomainWeights(2, kind, 0.5, rate=0.1)  # type: ignore[arg-type]
        run = train_robust(
            model, domains, weights, optimiser, steps=300, names=["gate", "yard"], seed=1
        )
        notes[kind] = run.notes
    assert "yard holds more than 90%" in notes["eg"][0]
    assert notes["kl"] == []


def test_one_domain_is_plain_training_bit_for_bit() -> None:
    data = classes(1)
    model, plain = linear(), linear()
    optimiser = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    train_robust(model, [data], DomainWeights(1), optimiser, steps=50, schedule=lambda part: 1.0)
    optimiser = torch.optim.SGD(plain.parameters(), 0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        rows = torch.randint(300, (32,), generator=generator)
        optimiser.zero_grad()
        nn.functional.cross_entropy(plain(data[0][rows]), data[1][rows]).backward()
        optimiser.step()
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


def test_the_best_iterate_on_validation_is_kept() -> None:
    model = Point()
    domains = parabolas((0.0, 0.0), (2.0, 0.0))
    optimiser = torch.optim.SGD(model.parameters(), 0.3)
    run = train_robust(
        model,
        domains,
        DomainWeights(2, "uniform"),
        optimiser,
        steps=60,
        batch=1,
        loss=parabola,
        validation=parabolas((0.8, 0.0), (0.8, 0.5)),
        every=1,
    )
    best = min(run.validation, key=lambda one: one[1].max())
    assert run.best_step == best[0] < 60
    assert domain_risks(model, parabolas((0.8, 0.0), (0.8, 0.5)), parabola).max() == pytest.approx(
        best[1].max()
    )


def test_some_domains_at_a_time_are_unbiased() -> None:
    domains = parabolas(*((float(k), 0.0) for k in range(20)))
    model = Point()
    optimiser = torch.optim.SGD(model.parameters(), 0.02)
    run = train_robust(
        model, domains, DomainWeights(20, "uniform"), optimiser, steps=1500, batch=1, loss=parabola,
        domains_per_step=5, convex=True,
    )  # fmt: skip
    assert (np.isfinite(run.losses).sum(1) == 5).all()
    assert model.w.item() == pytest.approx(9.5, abs=0.3)


def test_refusals_and_stopping() -> None:
    model = linear()
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(EngineError, match="1 domains and 2 weights"):
        train_robust(model, [classes(1)], DomainWeights(2), optimiser, steps=1)
    with pytest.raises(EngineError, match="no example of yard"):
        train_robust(
            model, [classes(1), classes(1, count=0)], DomainWeights(2), optimiser, steps=1,
            names=["gate", "yard"],
        )  # fmt: skip

    def stop(step: int, losses: np.ndarray, p: np.ndarray) -> None:
        if step == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_robust(model, [classes(1)], DomainWeights(1), optimiser, steps=9, on_step=stop)
