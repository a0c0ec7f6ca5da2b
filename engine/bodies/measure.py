"""Measurements of a body as a tailor takes them, from its rest mesh.

A girth is the length of the convex hull of a plane section: a tape bridges hollows. Sections of the
trunk are horizontal, those of limbs orthogonal to the bone; of each only the faces of that part count,
so that arms beside the trunk are not measured with it. Metres.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bodies.body_model import BodyModel
from engine.bodies.skeleton import JOINT_NAMES, PARENTS, POINTS
from engine.errors import invalid_input

Float64Array = NDArray[np.float64]

SECTIONS = 25
"""Planes tried in the range of a girth."""

_TRUNK = (0, 1, 2, 3, 6, 9, 12, 13, 14)
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
    owner = body.joint_weights.argmax(1).cpu().numpy()
    faces = body.faces.cpu().numpy()
    trunk = faces[np.isin(owner[faces], _TRUNK).all(1)]
    up = np.array([0.0, 1.0, 0.0])

    def level(at: float) -> Float64Array:
        return np.array([0.0, at, 0.0])

    shoulders, spine1, spine3 = joints[[16, 17], 1].mean(), joints[_SPINE1, 1], joints[_SPINE3, 1]
    hips, knees = joints[[1, 2], 1].mean(), joints[[4, 5], 1].mean()
    ranges = {
        "chest": (spine3 + 0.3 * (shoulders - spine3), spine3 + 0.65 * (shoulders - spine3), max),
        "waist": (spine1, spine3 + 0.3 * (shoulders - spine3), min),
        "hip": (hips - 0.25 * (hips - knees), spine1, max),
    }
    girths = {}
    for name, (low, high, choose) in ranges.items():
        found = [_girth(vertices, trunk, level(at), up) for at in np.linspace(low, high, SECTIONS)]
        girths[name] = choose(found, key=_length)
    for name, (left, right, (first, last)) in _LIMBS.items():
        for side, (start, end) in (("left", left), ("right", right)):
            own = faces[(owner[faces] == start).all(1)]
            bone = joints[end] - joints[start]
            places = joints[start] + np.linspace(first, last, SECTIONS)[:, None] * bone
            found = [_girth(vertices, own, place, bone) for place in places]
            girths[f"{side}_{name}"] = max(found, key=_length)
    height = float(np.ptp(vertices[:, 1]))
    bones = {
        JOINT_NAMES[point]: float(np.linalg.norm(joints[point] - joints[PARENTS[point]]))
        for point in range(1, POINTS)
    }
    return Measurements(height, girths, bones)


def _length(girth: Girth) -> float:
    return girth.length


def _girth(
    vertices: Float64Array, faces: NDArray[np.int64], at: Float64Array, normal: Float64Array
) -> Girth:
    points = plane_section(vertices, faces, at, normal)
    if len(points) < 3:
        raise invalid_input(
            "This body has no skin where a girth is taken, so it cannot be measured.",
            "Bring its shape closer to that of a person.",
        )
    first, second = _plane_axes(normal)
    flat = np.stack([(points - at) @ first, (points - at) @ second], 1)
    hull = cv2.convexHull(flat.astype(np.float32), returnPoints=False).ravel()
    outline = points[hull]
    length = np.linalg.norm(outline - np.roll(outline, 1, 0), axis=1).sum()
    return Girth(float(length), outline)


def plane_section(
    vertices: Float64Array, faces: NDArray[np.int64], at: Float64Array, normal: Float64Array
) -> Float64Array:
    """Where the edges of faces ``(F, 3)`` cross a plane: points ``(P, 3)``, in no order.

    Parameters
    ----------
    vertices
        ``(V, 3)``.
    faces
        Those that are looked at.
    at, normal
        ``(3,)``, a point of the plane and its normal, of any length.
    """
    side = (vertices - at) @ normal
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    edges = edges[(side[edges[:, 0]] < 0) != (side[edges[:, 1]] < 0)]
    before, after = side[edges[:, 0]], side[edges[:, 1]]
    share = (before / (before - after))[:, None]
    return vertices[edges[:, 0]] + share * (vertices[edges[:, 1]] - vertices[edges[:, 0]])


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
