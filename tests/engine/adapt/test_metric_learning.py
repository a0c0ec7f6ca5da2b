"""Metric learning as an estimator: what it wins, keeps and refuses; export; automatic mode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from engine.adapt.metric_export import export_onnx, metric_graph
from engine.adapt.metric_learning import MaPML
from engine.adapt.metric_selection import choose_metric, held_out
from engine.adapt.neighbours import classify, nearest, review_queue
from engine.errors import EngineError


def blobs(
    seed: int, count: int = 400, classes: int = 5, noise: float = 3.0
) -> tuple[np.ndarray, np.ndarray]:
    """Classes that 4 features tell apart and 16 loud ones hide; the classes' centres are the same."""
    centres = np.random.default_rng(0).normal(size=(classes, 4)) * 2
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    telling = centres[labels] + rng.normal(size=(count, 4)) * 0.7
    return np.hstack([telling, rng.normal(size=(count, 16)) * noise]), labels


def accuracy(model: MaPML, train: int = 1, test: int = 2) -> float:
    (features, labels), (queries, truth) = blobs(train), blobs(test)
    return float(
        (classify(model.transform(features), labels, model.transform(queries)) == truth).mean()
    )


@pytest.fixture(scope="module")
def learned() -> MaPML:
    return MaPML(latents_per_class=10, prior=1.0).fit(*blobs(1))


def test_neighbours_by_the_metric_are_better_than_euclidean_ones(learned: MaPML) -> None:
    euclidean = accuracy(MaPML(rounds=0).fit(*blobs(1)))
    assert accuracy(learned) > euclidean + 0.15
    factored = MaPML(latents_per_class=10, prior=1.0, factored=True, rank=8, iterations=200)
    assert accuracy(factored.fit(*blobs(1))) > euclidean + 0.15
    assert factored.factor_.shape == (20, 8)


def test_metric_and_report(learned: MaPML) -> None:
    np.testing.assert_array_equal(learned.metric_, learned.metric_.T)
    assert np.linalg.eigvalsh(learned.metric_)[0] >= -1e-9
    report = learned.report_
    assert report.triplets == 5 * 10 * 8 * 30
    counts = np.bincount(blobs(1)[1])
    assert report.data_triplets == sum(n * (n - 1) * (400 - n) for n in counts.tolist())
    assert len(report.objectives) == 2
    for values in report.objectives:
        assert (np.diff(values) <= 1e-12).all()


def test_pairs_have_the_distance_of_their_embeddings(learned: MaPML) -> None:
    features, _ = blobs(3, 10)
    pairs = np.stack([features[:5], features[5:]], 1)
    left, right = learned.transform(features[:5]), learned.transform(features[5:])
    np.testing.assert_allclose(learned.score_pairs(pairs), np.linalg.norm(left - right, axis=1))
    np.testing.assert_allclose(np.linalg.norm(left, axis=1), 1)


def test_scale_of_the_features_and_names_of_classes_do_not_matter(learned: MaPML) -> None:
    features, labels = blobs(1)
    names = np.array([f"class {label}" for label in labels])
    scaled = MaPML(latents_per_class=10, prior=1.0).fit(7 * features, names)
    np.testing.assert_allclose(scaled.transform(7 * features), learned.transform(features), atol=1e-6)
    assert list(scaled.classes_[:2]) == ["class 0", "class 1"]


def test_same_seed_same_metric(learned: MaPML) -> None:
    again = MaPML(**learned.get_params()).fit(*blobs(1))
    np.testing.assert_array_equal(again.metric_, learned.metric_)


def test_one_latent_example_a_class_is_learned_from_the_examples() -> None:
    assert accuracy(MaPML(latents_per_class=1, prior=1.0).fit(*blobs(1))) > 0.75


def test_parameters_as_scikit_learn_asks() -> None:
    model = MaPML().set_params(latents_per_class=7, seed=3)
    assert model.get_params()["latents_per_class"] == 7
    assert set(model.get_params()) >= {"pull", "penalty", "prior", "rank", "unit_embedding"}
    assert not any(name.endswith("_") for name in model.get_params())
    with pytest.raises(ValueError, match="no parameter colour"):
        model.set_params(colour=1)


