"""Parts of images as networks take them: cut, turned, scaled, padded, with the way back.

Matrices ``(2, 3)`` lead from positions in the part to positions in the image; (0, 0) is the outer
corner of the first pixel in both.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

PADDING = 1.25
"""Size of the part that top-down models see, over that of the person's box (MMPose)."""


def cut(pixels: Pixels, to_image: Array, width: int, height: int, fill: int | None = None) -> Pixels:
    """A part of an image, ``(height, width, 3)``.

    Parameters
    ----------
    pixels
        ``(h, w, 3)`` uint8.
    to_image
        ``(2, 3)``, an affine map without shear.
    width, height
        Of the part.
    fill
        Brightness outside of the image; by default its border goes on.
    """
    matrix = to_image.copy()
    # What is much larger than the part is shrunk before, or fine patterns would flicker in it.
    factor = int(np.linalg.norm(matrix[:, :2], axis=0).min())
    if factor >= 2:
        corners = np.array([[0, 0], [width, 0], [0, height], [width, height]])
        corners = corners @ matrix[:, :2].T + matrix[:, 2]
        low = np.floor(corners.min(axis=0) - factor).astype(int).clip(0)
        high = np.ceil(corners.max(axis=0) + factor).astype(int).clip(0)
        part = pixels[low[1] : high[1], low[0] : high[0]]
        if 0 in part.shape:  # nothing of the image
            return np.full((height, width, 3), fill or 0, np.uint8)
        small = [max(1, length // factor) for length in part.shape[1::-1]]
        pixels = np.asarray(cv2.resize(part, small, interpolation=cv2.INTER_AREA), np.uint8)
        matrix[:, 2] -= low
        matrix *= (np.array(small) / part.shape[1::-1])[:, None]
    half = np.array([0.5, 0.5])
    matrix[:, 2] += matrix[:, :2] @ half - half  # OpenCV counts from the first pixel's centre
    border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
    drawn = cv2.warpAffine(
        pixels,
        matrix,
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=border,
        borderValue=(fill or 0,) * 3,
    )
    return np.asarray(drawn, np.uint8)


def project(points: Array, to_image: Array) -> Array:
    """Positions ``(..., 2)`` in a part as positions in the image."""
    return np.asarray(points @ to_image[:, :2].T + to_image[:, 2])


def letterbox(image: tuple[int, int], part: tuple[int, int], centred: bool = True) -> Array:
    """The whole of an image inside a part of another shape, as large as it goes.

    Parameters
    ----------
    image, part
        Width and height.
    centred
        Whether room is left on both sides, or to the right and below.
    """
    scale = max(image[0] / part[0], image[1] / part[1])
    room = np.array(part) * scale - image
    offset = -room / 2 if centred else np.zeros(2)
    return np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])


def stretched(image: tuple[int, int], part: tuple[int, int]) -> Array:
    """The whole of an image (width, height) in all of a part of another shape, out of proportion."""
    return np.array([[image[0] / part[0], 0, 0.0], [0, image[1] / part[1], 0.0]])


def around(box: Array, part: tuple[int, int], padding: float = PADDING) -> Array:
    """A box ``(4,)`` with room around it, widened to the shape of the part (width, height)."""
    size = np.maximum(box[2:] - box[:2], 1e-6) * padding
    scale = float(np.max(size / part))
    offset = (box[:2] + box[2:]) / 2 - scale * np.array(part) / 2
    return np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
