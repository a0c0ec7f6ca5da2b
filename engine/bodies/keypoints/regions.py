"""Rotated squares around people: made from two alignment points, cut out, and projected back."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine import framing

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
        """The square as ``(size, size, 3)``; where it leaves the image, the image's border goes on."""
        return framing.cut(pixels, self.to_image(size), size, size)

    def project(self, points: Array, size: int) -> Array:
        """Positions ``(N, 2)`` in the crop as positions in the image."""
        return framing.project(points, self.to_image(size))

    def turn(self, vectors: Array) -> Array:
        """Vectors ``(N, 3)`` turned from the crop's axes to the image's, about the line of sight."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        turned = vectors.copy()
        turned[:, 0] = cosine * vectors[:, 0] - sine * vectors[:, 1]
        turned[:, 1] = sine * vectors[:, 0] + cosine * vectors[:, 1]
        return turned
