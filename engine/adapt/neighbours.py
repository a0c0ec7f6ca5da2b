"""Nearest neighbours: their class, and how far they agree with an example's label."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.adapt.metric_objective import Matrix

ROWS = 1024
"""Rows compared at a time, so that memory stays small."""
Indices = NDArray[np.intp]


def nearest(references: Matrix, queries: Matrix | None, count: int) -> tuple[Indices, Matrix]:
    """Rows of the nearest references of each query, nearest first, and their squared distances.

    Parameters
    ----------
    references, queries
        ``(n, d)`` and ``(q, d)``; without queries the references themselves, none its own neighbour.
    count
        At most so many, k.

    Returns
    -------
    (Indices, Matrix)
        ``(q, k)`` each.
    """
    own = queries is None
    asked = references if queries is None else queries
    # Ranks need no more than 32 bits, and half the memory is half the time.
    known, asked = references.astype(np.float32), asked.astype(np.float32)
    squares = np.einsum("nd,nd->n", known, known)
    count = max(1, min(count, len(known) - own))
    columns, distances = [], []
    for start in range(0, len(asked), ROWS):
        part = asked[start : start + ROWS]
        table = squares - 2.0 * (part @ known.T)
        if own:
            table[np.arange(len(part)), np.arange(start, start + len(part))] = np.inf
        found = np.argpartition(table, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(table, found, 1)
        order = near.argsort(1, kind="stable")
        columns.append(np.take_along_axis(found, order, 1))
        lengths = np.einsum("nd,nd->n", part, part)[:, None]
        distances.append(np.maximum(np.take_along_axis(near, order, 1) + lengths, 0.0))
    return np.concatenate(columns), np.concatenate(distances).astype(np.float64)


def classify(
    references: Matrix,
    labels: Indices,
    queries: Matrix,
    count: int = 5,
) -> Indices:
    """The class of each query ``(q,)`` by vote of its nearest references; a tie goes to the nearest."""
    columns, _ = nearest(references, queries, count)
    voted = labels[columns]
    votes = np.zeros((len(queries), int(labels.max()) + 1))
    for place in range(voted.shape[1]):
        # Nearer votes weigh more by too little to outvote anybody.
        votes[np.arange(len(queries)), voted[:, place]] += 1.0 + 1e-3 / (place + 1)
    return votes.argmax(1)


def disagreement(embedded: Matrix, labels: Indices, count: int = 10) -> Matrix:
    """Share ``(n,)`` of the nearest neighbours of each example that have another label."""
    columns, _ = nearest(embedded, None, count)
    return (labels[columns] != labels[:, None]).mean(1)


def review_queue(embedded: Matrix, labels: Indices, distortions: Matrix, count: int = 10) -> Indices:
    """Rows ``(n,)`` in the order in which labels should be looked at, most doubtful first.

    By :func:`disagreement`, then by the distance from the latent example (``distortions``).
    """
    return np.lexsort((-distortions, -disagreement(embedded, labels, count)))
