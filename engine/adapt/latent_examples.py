"""Latent examples: the few clean points of each class that triplets are taken over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.adapt.metric_objective import Matrix, Triplets, smooth_hinge, squared_distances

LLOYD_STEPS = 10
MEMBERS_AS_ANCHORS = 64
"""Of a class with one latent example, at most so many of its examples are anchors."""
SMOOTHING = 0.5
CORRECTION = 0.1
Indices = NDArray[np.intp]


@dataclass(frozen=True)
class LatentExamples:
    """Latent examples and whose they are.

    Attributes
    ----------
    points
        ``(L, d)``.
    classes
        ``(L,)`` index of the class of each.
    owners
        ``(n,)`` row of ``points`` for each example, always of the example's class.
    """

    points: Matrix
    classes: Indices
    owners: Indices

    def residuals(self, examples: Matrix) -> Matrix:
        """``x_i - z_{o(i)}``, ``(n, d)``."""
        return examples - self.points[self.owners]

    def within(self, examples: Matrix, weights: Matrix) -> Matrix:
        """Scatter ``(d, d)`` of examples about their latent examples; ``weights`` ``(n,)`` sum to 1."""
        away = self.residuals(examples)
        return (away.T * weights) @ away


def initial_latents(
    examples: Matrix, labels: Indices, per_class: int, rng: np.random.Generator
) -> LatentExamples:
    """k-means within each class; a class of n examples gets at most ``ceil(n / 2)``."""
    points: list[Matrix] = []
    classes: list[Indices] = []
    owners = np.zeros(len(examples), np.intp)
    for label in range(labels.max() + 1):
        rows = np.flatnonzero(labels == label)
        count = min(per_class, -(-len(rows) // 2))
        centres, nearest = _k_means(examples[rows], count, rng)
        owners[rows] = nearest + sum(map(len, points))
        points.append(centres)
        classes.append(np.full(len(centres), label))
    return LatentExamples(np.concatenate(points), np.concatenate(classes), owners)


def _k_means(rows: Matrix, count: int, rng: np.random.Generator) -> tuple[Matrix, Indices]:
    centres = rows[rng.choice(len(rows), count, replace=False)]
    nearest = squared_distances(rows, centres).argmin(1)
    for _ in range(LLOYD_STEPS):
        centres = _means(rows, nearest, centres)
        nearest = squared_distances(rows, centres).argmin(1)
    return _means(rows, nearest, centres), nearest


def _means(rows: Matrix, owners: Indices, otherwise: Matrix) -> Matrix:
    """Mean of the rows of each owner; the row of ``otherwise`` where it has none."""
    counts = np.bincount(owners, minlength=len(otherwise))
    sums = np.zeros_like(otherwise)
    np.add.at(sums, owners, rows)
    means = sums / np.maximum(counts, 1)[:, None]
    return np.where(counts[:, None] > 0, means, otherwise)


def active_triplets(
    latents: LatentExamples,
    embedded: Matrix,
    examples: Matrix,
    weights: Matrix,
    positives: int,
    impostors: int,
) -> Triplets:
    """The nearest latent examples of the same and of other classes, for each latent example.

    Examples themselves are anchors where their class has a single latent example.

    Parameters
    ----------
    latents
        Whose triplets are wanted.
    embedded
        ``(L, r)`` the latent examples under the current metric.
    examples
        ``(n, d)``, anchors of lonely latent examples.
    weights
        ``(n,)`` of examples; an anchor counts as the mean weight of its members.
    positives, impostors
        At most so many of each an anchor.
    """
    members = np.bincount(latents.owners, minlength=len(latents.points))
    shares = np.bincount(latents.owners, weights, len(latents.points)) / np.maximum(members, 1)
    same = latents.classes[:, None] == latents.classes
    lonely = np.bincount(latents.classes)[latents.classes] == 1
    rows = np.flatnonzero(~lonely)
    distances = squared_distances(embedded, embedded)
    np.fill_diagonal(distances, np.inf)
    near = np.where(same, distances, np.inf)
    far = np.where(same, np.inf, distances)
    positive, has_positive = _nearest(near[rows], positives)
    impostor, has_impostor = _nearest(far[rows], impostors)
    anchors, anchor_weights, anchor_rows = latents.points[rows], shares[rows], rows
    if lonely.any():
        extra = np.concatenate(
            [np.flatnonzero(latents.owners == a)[:MEMBERS_AS_ANCHORS] for a in np.flatnonzero(lonely)]
        )
        owner = latents.owners[extra]
        first = np.zeros((len(extra), positive.shape[1]), np.intp)
        positive = np.concatenate([positive, first + owner[:, None]])
        only_one = np.arange(positive.shape[1]) == first
        has_positive = np.concatenate([has_positive, only_one])
        more, has_more = _nearest(far[owner], impostors)
        impostor = np.concatenate([impostor, more])
        has_impostor = np.concatenate([has_impostor, has_more])
        anchors = np.concatenate([anchors, examples[extra]])
        # All anchors of a latent example together count as one.
        anchor_weights = np.concatenate([anchor_weights, weights[extra] / members[owner]])
        anchor_rows = np.concatenate([rows, np.full(len(extra), -1)])
    triplet_weights = (
        anchor_weights[:, None, None] * has_positive[:, :, None] * has_impostor[:, None, :]
    )
    shared = triplet_weights / triplet_weights.sum()
    return Triplets(anchors, latents.points, anchor_rows, positive, impostor, shared)


def _nearest(distances: Matrix, count: int) -> tuple[Indices, NDArray[np.bool_]]:
    """Columns of the ``count`` smallest of each row, and which of them are finite."""
    count = max(1, min(count, distances.shape[1] - 1))
    columns = np.argpartition(distances, count - 1, axis=1)[:, :count]
    return columns, np.isfinite(np.take_along_axis(distances, columns, 1))


def assign(
    examples: Matrix, labels: Indices, latents: LatentExamples, factor: Matrix
) -> LatentExamples:
    """Each example to the nearest latent example of its class under the metric ``A A^T``."""
    moved, points = examples @ factor, latents.points @ factor
    owners = np.empty_like(latents.owners)
    for label in range(labels.max() + 1):
        rows, columns = np.flatnonzero(labels == label), np.flatnonzero(latents.classes == label)
        owners[rows] = columns[squared_distances(moved[rows], points[columns]).argmin(1)]
    return LatentExamples(latents.points, latents.classes, owners)


def move_latents(
    examples: Matrix,
    latents: LatentExamples,
    triplets: Triplets,
    metric: Matrix,
    pull: float,
    margin: float = 1.0,
) -> LatentExamples:
    """One step of the latent examples to the means of their members, corrected for the margin.

    The fixed point of setting the gradient of the objective in z to 0 and cancelling M; the correction
    is clipped to half the mean distance of the members from their mean. A latent example without
    members moves to the example of its class that is farthest from its own.
    """
    count = len(latents.points)
    members = np.bincount(latents.owners, minlength=count)
    means = _means(examples, latents.owners, latents.points)
    correction = -CORRECTION * _margin_direction(latents, triplets, metric, margin)
    correction *= (len(examples) / (2 * pull * np.maximum(members, 1)))[:, None]
    spread = _length(examples - means[latents.owners], metric)
    limit = 0.5 * np.bincount(latents.owners, spread, count) / np.maximum(members, 1)
    length = _length(correction, metric)
    correction *= np.minimum(1.0, limit / np.maximum(length, 1e-12))[:, None]
    points = latents.points + SMOOTHING * (means + correction - latents.points)
    distances = _length(latents.residuals(examples), metric)
    example_classes = latents.classes[latents.owners]
    for empty in np.flatnonzero(members == 0):
        rows = np.flatnonzero(example_classes == latents.classes[empty])
        farthest = rows[distances[rows].argmax()]
        points[empty], distances[farthest] = examples[farthest], -1.0
    return LatentExamples(points, latents.classes, latents.owners)


def _margin_direction(
    latents: LatentExamples, triplets: Triplets, metric: Matrix, margin: float
) -> Matrix:
    """Gradient of the triplet loss in each latent example without the leading ``2 M``; ``(L, d)``."""
    _, slopes = smooth_hinge(triplets.violations(metric, margin))
    pairs = triplets.pair_weights(slopes * triplets.weights)
    direction = pairs.sum(0)[:, None] * latents.points - pairs.T @ triplets.anchors
    moving = triplets.anchor_rows >= 0  # the others are examples
    pairs = pairs[moving]
    as_anchor = pairs.sum(1)[:, None] * triplets.anchors[moving] - pairs @ latents.points
    direction[triplets.anchor_rows[moving]] += as_anchor
    return 2.0 * direction


def _length(vectors: Matrix, metric: Matrix) -> Matrix:
    squares = np.einsum("nd,nd->n", vectors @ metric, vectors)
    return np.sqrt(np.maximum(squares, 0.0))
