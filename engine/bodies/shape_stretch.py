"""Photos of people made wider or slimmer, with labels that stay known (ShapeBoost's augmentation).

The person is cut out by the mask, the hole behind filled, the cut-out stretched and put back: clothes
and texture stay real, and how much wider each part became follows from the stretch (Bian et al. 2024).
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import invalid_input

Array = NDArray[np.float64]

INPAINT_RADIUS = 5


def stretch_about(centre: Array, across: float, along: float, angle: float) -> Array:
    """The map ``(2, 3)`` that scales a picture by two factors about a point.

    Parameters
    ----------
    centre
        ``(2,)`` pixels, which stays where it is.
    across, along
        Factors of the two directions.
    angle
        Radians by which the first of them is turned from the picture's horizontal.
    """
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ np.diag([across, along]) @ turn.T
    return np.concatenate([linear, (centre - linear @ centre)[:, None]], 1)


def filled_ground(pixels: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A photo ``(h, w, 3)`` without its person, the hole (a mask ``(h, w)``) filled from around."""
    hole = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray(cv2.inpaint(pixels, hole, INPAINT_RADIUS, cv2.INPAINT_NS), np.uint8)


def stretched_photo(
    pixels: NDArray[np.uint8], mask: NDArray[np.bool_], matrix: Array
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """A photo ``(h, w, 3)`` whose person, by a mask ``(h, w)``, is mapped by ``(2, 3)``; the new mask.

    Raises
    ------
    EngineError
        ``invalid_input`` where photo and mask differ in size, or the map turns the person over.
    """
    if pixels.shape[:2] != mask.shape or np.linalg.det(matrix[:, :2]) <= 0:
        raise invalid_input(
            f"A photo {pixels.shape[:2]} with a mask {mask.shape} cannot be stretched by this map."
        )
    height, width = mask.shape
    ground = filled_ground(pixels, mask)
    moved = cv2.warpAffine(pixels, matrix, (width, height), flags=cv2.INTER_LINEAR)
    cover = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height), flags=cv2.INTER_LINEAR)
    mixed = moved * cover[..., None] + ground * (1 - cover[..., None])
    return mixed.round().clip(0, 255).astype(np.uint8), cover > 0.5


def transported_ratios(directions: Array, in_plane: Array, matrix: Array) -> Array:
    """By what ratios of width to length change, ``(P,)``.

    A strip's width across its new direction is ``|det A| / |A u|`` of what it was; its length ``|A u|``
    for the share of the bone that lies in the picture, and unchanged in depth.

    Parameters
    ----------
    directions
        ``(P, 2)`` unit vectors of the bones in the picture.
    in_plane
        ``(P,)``: length in the picture over length in space, 0 to 1.
    matrix
        ``(2, 3)`` of :func:`stretch_about`.
    """
    linear = matrix[:, :2]
    along = np.linalg.norm(directions @ linear.T, axis=1)
    across = np.abs(np.linalg.det(linear)) / along
    length = np.sqrt((in_plane * along) ** 2 + 1 - in_plane**2)
    return np.asarray(across / length)
