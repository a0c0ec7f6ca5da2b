"""The objective of metric learning against sums over triplets and differences; its solver."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.adapt.latent_examples import active_triplets, assign, initial_latents, move_latents
from engine.adapt.metric_objective import Objective, metric_distances, smooth_hinge
from engine.adapt.metric_solver import factor_psd, minimise_factor, minimise_psd, project_psd


def random_psd(rng: np.random.Generator, size: int) -> np.ndarray:
    root = rng.normal(size=(size, size))
    return root @ root.T / size


def problem(seed: int, per_class: int = 3) -> tuple[Objective, np.ndarray]:
    """An objective over three classes, one of them with a single latent example; and the examples."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.repeat([0, 1], 20), [2, 2]])
    examples = rng.normal(size=(42, 5)) + labels[:, None]
    latents = initial_latents(examples, labels, per_class, rng)
    weights = rng.dirichlet(np.ones(42))
    triplets = active_triplets(latents, latents.points, examples, weights, 2, 4)
    return Objective(triplets, latents.within(examples, weights), 0.1, 1e-3, 2.0), examples


def test_smooth_hinge_by_hand() -> None:
    losses, slopes = smooth_hinge(np.array([-1.0, 0.0, 0.5, 1.0, 3.0]))
    np.testing.assert_allclose(losses, [0, 0, 0.125, 0.5, 2.5])
    np.testing.assert_allclose(slopes, [0, 0, 0.5, 1, 1])


def test_gradient_is_the_sum_over_triplets(rng: np.random.Generator) -> None:
    objective, _ = problem(1)
    metric = random_psd(rng, 5)
    triplets = objective.triplets
    _, slopes = smooth_hinge(triplets.violations(metric, 1.0))
    total = np.zeros((5, 5))
    for a, p, i in zip(*np.nonzero(triplets.weights), strict=True):
        anchor = triplets.anchors[a]
        near = anchor - triplets.latents[triplets.positives[a, p]]
        far = anchor - triplets.latents[triplets.impostors[a, i]]
        step = triplets.weights[a, p, i] * slopes[a, p, i]
        total += step * (np.outer(near, near) - np.outer(far, far))
    expected = total + 0.1 * objective.within + 1e-3 * (metric - 2 * np.eye(5))
    np.testing.assert_allclose(objective(metric)[1], expected, atol=1e-8)


def test_gradient_agrees_with_differences(rng: np.random.Generator) -> None:
    objective, _ = problem(2)
    metric, way = random_psd(rng, 5), random_psd(rng, 5)
    slope = (objective(metric + 1e-5 * way)[0] - objective(metric - 1e-5 * way)[0]) / 2e-5
    assert slope == pytest.approx(np.vdot(objective(metric)[1], way), abs=1e-5)


def test_triplets_of_each_anchor() -> None:
    objective, examples = problem(3)
    triplets = objective.triplets
    assert triplets.weights.sum() == pytest.approx(1)
    lonely = triplets.anchor_rows < 0
    assert lonely.sum() == 2, "the members of the latent example that is alone in its class"
    np.testing.assert_array_equal(triplets.anchors[lonely], examples[-2:])
    assert np.count_nonzero(triplets.weights[lonely]) == 2 * 1 * 4
    assert not (triplets.positives[~lonely] == triplets.anchor_rows[~lonely, None]).any()


def test_examples_without_weight_are_no_anchors(rng: np.random.Generator) -> None:
    labels = np.repeat([0, 1], 10)
    examples = rng.normal(size=(20, 3))
    latents = initial_latents(examples, labels, 2, rng)
    weights = np.repeat([0.0, 0.1], 10)
    triplets = active_triplets(latents, latents.points, examples, weights, 1, 2)
    anchored = triplets.weights.sum((1, 2))
    assert (anchored[latents.classes == 0] == 0).all()
    assert anchored.sum() == pytest.approx(1)
    away = examples[10:] - latents.points[latents.owners[10:]]
    np.testing.assert_allclose(latents.within(examples, weights), away.T @ away / 10)


