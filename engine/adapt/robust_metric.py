"""A metric for several cameras that holds up on the worst: MaPML under weights of domains.

The weight of a camera is shared by its examples: it scales the triplets of anchors and the scatter
about latent examples. Metric and weights take turns, a few rounds, and the round with the best worst
camera on held-out examples is kept. The plain mixture is always measured beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.adapt.domain_weights import DOMINANT, DomainWeights, Kind
from engine.adapt.metric_learning import MaPML, as_features
from engine.adapt.metric_objective import Matrix, smooth_hinge, squared_distances
from engine.adapt.metric_selection import HELD_OUT, held_out
from engine.adapt.neighbours import classify
from engine.errors import invalid_input

ROUNDS = 4
RATE = 1.0
IMPOSTORS = 30


@dataclass(frozen=True)
class RobustMetric:
    """What came of it.

    Attributes
    ----------
    model
        Fitted on everything with the weights of the best round.
    domains
        Names of the K domains, in the order of all figures.
    weights
        ``(K,)`` of that round; the domains' shares of the examples where the mixture was best.
    accuracies, mixture
        ``(K,)`` held-out accuracies by nearest neighbours of the best round, and of the mixture.
    history
        ``(rounds, K)`` weights.
    notes
        What the user should know.
    """

    model: MaPML
    domains: list[Any]
    weights: Matrix
    accuracies: Matrix
    mixture: Matrix
    history: Matrix
    notes: list[str]

    @property
    def helps(self) -> bool:
        """Whether weights made the worst domain better than the plain mixture."""
        return bool(self.accuracies.min() > self.mixture.min())


def triplet_risks(
    model: MaPML, features: Matrix, labels: NDArray[np.intp], domains: NDArray[np.intp], count: int
) -> Matrix:
    """Mean triplet loss ``(K,)`` of examples as anchors: nearest own latent, 30 nearest of others."""
    embedded = model.normaliser_(features) @ model.factor_
    latents = model.latents_.points @ model.factor_
    distances = squared_distances(embedded, latents)
    own = model.latents_.classes == labels[:, None]
    near = np.where(own, distances, np.inf).min(1)
    impostors = min(IMPOSTORS, int((~own).sum(1).min()))
    far = np.partition(np.where(own, np.inf, distances), impostors - 1, axis=1)[:, :impostors]
    losses = smooth_hinge(1.0 + near[:, None] - far)[0].mean(1)
    return np.bincount(domains, losses, count) / np.maximum(np.bincount(domains, minlength=count), 1)


def fit_robust_metric(
    X: ArrayLike,
    y: Sequence[Any] | NDArray[Any],
    domains: Sequence[Any] | NDArray[Any],
    *,
    kind: Kind = "kl",
    strength: float = 0.5,
    rounds: int = ROUNDS,
    neighbours: int = 5,
    seed: int = 0,
    on_round: Callable[[int, Matrix, Matrix], None] = lambda turn, p, accuracies: None,
    **settings: Any,
) -> RobustMetric:
    """Learn a metric from features ``(n, d)``, labels ``(n,)`` and domains ``(n,)``.

    Parameters
    ----------
    X, y, domains
        Every domain needs an example.
    kind, strength
        As of :class:`~engine.adapt.domain_weights.DomainWeights`.
    rounds
        Metrics learnt under changing weights, besides the mixture's.
    neighbours
        That vote on a held-out example.
    seed
        Of the held-out quarter and the latent examples.
    on_round
        Told the round, the weights and the held-out accuracies ``(K,)``; may raise to stop.
    settings
        Of :class:`~engine.adapt.metric_learning.MaPML`.

    Raises
    ------
    EngineError
        ``invalid_input`` for a single domain, or one of which nothing could be held out.
    """
    features = as_features(X)
    names, where = np.unique(np.asarray(domains), return_inverse=True)
    classes, labels = np.unique(np.asarray(y), return_inverse=True)
    if len(names) < 2:
        raise invalid_input(
            f"All examples are of one domain ({names[0]}); there is no worst one to hold up on.",
            "Learn a plain metric, or name the camera of each example.",
        )
    # Stratified by class and domain, so that no domain is left without a measurement.
    out = held_out(np.unique(labels * len(names) + where, return_inverse=True)[1], HELD_OUT, seed)
    counts = np.bincount(where, minlength=len(names))
    missing = names[np.bincount(where[out], minlength=len(names)) == 0]
    if len(missing):
        raise invalid_input(
            f"Too few examples of {', '.join(map(str, missing))} to hold any out; nothing was learned.",
            "Add examples of the same classes there, or leave this domain out.",
        )

    def fit(share: Matrix, rows: NDArray[np.bool_]) -> MaPML:
        model = MaPML(**{"seed": seed, **settings})
        return model.fit(features[rows], classes[labels[rows]], (share / counts)[where[rows]])

    def accuracies(model: MaPML) -> Matrix:
        found = classify(
            model.transform(features[~out]), labels[~out], model.transform(features[out]), neighbours
        )
        right = np.bincount(where[out], found == labels[out], len(names))
        return right / np.bincount(where[out], minlength=len(names))

    everything = np.ones(len(features), bool)
    mixture = counts / len(features)
    at_first = accuracies(fit(mixture, ~out))
    on_round(0, mixture, at_first)
    weights = DomainWeights(len(names), kind, strength, RATE, sizes=counts.tolist())
    best, best_accuracies = mixture, at_first
    for turn in range(1, rounds + 1):
        model = fit(weights.p, ~out)
        reached = accuracies(model)
        on_round(turn, weights.p, reached)
        if reached.min() > best_accuracies.min():
            best, best_accuracies = weights.p, reached
        weights.step(triplet_risks(model, features[out], labels[out], where[out], len(names)))
    notes = []
    if best_accuracies.min() <= at_first.min():
        notes.append("Weighting the domains made the worst one no better; the plain mixture is used.")
    if weights.dominant is not None and kind != "proportional":
        notes.append(
            f"{names[weights.dominant]} holds more than {DOMINANT:.0%} of the weight; its labels may "
            "be wrong."
        )
    return RobustMetric(
        fit(best, everything), names.tolist(), best, best_accuracies, at_first, weights.history, notes
    )
