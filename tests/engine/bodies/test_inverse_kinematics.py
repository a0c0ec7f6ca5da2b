"""Inverse kinematics: the reference program's answers, exact poses, twists, bad input."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.bodies.inverse_kinematics import (
    Form,
    Spine3,
    closed_form,
    decompose,
    hinge_twists,
    recompose,
    twist_matrices,
)
from engine.bodies.rotations import axis_angle_to_matrix, geodesic_angle
from engine.bodies.skeleton import (
    AIM_CHILDREN,
    JOINT_NAMES,
    MIRRORED,
    PARENTS,
    POINTS,
    forward_kinematics,
    tree_levels,
)
from engine.errors import EngineError

Reference = dict[str, Tensor]
EXACT = slice(0, 3)


@pytest.fixture
def reference(golden: Path) -> Reference:
    with np.load(golden / "niki" / "twist_swing_ik.npz", allow_pickle=False) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


@pytest.fixture
def rest() -> Tensor:
    """A made-up skeleton ``(1, 29, 3)`` in float64, arms aslant, with no two bones in line."""
    stream = torch.Generator().manual_seed(5)
    joints = torch.zeros(POINTS, 3, dtype=torch.float64)
    for point in range(1, POINTS):
        side = (1.0, -1.0)["right" in JOINT_NAMES[point]] if "_" in JOINT_NAMES[point] else 0.0
        down = any(part in JOINT_NAMES[point] for part in ("hip", "knee", "ankle", "foot", "toe"))
        offset = torch.tensor([0.1 * side, -0.2 if down else 0.15, 0.02], dtype=torch.float64)
        joints[point] = joints[PARENTS[point]] + offset
    noise = torch.randn(POINTS, 3, generator=stream, dtype=torch.float64)
    return (joints + 0.02 * noise)[None]


def random_pose(rng: np.random.Generator, count: int, size: float = 0.6) -> Tensor:
    return axis_angle_to_matrix(torch.from_numpy(size * rng.standard_normal((count, 24, 3))))


def rooted(joints: Tensor) -> Tensor:
    return joints - joints[:, :1]


def test_tree_is_the_reference_one(reference: Reference) -> None:
    assert reference["parents"].tolist() == list(PARENTS)
    assert reference["children"][:24].tolist() == list(AIM_CHILDREN)


def test_levels_visit_every_point_once_after_its_parent() -> None:
    seen = {0}
    for level in tree_levels():
        assert set(level.parents.tolist()) <= seen
        assert not set(level.points.tolist()) & seen
        seen |= set(level.points.tolist())
    assert seen == set(range(POINTS))


def test_mirroring_changes_sides_and_nothing_else() -> None:
    for point, other in enumerate(MIRRORED):
        assert MIRRORED[other] == point
        swapped = JOINT_NAMES[point].replace("left", "?").replace("right", "left").replace("?", "right")
        assert JOINT_NAMES[other] == swapped


def test_forward_kinematics_is_the_reference_one(reference: Reference) -> None:
    turned, posed = forward_kinematics(reference["rot_in"], reference["rest_joints"][:, :24])
    torch.testing.assert_close(posed, reference["fk_joints24"], rtol=0, atol=1e-10)
    wanted = reference["fk_rel_transforms"][..., :3, :3]
    torch.testing.assert_close(turned, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("key", "form", "spine3"),
    [
        ("ik_eval_rotmats", "compensating", "neck"),
        ("ik_eval_svd3_rotmats", "compensating", "three_children"),
        ("ik_train_rotmats", "plain", "neck"),
    ],
)
def test_closed_form_is_the_reference_one(
    reference: Reference, key: str, form: Form, spine3: Spine3
) -> None:
    """Up to what the original adds to its norms: 1e-8, grown along the tree to some 1e-4."""
    found = closed_form(
        reference["target_joints"], reference["rest_joints"], reference["phis"], form, spine3
    )
    torch.testing.assert_close(found, reference[key], rtol=0, atol=2e-4)
    # Ours is a rotation to the last digit and brings exact poses back, which the original is not.
    assert geodesic_angle(found[EXACT], reference["rot_in"][EXACT]).max() < 1e-6
    posed = forward_kinematics(found, reference["rest_joints"])[1]
    error = rooted(posed) - rooted(reference["target_joints"])
    assert torch.linalg.vector_norm(error[EXACT], dim=-1).max() < 1e-6


def test_decomposition_is_the_reference_one(reference: Reference) -> None:
    swings, twists, angles = decompose(reference["rot_in"], reference["rest_joints"])
    torch.testing.assert_close(swings, reference["decompose_rot_swing"], rtol=0, atol=1e-6)
    torch.testing.assert_close(twists, reference["decompose_rot_twist"], rtol=0, atol=1e-6)
    torch.testing.assert_close(angles, reference["decompose_rot_angle"][..., 0], rtol=0, atol=1e-6)
    again = recompose(reference["decompose_swing"], reference["decompose_twist"])
    torch.testing.assert_close(again, reference["recompose_rotmats"], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("dtype", "metres"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_exact_poses_come_back(
    rng: np.random.Generator, rest: Tensor, dtype: torch.dtype, metres: float
) -> None:
    rest, pose = rest.to(dtype), random_pose(rng, 20).to(dtype)
    target = forward_kinematics(pose, rest)[1] + 3
    angles = decompose(pose, rest)[2]
    found = closed_form(target, rest, torch.stack([angles.cos(), angles.sin()], -1))
    posed = forward_kinematics(found, rest)[1]
    assert torch.linalg.vector_norm(rooted(posed) - rooted(target), dim=-1).max() < metres
    assert geodesic_angle(found, pose).max() < (1e-6 if dtype == torch.float64 else 5e-3)


def test_a_batch_is_as_one_by_one(rng: np.random.Generator, rest: Tensor) -> None:
    target = forward_kinematics(random_pose(rng, 4), rest)[1]
    target += 0.02 * torch.from_numpy(rng.standard_normal(target.shape))
    alone = torch.cat([closed_form(one[None], rest) for one in target])
    torch.testing.assert_close(closed_form(target, rest), alone, rtol=0, atol=1e-12)


def test_compensation_keeps_length_errors_from_adding_up(
    rng: np.random.Generator, rest: Tensor
) -> None:
    pose = random_pose(rng, 50, 0.4)
    target = forward_kinematics(pose, rest * 1.02)[1]
    angles = decompose(pose, rest)[2]
    twists = torch.stack([angles.cos(), angles.sin()], -1)
    errors = {}
    for form in ("compensating", "plain"):
        posed = forward_kinematics(closed_form(target, rest, twists, form), rest)[1]
        error = torch.linalg.vector_norm(rooted(posed) - rooted(target), dim=-1)
        errors[form] = error[:, [20, 21, 10, 11]].mean()
    assert errors["compensating"] < errors["plain"]


def test_recomposed_is_what_was_decomposed(rng: np.random.Generator, rest: Tensor) -> None:
    pose = random_pose(rng, 10, 1.0)
    swings, twists, angles = decompose(pose, rest)
    torch.testing.assert_close(recompose(swings, twists), pose, rtol=0, atol=1e-9)
    made = twist_matrices(torch.stack([angles.cos(), angles.sin()], -1) * 2, rest)
    torch.testing.assert_close(made, twists, rtol=0, atol=1e-9)


def test_bones_folded_back_are_no_singularity(rest: Tensor) -> None:
    target = rest.clone()
    target[:, 20:] = rest[:, 18:19] - (rest[:, 20:] - rest[:, 18:19])
    target.requires_grad_()
    found = closed_form(target, rest)
    assert torch.isfinite(found).all()
    found.square().sum().backward()
    (closed_form(target, rest) * torch.arange(9.0).view(3, 3)).sum().backward()
    assert target.grad is not None
    assert torch.isfinite(target.grad).all()


def test_hinges_show_the_twist_of_hips_and_shoulders(rest: Tensor) -> None:
    """Knees bent backwards and elbows forwards, after turns of hips and shoulders about their bones."""
    true = torch.zeros(1, 23, dtype=torch.float64)
    for joint, angle in {1: 0.5, 2: -0.3, 16: 0.7, 17: -0.6}.items():
        true[:, joint - 1] = angle
    straight = rest.clone()
    for start, hinge, beyond in ((1, 4, 7), (2, 5, 8), (16, 18, 20), (17, 19, 21)):
        straight[:, beyond] = 2 * rest[:, hinge] - rest[:, start]
    pose = torch.eye(3).double().expand(1, 24, 3, 3).clone()
    pose[:, 1:] = twist_matrices(torch.stack([true.cos(), true.sin()], -1), straight)
    for hinge, start, sign in ((4, 1, -1.0), (5, 2, -1.0), (18, 16, 1.0), (19, 17, 1.0)):
        bone = straight[0, hinge] - straight[0, start]
        axis = torch.linalg.cross(bone, torch.tensor([0.0, 0, sign]).double())
        pose[0, hinge] = axis_angle_to_matrix(0.9 * axis / axis.norm())
    target = forward_kinematics(pose, straight)[1]
    twists = hinge_twists(target, straight)
    found = torch.atan2(twists[..., 1], twists[..., 0])
    torch.testing.assert_close(found, true, rtol=0, atol=1e-6)
    unbent = hinge_twists(straight, straight)
    torch.testing.assert_close(unbent[..., 0], torch.ones(1, 23).double(), rtol=0, atol=1e-12)


def test_bad_input_is_named(rest: Tensor) -> None:
    with pytest.raises(EngineError, match=r"\(B, 29, 3\)"):
        closed_form(rest[:, :24], rest)
    broken = rest.clone()
    broken[0, 3, 1] = math.nan
    with pytest.raises(EngineError, match="not finite"):
        closed_form(broken, rest)
    with pytest.raises(EngineError, match="no angle"):
        closed_form(rest, rest, torch.zeros(1, 23, 2).double())
    with pytest.raises(EngineError, match="cosines and sines"):
        closed_form(rest, rest, torch.zeros(1, 22, 2).double())
    with pytest.raises(EngineError, match="no closed form"):
        closed_form(rest, rest, form="quick")  # type: ignore[arg-type]
    with pytest.raises(EngineError, match="one, not 2"):
        closed_form(rest, rest.expand(2, -1, -1))
    with pytest.raises(EngineError, match="24, 3, 3"):
        forward_kinematics(torch.eye(3).expand(1, 23, 3, 3), rest)
