"""What a fixed camera sees when nothing moves, and what of a frame is not that.

Sources: the background is, for each pixel, the colour that was seen often and over the longest time,
so that somebody who stands still for most of a clip does not become part of it; shadows are
darker by a common factor and keep their hue (Horprasert et al. 1999; Cucchiara et al. 2003).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Float32 = NDArray[np.float32]

MOST_SAMPLES = 96
_CANDIDATES = 24
_SAME = 22
"""Colours that differ by no more in any channel are one colour."""
_POWER = 6
"""Of the time over which a colour was seen, against how often."""
_LEAST_DIFFERENCE = 16.0
_NEIGHBOURS = np.ones((5, 5), np.uint8)
"""Edges of the background may be so far off, two pixels to each side: cameras shake."""
_NOISES = 4.0
"""Foreground differs by more than the first, and by so many times the pixel's noise."""
_SATURATED = 190
_LOOKED_AT = 4000
"""Pixels from which the exposure is estimated."""
_SHADOWS = (0.45, 0.97)
"""How bright a shadow is, as a share of what lies in it."""
_HUE = 0.022
"""How much the shares of red, green and blue may change in a shadow."""


@dataclass(frozen=True, eq=False)
class Background:
    """A learnt background.

    Attributes
    ----------
    picture
        uint8 ``(h, w, 3)``, RGB.
    threshold
        uint8 ``(h, w)``: what differs more is something else.
    """

    picture: Pixels
    threshold: Pixels

    def foreground(self, frame: Pixels) -> tuple[Pixels, Pixels]:
        """What is in front of it.

        Cameras change their exposure when a bright car comes, so the background is compared as bright
        as the frame is.

        Parameters
        ----------
        frame
            ``(h, w, 3)`` uint8.

        Returns
        -------
        mask, difference
            uint8 ``(h, w)``: 255 where something is that is not a shadow, else 0; how much it differs.
        """
        gain = exposure(frame, self.picture)
        expected = _exposed(self.picture, gain)
        # Where there is an edge, both of its sides are expected.
        darkest = cv2.erode(expected, _NEIGHBOURS)
        brightest = cv2.dilate(expected, _NEIGHBOURS)
        beyond = cv2.max(cv2.subtract(darkest, frame), cv2.subtract(frame, brightest))
        difference = _largest(np.asarray(beyond, np.uint8))
        mask = np.asarray(cv2.compare(difference, self.threshold, cv2.CMP_GT), np.uint8)
        rows, columns = np.nonzero(mask)
        here, there, before = frame[rows, columns], expected[rows, columns], self.picture[rows, columns]
        dropped = _shadow(here, there) | _dazzling(here, there, before)
        mask[rows[dropped], columns[dropped]] = 0
        return mask, difference


