"""From a detector's points in space to the 29 joints of the skeleton.

Detectors mark what is seen of a joint on the skin; the skeleton needs its middle. The offsets are
shares of the trunk and of the limbs (see the methods page); spine, neck and collars lie between.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.bodies.skeleton import JOINT_NAMES, POINTS

Array = NDArray[np.float64]

_SPINE = {"spine1": 0.25, "spine2": 0.52, "spine3": 0.62}
"""Shares of the way from pelvis to neck."""

_HAND, _TIP, _TOE = 0.42, 0.80, 0.45
"""Where there are no fingers or toes: hand and fingertip by the forearm's length, toe by the shin's."""


def joints_from_points(points: Array, names: Sequence[str]) -> Array:
    """Joints ``(29, 3)`` of points ``(K, 3)`` in metres, y-up, with COCO's names among ``names``."""
    at = {name: points[index] for index, name in enumerate(names)}
    joints = {}
    hips = (at["left_hip"] + at["right_hip"]) / 2
    shoulders = (at["left_shoulder"] + at["right_shoulder"]) / 2
    trunk = shoulders - hips
    length = float(np.linalg.norm(trunk))
    up = trunk / max(length, 1e-6)
    pelvis = hips - 0.02 * up
    neck = shoulders + 0.05 * trunk
    joints["pelvis"], joints["neck"] = pelvis, neck
    for name, share in _SPINE.items():
        joints[name] = pelvis + share * (neck - pelvis)
    ears = (at["left_ear"] + at["right_ear"]) / 2
    head = ears - 0.04 * trunk
    joints["head"], joints["head_top"] = head, 2 * ears - neck
    across = at["left_hip"] - at["right_hip"]
    forward = np.cross(across, up)
    forward /= max(float(np.linalg.norm(forward)), 1e-6)
    for side in ("left", "right"):

        def own(part: str, side: str = side) -> Array:
            return at[f"{side}_{part}"]

        # The ball of the hip is lower and further inside than where it is marked.
        joints[f"{side}_hip"] = hips + 0.75 * (own("hip") - hips) - 0.05 * length * up
        joints[f"{side}_knee"], joints[f"{side}_ankle"] = own("knee"), own("ankle")
        joints[f"{side}_collar"] = neck + 0.45 * (own("shoulder") - neck) - 0.08 * trunk
        joints[f"{side}_shoulder"], joints[f"{side}_elbow"] = own("shoulder"), own("elbow")
        joints[f"{side}_wrist"] = own("wrist")
        forearm, shin = own("wrist") - own("elbow"), own("ankle") - own("knee")
        hand, tip = own("wrist") + _HAND * forearm, own("wrist") + _TIP * forearm
        if f"{side}_index" in at:
            hand = (own("index") + own("pinky")) / 2
            tip = own("wrist") + 1.8 * (hand - own("wrist"))
        joints[f"{side}_hand"], joints[f"{side}_middle_tip"] = hand, tip
        toe = own("ankle") + _TOE * float(np.linalg.norm(shin)) * _level(forward, shin)
        foot = (own("ankle") + toe) / 2
        if f"{side}_foot_index" in at:
            foot = own("foot_index")
            toe = foot + 0.3 * (foot - own("heel"))
        joints[f"{side}_foot"], joints[f"{side}_big_toe"] = foot, toe
    result = np.zeros((POINTS, 3))
    for index, name in enumerate(JOINT_NAMES):
        result[index] = joints[name]
    return result


def _level(forward: Array, shin: Array) -> Array:
    """Forward, at right angles to the shin: how a foot stands, where it is not seen."""
    bone = shin / max(float(np.linalg.norm(shin)), 1e-6)
    flat = forward - (forward @ bone) * bone
    return np.asarray(flat / max(float(np.linalg.norm(flat)), 1e-6))
