"""Neural inverse kinematics: noisy joints to a pose, and how wrong the joints were (NIKI).

Joints that are right should be followed to the pixel, joints that are wrong (hidden, cut off) should
give way to a plausible pose. An invertible network does both (Li et al. 2023, "NIKI", CVPR): it maps
joints and their uncertainty to rotations *and* an error code, and without error code back to joints.
What the joints have that no pose explains must go into the code; zero stands for exact joints.

Two variants, as published: one stage, and two: joints to swings, then swings and twists to rotations.
Ours need no image network: twists are those of the closed form. They differ from the paper in three
more ways: the closed form's rotations enter where it has random filler (the flow begins as the closed
form and learns what to correct), a setting; the lengths of the bones are known to every block, a
setting; and the second stage begins with the exact product of swing and twist.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.bodies.inverse_kinematics import closed_form, decompose, hinge_twists
from engine.bodies.niki_coupling import CouplingFlow
from engine.bodies.rotations import (
    matrix_to_rotation_6d,
    normalise,
    rotation_6d_to_matrix,
    rotation_about,
)
from engine.bodies.skeleton import AIM_CHILDREN, PARENTS, POINTS, ROTATING, check_joints
from engine.errors import EngineError, bad_file, invalid_input
from engine.weight_files import explain_mismatch, read_metadata, read_safetensors

FORMAT = "triptych-niki-1"
BUILTIN_NIKI = (
    Path(__file__).resolve().parents[2] / "resources" / "weights" / "niki" / "niki.safetensors"
)
SIX = 6 * ROTATING
"""Numbers of a pose: the first two rows of 24 rotations."""

TWISTS = 2 * (ROTATING - 1)
FILLER = 60
"""Numbers that make both sides equally many, in the paper's form."""

JOINT_SCALE = 4.0
"""Joints and bone lengths are multiplied by it, to be about as large as the other numbers."""

BONES = POINTS - 1


@dataclass(frozen=True)
class NikiConfig:
    """What a network is.

    Attributes
    ----------
    stages
        1: joints to rotations. 2: joints to swings, then swings and twists to rotations.
    start
        ``closed_form``: its rotations are the flow's start. ``filler``: the paper's.
    blocks, width
        Of the flow that takes joints.
    twist_blocks, twist_width
        Of the second stage.
    bone_lengths
        Whether every block knows them.
    dropout
        In training, in the second stage.
    """

    stages: Literal[1, 2] = 2
    start: Literal["closed_form", "filler"] = "closed_form"
    blocks: int = 8
    width: int = 384
    twist_blocks: int = 4
    twist_width: int = 256
    bone_lengths: bool = True
    dropout: float = 0.0

    @property
    def size(self) -> int:
        """Numbers on either side of the flow that takes joints."""
        return (SIX if self.start == "closed_form" else FILLER) + 4 * POINTS

    @property
    def code(self) -> int:
        """Numbers of the error code, of both stages."""
        return self.size - SIX + (TWISTS if self.stages == 2 else 0)


@dataclass(frozen=True, eq=False)
class Observation:
    """Joints as a network takes them; see :func:`observe`.

    Attributes
    ----------
    joints
        ``(B, 29, 3)`` metres, the pelvis at the origin.
    uncertainty
        ``(B, 29)``, 0 sure to 1 lost.
    rest
        ``(B, 29, 3)`` metres, the skeleton to be posed.
    rotations, swings
        ``(B, 24, 3, 3)`` of the closed form, with its twists and without.
    twists
        ``(B, 23, 2)`` cosines and sines of the closed form.
    """

    joints: Tensor
    uncertainty: Tensor
    rest: Tensor
    rotations: Tensor
    swings: Tensor
    twists: Tensor

    def __len__(self) -> int:
        return len(self.joints)

    def rows(self, index: Tensor | slice) -> Observation:
        """Some of them."""
        return Observation(**{name: value[index] for name, value in vars(self).items()})

    def beside(self, other: Observation) -> Observation:
        """Both, one after the other."""
        pairs = {name: torch.cat([value, getattr(other, name)]) for name, value in vars(self).items()}
        return Observation(**pairs)


