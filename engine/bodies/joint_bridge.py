"""From a detector's points in space to the 29 joints: a linear map for each joint, in its own frame.

A joint is a weighted mean of nearby points (the weights add up to 1) plus a shift that turns with the
trunk or the limb and grows with its length: turning, moving, scaling and mirroring the points does the
same to the joints. Weights and shifts are fitted to known people
(:mod:`engine.bodies.joint_bridge_training`), for each layout of keypoints its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.bodies.skeleton import JOINT_NAMES
from engine.errors import bad_file

Array = NDArray[np.float64]
Points = Mapping[str, Array]

FILE = Path(__file__).resolve().parents[2] / "resources" / "weights" / "body" / "joint_bridge.json"

_TRUNK = ("hips", "shoulders", "ears", "nose")
_NEAR: dict[str, tuple[str, tuple[str, ...]]] = {
    "pelvis": ("trunk", ("hips", "shoulders")),
    "spine1": ("trunk", ("hips", "shoulders")),
    "spine2": ("trunk", ("hips", "shoulders", "ears")),
    "spine3": ("trunk", ("shoulders", "hips", "ears")),
    "neck": ("trunk", ("shoulders", "hips", "ears", "nose")),
    "head": ("trunk", ("ears", "nose", "shoulders", "hips")),
    "head_top": ("trunk", ("ears", "nose", "shoulders", "hips")),
    "left_hip": ("trunk", ("left_hip", "hips", "shoulders", "left_knee")),
    "left_knee": ("thigh", ("left_knee", "left_hip", "left_ankle")),
    "left_ankle": ("shin", ("left_ankle", "left_knee", "left_heel", "left_foot_index")),
    "left_foot": ("shin", ("left_ankle", "left_knee", "left_heel", "left_foot_index")),
    "left_big_toe": ("shin", ("left_ankle", "left_knee", "left_heel", "left_foot_index")),
    "left_collar": ("trunk", ("shoulders", "left_shoulder", "hips")),
    "left_shoulder": ("trunk", ("left_shoulder", "shoulders", "left_elbow")),
    "left_elbow": ("upper_arm", ("left_elbow", "left_shoulder", "left_wrist")),
    "left_wrist": ("forearm", ("left_wrist", "left_elbow", "left_index", "left_pinky")),
    "left_hand": ("forearm", ("left_wrist", "left_elbow", "left_index", "left_pinky")),
    "left_middle_tip": ("forearm", ("left_wrist", "left_elbow", "left_index", "left_pinky")),
}
"""The frame of each joint's shift, and the points near it; those a layout lacks are left out."""

_LIMBS = {
    "thigh": ("left_hip", "left_knee"),
    "shin": ("left_knee", "left_ankle"),
    "upper_arm": ("left_shoulder", "left_elbow"),
    "forearm": ("left_elbow", "left_wrist"),
}


@dataclass(frozen=True, eq=False)
class Bridge:
    """Coefficients of one layout, by joint of the left side and the middle.

    Attributes
    ----------
    coefficients
        For each joint: weights of its points but the first, then the shift's three numbers in
        lengths of the trunk or the limb.
    """

    coefficients: Mapping[str, Array]

    def joints(self, points: Array, names: Sequence[str]) -> Array:
        """Joints ``(N, 29, 3)`` of points ``(N, K, 3)`` in metres, y-up, called ``names``."""
        left, right = named(points, names), mirrored_names(named(points, names))
        result = np.empty((len(points), len(JOINT_NAMES), 3))
        for row, joint in enumerate(JOINT_NAMES):
            if joint.startswith("right_"):
                own = joint.replace("right_", "left_")
                result[:, row] = _mirror(self._joint(right, own))
            else:
                result[:, row] = self._joint(left, joint)
        return result

    def _joint(self, at: Points, joint: str) -> Array:
        base, features = features_of(at, joint)
        return base + np.einsum("nfc,f->nc", features, self.coefficients[joint])


def features_of(at: Points, joint: str) -> tuple[Array, Array]:
    """What a joint's place is linear in.

    Parameters
    ----------
    at
        From :func:`named`.
    joint
        Of the left side or the middle.

    Returns
    -------
    The first point near it ``(N, 3)``, and ``(N, F, 3)``: the ways from there to the other points,
    then the axes of the frame, as long as the trunk or the limb.
    """
    frame, near = _NEAR[joint]
    present = [name for name in near if name in at]
    base = at[present[0]]
    ways = [at[name] - base for name in present[1:]]
    return base, np.stack([*ways, *_frame(at, frame)], 1)


