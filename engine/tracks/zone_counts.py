"""How many tracklets come and go by each zone of a camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.track_motion import Flat
from engine.tracks.visits import END
from engine.tracks.zones import centres

Float64Array = NDArray[np.float64]

HEAT = 48
"""Cells along the longer side of a picture in which boxes are counted."""


@dataclass(frozen=True)
class EndPoints:
    """Where the ``T`` tracklets of a camera begin and end.

    Attributes
    ----------
    first, last
        float64 ``(T, 5, 2)`` centres of the boxes nearest each end, that one first; NaN where a
        tracklet has fewer.
    """

    first: Float64Array
    last: Float64Array

    def __len__(self) -> int:
        return len(self.first)


def end_points(flat: Flat, camera: int) -> EndPoints:
    """The ends of the tracklets of one camera."""
    own = np.flatnonzero(flat.cameras == camera)
    lengths, middle = flat.lengths[own], centres(flat.boxes)
    step = np.arange(END)
    there = step < lengths[:, None]
    first = flat.starts[own][:, None] + step
    last = flat.starts[own + 1][:, None] - 1 - step
    ends = []
    for rows in (first, last):
        points = np.full((len(own), END, 2), np.nan)
        points[there] = middle[rows[there]]
        ends.append(points)
    return EndPoints(ends[0], ends[1])


def zone_counts(ends: EndPoints, camera: Camera) -> tuple[Int64Array, Int64Array]:
    """Tracklets that begin, and that end, in each zone, by the rule of ``zones.end_zones``.

    Returns
    -------
    int64 ``(Z + 1,)`` each; the last is outside of all zones. Ignored zones count like others.
    """
    count = len(camera.zones) + 1
    return (
        np.bincount(usual_zone(ends.first, camera), minlength=count),
        np.bincount(usual_zone(ends.last, camera), minlength=count),
    )


def usual_zone(points: Float64Array, camera: Camera) -> Int64Array:
    """``(T,)`` the zone of most points, of equally frequent ones that of the first; Z for none."""
    known = np.isfinite(points[..., 0])
    zones = camera.zone_of(np.nan_to_num(points, nan=-1.0).reshape(-1, 2)).reshape(known.shape)
    alike = (zones[:, :, None] == zones[:, None, :]) & known[:, :, None] & known[:, None, :]
    best = alike.sum(axis=2).argmax(axis=1)
    found = zones[np.arange(len(zones)), best]
    return np.where(found < 0, len(camera.zones), found)


def heat(points: NDArray[np.floating], width: float, height: float) -> Float64Array:
    """How often something was where.

    Parameters
    ----------
    points
        ``(N, 2)`` centres of boxes, pixels.
    width, height
        Of the picture.

    Returns
    -------
    float64 ``(R, C)``, 0 to 1, about square cells; the logarithm of counts, so that what stands does
    not hide what moves.
    """
    size = max(width, height) / HEAT
    shape = max(1, round(height / size)), max(1, round(width / size))
    x, y = np.asarray(points, np.float64).reshape(-1, 2).T
    counts, _, _ = np.histogram2d(y, x, shape, ((0, height), (0, width)))
    found = np.log1p(counts)
    return np.asarray(found / max(float(found.max()), 1e-9))
