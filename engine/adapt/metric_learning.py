"""Margin-preserving metric learning (MaPML): a metric and latent examples, in a second on a CPU.

Qian, Tang, Li, Zhu, Jin, "Large-scale Distance Metric Learning with Uncertainty", CVPR 2018. Triplets
are taken over a few latent examples of each class instead of over all examples, and examples are kept
near their latent examples in the learned metric, so that margins between latent examples are margins
between examples. :class:`MaPML` is used like an estimator of scikit-learn, which it does not need.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.adapt.latent_examples import (
    LatentExamples,
    active_triplets,
    assign,
    initial_latents,
    move_latents,
)
from engine.adapt.metric_objective import Matrix, Objective
from engine.adapt.metric_solver import factor_psd, minimise_factor, minimise_psd
from engine.errors import invalid_input


@dataclass(frozen=True)
class Normaliser:
    """What features go through before the metric.

    Attributes
    ----------
    mean
        ``(d,)``, subtracted first.
    scale
        One divisor for all features, so that the same settings suit features of any size.
    """

    mean: Matrix
    scale: float

    @classmethod
    def fitted(cls, features: Matrix) -> Normaliser:
        """Mean of the rows ``(n, d)``, and the scale at which their total variance is 1."""
        spread = float(np.sqrt(features.var(0).sum()))
        return cls(features.mean(0), spread if spread > 0 else 1.0)

    def __call__(self, features: Matrix) -> Matrix:
        return (features - self.mean) / self.scale


@dataclass(frozen=True)
class FitReport:
    """What a fit did.

    Attributes
    ----------
    triplets
        Over latent examples, of the last round.
    data_triplets
        That the same examples would have given.
    objectives
        Values of the objective after each step, a list a round.
    seconds
        Processor seconds.
    """

    triplets: int
    data_triplets: int
    objectives: list[list[float]]
    seconds: float


@dataclass
class MaPML:
    """A learned metric ``M = A A^T``; :meth:`transform` is ``A^T`` times the normalised features.

    Latent examples and triplets live in the space before the division by the length.

    Parameters
    ----------
    latents_per_class
        Latent examples of each class, m.
    pull
        Weight of the distance between examples and their latent examples, mu.
    penalty, prior
        ``penalty / 2 |M - prior I|^2``: lambda and m0.
    positives, impostors
        Nearest latent examples of the own and of other classes that make an anchor's triplets.
    rounds, iterations
        Rounds of moving the latent examples; gradient steps on the metric in each. Without rounds the
        metric is the Euclidean one.
    unit_embedding
        Divide embeddings by their length: directions are compared, which is mostly better.
    rank
        At most so many dimensions of the embedding.
    factored
        Search over factors of that rank (all dimensions where None) instead of full metrics: for
        more than some 500 features.
    seed
        Of the k-means that latent examples begin with.
    """

    latents_per_class: int = 40
    pull: float = 0.1
    penalty: float = 1e-4
    prior: float = 10.0
    positives: int = 8
    impostors: int = 30
    rounds: int = 2
    iterations: int = 50
    unit_embedding: bool = True
    rank: int | None = None
    factored: bool = False
    seed: int = 0

    normaliser_: Normaliser = field(init=False, repr=False)
    metric_: Matrix = field(init=False, repr=False)
    factor_: Matrix = field(init=False, repr=False)
    latents_: LatentExamples = field(init=False, repr=False)
    classes_: NDArray[Any] = field(init=False, repr=False)
    report_: FitReport = field(init=False, repr=False)

    def fit(
        self,
        X: ArrayLike,
        y: Sequence[Any] | NDArray[Any],
        sample_weight: ArrayLike | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> MaPML:
        """Learn from features ``(n, d)`` and labels ``(n,)`` of at least two classes.

        ``sample_weight`` ``(n,)`` says how much each example counts, as anchor and for the scatter;
        ``check`` is called in every round and may raise to stop.

        Raises
        ------
        EngineError
            ``invalid_input`` for features that are not finite, or fewer than two classes.
        """
        started = time.process_time()
        features = as_features(X)
        self.classes_, labels = np.unique(np.asarray(y), return_inverse=True)
        _check(features, labels, self.classes_)
        weights = np.ones(len(features)) if sample_weight is None else np.asarray(sample_weight, float)
        weights = weights / weights.sum()
        self.normaliser_ = Normaliser.fitted(features)
        examples = self.normaliser_(features)
        rng = np.random.default_rng(self.seed)
        latents = initial_latents(examples, labels, self.latents_per_class, rng)
        factor = np.sqrt(max(1.0, self.prior)) * np.eye(examples.shape[1])
        self.metric_, used, objectives = factor @ factor.T, 0, []
        for turn in range(self.rounds):
            check()
            triplets = active_triplets(
                latents, latents.points @ factor, examples, weights, self.positives, self.impostors
            )
            within = latents.within(examples, weights)
            objective = Objective(triplets, within, self.pull, self.penalty, self.prior)
            self.metric_, factor, values = self._solve(objective, factor)
            objectives.append(values)
            used = len(triplets)
            if turn < self.rounds - 1:
                latents = assign(examples, labels, latents, factor)
                latents = move_latents(examples, latents, triplets, self.metric_, self.pull)
        self.latents_, self.factor_ = latents, factor
        counts = np.bincount(labels)
        pairs = int((counts * (counts - 1) * (len(labels) - counts)).sum())
        self.report_ = FitReport(used, pairs, objectives, time.process_time() - started)
        return self

    def _solve(self, objective: Objective, factor: Matrix) -> tuple[Matrix, Matrix, list[float]]:
        if self.factored:
            width = self.rank or factor.shape[0]
            factor, values = minimise_factor(objective, factor[:, :width], self.iterations)
            return factor @ factor.T, factor, values
        metric, values = minimise_psd(objective, factor @ factor.T, self.iterations)
        return metric, factor_psd(metric, rank=self.rank), values

    def transform(self, X: ArrayLike) -> Matrix:
        """Features ``(n, d)`` to the space ``(n, r)`` where Euclidean distances are learned ones."""
        embedded = self.normaliser_(as_features(X)) @ self.factor_
        return unit_rows(embedded) if self.unit_embedding else embedded

    def fit_transform(
        self, X: ArrayLike, y: Sequence[Any] | NDArray[Any], sample_weight: ArrayLike | None = None
    ) -> Matrix:
        """:meth:`fit`, then :meth:`transform` of the same features."""
        return self.fit(X, y, sample_weight).transform(X)

    def score_pairs(self, pairs: ArrayLike) -> Matrix:
        """Learned distances ``(n,)`` of pairs ``(n, 2, d)``; not squared."""
        both = np.asarray(pairs, np.float64)
        return np.linalg.norm(self.transform(both[:, 0]) - self.transform(both[:, 1]), axis=1)

    def distortion(self, X: ArrayLike, y: Sequence[Any] | NDArray[Any]) -> Matrix:
        """Squared learned distance ``(n,)`` to the nearest latent example of the own class."""
        labels = np.searchsorted(self.classes_, np.asarray(y))
        examples = self.normaliser_(as_features(X))
        blank = LatentExamples(
            self.latents_.points, self.latents_.classes, np.zeros(len(examples), np.intp)
        )
        owned = assign(examples, labels, blank, self.factor_)
        return np.square(owned.residuals(examples) @ self.factor_).sum(1)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters by name, as scikit-learn asks for them."""
        return {name: getattr(self, name) for name in _PARAMETERS}

    def set_params(self, **params: Any) -> MaPML:
        """Change parameters by name; raises ``ValueError`` for an unknown one."""
        unknown = sorted(set(params) - set(_PARAMETERS))
        if unknown:
            raise ValueError(f"MaPML has no parameter {', '.join(unknown)}")
        for name, value in params.items():
            setattr(self, name, value)
        return self


