"""Neural inverse kinematics for people in pictures: what detectors say of keypoints, as uncertainty."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from engine.bodies.keypoints.layouts import find_layout
from engine.bodies.keypoints.person import Person
from engine.bodies.niki import load_builtin_niki, observe
from engine.bodies.niki_blend import follow_sure_joints
from engine.bodies.skeleton import JOINT_NAMES, POINTS, forward_kinematics

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


class NikiPosing:
    """How the network poses one person: called like :data:`engine.bodies.recover.Posing`.

    Attributes
    ----------
    guessed
        Names of joints that are not seen.
    """

    def __init__(self, person: Person) -> None:
        self._network = load_builtin_niki()
        self._uncertainty = joint_uncertainty(person)
        self._unexplained = torch.zeros(POINTS)
        lost = self._uncertainty[0] > (SEEN + LOST) / 2
        self.guessed = tuple(name for name, is_lost in zip(JOINT_NAMES, lost, strict=True) if is_lost)

    def __call__(self, joints: Tensor, rest: Tensor) -> Tensor:
        """Rotations ``(1, 24, 3, 3)``."""
        seen = observe(joints, self._uncertainty, rest)
        pose = self._network.inverse(seen)
        _, posed = forward_kinematics(pose.rotations, seen.rest)
        apart = seen.joints - (posed - posed[:, :1])
        self._unexplained = torch.linalg.vector_norm(apart[0], dim=1)
        return follow_sure_joints(pose.rotations, seen.joints, self._uncertainty, seen.rest)

    @property
    def doubt(self) -> tuple[float, ...]:
        """Metres between each of the 29 joints as it was seen in the last call and as it was posed.

        What no pose explains is error: over unseen clips it ranks the errors of joints, Spearman 0.85
        (0.62 to 0.89 within a joint), and is as large as they are (0.94). The error code of the network
        that ships tells of the whole person only.
        """
        return tuple(self._unexplained.tolist())
