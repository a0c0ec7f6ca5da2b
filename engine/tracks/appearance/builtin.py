"""Colours and edges without weights, made to agree between cameras and in changing light.

Everything is computed from logarithms of colours: a brighter light, another exposure or white balance
adds a constant to them. Half of the vector does not know that constant (colours against the thing's own
mean), the other half does, weakly, because a red car and a blue one of the same pattern are two.

Sources: soft histograms in stripes as in the descriptors of person re-identification (Liao et al. 2015,
LOMO), log-chromaticity (Finlayson and Hordley 2001), histograms of oriented gradients (Dalal and Triggs
2005), their square roots so that cosines compare distributions (Arandjelovic and Zisserman 2012).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.tracks.appearance.catalogue import BuiltInOptions

Pixels = NDArray[np.uint8]
Float32 = NDArray[np.float32]

_SIDE = 48
"""Pictures become so large, whatever size they had; finer things are not compared."""
_DARK = 12.0
"""Added before the logarithm: noise in dark places would be large."""
_GRID = 5
_CELLS = 4
_ANGLES = 8
_STRIPES = 4
_BINS = 8
_RANGES = ((-1.6, 0.9), (-0.8, 0.8), (-0.8, 0.8))
"""Of lightness and the two chromaticities, natural logarithms."""
_EQUAL = np.array([0.5, 1, 1], np.float32)
"""Lightness varies more than hue; so much of it makes them equal."""
_SHARP_SIDE = 32.0
"""Edges of smaller pictures are blurred, so they count less."""
_LAYOUT, _OWN_LAYOUT, _EDGES, _COLOURS, _OWN_COLOURS = 0.3, 1.0, 0.4, 0.5, 0.7
"""Weights of the parts, chosen on synthetic scenes (see ``tests/benchmarks/README.md``)."""


class BuiltIn:
    """The built-in descriptor."""

    name = "colours and edges"
    identity = "built-in 1"
    dimension = 2 * 3 * _GRID**2 + _CELLS**2 * _ANGLES + 2 * 3 * _STRIPES * _BINS

    def __init__(self, options: BuiltInOptions | None = None) -> None:
        del options  # there is nothing to set

    def describe(self, pictures: Sequence[Pixels]) -> Float32:
        """See :class:`~engine.tracks.appearance.catalogue.Appearance`."""
        vectors = np.zeros((len(pictures), self.dimension), np.float32)
        for row, picture in enumerate(pictures):
            vectors[row] = _vector(picture)
        return _unit(vectors)


def _vector(picture: Pixels) -> Float32:
    height, width = picture.shape[:2]
    shrinks = min(height, width) >= _SIDE
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    same = np.asarray(cv2.resize(picture, (_SIDE, _SIDE), interpolation=method), np.float32)
    colours = _log_colours(same)
    own = np.asarray(colours - np.median(colours, axis=(0, 1)), np.float32)
    cells = _log_colours(np.asarray(cv2.resize(same, (_GRID, _GRID), interpolation=cv2.INTER_AREA)))
    sharp = min(1.0, min(height, width) / _SHARP_SIDE)
    return np.concatenate(
        [
            _LAYOUT * _unit((cells * _EQUAL).ravel()),
            _OWN_LAYOUT * _unit((cells - cells.mean(axis=(0, 1))).ravel()),
            _EDGES * sharp * _edges(colours[..., 0]),
            _COLOURS * _stripes(colours),
            _OWN_COLOURS * _stripes(own),
        ]
    )


def _log_colours(picture: Float32) -> Float32:
    """``(h, w, 3)``: lightness, red against green, blue against yellow; 0 is a middle grey."""
    logs = np.log((picture + _DARK) / 128)
    red, green, blue = logs[..., 0], logs[..., 1], logs[..., 2]
    return np.stack([logs.mean(axis=2), red - green, blue - (red + green) / 2], axis=2)


def _stripes(colours: Float32) -> Float32:
    """Histograms of the three numbers in horizontal stripes, each value shared between two bins."""
    pixels = colours.reshape(_STRIPES, -1, 3)
    parts = []
    stripe = np.repeat(np.arange(_STRIPES), pixels.shape[1])
    for channel, (low, high) in enumerate(_RANGES):
        place = np.clip((pixels[..., channel] - low) / (high - low) * (_BINS - 1), 0, _BINS - 1).ravel()
        lower = np.minimum(place.astype(np.int64), _BINS - 2)
        upper = place - lower
        at = stripe * _BINS + lower
        size = _STRIPES * _BINS
        sums = np.bincount(at, 1 - upper, size) + np.bincount(at + 1, upper, size)
        parts.append(sums.reshape(_STRIPES, _BINS) / pixels.shape[1])
    values = np.stack(parts, axis=1)
    wide = np.pad(values, ((0, 0), (0, 0), (1, 1)), mode="edge")
    smooth = np.sqrt((wide[..., :-2] + 2 * wide[..., 1:-1] + wide[..., 2:]) / 4)
    return _unit((smooth - smooth.mean(axis=2, keepdims=True)).ravel().astype(np.float32))


def _edges(light: Float32) -> Float32:
    """Histograms of the directions of edges in cells."""
    across = cv2.Sobel(light, cv2.CV_32F, 1, 0, ksize=3)
    down = cv2.Sobel(light, cv2.CV_32F, 0, 1, ksize=3)
    strength, angle = cv2.cartToPolar(across, down)
    place = (np.asarray(angle) % np.pi).ravel() / np.pi * _ANGLES
    lower = place.astype(np.int64)
    upper = place - lower
    rows, columns = np.mgrid[0:_SIDE, 0:_SIDE] * _CELLS // _SIDE
    cell = (rows * _CELLS + columns).ravel() * _ANGLES
    size = _CELLS**2 * _ANGLES
    weight = np.asarray(strength).ravel()
    sums = np.bincount(cell + lower % _ANGLES, weight * (1 - upper), size)
    sums += np.bincount(cell + (lower + 1) % _ANGLES, weight * upper, size)
    roots = np.sqrt(sums / max(sums.sum(), 1e-9))
    return _unit((roots - roots.mean()).astype(np.float32))


def _unit(vectors: Float32) -> Float32:
    """Of unit length along the last axis; nothing stays nothing."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9)
