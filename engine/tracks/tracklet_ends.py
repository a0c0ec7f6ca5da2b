"""Where and when tracklets begin and end, and the ways between cameras that identities took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.track_motion import Flat
from engine.tracks.tracklets import ADDED
from engine.tracks.visits import END, UNKNOWN, places_of
from engine.tracks.zones import centres

Float64Array = NDArray[np.float64]

SAMPLE = 24
"""Boxes that say what a tracklet looks like."""
SLACK = 0.5
"""Seconds by which the usual time of a way is never known better."""


@dataclass(frozen=True)
class Passages:
    """Ways from one camera to the next, as identities took them: ``P`` of them.

    Attributes
    ----------
    one, other
        int64 ``(P,)`` positions of the tracklets, the earlier and the later.
    gaps
        float64 ``(P,)`` seconds between them; negative where both cameras saw it at once.
    """

    one: Int64Array
    other: Int64Array
    gaps: Float64Array


class Ends:
    """Beginnings and ends of the ``T`` tracklets of a :class:`~engine.tracks.track_motion.Flat`.

    Attributes
    ----------
    begin, end
        float64 ``(T,)`` seconds on the scene's clock.
    first, last
        float64 ``(T, 2)`` centres of the first and last box.
    speed_in, speed_out
        float64 ``(T, 2)`` pixels a second there.
    size
        float64 ``(T,)`` mean square root of the boxes' areas.
    came, went
        int64 ``(T,)`` camera that the zone of the first (last) box leads to,
        :data:`~engine.tracks.visits.OUTSIDE` or :data:`~engine.tracks.visits.UNKNOWN`.
    areas
        float64 ``(N,)`` of all boxes.
    """

    def __init__(self, flat: Flat, cameras: Sequence[Camera]) -> None:
        self._flat, self._cameras = flat, tuple(cameras)
        rates = np.array([camera.fps for camera in cameras])[flat.cameras]
        offsets = np.array([camera.offset for camera in cameras])[flat.cameras]
        self.begin, self.end = offsets + flat.firsts / rates, offsets + flat.lasts / rates
        first, last = flat.starts[:-1], flat.starts[1:] - 1
        middle = centres(flat.boxes)
        self.first, self.last = middle[first], middle[last]
        self.speed_in = self._speed(middle, first, np.minimum(first + END, last), rates)
        self.speed_out = self._speed(middle, np.maximum(last - END, first), last, rates)
        self.areas = flat.boxes.areas().astype(np.float64)
        self.size = np.add.reduceat(np.sqrt(np.maximum(self.areas, 1)), first) / flat.lengths
        self.came, self.went = self._leads(self.first, 0), self._leads(self.last, 1)

    def _speed(
        self, middle: Float64Array, first: Int64Array, last: Int64Array, rates: Float64Array
    ) -> Float64Array:
        frames = self._flat.boxes.frames
        seconds = np.maximum(frames[last] - frames[first], 1) / rates
        return np.asarray((middle[last] - middle[first]) / seconds[:, None])

    def _leads(self, points: Float64Array, way: int) -> Int64Array:
        found = np.full(len(points), UNKNOWN, np.int64)
        for at, camera in enumerate(self._cameras):
            here = np.flatnonzero(self._flat.cameras == at)
            found[here] = places_of(self._cameras, at)[way][camera.zone_of(points[here])]
        return found

    def passages(self) -> Passages:
        """From each tracklet of an identity to its next one, where that is at another camera."""
        flat = self._flat
        order = np.lexsort((self.begin, flat.identities))
        one, other = order[:-1], order[1:]
        passed = (flat.identities[one] == flat.identities[other]) & (
            flat.cameras[one] != flat.cameras[other]
        )
        one, other = one[passed], other[passed]
        return Passages(one, other, self.begin[other] - self.end[one])

    def looks(
        self, features: NDArray[np.floating] | None, tracklets: Int64Array | None = None
    ) -> Float64Array:
        """Mean appearances ``(K, D)`` of tracklets (all, without them), unit length.

        Of up to :data:`SAMPLE` boxes each, larger ones count more; NaN where none has any, ``(K, 1)``
        where nobody does.
        """
        flat = self._flat
        names = np.arange(len(flat.names)) if tracklets is None else tracklets
        if features is None or features.ndim != 2:
            return np.full((len(names), 1), np.nan)
        lengths = flat.lengths[names]
        step = (np.arange(SAMPLE) + 0.5) / SAMPLE
        boxes = flat.starts[names][:, None] + (lengths[:, None] * step).astype(np.int64)
        total = np.zeros((len(names), features.shape[1]))
        for column in boxes.T:
            rows = flat.rows[column]
            real = np.flatnonzero(rows < ADDED)
            found = np.asarray(features[rows[real]], np.float64)
            known = np.isfinite(found).all(axis=1)
            total[real[known]] += found[known] * np.sqrt(self.areas[column[real[known]]])[:, None]
        length = np.linalg.norm(total, axis=1, keepdims=True)
        return np.divide(total, length, out=np.full_like(total, np.nan), where=length > 0)


@dataclass(frozen=True)
class Usual:
    """How long the way between two cameras usually takes.

    Attributes
    ----------
    middle, spread
        Seconds: the median, and a standard deviation that outliers do not change.
    """

    middle: float
    spread: float

    @classmethod
    def of(cls, gaps: Float64Array) -> Usual:
        """Of observed times, one or more."""
        middle = float(np.median(gaps))
        return cls(middle, float(1.4826 * np.median(np.abs(gaps - middle))) + SLACK)


def usual_times(flat: Flat, passages: Passages, least: int) -> dict[tuple[int, int], Usual]:
    """By earlier and later camera, where at least so many identities passed."""
    pairs = np.stack([flat.cameras[passages.one], flat.cameras[passages.other]], axis=1)
    found = {}
    for one, other in np.unique(pairs, axis=0).tolist():
        gaps = passages.gaps[(pairs == (one, other)).all(axis=1)]
        if len(gaps) >= least:
            found[one, other] = Usual.of(gaps)
    return found
