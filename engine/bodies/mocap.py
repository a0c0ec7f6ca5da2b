"""Recorded motion as poses of the built-in body.

The recordings turn a skeleton that rests in a T-pose; the built-in body rests with its arms lowered.
What is copied is therefore where each limb points: a joint's rotation is preceded by the one that
brings the body's own limb into the T-pose, and the joint above it is relieved of its own.

The file is the one that ``shared/data/mocap`` describes (CMU Graphics Lab motion capture database,
free for all uses, conversion by B. Hahne); nothing of it ships with Triptych.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.bodies.rotations import axis_angle_to_matrix, swing
from engine.bodies.skeleton import MIRRORED, PARENTS, ROTATING
from engine.errors import bad_file

TEST_FOLD = 5
"""Every fifth clip is for tests; the split is by clip, because neighbouring frames are alike."""

PERCENTILES = (0.5, 99.5)
"""Angles beyond are faults of the recording's solver and are moved to them."""

_T_POSE = {
    1: (0.0, -1.0, 0.0), 2: (0.0, -1.0, 0.0), 4: (0.0, -1.0, -0.1), 5: (0.0, -1.0, -0.1),
    16: (1.0, 0.0, 0.0), 17: (-1.0, 0.0, 0.0), 18: (1.0, 0.0, 0.3), 19: (-1.0, 0.0, 0.3),
}  # fmt: skip
"""Where the recorded skeleton's limbs point at rest, by the joint they begin at."""

_LIMB_ENDS = {1: 4, 2: 5, 4: 7, 5: 8, 16: 18, 17: 19, 18: 20, 19: 21}
_WITH_FOREARM = {20: 18, 21: 19, 22: 18, 23: 19}
"""Hands rest as they hang on the body's own forearm."""


@dataclass(frozen=True, eq=False)
class Mocap:
    """Poses of the built-in body.

    Attributes
    ----------
    rotations
        ``(N, 24, 3, 3)`` float32, relative to the parents, in the order of the recording.
    clip
        ``(N,)`` int64, which clip a pose is of.
    """

    rotations: Tensor
    clip: Tensor

    @property
    def training(self) -> Tensor:
        """Poses of the clips to learn from."""
        return self.rotations[self.clip % TEST_FOLD != TEST_FOLD - 1]

    @property
    def test(self) -> Tensor:
        """Poses of the clips that are never learnt from."""
        return self.rotations[self.clip % TEST_FOLD == TEST_FOLD - 1]


def read_mocap(path: Path, rest_joints: Tensor) -> Mocap:
    """Read recorded motion and put it on a skeleton.

    Parameters
    ----------
    path
        NPZ with ``rotvec (N, 24, 3)``, radians from a T-pose, and ``clip (N,)``.
    rest_joints
        ``(29, 3)`` of the body that is to move.

    Raises
    ------
    EngineError
        ``bad_file`` for a file that is missing or something else.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            vectors = file["rotvec"].astype(np.float32)
            clip = file["clip"].astype(np.int64)
    except (OSError, ValueError, KeyError) as error:
        raise bad_file(
            f"{Path(path).name} is no recorded motion: {error}. Nothing was trained or measured.",
            "It is an NPZ file with the arrays rotvec (N, 24, 3) and clip (N,).",
        ) from error
    if vectors.shape[1:] != (ROTATING, 3) or len(clip) != len(vectors):
        raise bad_file(f"{Path(path).name} holds {vectors.shape} rotations, not (N, {ROTATING}, 3).")
    low, high = np.percentile(vectors[:, 1:], PERCENTILES, axis=0)
    vectors[:, 1:] = vectors[:, 1:].clip(low, high)
    turned = axis_angle_to_matrix(torch.from_numpy(vectors))
    return Mocap(_onto_body(turned, rest_joints.float()), torch.from_numpy(clip))


def _onto_body(turned: Tensor, rest_joints: Tensor) -> Tensor:
    offsets = torch.eye(3).repeat(ROTATING, 1, 1)
    for joint, direction in _T_POSE.items():
        bone = rest_joints[_LIMB_ENDS[joint]] - rest_joints[joint]
        offsets[joint] = swing(bone, torch.tensor(direction))
    for joint, forearm in _WITH_FOREARM.items():
        offsets[joint] = offsets[forearm]
    above = torch.stack([torch.eye(3), *(offsets[PARENTS[joint]] for joint in range(1, ROTATING))])
    return above.mT @ turned @ offsets


def mirrored(rotations: Tensor) -> Tensor:
    """Poses ``(..., 24, 3, 3)`` as in a mirror: left is right, and turns go the other way round."""
    flip = torch.tensor([-1.0, 1.0, 1.0], dtype=rotations.dtype, device=rotations.device)
    swapped = rotations[..., list(MIRRORED[:ROTATING]), :, :]
    return swapped * flip[:, None] * flip