@pytest.mark.parametrize("seed", range(4))
def test_values_never_rise_and_the_metric_is_positive(seed: int) -> None:
    objective, _ = problem(seed)
    metric, values = minimise_psd(objective, 2 * np.eye(5), 600, tolerance=1e-9)
    assert (np.diff(values) <= 1e-12).all()
    np.testing.assert_array_equal(metric, metric.T)
    assert np.linalg.eigvalsh(metric)[0] >= -1e-9
    # No direction within the cone goes down from the minimum.
    value = values[-1]
    rng = np.random.default_rng(seed)
    for _ in range(20):
        other = 0.99 * metric + 0.01 * random_psd(rng, 5) * rng.choice([0.1, 1, 10])
        assert objective(other)[0] >= value - 1e-5


def test_factors_reach_the_same_value() -> None:
    objective, _ = problem(5)
    _, values = minimise_psd(objective, 2 * np.eye(5), 200, tolerance=1e-9)
    factor, _ = minimise_factor(objective, np.sqrt(2) * np.eye(5), 1500)
    assert objective(factor @ factor.T)[0] == pytest.approx(values[-1], rel=1e-3)


def test_projection_is_the_nearest_positive_matrix(rng: np.random.Generator) -> None:
    symmetric = rng.normal(size=(4, 4))
    symmetric = symmetric + symmetric.T
    nearest = project_psd(symmetric)
    assert np.linalg.eigvalsh(nearest)[0] >= -1e-12
    for _ in range(50):
        other = project_psd(nearest + 0.3 * random_psd(rng, 4) - 0.1 * np.eye(4))
        assert np.linalg.norm(other - symmetric) >= np.linalg.norm(nearest - symmetric) - 1e-9


def test_factor_keeps_share_and_rank() -> None:
    metric = np.diag([4.0, 1.0, 0.001, 0.0])
    factor = factor_psd(metric)
    assert factor.shape == (4, 2)
    np.testing.assert_allclose(factor @ factor.T, np.diag([4, 1, 0, 0]), atol=1e-12)
    assert factor_psd(metric, rank=1).shape == (4, 1)
    assert factor_psd(np.zeros((3, 3))).shape == (3, 1)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_margins_of_latent_examples_carry_over_to_examples(seed: int) -> None:
    rng = np.random.default_rng(seed)
    metric = random_psd(rng, 3)
    latents = rng.normal(size=(3, 3)) * rng.uniform(0.1, 5)
    examples = latents + rng.normal(size=(3, 3)) * rng.uniform(0, 0.5)
    between = np.sqrt(np.maximum(metric_distances(latents, latents, metric), 0))
    away = np.sqrt(np.maximum(np.diag(metric_distances(examples, latents, metric)), 0))
    p, q, r = between[0, 1], between[0, 2], away.max()
    data = metric_distances(examples, examples, metric)
    margin = data[0, 2] - data[0, 1]
    if q >= 2 * r:
        assert margin >= q**2 - p**2 - 4 * r * (p + q) - 1e-9
    # The same in terms of losses, which needs no condition.
    loss, bound = (smooth_hinge(np.array([s]))[0][0] for s in (1 - margin, 1 - (q**2 - p**2)))
    extra = 2 * (away[0] + away[2]) * q + 2 * (away[0] + away[1]) * p + (away[0] + away[1]) ** 2
    assert loss <= bound + extra + 1e-9


def test_latent_examples_stay_in_their_class_and_empty_ones_move(rng: np.random.Generator) -> None:
    labels = np.repeat([0, 1], 30)
    examples = rng.normal(size=(60, 3)) + 3 * labels[:, None]
    latents = initial_latents(examples, labels, 4, rng)
    latents.points[0] = 1e3
    latents = assign(examples, labels, latents, np.eye(3))
    np.testing.assert_array_equal(latents.classes[latents.owners], labels)
    assert 0 not in latents.owners
    weights = np.full(60, 1 / 60)
    triplets = active_triplets(latents, latents.points, examples, weights, 2, 3)
    moved = move_latents(examples, latents, triplets, np.eye(3), 0.1)
    assert (moved.points[0] == examples).all(1).any()
    assert np.linalg.norm(moved.points - latents.points, axis=1)[1:].max() < 2
