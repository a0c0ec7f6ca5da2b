"""The objective of margin-preserving metric learning over latent triplets, and its gradient.

Qian, Tang, Li, Zhu, Jin, "Large-scale Distance Metric Learning with Uncertainty", CVPR 2018. Over a
metric ``M`` (positive semi-definite, ``(d, d)``)::

    F(M) = sum_t w_t h(delta - D_M(a, c) + D_M(a, b)) + mu tr(M S) + (lambda / 2) |M - m0 I|^2

with ``D_M(u, v) = (u - v)^T M (u - v)``, triplets t of an anchor a, a latent example b of its class and
one c of another, and S the scatter of the examples about their latent examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def smooth_hinge(s: Matrix) -> tuple[Matrix, Matrix]:
    """The hinge, quadratic between 0 and 1, and its derivative; shapes as ``s``."""
    slope = np.clip(s, 0.0, 1.0)
    return slope * (s - 0.5 * slope), slope


def squared_distances(left: Matrix, right: Matrix) -> Matrix:
    """Squared Euclidean distances ``(N, L)`` of rows ``(N, d)`` and ``(L, d)``, never negative."""
    squares = np.einsum("nd,nd->n", left, left)[:, None] + np.einsum("ld,ld->l", right, right)
    return np.maximum(squares - 2.0 * (left @ right.T), 0.0)


def metric_distances(left: Matrix, right: Matrix, metric: Matrix) -> Matrix:
    """Squared distances ``(N, L)`` under ``metric``; it need not be positive."""
    moved = right @ metric
    lengths = np.einsum("nd,nd->n", left @ metric, left)[:, None] + np.einsum("ld,ld->l", moved, right)
    return lengths - 2.0 * (left @ moved.T)


@dataclass(frozen=True)
class Triplets:
    """Every positive of an anchor with every impostor of it.

    Attributes
    ----------
    anchors
        ``(A, d)``: latent examples, or examples of a class that has only one latent example.
    latents
        ``(L, d)``.
    anchor_rows
        ``(A,)`` row of ``latents`` of each anchor; -1 for one that is an example.
    positives, impostors
        ``(A, p)`` and ``(A, i)`` rows of ``latents``.
    weights
        ``(A, p, i)`` of each triplet; they sum to 1, and are 0 where an anchor has fewer.
    """

    anchors: Matrix
    latents: Matrix
    anchor_rows: NDArray[np.intp]
    positives: NDArray[np.intp]
    impostors: NDArray[np.intp]
    weights: Matrix

    def __len__(self) -> int:
        return int(np.count_nonzero(self.weights))

    def violations(self, metric: Matrix, margin: float) -> Matrix:
        """``margin - D(a, c) + D(a, b)`` of each, ``(A, p, i)``."""
        distances = metric_distances(self.anchors, self.latents, metric)
        near = np.take_along_axis(distances, self.positives, 1)
        far = np.take_along_axis(distances, self.impostors, 1)
        return margin + near[:, :, None] - far[:, None, :]

    def pair_weights(self, slopes: Matrix) -> Matrix:
        """What each pair ``(A, L)`` of anchor and latent example weighs, for ``g`` ``(A, p, i)``.

        Positives count ``+g`` and impostors ``-g``, summed over the triplets of a pair.
        """
        pairs = np.zeros((len(self.anchors), len(self.latents)))
        rows = np.arange(len(self.anchors))[:, None]
        np.add.at(pairs, (rows, self.positives), slopes.sum(2))
        np.add.at(pairs, (rows, self.impostors), -slopes.sum(1))
        return pairs

    def scatter(self, slopes: Matrix) -> Matrix:
        """``sum_t g_t ((a - b)(a - b)^T - (a - c)(a - c)^T)``, ``(d, d)``, for ``g`` ``(A, p, i)``.

        Triplets are not touched one by one: pairs are weighted first, then three products remain
        (the Laplacian of the graph that pairs and weights make).
        """
        pairs = self.pair_weights(slopes)
        mixed = self.anchors.T @ pairs @ self.latents
        own = (self.anchors.T * pairs.sum(1)) @ self.anchors
        other = (self.latents.T * pairs.sum(0)) @ self.latents
        return own + other - mixed - mixed.T


@dataclass(frozen=True)
class Objective:
    """``F`` for fixed triplets and fixed latent examples; convex in the metric.

    Attributes
    ----------
    within
        ``(d, d)``: S, the mean of ``(x - z)(x - z)^T``.
    pull, penalty, prior, margin
        mu, lambda, m0 and delta.
    """

    triplets: Triplets
    within: Matrix
    pull: float
    penalty: float
    prior: float
    margin: float = 1.0

    def __call__(self, metric: Matrix) -> tuple[float, Matrix]:
        """Value and gradient ``(d, d)`` at a symmetric ``metric``."""
        losses, slopes = smooth_hinge(self.triplets.violations(metric, self.margin))
        weights = self.triplets.weights
        away = metric - self.prior * np.eye(len(metric))
        value = (
            np.vdot(weights, losses)
            + self.pull * np.vdot(metric, self.within)
            + 0.5 * self.penalty * np.vdot(away, away)
        )
        gradient = self.triplets.scatter(weights * slopes) + self.pull * self.within
        return float(value), gradient + self.penalty * away