def test_refusals() -> None:
    features, labels = blobs(1, 20)
    with pytest.raises(EngineError, match="of one class"):
        MaPML().fit(features, np.zeros(20))
    with pytest.raises(EngineError, match="20 rows of features and 19 labels"):
        MaPML().fit(features, labels[:19])
    features[4, 2] = np.nan
    with pytest.raises(EngineError, match="first in row 4"):
        MaPML().fit(features, labels)
    with pytest.raises(EngineError, match="shape"):
        MaPML().fit(features[0], labels)


def test_can_be_stopped() -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        MaPML().fit(*blobs(1), check=stop)


def test_nearest_against_all_distances(rng: np.random.Generator) -> None:
    rows, queries = rng.normal(size=(30, 4)), rng.normal(size=(7, 4))
    table = np.square(queries[:, None] - rows).sum(2)
    columns, distances = nearest(rows, queries, 5)
    np.testing.assert_array_equal(columns, table.argsort(1)[:, :5])
    np.testing.assert_allclose(distances, np.sort(table, 1)[:, :5], rtol=1e-4)
    assert not (nearest(rows, None, 3)[0] == np.arange(30)[:, None]).any()


def test_a_tie_goes_to_the_nearest() -> None:
    rows = np.array([[1.0], [2.0], [3.0], [4.0]])
    assert classify(rows, np.array([1, 0, 1, 0]), np.array([[0.0]]), 4).tolist() == [1]
    assert classify(rows, np.array([1, 0, 0, 1]), np.array([[0.0]]), 3).tolist() == [0]


def test_wrong_labels_are_in_front_of_the_review_queue(rng: np.random.Generator) -> None:
    features, labels = blobs(1, 600)
    wrong = rng.choice(600, 30, replace=False)
    planted = labels.copy()
    planted[wrong] = (planted[wrong] + 1 + rng.integers(0, 4, 30)) % 5
    model = MaPML(latents_per_class=20, prior=3.0, penalty=1e-3).fit(features, planted)
    distortions = model.distortion(features, planted)
    queue = review_queue(model.transform(features), planted, distortions)
    assert sorted(queue.tolist()) == list(range(600))
    assert len(set(queue[:60].tolist()) & set(wrong.tolist())) >= 22


@pytest.mark.parametrize("unit", [True, False])
def test_onnx_computes_the_same(learned: MaPML, tmp_path: Path, unit: bool) -> None:
    features, _ = blobs(5, 50)
    model = MaPML(**learned.get_params()).set_params(unit_embedding=unit).fit(*blobs(1))
    assert export_onnx(model, tmp_path / "metric.onnx", features) < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "metric.onnx")
    found = session.run(None, {"features": features.astype(np.float32)})[0]
    np.testing.assert_allclose(found, model.transform(features), atol=1e-5)
    assert session.get_modelmeta().custom_metadata_map["classes"] == "0, 1, 2, 3, 4"


def test_an_export_that_computes_something_else_does_not_stay(
    learned: MaPML, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = MaPML(**learned.get_params()).fit(*blobs(1))
    moved.factor_ = moved.factor_[:, ::-1]
    other = metric_graph(moved)
    monkeypatch.setattr("engine.adapt.metric_export.metric_graph", lambda model: other)
    with pytest.raises(EngineError, match="something else"):
        export_onnx(learned, tmp_path / "metric.onnx", blobs(5, 50)[0])
    assert list(tmp_path.iterdir()) == []


def test_automatic_mode_finds_a_metric_and_keeps_euclid_where_none_helps() -> None:
    steps: list[tuple[int, int]] = []
    choice = choose_metric(*blobs(1), on_step=lambda done, total: steps.append((done, total)))
    assert not choice.is_euclidean
    assert choice.accuracy >= max(one for _, one in choice.tried) - 0.05
    assert (choice.settings, choice.accuracy) in choice.tried
    assert len(choice.tried) == 18
    assert steps[0] == (0, 10)
    assert steps[-1] == (9, 10)
    assert accuracy(choice.model) > accuracy(MaPML(rounds=0).fit(*blobs(1)))
    easy = np.repeat(np.eye(3) * 9, 20, 0) + np.random.default_rng(0).normal(size=(60, 3)) * 0.1
    assert choose_metric(easy, np.repeat([0, 1, 2], 20)).is_euclidean


def test_automatic_mode_needs_something_to_hold_out() -> None:
    with pytest.raises(EngineError, match="settings cannot be compared"):
        choose_metric(np.eye(3), [0, 1, 2])
    mask = held_out(np.array([0, 0, 0, 0, 1, 2, 2]), 0.25, 0)
    assert mask[:4].sum() == 1
    assert not mask[4]
