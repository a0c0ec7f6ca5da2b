"""Zones that tracks suggest: where tracklets begin and end near the picture's border."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input
from engine.tracks.cameras import Camera, Zone
from engine.tracks.network_edits import free_zone_name
from engine.tracks.zone_counts import EndPoints
from engine.tracks.zone_shapes import clipped, shape_problem

Float64Array = NDArray[np.float64]

FEWEST = 6
"""Tracklets from which something is suggested."""
NEAR = 0.3
"""Of the shorter side, how far from the border ends of tracklets may be to count."""
APART = 0.3
"""Of the diagonal, how far the ends of one zone may be apart on average."""
LEAST_SHARE = 0.04
"""Of all ends, that a zone needs."""
MOST = 1500
"""Ends that are looked at."""
PLAIN = 0.012
"""Of the diagonal, by which an outline may be off the hull for having fewer corners."""
ROOM = 0.03
"""Of the diagonal, by which a zone is larger than the ends in it."""


def suggested_zones(ends: EndPoints, width: float, height: float) -> tuple[Zone, ...]:
    """Zones around places where many tracklets begin or end, the largest first; named by their side.

    Ends near the border are clustered (average linkage); a zone is the hull of a cluster, with room
    around it and out to the border next to it. Where they lead is for somebody to say.

    Parameters
    ----------
    ends
        Of the camera's tracklets.
    width, height
        Of its pictures, pixels.

    Raises
    ------
    EngineError
        ``invalid_input`` with fewer than :data:`FEWEST` tracklets, or where none begins or ends near
        the border.
    """
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(ends) < FEWEST:
        raise invalid_input(
            f"{len(ends)} tracklets are too few to suggest zones from; nothing was changed.",
            "Draw them, or track a longer video.",
        )
    runs = np.concatenate([ends.first, ends.last])
    points = runs[:, 0]
    border = np.minimum(
        np.minimum(points[:, 0], width - points[:, 0]), np.minimum(points[:, 1], height - points[:, 1])
    )
    near = np.flatnonzero(border < NEAR * min(width, height))
    near = near[:: max(1, -(-len(near) // MOST))]
    runs, points = runs[near], points[near]
    diagonal = float(np.hypot(width, height))
    if len(points) < FEWEST:
        raise invalid_input(
            "Hardly any tracklet begins or ends near the picture's border, so there are no arms to "
            "suggest; nothing was changed.",
            "Draw the zones where things appear and vanish.",
        )
    labels = fcluster(linkage(points, "average"), APART * diagonal, "distance")
    found: list[Zone] = []
    for name in np.argsort(-np.bincount(labels)).tolist():
        own = points[labels == name]
        if len(own) < max(3, LEAST_SHARE * len(points)):
            continue
        # All boxes that are asked for a zone later are in it, not only the very first.
        asked = runs[labels == name].reshape(-1, 2)
        polygon = _around(asked[np.isfinite(asked[:, 0])], width, height)
        if not shape_problem(polygon, width, height):
            taken = Camera("any", zones=tuple(found))
            found.append(Zone(_side(own.mean(axis=0), width, height, taken), polygon))
    return tuple(found)


def _around(points: Float64Array, width: float, height: float) -> tuple[tuple[float, float], ...]:
    """The convex hull of points with room around, and out to the border that is next to them."""
    import cv2
    from scipy.spatial import ConvexHull

    room, size = ROOM * float(np.hypot(width, height)), np.array([width, height])
    steps = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)]) * room
    wide = (points[:, None] + steps).reshape(-1, 2)
    near = NEAR * min(width, height)
    middle = np.median(points, axis=0)
    for axis in (0, 1):
        for edge in (0.0, float(size[axis])):
            if abs(middle[axis] - edge) < near / 1.5:
                out = wide.copy()
                out[:, axis] = edge
                wide = np.concatenate([wide, out])
    wide = np.clip(wide, 0, size)
    hull = wide[ConvexHull(wide).vertices].astype(np.float32)
    hull = cv2.approxPolyDP(hull, PLAIN * float(np.hypot(width, height)), True).reshape(-1, 2)
    return clipped([(round(float(x), 1), round(float(y), 1)) for x, y in hull], width, height)


def _side(middle: Float64Array, width: float, height: float, camera: Camera) -> str:
    """What a zone there is called."""
    x, y = middle[0] / width - 0.5, middle[1] / height - 0.5
    across, down = ("left" if x < 0 else "right"), ("top" if y < 0 else "bottom")
    return free_zone_name(camera, across if abs(x) > abs(y) else down)