@dataclass(frozen=True, eq=False)
class NikiPose:
    """What the inverse process gives.

    Attributes
    ----------
    numbers
        ``(B, 144)`` as the network wrote them, not yet rotations: what undoing it needs.
    swing_numbers
        Likewise of the first stage; those of the rotations where there is one stage.
    code
        ``(B, E)`` the error code, of both stages.
    """

    numbers: Tensor
    swing_numbers: Tensor
    code: Tensor

    @property
    def rotations(self) -> Tensor:
        """``(B, 24, 3, 3)`` relative to the parents."""
        return rotation_6d_to_matrix(self.numbers.unflatten(1, (ROTATING, 6)))

    @property
    def doubt(self) -> Tensor:
        """``(B,)``, the code's root mean square: near 0 where a pose explains the joints."""
        return self.code.square().mean(1).sqrt()


@dataclass(frozen=True, eq=False)
class NikiJoints:
    """What the forward process gives: the joints that belong to a pose and an error code.

    Attributes
    ----------
    joints, uncertainty
        ``(B, 29, 3)`` metres, ``(B, 29)``.
    start
        ``(B, 144)`` of the closed form, or the filler ``(B, 60)``.
    swing_numbers, twists
        ``(B, 144)``, ``(B, 23, 2)``; of one stage the rotations' own, and no twists.
    """

    joints: Tensor
    uncertainty: Tensor
    start: Tensor
    swing_numbers: Tensor
    twists: Tensor | None


@torch.no_grad()
def observe(joints: Tensor, uncertainty: Tensor, rest_joints: Tensor) -> Observation:
    """Solve joints in closed form, as a start for networks; no gradients.

    Parameters
    ----------
    joints
        ``(B, 29, 3)`` metres.
    uncertainty
        ``(B, 29)``, 0 sure to 1 lost.
    rest_joints
        ``(B or 1, 29, 3)`` metres.

    Raises
    ------
    EngineError
        ``invalid_input`` for other shapes, or values that are not finite or out of range.
    """
    check_joints(joints)
    check_joints(rest_joints)
    if uncertainty.shape != joints.shape[:2]:
        raise invalid_input(
            f"{len(joints)} people need ({len(joints)}, {POINTS}) uncertainties, not "
            f"{tuple(uncertainty.shape)}."
        )
    if not bool(((uncertainty >= 0) & (uncertainty <= 1)).all()):
        raise invalid_input("An uncertainty goes from 0, sure, to 1, lost.")
    joints = joints - joints[:, :1]
    rest = rest_joints.expand(len(joints), -1, -1)
    rotations = closed_form(joints, rest, hinge_twists(joints, rest), spine3="three_children")
    swings, _, angles = decompose(rotations, rest)
    twists = torch.stack([angles.cos(), angles.sin()], -1)
    return Observation(joints, uncertainty, rest, rotations, swings, twists)


