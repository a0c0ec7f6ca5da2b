"""Weights of domains: closed forms, steps that converge to them, warnings, checkpoints."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adapt.domain_weights import (
    DomainWeights,
    divergence,
    project_simplex,
    worst_distribution,
)
from engine.errors import EngineError

LOSSES = np.array([0.3, 1.1, 0.7, 0.2])
PRIOR = np.array([0.4, 0.1, 0.2, 0.3])
NUMBERS = st.lists(st.floats(-5, 5), min_size=1, max_size=8)


@settings(max_examples=100, deadline=None)
@given(NUMBERS)
def test_projection_is_the_nearest_point_of_the_simplex(values: list[float]) -> None:
    given_point = np.array(values)
    p = project_simplex(given_point)
    assert p.sum() == pytest.approx(1)
    assert (p >= 0).all()
    # Nearest: the way to any other point of the simplex is not towards what was given.
    for corner in np.eye(len(values)):
        assert (given_point - p) @ (corner - p) <= 1e-9


@pytest.mark.parametrize("kind", ["kl", "l2"])
def test_worst_distribution_is_a_maximum(kind: str, rng: np.random.Generator) -> None:
    p, value = worst_distribution(LOSSES, kind, 0.3, PRIOR)  # type: ignore[arg-type]
    for other in rng.dirichlet(np.ones(4), 200):
        assert other @ LOSSES - 0.3 * divergence(other, PRIOR, kind) <= value + 1e-12  # type: ignore[arg-type]
    assert p @ LOSSES - 0.3 * divergence(p, PRIOR, kind) == pytest.approx(value)  # type: ignore[arg-type]


def test_soft_maximum_and_its_limits() -> None:
    expected = 0.3 * np.log(PRIOR @ np.exp(LOSSES / 0.3))
    assert worst_distribution(LOSSES, "kl", 0.3, PRIOR)[1] == pytest.approx(expected)
    assert worst_distribution(LOSSES, "kl", 1e-3, PRIOR)[1] == pytest.approx(1.1, abs=0.01)
    assert worst_distribution(LOSSES, "kl", 1e4, PRIOR)[1] == pytest.approx(PRIOR @ LOSSES, abs=1e-4)
    assert worst_distribution([1.0, 1.0, 0.0], "eg", 0, np.ones(3) / 3)[0].tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize("kind", ["kl", "l2"])
@pytest.mark.parametrize(("rate", "near"), [(0.1, 1e-4), (None, 3e-3)])
def test_steps_converge_to_the_closed_form(kind: str, rate: float | None, near: float) -> None:
    weights = DomainWeights(4, kind, 0.3, rate, PRIOR)  # type: ignore[arg-type]
    for _ in range(3000):
        weights.step(LOSSES)
    closed, _ = worst_distribution(LOSSES, kind, 0.3, PRIOR)  # type: ignore[arg-type]
    np.testing.assert_allclose(weights.p, closed, atol=near)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["kl", "l2", "eg"]))
def test_always_a_distribution(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    weights = DomainWeights(5, kind, rate=float(rng.uniform(0.01, 10)))  # type: ignore[arg-type]
    for _ in range(20):
        p = weights.step(rng.exponential(3, 5))
        assert p.sum() == pytest.approx(1, abs=1e-6)
        assert (p >= 0).all()


@pytest.mark.parametrize("kind", ["kl", "eg", "l2"])
def test_a_constant_on_all_losses_changes_nothing(kind: str) -> None:
    one, other = (DomainWeights(4, kind, rate=0.5) for _ in range(2))  # type: ignore[arg-type]
    np.testing.assert_allclose(one.step(LOSSES), other.step(LOSSES + 100))


def test_without_regulariser_one_domain_takes_all_and_it_is_said() -> None:
    free, held = DomainWeights(4, "eg"), DomainWeights(4, "kl", 0.5)
    for _ in range(300):
        free.step(LOSSES)
        held.step(LOSSES)
    assert free.p[1] > 0.99
    assert free.p.min() >= 0.9e-8
    assert free.dominant == 1
    assert held.dominant is None
    assert DomainWeights(1).dominant is None


def test_fixed_weights_reference_clip_and_adjustment() -> None:
    fixed = DomainWeights(2, "proportional", sizes=[30, 10])
    np.testing.assert_allclose(fixed.step([0, 9]), [0.75, 0.25])
    np.testing.assert_allclose(DomainWeights(2, "uniform").step([0, 9]), [0.5, 0.5])
    excess = DomainWeights(2, "eg", reference=[0.0, 1.0])
    np.testing.assert_allclose(excess.step([1.0, 2.0]), [0.5, 0.5])
    clipped = DomainWeights(2, "eg", clip=1.0)
    np.testing.assert_allclose(clipped.step([1.0, 50.0]), [0.5, 0.5])
    small_first = DomainWeights(2, "eg", adjust=2.0, sizes=[400, 4])
    assert small_first.step([1.0, 1.0])[1] == pytest.approx(1 / (1 + np.exp(-0.1 * (1 - 0.1))))
    assert DomainWeights(2, "kl", 1e6, prior=[3, 1]).step([0, 5]) == pytest.approx([0.75, 0.25])


def test_tensors_with_gradients_and_checkpoints() -> None:
    weights = DomainWeights(3, "kl")
    losses = torch.tensor([0.1, 0.5, 0.9], requires_grad=True)
    weights.step(losses * 2)
    again = DomainWeights(3, "kl")
    again.load_state_dict(weights.state_dict())
    np.testing.assert_array_equal(weights.step([1, 2, 3]), again.step([1, 2, 3]))
    assert again.history.shape == (3, 3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "magic"}, "magic"),
        ({"strength": 0.0}, "strength"),
        ({"prior": [1, 0]}, "prior"),
        ({"kind": "proportional"}, "sizes"),
        ({"adjust": 1.0}, "sizes"),
    ],
)
def test_refusals(settings: dict, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        DomainWeights(2, **settings)
