"""How alike tracklets of several cameras look, whatever each camera does to colours.

As the AI City Challenge's winner (arXiv 2105.06623) has it: what all tracklets of a camera have in
common is taken away, each is drawn to those of other cameras that are like it, and neighbours in common
count.
"""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.tracks.boxes import Int64Array
from engine.tracks.reranking import Float64Array, rerank


class SimilarityOptions(BaseModel):
    """Settings of the comparison of looks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ridge: float = Field(
        default=3.0, gt=0, description="How little is taken to be a camera's own look (FIC's lambda)."
    )
    neighbours: int = Field(
        default=20, ge=0, description="Of other cameras that draw a look (FAC); 0: none."
    )
    temperature: float = Field(
        default=0.08, gt=0, description="How much more the nearest of them draw."
    )
    pull: float = Field(default=0.5, ge=0, description="How far they draw.")
    near: int = Field(
        default=20, ge=0, description="Neighbours in common (k1 of re-ranking); 0: compare directly."
    )
    averaged: int = Field(default=3, ge=1, description="Neighbours that are averaged (k2).")
    twice: bool = Field(
        default=False,
        description="Rank each tracklet twice, as the published program does: near counts double.",
    )


def unit(features: Float64Array) -> Float64Array:
    """Features ``(N, D)`` at length 1; those of length 0 stay."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(np.divide(features, length, out=np.zeros_like(features), where=length > 0))


def without_camera_bias(
    features: Float64Array, cameras: Int64Array, ridge: float = 3.0
) -> Float64Array:
    """Take from features what their camera adds to all of them (FIC, arXiv 2105.06623, section 3.4).

    ``P_c (f - m_c)`` at unit length, with the mean ``m_c`` of camera ``c``, and ``P_c`` the inverse of
    ``X_c' X_c + n_c ridge I``.

    Parameters
    ----------
    features
        float64 ``(N, D)``, unit length.
    cameras
        int64 ``(N,)``.
    ridge
        How little of what is common is taken away.
    """
    result = np.zeros_like(features)
    for camera in np.unique(cameras).tolist():
        rows = cameras == camera
        own = features[rows]
        spread = own.T @ own + len(own) * ridge * np.eye(features.shape[1])
        result[rows] = np.linalg.solve(spread, (own - own.mean(axis=0)).T).T
    return unit(result)


def drawn_to_neighbours(
    features: Float64Array,
    gallery: Float64Array,
    cameras: Int64Array,
    *,
    neighbours: int = 20,
    temperature: float = 0.08,
    pull: float = 0.5,
) -> Float64Array:
    """Draw features to those of other cameras that are like them, away from the next ones (FAC).

    ``f + pull (sum of w g - mean of h)`` at unit length: ``g`` the nearest with positive cosine ``s``
    and ``w`` proportional to ``exp((s - 1) / temperature)``, ``h`` as many that follow.

    Parameters
    ----------
    features, gallery
        float64 ``(N, D)``, unit length; the gallery's rows are the same tracklets.
    cameras
        int64 ``(N,)``.
    neighbours, temperature, pull
        See :class:`SimilarityOptions`.
    """
    alike = features @ gallery.T
    alike[cameras[:, None] == cameras[None, :]] = 0.0
    order = np.argsort(-alike, axis=1, kind="stable")[:, : 2 * neighbours]
    score = np.take_along_axis(alike, order, axis=1)
    good = score > 0
    nearest = np.arange(order.shape[1]) < neighbours
    weight = np.where(good & nearest, np.exp((score - 1) / temperature), 0.0)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1e-300)
    away = (good & ~nearest).astype(np.float64)
    away /= np.maximum(away.sum(axis=1, keepdims=True), 1.0)
    mixed = np.zeros_like(alike)
    np.put_along_axis(mixed, order, pull * (weight - away), axis=1)
    return unit(features + mixed @ gallery)


def similarity(
    features: Float64Array, cameras: Int64Array, options: SimilarityOptions | None = None
) -> Float64Array:
    """``(N, N)`` how alike tracklets look: 1 for the same, about 0 for nothing in common.

    Parameters
    ----------
    features
        float64 ``(N, D)`` mean appearances, of any length.
    cameras
        int64 ``(N,)``.
    options
        See :class:`SimilarityOptions`.
    """
    options = options or SimilarityOptions()
    looks = without_camera_bias(unit(features), cameras, options.ridge)
    gallery = query = looks
    if options.neighbours:
        settings = options.model_dump(include={"neighbours", "temperature", "pull"})
        gallery = drawn_to_neighbours(looks, looks, cameras, **settings)
        query = drawn_to_neighbours(looks, gallery, cameras, **settings)
    if not options.near:
        return query @ query.T
    if options.twice:
        return 1 - rerank(
            query, gallery, near=options.near, averaged=options.averaged, half_precision=True
        )
    # Half as many: every tracklet is there once.
    return 1 - rerank(query, query, near=max(1, options.near // 2), averaged=options.averaged)