def learn_background(samples: Pixels) -> Background:
    """The background of frames from all over a stretch of time.

    Parameters
    ----------
    samples
        uint8 ``(K, h, w, 3)``, RGB, in their order; at most :data:`MOST_SAMPLES`.

    Each pixel gets the colour with the largest ``share of samples with this colour x (share of the
    time from the first to the last of them)^6``, which is then averaged over those samples.
    """
    reference = samples[np.argsort(samples[:, ::4, ::4].mean(axis=(1, 2, 3)))[len(samples) // 2]]
    even = [_exposed(sample, np.float32(1) / exposure(sample, reference)) for sample in samples]
    best = np.full(reference.shape[:2], -1, np.float32)
    chosen = reference.copy()
    for candidate in even[:: max(1, len(even) // _CANDIDATES)]:
        value = _seen(even, candidate)
        better = value > best
        best[better] = value[better]
        chosen[better] = candidate[better]
    total = np.zeros(reference.shape, np.float32)
    squares = np.zeros(reference.shape, np.float32)
    count = np.zeros(reference.shape[:2], np.float32)
    for sample in even:
        same = _alike(sample, chosen)
        values = sample.astype(np.float32)
        cv2.accumulate(values, total, same)
        cv2.accumulateSquare(values, squares, same)
        count += same > 0
    count = np.maximum(count, 1)[..., None]
    mean = total / count
    noise = np.sqrt(np.maximum(squares / count - mean**2, 0)).max(axis=2)
    smooth = np.asarray(cv2.blur(noise, (3, 3)))
    threshold = np.clip(_NOISES * smooth, _LEAST_DIFFERENCE, 255).astype(np.uint8)
    return Background(mean.round().astype(np.uint8), threshold)


def exposure(frame: Pixels, picture: Pixels) -> Float32:
    """``(3,)`` how much brighter a frame is than a picture, by the pixels that agree on it."""
    step = max(1, round(math.sqrt(frame.shape[0] * frame.shape[1] / _LOOKED_AT)))
    a, b = (side[::step, ::step].reshape(-1, 3).astype(np.float32) for side in (frame, picture))
    usable = (b.min(axis=1) > 12) & (a.max(axis=1) < 250) & (b.max(axis=1) < 250)
    if usable.sum() < 50:
        return np.ones(3, np.float32)
    ratios = a[usable] / b[usable]
    gain = np.median(ratios, axis=0)
    for _ in range(2):
        near = np.abs(ratios / np.maximum(gain, 1e-3) - 1).max(axis=1) < 0.15
        if near.sum() < 50:
            break
        gain = np.median(ratios[near], axis=0)
    return np.asarray(np.clip(gain, 0.2, 5.0), np.float32)


def _seen(samples: list[Pixels], candidate: Pixels) -> Float32:
    """``(h, w)`` how often and how long each pixel of a candidate was seen."""
    count = len(samples)
    often = np.zeros(candidate.shape[:2], np.uint8)
    since, until = often.copy(), often.copy()
    for number, sample in enumerate(samples):
        same = _alike(sample, candidate)
        often += same & np.uint8(1)
        np.maximum(until, same & np.uint8(number + 1), out=until)
        np.maximum(since, same & np.uint8(count - number), out=since)
    span = (until.astype(np.float32) + since - count) / count
    return np.asarray(often / count * span**_POWER, np.float32)


def _alike(sample: Pixels, picture: Pixels) -> Pixels:
    """uint8 ``(h, w)``: 255 where a sample has a picture's colour."""
    return (_largest(np.asarray(cv2.absdiff(sample, picture), np.uint8)) <= _SAME).view(
        np.uint8
    ) * np.uint8(255)


def _largest(picture: Pixels) -> Pixels:
    """uint8 ``(h, w)``: the largest of the channels."""
    red, green, blue = cv2.split(picture)
    return np.asarray(cv2.max(cv2.max(red, green), blue), np.uint8)


def _exposed(picture: Pixels, gain: Float32) -> Pixels:
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).round().astype(np.uint8)
    return np.asarray(cv2.LUT(picture, table.reshape(1, 256, 3)), np.uint8)


def _shadow(frame: Pixels, expected: Pixels) -> NDArray[np.bool_]:
    """``(N,)`` of pixels ``(N, 3)``: darker than expected, and of the same hue."""
    total = frame.sum(axis=1, dtype=np.float32) + 1
    before = expected.sum(axis=1, dtype=np.float32) + 1
    ratio = total / before
    hue = np.abs(frame / total[:, None] - expected / before[:, None]).max(axis=1)
    return np.asarray((ratio > _SHADOWS[0]) & (ratio < _SHADOWS[1]) & (hue < _HUE))


def _dazzling(frame: Pixels, expected: Pixels, picture: Pixels) -> NDArray[np.bool_]:
    """``(N,)`` white things, such as marks on a road: how white they are beyond white is not known."""
    low, high = np.minimum(expected, picture), np.maximum(expected, picture)
    within = (frame >= low - np.int16(12)) & (frame <= high + np.int16(12))
    return np.asarray(within.all(axis=1) & (picture.max(axis=1) >= _SATURATED))
