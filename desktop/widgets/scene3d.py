"""What a 3D view shows, as data both painters understand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PySide6.QtGui import QColor

GRID_STEP, GRID_STEPS = 0.5, 6
"""Metres, and lines on each side of the middle."""


@dataclass(frozen=True, eq=False)
class Body3D:
    """A mesh.

    Attributes
    ----------
    key
        The same for the same body in its next state.
    vertices, normals
        ``(V, 3)`` float32, metres, y-up.
    faces
        ``(F, 3)`` integers; the same object for the same mesh, so that it is uploaded once.
    colours
        ``(3,)`` or ``(V, 3)`` uint8.
    joints
        ``(29, 3)``, for its skeleton; or None.
    ghost
        Drawn so that one sees through it.
    """

    key: int
    vertices: NDArray[np.float32]
    normals: NDArray[np.float32]
    faces: NDArray[np.integer]
    colours: NDArray[np.uint8]
    joints: NDArray[np.float32] | None = None
    ghost: bool = False


@dataclass(frozen=True, eq=False)
class Lines3D:
    """Line segments ``(N, 2, 3)`` with a colour each, ``(N, 3)`` uint8."""

    points: NDArray[np.float32]
    colours: NDArray[np.uint8]
    on_top: bool = False
    width: float = 1.0


@dataclass(frozen=True, eq=False)
class Scene3D:
    """Everything in view."""

    bodies: Sequence[Body3D] = ()
    lines: Sequence[Lines3D] = ()
    wireframe: bool = False
    bounds: tuple[NDArray[np.float32], NDArray[np.float32]] | None = field(default=None)


def bounds_of(bodies: Sequence[Body3D]) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """The box around bodies, low and high corner; None without any."""
    if not bodies:
        return None
    low = np.min([body.vertices.min(0) for body in bodies], axis=0)
    high = np.max([body.vertices.max(0) for body in bodies], axis=0)
    return low, high


def ground_lines(at: NDArray[np.floating], colour: QColor) -> Lines3D:
    """A grid on the ground around ``at``, of half-metre squares."""
    reach = GRID_STEP * GRID_STEPS
    x, z = (float(round(at[axis] / GRID_STEP) * GRID_STEP) for axis in (0, 2))
    segments = []
    for step in range(-GRID_STEPS, GRID_STEPS + 1):
        offset = step * GRID_STEP
        segments.append([[x + offset, at[1], z - reach], [x + offset, at[1], z + reach]])
        segments.append([[x - reach, at[1], z + offset], [x + reach, at[1], z + offset]])
    points = np.array(segments, np.float32)
    return Lines3D(points, _colours(colour, len(points)))


def skeleton_lines(
    bodies: Sequence[Body3D], parents: Sequence[int], colour: QColor, marked: int | None = None,
    mark: QColor | None = None,
) -> Lines3D | None:  # fmt: skip
    """The bones of all bodies that have joints; those that meet at joint ``marked`` stand out."""
    shown = [body.joints for body in bodies if body.joints is not None]
    if not shown:
        return None
    pairs = [(parent, point) for point, parent in enumerate(parents) if parent >= 0]
    points = np.array([[joints[a], joints[b]] for joints in shown for a, b in pairs], np.float32)
    colours = _colours(colour, len(points))
    if marked is not None and mark is not None:
        chosen = [marked in pair for _ in shown for pair in pairs]
        colours[np.array(chosen)] = _colours(mark, 1)
    return Lines3D(points, colours, on_top=True, width=2.0)


def _colours(colour: QColor, count: int) -> NDArray[np.uint8]:
    return np.tile(np.array([colour.red(), colour.green(), colour.blue()], np.uint8), (count, 1))
