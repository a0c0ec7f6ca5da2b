"""Measurements of a body as a tailor takes them, from its rest mesh.

A girth is the length of the convex hull of a plane section: a tape bridges hollows. Sections of the
trunk are horizontal, those of limbs orthogonal to the bone. A plane cuts the body in closed loops; the
one around the spine or the bone is measured, where it is of that part alone: not under the arms where
they have grown together with the chest, nor where a thigh has with the other one. Metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from engine.bodies.body_model import BodyModel
from engine.bodies.skeleton import JOINT_NAMES, PARENTS, POINTS
from engine.errors import invalid_input

Float64Array = NDArray[np.float64]

SECTIONS = 25
"""Planes tried in the range of a girth."""

_SPINE1, _SPINE3 = 3, 9
_LIMBS = {"thigh": ((1, 4), (2, 5), (0.15, 0.5)), "upper_arm": ((16, 18), (17, 19), (0.4, 0.7))}
"""Left and right start and end of a bone, and where along it the girth is the largest."""

PLAUSIBLE_HEIGHT = (0.3, 2.8)


@dataclass(frozen=True)
class Girth:
    """One girth: its length, and where it was taken, to be drawn.

    Attributes
    ----------
    length
        Metres.
    outline
        ``(P, 3)`` the hull's corners in order, in the rest mesh.
    """

    length: float
    outline: Float64Array


@dataclass(frozen=True)
class Measurements:
    """Of one body, metres.

    Attributes
    ----------
    height
        From sole to crown.
    girths
        ``chest``, ``waist``, ``hip``, ``left_thigh``, ``right_thigh``, ``left_upper_arm``,
        ``right_upper_arm``.
    bones
        Length from each point's parent to it, by the point's name; 28 of them.
    """

    height: float
    girths: dict[str, Girth]
    bones: dict[str, float]


def measure(body: BodyModel, shape: Tensor) -> Measurements:
    """Measure one body of shape ``(1, K)``.

    Raises
    ------
    EngineError
        ``invalid_input`` for more than one shape, or one whose mesh has no section where one is taken.
    """
    if shape.ndim != 2 or len(shape) != 1:
        raise invalid_input(f"One body is measured at a time, not a shape {tuple(shape.shape)}.")
    with torch.no_grad():
        rest = body.rest(shape)
    vertices = rest.vertices[0].double().cpu().numpy()
    joints = rest.joints[0].double().cpu().numpy()
    faces = body.faces.cpu().numpy()
    up = np.array([0.0, 1.0, 0.0])
    shoulders, spine1, spine3 = joints[[16, 17], 1].mean(), joints[_SPINE1, 1], joints[_SPINE3, 1]
    hips, knees = joints[[1, 2], 1].mean(), joints[[4, 5], 1].mean()
    ranges = {
        "chest": (spine3 + 0.3 * (shoulders - spine3), spine3 + 0.65 * (shoulders - spine3), max),
        "waist": (spine1, spine3 + 0.3 * (shoulders - spine3), min),
        "hip": (hips - 0.25 * (hips - knees), spine1, max),
    }
    girths = {}
    level = Slicer(vertices, faces, up)
    for name, (low, high, choose) in ranges.items():
        found = []
        for height in np.linspace(low, high, SECTIONS):
            # Both legs below the crotch count as one.
            loops = level.loops(np.array([0.0, height, 0.0]))
            trunk = [loop for loop in loops if not _holds_an_arm(loop, joints)]
            if trunk:
                found.append(_hull(np.concatenate(trunk), up))
        girths[name] = choose(found, key=_length) if found else _nothing()
    for name, (left, right, (first, last)) in _LIMBS.items():
        for side, (start, end) in (("left", left), ("right", right)):
            bone = joints[end] - joints[start]
            found, across = [], Slicer(vertices, faces, bone)
            for place in joints[start] + np.linspace(first, last, SECTIONS)[:, None] * bone:
                own = min(across.loops(place), key=lambda loop: _apart(loop, place), default=None)
                # A loop that goes beyond the body's middle is of both legs, or of arm and trunk.
                if own is not None and (own[:, 0] * np.sign(place[0])).min() > 0:
                    found.append(_hull(own, bone))
            girths[f"{side}_{name}"] = max(found, key=_length) if found else _nothing()
    height = float(np.ptp(vertices[:, 1]))
    bones = {
        JOINT_NAMES[point]: float(np.linalg.norm(joints[point] - joints[PARENTS[point]]))
        for point in range(1, POINTS)
    }
    return Measurements(height, girths, bones)


def _length(girth: Girth) -> float:
    return girth.length


def _holds_an_arm(loop: Float64Array, joints: Float64Array) -> bool:
    """Whether a level loop is an arm's, or reaches as far out as an arm's bone is at that height."""
    for start, end in ((16, 18), (17, 19)):
        top, bottom = joints[start], joints[end]
        share = np.clip((top[1] - loop[0, 1]) / max(top[1] - bottom[1], 1e-6), 0, 1)
        bone = top[0] + share * (bottom[0] - top[0])
        if (loop[:, 0] * np.sign(bone)).max() > abs(bone):
            return True
    return False


def _apart(loop: Float64Array, place: Float64Array) -> float:
    """From a place to the middle of a loop, metres."""
    return float(np.linalg.norm((loop.min(0) + loop.max(0)) / 2 - place))


def _nothing() -> Girth:
    raise invalid_input(
        "This body has no skin where a girth is taken, so it cannot be measured.",
        "Bring its shape closer to that of a person.",
    )


def _hull(points: Float64Array, normal: Float64Array) -> Girth:
    """The tape around points ``(P, 3)`` of a plane."""
    first, second = _plane_axes(normal)
    flat = np.stack([points @ first, points @ second], 1)
    hull = cv2.convexHull(flat.astype(np.float32), returnPoints=False).ravel()
    outline = points[hull]
    length = np.linalg.norm(outline - np.roll(outline, 1, 0), axis=1).sum()
    return Girth(float(length), outline)


class Slicer:
    """Cuts a mesh by parallel planes.

    Parameters
    ----------
    vertices
        ``(V, 3)``.
    faces
        ``(F, 3)``.
    normal
        ``(3,)`` of the planes, of any length.
    """

    def __init__(self, vertices: Float64Array, faces: NDArray[np.int64], normal: Float64Array) -> None:
        self._vertices, self._faces = vertices, faces
        self.normal = normal / np.linalg.norm(normal)
        self._heights = vertices @ self.normal
        of_faces = self._heights[faces]
        self._low, self._high = of_faces.min(1), of_faces.max(1)

    def loops(self, at: Float64Array) -> list[Float64Array]:
        """The points ``(P, 3)`` of each closed loop of the plane through ``at``, in no order."""
        height = float(at @ self.normal)
        cut = self._faces[(self._low < height) & (self._high >= height)]
        if not len(cut):
            return []
        # Each face that is cut has two edges that are: they are neighbours in a loop.
        edges = np.stack([cut[:, [0, 1]], cut[:, [1, 2]], cut[:, [2, 0]]], 1)
        above = self._heights[edges] >= height
        crossed = np.sort(edges[above[..., 0] != above[..., 1]], 1)
        numbers, number = np.unique(crossed @ [len(self._vertices), 1], return_inverse=True)
        first, second = np.divmod(numbers, len(self._vertices))
        links = number.reshape(-1, 2)
        graph = coo_matrix((np.ones(len(links)), links.T), (len(numbers), len(numbers)))
        count, loop = connected_components(graph, directed=False)
        before, after = self._heights[first] - height, self._heights[second] - height
        share = (before / (before - after))[:, None]
        points = self._vertices[first] + share * (self._vertices[second] - self._vertices[first])
        return [points[loop == index] for index in range(count)]


def _plane_axes(normal: Float64Array) -> tuple[Float64Array, Float64Array]:
    other = np.eye(3)[np.abs(normal).argmin()]
    first = np.cross(normal, other)
    first /= np.linalg.norm(first)
    return first, np.cross(normal / np.linalg.norm(normal), first)


def scale_to_height(measured: Measurements, height: float) -> float:
    """By what to multiply a body, its camera's distance included, so that it has a known height.

    One picture does not show scale; a known height does.

    Raises
    ------
    EngineError
        ``invalid_input`` unless the height is one people have, 0.3 m to 2.8 m.
    """
    low, high = PLAUSIBLE_HEIGHT
    if not low <= height <= high:
        raise invalid_input(
            f"A height of {height} m is none that people have.", f"Give metres, {low} to {high}."
        )
    return height / measured.height


def scaled(measured: Measurements, factor: float) -> Measurements:
    """Measurements of the body ``factor`` times as large."""
    return Measurements(
        measured.height * factor,
        {name: Girth(g.length * factor, g.outline * factor) for name, g in measured.girths.items()},
        {name: length * factor for name, length in measured.bones.items()},
    )
