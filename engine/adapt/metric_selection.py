"""The automatic mode of metric learning: settings chosen on held-out examples, or no metric at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.adapt.metric_learning import MaPML, as_features
from engine.adapt.neighbours import classify
from engine.errors import invalid_input

HELD_OUT = 0.25
GRID: tuple[dict[str, Any], ...] = (
    {},
    {"rounds": 0},
    *(
        {"latents_per_class": latents, "prior": prior, "penalty": penalty}
        for latents in (40, 20)
        for prior in (10.0, 3.0)
        for penalty in (1e-4, 1e-3)
        if (latents, prior, penalty) != (40, 10.0, 1e-4)
    ),
)
"""The usual settings first: what is better than them by chance alone is not used."""


@dataclass(frozen=True)
class Choice:
    """What was tried, and the model that came of it.

    Attributes
    ----------
    model
        Fitted on everything with the settings that were chosen.
    settings, accuracy
        Of that model, accuracy by nearest neighbours on the held-out quarter.
    tried
        All settings with their accuracies.
    """

    model: MaPML
    settings: dict[str, Any]
    accuracy: float
    tried: list[tuple[dict[str, Any], float]]

    @property
    def is_euclidean(self) -> bool:
        """Whether no learned metric was better than none."""
        return self.model.rounds == 0


def held_out(labels: NDArray[np.intp], share: float, seed: int) -> NDArray[np.bool_]:
    """Mask ``(n,)`` of a share of each class, none of a class with one example."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(labels), bool)
    for label in range(labels.max() + 1):
        rows = rng.permutation(np.flatnonzero(labels == label))
        mask[rows[: min(len(rows) - 1, round(share * len(rows)))]] = True
    return mask


def choose_metric(
    X: ArrayLike,
    y: Sequence[Any] | NDArray[Any],
    grid: Sequence[dict[str, Any]] = GRID,
    neighbours: int = 5,
    seed: int = 0,
    on_step: Callable[[int, int], None] = lambda done, total: None,
) -> Choice:
    """Try the settings of a grid on three quarters of the examples, and fit the best one to all.

    Parameters
    ----------
    X, y
        Features ``(n, d)`` and labels ``(n,)``.
    grid
        Settings of :class:`MaPML`. The first one is kept unless others are better by more than a
        standard error of the difference, or the Euclidean metric (no rounds) is as good.
    neighbours
        That vote on a held-out example.
    seed
        Of the held-out quarter and of the latent examples.
    on_step
        Told how many settings of how many are done; may raise to stop.

    Raises
    ------
    EngineError
        ``invalid_input`` when no class has two examples, and as :meth:`MaPML.fit`.
    """
    features = as_features(X)
    classes, labels = np.unique(np.asarray(y), return_inverse=True)
    out = held_out(labels, HELD_OUT, seed)
    if not out.any():
        raise invalid_input(
            f"No class has more than one or two examples ({len(labels)} in {len(classes)} classes); "
            "settings cannot be compared on so few.",
            "Add examples, or choose the settings yourself.",
        )
    candidates: list[dict[str, Any]] = []
    rights: list[NDArray[np.bool_]] = []
    for done, settings in enumerate(grid):
        on_step(done, len(grid) + 1)
        model = MaPML(**{"seed": seed, **settings}).fit(features[~out], labels[~out])
        for unit in (True, False):
            model.unit_embedding = unit
            found = classify(
                model.transform(features[~out]),
                labels[~out],
                model.transform(features[out]),
                neighbours,
            )
            candidates.append({**settings, "unit_embedding": unit})
            rights.append(found == labels[out])
    on_step(len(grid), len(grid) + 1)
    chosen = _choose(candidates, rights)
    settings = candidates[chosen]
    model = MaPML(**{"seed": seed, **settings}).fit(features, y)
    accuracies = [float(right.mean()) for right in rights]
    tried = list(zip(candidates, accuracies, strict=True))
    return Choice(model, settings, accuracies[chosen], tried)


def _choose(candidates: Sequence[dict[str, Any]], rights: Sequence[NDArray[np.bool_]]) -> int:
    """The first candidate, unless another is better by more than chance or Euclid is as good."""
    accuracies = [right.mean() for right in rights]
    best = int(np.argmax(accuracies))
    difference = rights[best].astype(float) - rights[0]
    error = difference.std() / np.sqrt(len(difference))
    chosen = best if difference.mean() > error else 0
    for place, settings in enumerate(candidates):
        if settings.get("rounds") == 0 and accuracies[place] >= accuracies[chosen]:
            chosen = place
    return chosen
