"""Metrics for several cameras, and searching across them."""

from __future__ import annotations

import numpy as np
import pytest

from engine.adapt.domain_weights import DomainWeights
from engine.adapt.metric_learning import MaPML
from engine.adapt.retrieval import across_cameras
from engine.adapt.robust_metric import fit_robust_metric, triplet_risks
from engine.errors import EngineError


def cameras(seed: int, sizes: tuple[int, int] = (600, 80)) -> tuple[np.ndarray, ...]:
    """Camera 0 sees classes in features 0 to 3, camera 1 in 4 to 7; the rest is loud noise."""
    centres = np.random.default_rng(0).normal(size=(4, 4)) * 2
    rng = np.random.default_rng(seed)
    parts = []
    for camera, size in enumerate(sizes):
        labels = np.arange(size) % 4
        features = rng.normal(size=(size, 20)) * 2.5
        telling = slice(4 * camera, 4 * camera + 4)
        features[:, telling] = centres[labels] + rng.normal(size=(size, 4)) * 0.6
        parts.append((features, labels, np.full(size, camera)))
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def test_weights_rise_where_triplets_are_violated_and_the_worst_camera_gains() -> None:
    features, labels, where = cameras(1)
    turns: list[int] = []
    found = fit_robust_metric(
        features, labels, np.array(["gate", "yard"])[where], kind="kl", strength=0.1,
        latents_per_class=8, prior=1.0, on_round=lambda turn, p, reached: turns.append(turn),
    )  # fmt: skip
    assert turns == [0, 1, 2, 3, 4]
    assert found.domains == ["gate", "yard"]
    assert found.accuracies.min() >= found.mixture.min()
    assert found.helps == (not any("no better" in note for note in found.notes))
    assert found.weights.sum() == pytest.approx(1)
    assert found.history.shape == (5, 2)
    assert (found.history[1:, 1] > 0.5).all(), "the small camera is the harder one"


def test_a_camera_with_wrong_labels_does_not_take_everything() -> None:
    features, labels, where = cameras(1, (300, 300))
    rng = np.random.default_rng(5)
    labels = np.where((where == 1) & (rng.random(600) < 0.6), rng.integers(0, 4, 600), labels)
    shares = {}
    for kind in ("kl", "eg"):
        found = fit_robust_metric(
            features, labels, where, kind=kind, rounds=4, latents_per_class=8, prior=1.0
        )
        shares[kind] = found.history[-1, 1]
    assert shares["kl"] < 0.9
    assert shares["eg"] > shares["kl"]


def test_risks_are_means_over_the_examples_of_a_domain() -> None:
    features, labels, where = cameras(1, (40, 40))
    model = MaPML(latents_per_class=4).fit(features, labels)
    risks = triplet_risks(model, features, labels, where, 2)
    for camera in range(2):
        own = where == camera
        alone = triplet_risks(model, features[own], labels[own], np.zeros(40, np.intp), 1)
        assert risks[camera] == pytest.approx(alone[0])
    assert DomainWeights(2).step(risks).sum() == pytest.approx(1)


def test_refusals() -> None:
    features, labels, where = cameras(1, (40, 40))
    with pytest.raises(EngineError, match="of one domain"):
        fit_robust_metric(features, labels, np.zeros(80))
    where[0] = 2
    with pytest.raises(EngineError, match="Too few examples of 2 "):
        fit_robust_metric(features, labels, where)


def test_search_by_hand() -> None:
    # Camera 0: identities 1 and 2; camera 1: 2, 1, a distractor and 3.
    embedded = np.array([[0.0], [10.0], [9.0], [2.0], [1.0], [50.0]])
    identities, where = np.array([1, 2, 2, 1, -1, 3]), np.array([0, 0, 1, 1, 1, 1])
    pairs = across_cameras(embedded, identities, where)
    assert pairs.rank1[0, 1] == 0.5, "identity 1 is behind the distractor"
    assert pairs.average_precision[0, 1] == pytest.approx((0.5 + 1.0) / 2)
    assert pairs.queries.tolist() == [[0, 2], [2, 0]]
    assert pairs.rank1[1, 0] == 1.0
    assert np.isnan(pairs.rank1[0, 0])
    assert pairs.worst() == (0, 1)
    assert across_cameras(embedded, identities, np.zeros(6, np.intp)).worst() is None
