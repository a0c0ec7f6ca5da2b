"""Names and tree of the 29 points of a skeleton, for those who need no torch (the window, files).

The joints are in the order of SMPL (Loper et al. 2015), the ends in that of HybrIK (Li et al. 2021).
"""

from __future__ import annotations

JOINT_NAMES = (
    "pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2", "left_ankle",
    "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar", "head",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hand", "right_hand", "head_top", "left_middle_tip", "right_middle_tip", "left_big_toe",
    "right_big_toe",
)  # fmt: skip

PARENTS = (
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21,
    15, 22, 23, 10, 11,
)  # fmt: skip
"""Of each of the 29 points; -1 is the root."""

ROTATING = 24
"""How many have a rotation; the rest are ends."""

POINTS = len(JOINT_NAMES)

AIM_CHILDREN = (
    3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 27, 28, 15, 16, 17, 24, 18, 19, 20, 21, 22, 23, 25, 26,
)  # fmt: skip
"""Which point each rotating joint's bone points to (NIKI, Li et al. 2023)."""

MIRRORED = (
    0, 2, 1, 3, 5, 4, 6, 8, 7, 9, 11, 10, 12, 14, 13, 15, 17, 16, 19, 18, 21, 20, 23, 22,
    24, 26, 25, 28, 27,
)  # fmt: skip
"""Of each point the one on the other side."""