class Niki(nn.Module):
    """The invertible network between (joints, uncertainty) and (rotations, error code)."""

    def __init__(self, config: NikiConfig) -> None:
        super().__init__()
        self.config = config
        condition = BONES if config.bone_lengths else 0
        self.flow = CouplingFlow(config.size, config.blocks, config.width, condition)
        self.twist_flow = (
            CouplingFlow(
                SIX + TWISTS, config.twist_blocks, config.twist_width, condition, config.dropout
            )
            if config.stages == 2
            else None
        )

    def inverse(self, seen: Observation, filler: Tensor | None = None) -> NikiPose:
        """Joints to pose and error code.

        ``filler`` ``(B, 60)`` takes the place of zeros where the network has any (noise, in training).
        """
        joints = JOINT_SCALE * seen.joints.flatten(1)
        known = self._condition(seen.rest)
        if self.config.start == "closed_form":
            start = seen.swings if self.twist_flow is not None else seen.rotations
            numbers = torch.cat([_six(start), joints, seen.uncertainty], 1)
        else:
            filler = joints.new_zeros(len(joints), FILLER) if filler is None else filler
            numbers = torch.cat([joints, seen.uncertainty, filler], 1)
        out, _ = self.flow.inverse(numbers, known)
        swings, code = out[:, :SIX], out[:, SIX:]
        if self.twist_flow is None:
            return NikiPose(swings, swings, code)
        rows = _twisted(swings, seen.twists, seen.rest, back=False)
        turns = seen.twists - _untwisted(seen.twists)
        out, _ = self.twist_flow.inverse(torch.cat([rows, turns.flatten(1)], 1), known)
        return NikiPose(out[:, :SIX], swings, torch.cat([code, out[:, SIX:]], 1))

    def forward(self, numbers: Tensor, code: Tensor, rest: Tensor) -> NikiJoints:
        """Pose ``(B, 144)`` and error code ``(B, E)`` to joints: what undoes :meth:`inverse`."""
        known = self._condition(rest)
        twists = None
        if self.twist_flow is not None:
            own = code.shape[1] - TWISTS
            out, _ = self.twist_flow(torch.cat([numbers, code[:, own:]], 1), known)
            twists = out[:, SIX:].unflatten(1, (ROTATING - 1, 2))
            twists = twists + _untwisted(twists)
            numbers, code = _twisted(out[:, :SIX], twists, rest, back=True), code[:, :own]
        out, _ = self.flow(torch.cat([numbers, code], 1), known)
        if self.config.start == "closed_form":
            start, joints, uncertainty = out.split([SIX, 3 * POINTS, POINTS], 1)
        else:
            joints, uncertainty, start = out.split([3 * POINTS, POINTS, FILLER], 1)
        placed = joints.unflatten(1, (POINTS, 3)) / JOINT_SCALE
        return NikiJoints(placed, uncertainty, start, numbers, twists)

    def _condition(self, rest: Tensor) -> Tensor | None:
        if not self.config.bone_lengths:
            return None
        bones = rest[:, 1:] - rest[:, list(PARENTS[1:])]
        return JOINT_SCALE * torch.linalg.vector_norm(bones, dim=-1)


def _six(rotations: Tensor) -> Tensor:
    return matrix_to_rotation_6d(rotations).flatten(1)


def _untwisted(twists: Tensor) -> Tensor:
    """Cosine and sine of no twist, for which the network's numbers are zero."""
    none = torch.zeros_like(twists[:1])
    none[..., 0] = 1
    return none


def _twisted(numbers: Tensor, twists: Tensor, rest: Tensor, back: bool) -> Tensor:
    """Rows of R = S T from rows of the swings S, or back: a coupling too, known in closed form.

    The rows of a product are the rows of S times T, so it needs no S that is a rotation yet.
    """
    bones = normalise(rest[:, list(AIM_CHILDREN[1:])] - rest[:, 1:ROTATING])
    unit = normalise(twists)
    turns = rotation_about(bones, unit[..., 0], unit[..., 1])
    rows = numbers.unflatten(1, (ROTATING, 2, 3))
    turned = rows[:, 1:] @ (turns.mT if back else turns)
    return torch.cat([rows[:, :1], turned], 1).flatten(1)


def save_niki(model: Niki, path: Path, about: dict[str, Any]) -> None:
    """Write a network in half precision; ``about`` goes into the file's metadata."""
    tensors = {
        key: value.detach().half().cpu().contiguous() for key, value in model.state_dict().items()
    }
    told = {"format": FORMAT, "config": asdict(model.config), **about}
    save_file(tensors, path, {key: json.dumps(value) for key, value in told.items()})


def read_niki(path: Path) -> Niki:
    """Read what :func:`save_niki` wrote, in evaluation mode.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file``.
    """
    tensors = read_safetensors(path)
    try:
        about = {key: json.loads(value) for key, value in read_metadata(path).items()}
        if about["format"] != FORMAT:
            raise KeyError(about["format"])
        model = Niki(NikiConfig(**about["config"]))
    except (KeyError, TypeError, ValueError, EngineError) as error:
        raise bad_file(
            f"{path.name} holds no network for inverse kinematics. Nothing was loaded.",
            f"It is written by python -m engine.bodies.niki_training ({path}).",
            str(error),
        ) from error
    expected = model.state_dict()
    wrong = explain_mismatch(expected, tensors) or ", ".join(
        key for key, value in tensors.items() if value.shape != expected[key].shape
    )
    if wrong:
        raise bad_file(f"{path.name} is damaged: {wrong}. Nothing was loaded.")
    model.load_state_dict({key: value.float() for key, value in tensors.items()})
    return model.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def load_builtin_niki() -> Niki:
    """The network that ships with Triptych, loaded once."""
    return read_niki(BUILTIN_NIKI)
