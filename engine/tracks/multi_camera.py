"""Who is who over several cameras along a road: sub-clustering of adjacent cameras.

The association of the AI City Challenge's winner (arXiv 2105.06623, sections 3.3 to 3.5). Tracklets of
neighbouring cameras that go the same way are clustered by looks where times and directions allow it;
clusters that share a tracklet are one vehicle; then once more with the mean looks of clusters.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from engine.errors import invalid_input
from engine.tracks.boxes import Int64Array
from engine.tracks.camera_similarity import SimilarityOptions, similarity
from engine.tracks.reranking import Float64Array
from engine.tracks.temporal_mask import Arm, Mask, Passages

NOBODY = -1
"""The identity of a tracklet that no other camera's tracklet belongs to."""


class RoadOptions(BaseModel):
    """Settings of the association along a road."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    looks: SimilarityOptions = Field(
        default=SimilarityOptions(twice=True), description="How looks are compared."
    )
    most_distance: float = Field(
        default=0.5, ge=0, le=1, description="Distance of looks up to which tracklets are one."
    )
    pair_distances: dict[int, float] = Field(
        default_factory=dict,
        description="The same for single pairs of cameras, by the number of the first (from 0).",
    )
    most_second_distance: float = Field(
        default=0.9, ge=0, le=1, description="The same of the second pass, with looks of clusters."
    )


def associate_along_road(
    passages: Passages, features: Float64Array, mask: Mask, options: RoadOptions | None = None
) -> Int64Array:
    """Identities of tracklets of cameras in a row.

    Parameters
    ----------
    passages
        ``N`` tracklets; only cameras and zones are used here, times are in the mask.
    features
        float64 ``(N, D)`` mean appearances.
    mask
        ``(N, N)`` pairs that are possible, as :func:`~engine.tracks.temporal_mask.temporal_mask` says.
    options
        See :class:`RoadOptions`.

    Returns
    -------
    int64 ``(N,)`` identities from 0; :data:`NOBODY` for tracklets that are alone, and for those of
    clusters with two tracklets of one camera.

    Raises
    ------
    EngineError
        ``invalid_input`` when the arguments are not about equally many tracklets.
    """
    options = options or RoadOptions()
    count = len(passages)
    if len(features) != count or mask.shape != (count, count):
        raise invalid_input(
            f"{count} tracklets need as many appearances and a mask of {count} x {count}; nothing was "
            "associated."
        )
    pairs = range(int(passages.cameras.max(initial=0)))
    cuts = [options.pair_distances.get(camera, options.most_distance) for camera in pairs]
    one_way = [*forward_groups(passages), *backward_groups(passages)]
    first = _clusters(
        zip(one_way, [*cuts, *cuts], strict=True), passages, features, mask, options.looks
    )
    features = features.copy()
    for cluster in first:
        features[cluster] = features[cluster].mean(axis=0)
    both = [np.flatnonzero(np.isin(passages.cameras, (camera, camera + 1))) for camera in pairs]
    second = _clusters(
        [(group, options.most_second_distance) for group in both],
        passages, features, mask, options.looks,
    )  # fmt: skip
    identities = np.full(count, NOBODY, np.int64)
    kept = [rows for rows in second if len(rows) == len(np.unique(passages.cameras[rows])) > 1]
    for identity, rows in enumerate(kept):
        identities[rows] = identity
    return identities


def forward_groups(passages: Passages) -> list[Int64Array]:
    """For each pair of neighbours the tracklets that go from the first to the second, or may."""
    return [
        np.flatnonzero(
            ((passages.cameras == camera) & (passages.zone_out == Arm.NEXT))
            | ((passages.cameras == camera + 1) & (passages.zone_in == Arm.PREVIOUS))
        )
        for camera in range(int(passages.cameras.max(initial=0)))
    ]


def backward_groups(passages: Passages) -> list[Int64Array]:
    """For each pair of neighbours the tracklets that go from the second to the first, or may."""
    return [
        np.flatnonzero(
            ((passages.cameras == camera + 1) & (passages.zone_out == Arm.PREVIOUS))
            | ((passages.cameras == camera) & (passages.zone_in == Arm.NEXT))
        )
        for camera in range(int(passages.cameras.max(initial=0)))
    ]


def complete_linkage(distance: Float64Array, most: float) -> Int64Array:
    """Clusters in which every two are at most so far apart, the nearest joined first.

    Parameters
    ----------
    distance
        float64 ``(N, N)``; the upper triangle counts.
    most
        Distance.

    Returns
    -------
    int64 ``(N,)`` clusters from 0.
    """
    if len(distance) < 2:
        return np.zeros(len(distance), np.int64)
    upper = np.triu(np.clip(distance, 0, None), 1)
    tree = linkage(squareform(upper + upper.T, checks=False), "complete")
    return np.asarray(fcluster(tree, most, "distance"), np.int64) - 1


def _clusters(
    groups: Iterable[tuple[Int64Array, float]],
    passages: Passages,
    features: Float64Array,
    mask: Mask,
    looks: SimilarityOptions,
) -> list[Int64Array]:
    """Clusters of all groups, each with its cut; those that share a tracklet are one.

    A cluster of a later group joins the first that it touches and no other, as in the published
    program: a tracklet can then be in two of them.
    """
    united: list[set[int]] = []
    for rows, most in groups:
        alike = similarity(features[rows], passages.cameras[rows], looks) * mask[np.ix_(rows, rows)]
        labels = complete_linkage(1 - alike, most)
        for label in range(int(labels.max(initial=-1)) + 1):
            cluster = set(rows[labels == label].tolist())
            touched = next((other for other in united if other & cluster), None)
            if touched is None:
                united.append(cluster)
            else:
                touched |= cluster
    return [np.array(sorted(cluster), np.int64) for cluster in united]
