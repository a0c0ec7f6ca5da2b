"""Rotations: reference values, there and back, half turns and the identity, finite gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.bodies import rotations as r
from engine.errors import EngineError

Reference = dict[str, Tensor]


@pytest.fixture
def reference(golden: Path) -> Reference:
    with np.load(golden / "niki" / "rotation_conversions.npz", allow_pickle=False) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


def random_rotations(rng: np.random.Generator, count: int) -> Tensor:
    return r.quaternion_to_matrix(torch.from_numpy(rng.standard_normal((count, 4))))


@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        (r.axis_angle_to_matrix, "axis_angle", "rotmat"),
        (r.quaternion_to_matrix, "quat_wxyz", "rotmat_from_quat"),
        (r.matrix_to_axis_angle, "rotmat", "axis_angle_from_rotmat"),
        (r.quaternion_to_axis_angle, "quat_wxyz", "axis_angle_from_quat"),
        (r.rotation_6d_columns_to_matrix, "x6d", "rot6d_to_rotmat"),
    ],
)
def test_conversions_are_the_reference_ones(
    reference: Reference, function: Callable[[Tensor], Tensor], given: str, expected: str
) -> None:
    torch.testing.assert_close(function(reference[given]), reference[expected], rtol=0, atol=1e-6)


def test_quaternions_are_the_reference_ones_up_to_sign(reference: Reference) -> None:
    found = r.matrix_to_quaternion(reference["rotmat"])
    assert (found[:, 0] >= 0).all()
    same = (found * reference["quat_wxyz"]).sum(-1).abs()
    torch.testing.assert_close(same, torch.ones_like(same), rtol=0, atol=1e-7)


def test_swings_are_the_reference_ones(reference: Reference) -> None:
    found = r.swing(reference["vec_a"], reference["vec_b"])
    torch.testing.assert_close(found, reference["swing_a_to_b"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 0.00999, 0.0101, 1.0, 3.0, math.pi - 1e-7])
def test_rotation_vectors_there_and_back(rng: np.random.Generator, angle: float) -> None:
    axes = r.normalise(torch.from_numpy(rng.standard_normal((20, 3))))
    given = angle * axes
    back = r.matrix_to_axis_angle(r.axis_angle_to_matrix(given))
    torch.testing.assert_close(back, given, rtol=0, atol=1e-10)
    through = r.quaternion_to_axis_angle(r.axis_angle_to_quaternion(given))
    torch.testing.assert_close(through, given, rtol=0, atol=1e-10)


def test_half_turns(rng: np.random.Generator) -> None:
    axes = torch.cat([torch.eye(3), -torch.eye(3)]).double()
    axes = torch.cat([axes, r.normalise(torch.from_numpy(rng.standard_normal((20, 3))))])
    turned = r.axis_angle_to_matrix(math.pi * axes)
    torch.testing.assert_close(turned, 2 * axes[:, :, None] * axes[:, None] - torch.eye(3))
    back = r.matrix_to_axis_angle(turned)
    assert torch.linalg.vector_norm(back, dim=-1).allclose(torch.tensor(math.pi, dtype=torch.float64))
    torch.testing.assert_close(r.axis_angle_to_matrix(back), turned, rtol=0, atol=1e-10)


def test_swings_to_the_opposite_direction(rng: np.random.Generator) -> None:
    start = r.normalise(torch.from_numpy(rng.standard_normal((50, 3))))
    nearly = r.normalise(-start + 1e-7 * torch.from_numpy(rng.standard_normal((50, 3))))
    for end in (-start, nearly, start):
        turned = r.swing(start, end)
        torch.testing.assert_close((turned @ start[..., None])[..., 0], end, rtol=0, atol=1e-9)
        torch.testing.assert_close(turned @ turned.mT, torch.eye(3).double().expand(50, 3, 3))
        shortest = torch.atan2(torch.linalg.cross(start, end).norm(dim=-1), (start * end).sum(-1))
        found = r.geodesic_angle(torch.eye(3).double().expand(50, 3, 3), turned)
        torch.testing.assert_close(found, shortest, rtol=0, atol=1e-6)


def test_six_numbers_there_and_back(rng: np.random.Generator) -> None:
    rotations = random_rotations(rng, 30)
    six = r.matrix_to_rotation_6d(rotations)
    torch.testing.assert_close(six, rotations[:, :2].flatten(1))
    torch.testing.assert_close(r.rotation_6d_to_matrix(3 * six), rotations)


def test_nearest_rotation_of_a_reflection_is_a_rotation(rng: np.random.Generator) -> None:
    rotations = random_rotations(rng, 10)
    torch.testing.assert_close(r.nearest_rotation(2 * rotations), rotations)
    mirrored = rotations @ torch.diag(torch.tensor([1.0, 1.0, -0.1])).double()
    torch.testing.assert_close(r.nearest_rotation(mirrored), rotations)


GRADIENT_CASES = {
    "axis_angle_to_matrix": (r.axis_angle_to_matrix, torch.zeros(3)),
    "axis_angle_to_quaternion": (r.axis_angle_to_quaternion, torch.zeros(3)),
    "matrix_to_axis_angle at 0": (r.matrix_to_axis_angle, torch.eye(3)),
    "matrix_to_axis_angle at pi": (r.matrix_to_axis_angle, torch.diag(torch.tensor([1.0, -1, -1]))),
    "rotation_6d_to_matrix": (r.rotation_6d_to_matrix, torch.tensor([1.0, 0, 0, 1, 0, 0])),
    "normalise": (r.normalise, torch.zeros(3)),
    "swing at 0": (lambda v: r.swing(v, torch.tensor([1.0, 0, 0])), torch.tensor([1.0, 0, 0])),
    "swing at pi": (lambda v: r.swing(v, torch.tensor([1.0, 0, 0])), torch.tensor([-1.0, 0, 0])),
    "swing of nothing": (lambda v: r.swing(v, torch.tensor([1.0, 0, 0])), torch.zeros(3)),
    "geodesic at 0": (lambda m: r.geodesic_angle(m, torch.eye(3)), torch.eye(3)),
}


@pytest.mark.parametrize("name", GRADIENT_CASES)
def test_gradients_are_finite_at_singular_places(name: str) -> None:
    function, at = GRADIENT_CASES[name]
    variable = at.clone().requires_grad_()
    value = function(variable)
    assert torch.isfinite(value).all()
    (value * torch.arange(1.0, value.numel() + 1).view_as(value)).sum().backward()
    assert variable.grad is not None
    assert torch.isfinite(variable.grad).all()


@pytest.mark.parametrize(
    "function",
    [
        r.axis_angle_to_matrix,
        r.axis_angle_to_quaternion,
        lambda v: r.matrix_to_axis_angle(r.axis_angle_to_matrix(v)),
        lambda v: r.swing(v, torch.tensor([0.2, -1.0, 0.5], dtype=torch.float64)),
    ],
)
@pytest.mark.parametrize("size", [1e-3, 0.5, 2.5])
def test_gradients_are_right(
    rng: np.random.Generator, function: Callable[[Tensor], Tensor], size: float
) -> None:
    at = size * r.normalise(torch.from_numpy(rng.standard_normal((3, 3))))
    assert torch.autograd.gradcheck(function, (at.requires_grad_(),), eps=1e-7, atol=1e-4)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(EngineError, match=r"shape \(\.\.\., 3, 3\)"):
        r.matrix_to_quaternion(torch.zeros(2, 3))
    with pytest.raises(EngineError, match="floating point"):
        r.axis_angle_to_matrix(torch.zeros(3, dtype=torch.long))
