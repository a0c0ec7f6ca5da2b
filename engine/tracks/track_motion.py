"""How evenly tracked boxes move: lines before and after every box, and how badly two of them meet.

A tracklet that goes on as somebody else shows where the line after a box does not continue the line
before it. The same comparison across tracklets says who could go on as whom.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Boxes, Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.tracklets import TrackState

Float64Array = NDArray[np.float64]

WINDOW_SECONDS = 0.6
LEAST_WINDOW, MOST_WINDOW = 5, 15
LEAST_FOR_SLOPE = 3
"""Boxes from which a speed is believed."""
LEAST_NOISE = 0.01
"""Of positions, in sizes of the box: a drawn track is not suspicious for being drawn well."""
DRIFT = 0.04
"""Sizes a frame by which nobody knows where a hidden object is."""


@dataclass(frozen=True)
class Flat:
    """All tracked boxes, one tracklet after the other, each by frame.

    Attributes
    ----------
    boxes
        ``N`` of them.
    rows
        int64 ``(N,)`` their rows in the state.
    owner
        int64 ``(N,)`` position of each box's tracklet in ``names``.
    names
        int64 ``(T,)`` tracklets, ascending.
    starts
        int64 ``(T + 1,)`` first box of each; the last is N.
    identities, cameras
        int64 ``(T,)``.
    """

    boxes: Boxes
    rows: Int64Array
    owner: Int64Array
    names: Int64Array
    starts: Int64Array
    identities: Int64Array
    cameras: Int64Array

    @property
    def lengths(self) -> Int64Array:
        """``(T,)`` boxes of each tracklet."""
        return np.diff(self.starts)

    @property
    def firsts(self) -> Int64Array:
        """``(T,)`` first frames."""
        return self.boxes.frames[self.starts[:-1]]

    @property
    def lasts(self) -> Int64Array:
        """``(T,)`` last frames."""
        return self.boxes.frames[self.starts[1:] - 1]

    def until(self, tracklets: Int64Array, frames: Int64Array) -> Int64Array:
        """``(K,)`` the last box of each tracklet (a position) at or before a frame; -1 for none."""
        # One number orders boxes by tracklet, then frame.
        stride = int(self.boxes.frames.max(initial=0)) + 2
        keys = self.owner * stride + self.boxes.frames
        wanted = tracklets * stride + np.clip(frames, -1, stride - 2)
        found = np.searchsorted(keys, wanted, side="right") - 1
        return np.where(found >= self.starts[tracklets], found, -1)


def flatten(state: TrackState) -> Flat:
    """The tracked boxes of a state."""
    names = state.tracklets
    groups = [state.rows_of(name) for name in names]
    lengths = np.array([len(group) for group in groups], np.int64)
    rows = np.concatenate(groups) if groups else np.zeros(0, np.int64)
    boxes = state.boxes_at(rows)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Flat(
        boxes, rows, np.repeat(np.arange(len(names)), lengths), np.array(names, np.int64), starts,
        np.array([state.identity_of(name) for name in names], np.int64),
        boxes.cameras[starts[:-1]],
    )  # fmt: skip


@dataclass(frozen=True)
class Fits:
    """A line through the boxes of a window at each of ``N`` boxes: centre and logarithm of the size.

    Attributes
    ----------
    count
        ``(N,)`` boxes in the window.
    time
        ``(N,)`` their mean frame.
    spread
        ``(N,)`` sum of squared distances from it.
    mean, slope
        ``(N, 3)`` pixels, pixels and logarithms, and a frame.
    """

    count: Float64Array
    time: Float64Array
    spread: Float64Array
    mean: Float64Array
    slope: Float64Array


@dataclass(frozen=True)
class Misfit:
    """How badly lines meet; of ``K`` pairs of boxes, in standard deviations.

    Attributes
    ----------
    position, speed, size
        ``(K,)``.
    """

    position: Float64Array
    speed: Float64Array
    size: Float64Array

    @property
    def motion(self) -> Float64Array:
        """``(K,)`` the larger of position and half of speed: things brake, but do not leap."""
        return np.maximum(self.position, self.speed / 2)


class Motion:
    """Lines before and after every box, and how noisy each camera's tracks are.

    Parameters
    ----------
    flat
        The boxes.
    cameras
        Their frame rates say how long a window is.
    most
        Boxes in a window.
    """

    def __init__(self, flat: Flat, cameras: tuple[Camera, ...], most: int = MOST_WINDOW) -> None:
        xywh = flat.boxes.xywh.astype(np.float64)
        self._sizes = np.sqrt(np.maximum(xywh[:, 2] * xywh[:, 3], 1.0))
        self._frames = flat.boxes.frames.astype(np.float64)
        self._values = np.stack(
            [xywh[:, 0] + xywh[:, 2] / 2, xywh[:, 1] + xywh[:, 3] / 2, np.log(self._sizes)], axis=1
        )
        self._cameras = flat.boxes.cameras
        rates = np.array([camera.fps for camera in cameras])
        windows = np.round(rates * WINDOW_SECONDS).clip(LEAST_WINDOW, MOST_WINDOW).astype(np.int64)
        windows = np.minimum(windows, most)
        window = windows[self._cameras] if len(flat.boxes) else np.zeros(0, np.int64)
        self.before = self._fit(window, flat.starts[flat.owner], -1)
        self.after = self._fit(window, flat.starts[flat.owner + 1] - 1, 1)
        self.inside = np.flatnonzero(np.diff(flat.owner) == 0)
        """Boxes after which their tracklet has another."""
        self._noise = np.full((len(cameras), 3), LEAST_NOISE)
        self._measure_noise()

    def _fit(self, window: Int64Array, limit: Int64Array, step: int) -> Fits:
        """Lines through windows that begin at each box and end, ``step`` wise, at ``limit``."""
        count = len(window)
        at = np.arange(count)
        sums = np.zeros((count, 3))  # of 1, t, t^2, times relative to the box itself
        of_values, of_products = np.zeros((count, 3)), np.zeros((count, 3))
        for k in range(int(window.max(initial=0))):
            index = at + step * k
            valid = (k < window) & ((limit - index) * step >= 0)
            index = np.where(valid, index, at)
            t = self._frames[index] - self._frames
            valid &= np.abs(t) <= 2 * window  # not across a long gap
            weight = valid.astype(np.float64)
            t = t * weight
            sums += np.stack([weight, t, t * t], axis=1)
            moved = (self._values[index] - self._values) * weight[:, None]
            of_values += moved
            of_products += moved * t[:, None]
        number = np.maximum(sums[:, 0], 1)
        time = sums[:, 1] / number
        spread = sums[:, 2] - sums[:, 1] * time
        slope = (of_products - of_values * time[:, None]) / np.where(spread > 0, spread, 1)[:, None]
        slope[sums[:, 0] < LEAST_FOR_SLOPE] = 0
        mean = self._values + of_values / number[:, None]
        return Fits(sums[:, 0], self._frames + time, spread, mean, slope)

    def _measure_noise(self) -> None:
        at = self.inside
        known = (self.before.count[at] > LEAST_FOR_SLOPE) & (self.after.count[at + 1] > LEAST_FOR_SLOPE)
        at = at[known]
        if not len(at):
            return
        position, speed, size = self._apart(at, at + 1)
        noise = (
            np.abs(position[0]) / np.sqrt(position[1])[:, None],
            np.abs(speed[0]) / np.sqrt(speed[1])[:, None],
            np.abs(size[0]) / np.sqrt(position[1])[:, None],
        )
        for camera in np.unique(self._cameras[at]).tolist():
            own = self._cameras[at] == camera
            for kind, values in enumerate(noise):
                deviation = 1.4826 * float(np.median(values[own]))  # of a normal distribution
                self._noise[camera, kind] = max(deviation, LEAST_NOISE)

    def _apart(
        self, one: Int64Array, other: Int64Array
    ) -> tuple[tuple[Float64Array, Float64Array], ...]:
        """By how much position, speed and size do not meet, and the variance of unit noise."""
        f, g = self.before, self.after
        first, second = f.slope[one], g.slope[other]
        lonely = f.count[one] < LEAST_FOR_SLOPE
        first = np.where(lonely[:, None], second, first)
        alone = g.count[other] < LEAST_FOR_SLOPE
        second = np.where(alone[:, None], first, second)
        middle = (self._frames[one] + self._frames[other]) / 2
        left, right = middle - f.time[one], middle - g.time[other]
        apart = g.mean[other] + second * right[:, None] - f.mean[one] - first * left[:, None]
        scale = ((self._sizes[one] + self._sizes[other]) / 2)[:, None]
        # A window of one or two boxes counts as one of two frames: its speed is borrowed.
        spreads = np.maximum(f.spread[one], 2.0), np.maximum(g.spread[other], 2.0)
        variance = 1 / f.count[one] + 1 / g.count[other] + left**2 / spreads[0] + right**2 / spreads[1]
        pixels = slice(0, 2)
        return (
            (apart[:, pixels] / scale, variance),
            ((second - first)[:, pixels] / scale, 1 / spreads[0] + 1 / spreads[1]),
            (apart[:, 2:], variance),
        )

    def misfit(self, one: Int64Array, other: Int64Array) -> Misfit:
        """How badly the line that ends at box ``one`` goes on as that which begins at ``other``.

        Parameters
        ----------
        one, other
            int64 ``(K,)`` boxes (positions), of one camera each pair; ``one`` is earlier.
        """
        position, speed, size = self._apart(one, other)
        noise = self._noise[self._cameras[one]] if len(one) else np.zeros((0, 3))
        hidden = (DRIFT * np.maximum(np.abs(self._frames[other] - self._frames[one]) - 1, 0)) ** 2
        return Misfit(
            _length(position[0]) / np.sqrt(noise[:, 0] ** 2 * position[1] + hidden),
            _length(speed[0]) / np.sqrt(noise[:, 1] ** 2 * speed[1] + hidden / 25),
            _length(size[0]) / np.sqrt(noise[:, 2] ** 2 * size[1] + hidden),
        )


def _length(values: Float64Array) -> Float64Array:
    return np.asarray(np.sqrt((values**2).sum(axis=1)))
