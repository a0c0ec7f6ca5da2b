"""Neural inverse kinematics for people in pictures: what detectors say of keypoints, as uncertainty."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.bodies.keypoints.layouts import find_layout
from engine.bodies.keypoints.person import Person
from engine.bodies.niki import load_builtin_niki, observe
from engine.bodies.niki_blend import follow_sure_joints
from engine.bodies.recover import Posing
from engine.bodies.skeleton import JOINT_NAMES

SEEN, LOST = 0.1, 0.9
"""Uncertainty of a keypoint that is seen, which has a detector's errors, and of one that is not."""

_SHOWN_BY = {
    "pelvis": ("left_hip", "right_hip"), "neck": ("left_shoulder", "right_shoulder"),
    "head": ("left_ear", "right_ear"), "head_top": ("left_ear", "right_ear"),
    "spine1": ("left_hip", "right_hip"), "spine2": ("left_hip", "right_shoulder"),
    "spine3": ("left_shoulder", "right_shoulder"),
    "left_collar": ("left_shoulder",), "right_collar": ("right_shoulder",),
    "left_hand": ("left_wrist",), "right_hand": ("right_wrist",),
    "left_middle_tip": ("left_wrist",), "right_middle_tip": ("right_wrist",),
    "left_foot": ("left_ankle",), "right_foot": ("right_ankle",),
    "left_big_toe": ("left_ankle",), "right_big_toe": ("right_ankle",),
}  # fmt: skip
"""Which keypoints a joint is derived from, where it is none itself."""


def joint_uncertainty(person: Person) -> Tensor:
    """``(1, 29)``, 0 sure to 1 lost: that of the worst keypoint each joint depends on."""
    names = find_layout(person.layout).names
    confidence = person.confidence
    found = np.array(
        [
            min(confidence[names.index(name)] for name in _SHOWN_BY.get(joint, (joint,)))
            for joint in JOINT_NAMES
        ]
    )
    return torch.from_numpy(SEEN + (LOST - SEEN) * (1 - found)).float()[None]


def niki_posing(person: Person) -> Posing:
    """How the network poses this person."""
    network = load_builtin_niki()
    uncertainty = joint_uncertainty(person)

    def pose(joints: Tensor, rest: Tensor) -> Tensor:
        seen = observe(joints, uncertainty, rest)
        found = network.inverse(seen).rotations
        return follow_sure_joints(found, seen.joints, uncertainty, seen.rest)

    return pose