_PARAMETERS = tuple(name for name in MaPML.__dataclass_fields__ if not name.endswith("_"))


def unit_rows(rows: Matrix) -> Matrix:
    """Rows ``(n, d)`` divided by their lengths; a row of zeros stays."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def as_features(X: ArrayLike) -> Matrix:
    """``X`` as a float64 matrix; raises ``invalid_input`` unless it is one of finite numbers."""
    features = np.asarray(X, np.float64)
    if features.ndim != 2 or features.size == 0:
        raise invalid_input(
            f"Features have the shape {features.shape}, not a row an example; nothing was learned."
        )
    bad = np.flatnonzero(~np.isfinite(features).all(1))
    if len(bad):
        raise invalid_input(
            f"The features of {len(bad)} example(s) are not finite numbers, first in row {bad[0]}; "
            "nothing was learned.",
            "Leave these examples out, or compute their features again.",
        )
    return features


def _check(features: Matrix, labels: NDArray[np.intp], classes: NDArray[Any]) -> None:
    if len(labels) != len(features):
        raise invalid_input(
            f"There are {len(features)} rows of features and {len(labels)} labels; nothing was learned."
        )
    if len(classes) < 2:
        raise invalid_input(
            f"All examples are of one class ({classes[0]}); what tells classes apart cannot be learned "
            "from that.",
            "Add examples of another class.",
        )