def _frame(at: Points, frame: str) -> list[Array]:
    """Left, up and forward of the trunk; of a limb: along it, forward across it, and aside."""
    up, forward = at["trunk"], at["forward"]
    if frame == "trunk":
        size = np.linalg.norm(up, axis=1, keepdims=True)
        aside = np.cross(up, forward) / np.maximum(size, 1e-6)
        return [aside, up, forward]
    start, end = _LIMBS[frame]
    along = at[end] - at[start]
    size = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    axis = along / size
    ahead = _unit(forward - (forward * axis).sum(1, keepdims=True) * axis)
    return [along, size * ahead, size * np.cross(axis, ahead)]


def named(points: Array, names: Sequence[str]) -> dict[str, Array]:
    """Points ``(N, 3)`` by name, with the middles of pairs and the trunk's directions.

    ``trunk`` goes from the hips to the shoulders; ``forward`` is at right angles to it and to the line
    from right to left, as long as the trunk.
    """
    at = {name: points[:, index] for index, name in enumerate(names)}
    for pair in ("hip", "shoulder", "ear"):
        at[f"{pair}s"] = (at[f"left_{pair}"] + at[f"right_{pair}"]) / 2
    across = at["left_hip"] - at["right_hip"] + at["left_shoulder"] - at["right_shoulder"]
    at["trunk"] = at["shoulders"] - at["hips"]
    size = np.linalg.norm(at["trunk"], axis=1, keepdims=True)
    at["forward"] = size * _unit(np.cross(across, at["trunk"]))
    return at


def mirrored_names(at: Points) -> dict[str, Array]:
    """The same person in a mirror: what was on the right is on the left."""
    swapped = {}
    for name, value in at.items():
        side, _, part = name.partition("_")
        other = {"left": "right", "right": "left"}.get(side)
        swapped[f"{other}_{part}" if other and part else name] = _mirror(value)
    return swapped


def _mirror(points: Array) -> Array:
    return points * [-1.0, 1.0, 1.0]


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9))


def fit_bridge(points: Array, names: Sequence[str], joints: Array, ridge: float = 1e-3) -> Bridge:
    """The bridge with the least squared error, left and right by the same numbers.

    Parameters
    ----------
    points
        ``(N, K, 3)``.
    names
        Of the points.
    joints
        ``(N, 29, 3)``.
    ridge
        Weight of the squared coefficients, relative to the mean squared length of the features.
    """
    at = named(points, names)
    other = mirrored_names(at)
    coefficients: dict[str, Array] = {}
    for joint in _NEAR:
        mate = joint.replace("left_", "right_")
        targets = (joints[:, JOINT_NAMES.index(joint)], _mirror(joints[:, JOINT_NAMES.index(mate)]))
        rows, goals = [], []
        for side, target in zip((at, other), targets, strict=True):
            base, features = features_of(side, joint)
            rows.append(features.transpose(0, 2, 1).reshape(-1, features.shape[1]))
            goals.append((target - base).reshape(-1))
        matrix, goal = np.concatenate(rows), np.concatenate(goals)
        squares = matrix.T @ matrix
        squares += ridge * np.trace(squares) / len(squares) * np.eye(len(squares))
        coefficients[joint] = np.asarray(np.linalg.solve(squares, matrix.T @ goal), np.float64)
    return Bridge(coefficients)


def save_bridges(path: Path, bridges: Mapping[str, Bridge], about: Mapping[str, object]) -> None:
    """Write bridges by layout, and what is to be said of them."""
    layouts = {
        layout: {
            joint: [round(float(v), 5) for v in values] for joint, values in b.coefficients.items()
        }
        for layout, b in bridges.items()
    }
    path.write_text(json.dumps({"about": about, "layouts": layouts}, indent=1) + "\n", encoding="utf-8")


@cache
def load_bridge(layout: str) -> Bridge:
    """The fitted bridge of a layout.

    Raises
    ------
    EngineError
        ``bad_file`` when its file is missing or damaged.
    """
    try:
        content = json.loads(FILE.read_text(encoding="utf-8"))["layouts"][layout]
        return Bridge({joint: np.array(content[joint], np.float64) for joint in _NEAR})
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise bad_file(
            f"{FILE} is damaged or not there ({error}); no body can be recovered.",
            "Install Triptych anew.",
        ) from error
