"""Rotated squares around people: made from two alignment points, cut out, and projected back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

MARGIN = 1.25
"""Side of the square over the diameter of the circle around the body (BlazePose)."""


@dataclass(frozen=True)
class Region:
    """A square in an image, turned so that the person in it stands upright.

    Attributes
    ----------
    x, y
        Its centre in pixels.
    side
        In pixels.
    angle
        In radians, clockwise in the image.
    """

    x: float
    y: float
    side: float
    angle: float = 0.0

    @classmethod
    def from_alignment(cls, centre: Array, rim: Array) -> Region:
        """From the middle of the hips and a point on the circle around the body, both ``(2,)``.

        The direction from the centre to the rim is the person's "up".
        """
        dx, dy = (rim - centre).tolist()
        angle = math.pi / 2 - math.atan2(-dy, dx)
        angle -= 2 * math.pi * math.floor((angle + math.pi) / (2 * math.pi))
        return cls(float(centre[0]), float(centre[1]), 2 * MARGIN * math.hypot(dx, dy), angle)

    def to_image(self, size: int) -> Array:
        """From positions in a crop of ``size`` x ``size`` pixels to the image's, ``(2, 3)``."""
        scale = self.side / size
        cosine, sine = scale * math.cos(self.angle), scale * math.sin(self.angle)
        linear = np.array([[cosine, -sine], [sine, cosine]])
        offset = np.array([self.x, self.y]) - linear @ np.array([size / 2, size / 2])
        return np.column_stack([linear, offset])

    def cut(self, pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        """The square as ``(size, size, 3)``; black where it leaves the image."""
        matrix = self.to_image(size)
        # What is much larger than the crop is shrunk before, or fine patterns would flicker in it.
        factor = int(self.side / size)
        if factor >= 2:
            reach = self.side * 0.71 + factor
            low = np.floor(np.array([self.x, self.y]) - reach).astype(int).clip(0)
            high = np.ceil(np.array([self.x, self.y]) + reach).astype(int).clip(0)
            part = pixels[low[1] : high[1], low[0] : high[0]]
            if 0 in part.shape:
                return np.zeros((size, size, 3), np.uint8)
            width, height = (max(1, length // factor) for length in part.shape[1::-1])
            shrink = np.array([width / part.shape[1], height / part.shape[0]])
            pixels = np.asarray(
                cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), np.uint8
            )
            matrix = (matrix - np.column_stack([np.zeros((2, 2)), low])) * shrink[:, None]
        half = np.array([0.5, 0.5])
        matrix[:, 2] += matrix[:, :2] @ half - half  # OpenCV counts from the first pixel's centre
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(pixels, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE),
            np.uint8,
        )

    def project(self, points: Array, size: int) -> Array:
        """Positions ``(N, 2)`` in the crop as positions in the image."""
        matrix = self.to_image(size)
        return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])

    def turn(self, vectors: Array) -> Array:
        """Vectors ``(N, 3)`` turned from the crop's axes to the image's, about the line of sight."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        turned = vectors.copy()
        turned[:, 0] = cosine * vectors[:, 0] - sine * vectors[:, 1]
        turned[:, 1] = sine * vectors[:, 0] + cosine * vectors[:, 1]
        return turned
