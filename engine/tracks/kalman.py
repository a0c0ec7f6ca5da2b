"""Kalman filter of boxes that move evenly: the motion model of the trackers.

State of a box: centre x and y, aspect ratio a = width / height, height h, and their velocities a frame
(SORT, Bewley et al. 2016, as DeepSORT and JDE have it). All noise is independent in the four numbers,
so the 8 x 8 covariance falls into four of 2 x 2 and stays so: everything is computed with those, for
all tracks at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float64Array = NDArray[np.float64]

GATE = 9.4877
"""95 % quantile of the squared Mahalanobis distance in four dimensions (chi-square)."""
_PLACE, _SPEED = 1 / 20, 1 / 160
_ASPECT, _ASPECT_SPEED, _ASPECT_MEASURED = 1e-2, 1e-5, 1e-1


@dataclass
class Motion:
    """Gaussian states of ``N`` tracks.

    Attributes
    ----------
    place, speed
        float64 ``(N, 4)`` means of (cx, cy, a, h), pixels, and of their changes a frame.
    covariance
        float64 ``(N, 4, 3)`` for each of the four numbers: variance of the place, covariance of place
        and speed, variance of the speed.
    """

    place: Float64Array
    speed: Float64Array
    covariance: Float64Array

    @classmethod
    def begin(cls, measured: Float64Array) -> Motion:
        """States of new tracks from their first boxes ``(N, 4)`` (cx, cy, a, h), at rest."""
        place = np.array(measured, np.float64)
        heights = place[:, 3]
        covariance = np.zeros((len(place), 4, 3))
        covariance[:, :, 0] = _std(heights, 2 * _PLACE, _ASPECT) ** 2
        covariance[:, :, 2] = _std(heights, 10 * _SPEED, _ASPECT_SPEED) ** 2
        return cls(place, np.zeros_like(place), covariance)

    @classmethod
    def none(cls) -> Motion:
        """Of no track."""
        return cls(np.zeros((0, 4)), np.zeros((0, 4)), np.zeros((0, 4, 3)))

    def select(self, rows: NDArray[np.integer] | NDArray[np.bool_]) -> Motion:
        """Some of the tracks."""
        return Motion(self.place[rows], self.speed[rows], self.covariance[rows])

    def joined(self, other: Motion) -> Motion:
        """These tracks, then the others."""
        return Motion(
            np.concatenate([self.place, other.place]),
            np.concatenate([self.speed, other.speed]),
            np.concatenate([self.covariance, other.covariance]),
        )

    def predict(self) -> None:
        """One frame later."""
        heights = self.place[:, 3].copy()
        var, cross, speed = (self.covariance[:, :, at] for at in range(3))
        self.place = self.place + self.speed
        # In this order, so that each uses what the others were before.
        var[:] = var + 2 * cross + speed + _std(heights, _PLACE, _ASPECT) ** 2
        cross += speed
        speed += _std(heights, _SPEED, _ASPECT_SPEED) ** 2

    def innovation(self) -> Float64Array:
        """``(N, 4)`` variance of what will be measured."""
        noise = _std(self.place[:, 3], _PLACE, _ASPECT_MEASURED)
        return np.asarray(self.covariance[:, :, 0] + noise**2)

    def distances(self, measured: Float64Array) -> Float64Array:
        """``(N, M)`` squared Mahalanobis distances to boxes ``(M, 4)`` (cx, cy, a, h)."""
        apart = self.place[:, None, :] - measured[None, :, :]
        return np.asarray((apart**2 / self.innovation()[:, None, :]).sum(2))

    def update(self, rows: NDArray[np.integer], measured: Float64Array) -> None:
        """Tracks ``rows (K,)`` are seen at boxes ``(K, 4)`` (cx, cy, a, h)."""
        if not len(rows):
            return
        variance = self.innovation()[rows]
        own = self.covariance[rows]
        gain, gain_speed = own[:, :, 0] / variance, own[:, :, 1] / variance
        apart = measured - self.place[rows]
        self.place[rows] += gain * apart
        self.speed[rows] += gain_speed * apart
        own[:, :, 0] -= gain**2 * variance
        own[:, :, 1] -= gain * gain_speed * variance
        own[:, :, 2] -= gain_speed**2 * variance
        self.covariance[rows] = own

    def boxes(self) -> Float64Array:
        """``(N, 4)`` left, top, right, bottom of the means."""
        return corners(self.place)

    def matrices(self) -> Float64Array:
        """``(N, 8, 8)`` covariances in the order (cx, cy, a, h, and their speeds)."""
        result = np.zeros((len(self.place), 8, 8))
        for at in range(4):
            var, cross, speed = (self.covariance[:, at, part] for part in range(3))
            result[:, at, at], result[:, at + 4, at + 4] = var, speed
            result[:, at, at + 4] = result[:, at + 4, at] = cross
        return result


def measurements(xyxy: Float64Array) -> Float64Array:
    """``(N, 4)`` (cx, cy, a, h) of boxes left, top, right, bottom; heights have to be positive."""
    width, height = xyxy[:, 2] - xyxy[:, 0], xyxy[:, 3] - xyxy[:, 1]
    result = np.empty((len(xyxy), 4))
    result[:, 0], result[:, 1] = xyxy[:, 0] + width / 2, xyxy[:, 1] + height / 2
    result[:, 2], result[:, 3] = width / height, height
    return result


def corners(measured: Float64Array) -> Float64Array:
    """The inverse of :func:`measurements`."""
    half = np.empty((len(measured), 2))
    half[:, 0], half[:, 1] = measured[:, 2] * measured[:, 3] / 2, measured[:, 3] / 2
    result = np.empty((len(measured), 4))
    result[:, :2], result[:, 2:] = measured[:, :2] - half, measured[:, :2] + half
    return result


def _std(heights: Float64Array, share: float, aspect: float) -> Float64Array:
    """``(N, 4)`` standard deviations: a share of the height, and a number for the aspect ratio."""
    result = np.empty((len(heights), 4))
    result[:] = (share * heights)[:, None]
    result[:, 2] = aspect
    return result
