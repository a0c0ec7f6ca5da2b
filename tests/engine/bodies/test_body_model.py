"""The built-in body: against anny where it is installed, and against itself everywhere."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.bodies.body_file import read_body, write_body
from engine.bodies.body_model import BUILTIN_BODY, BakedBody, load_builtin_body, vertex_normals
from engine.bodies.inverse_kinematics import closed_form, decompose
from engine.bodies.phenotype import random_phenotypes
from engine.bodies.rotations import axis_angle_to_matrix, geodesic_angle
from engine.bodies.skeleton import JOINT_NAMES, MIRRORED, forward_kinematics
from engine.errors import EngineError, ErrorCode


@pytest.fixture(scope="module")
def body() -> BakedBody:
    return load_builtin_body()


@pytest.fixture(scope="module")
def adults(body: BakedBody) -> Tensor:
    return body.shape_from_phenotype(random_phenotypes(4, torch.Generator().manual_seed(1)))


def random_pose(count: int, seed: int = 0, size: float = 0.4) -> Tensor:
    return axis_angle_to_matrix(
        size * torch.randn(count, 24, 3, generator=torch.Generator().manual_seed(seed))
    )


def test_an_adult_stands_upright_and_looks_ahead(body: BakedBody) -> None:
    rest = body.rest(body.shape_from_phenotype({"age": 0.7}))
    extent = rest.vertices[0].amax(0) - rest.vertices[0].amin(0)
    assert 1.5 < float(extent[1]) < 1.9
    places = dict(zip(JOINT_NAMES, rest.joints[0], strict=True))
    assert places["left_hip"][0] > 0 > places["right_hip"][0]
    assert places["head"][1] > places["neck"][1] > places["spine3"][1] > places["left_knee"][1]
    assert places["left_big_toe"][2] > places["left_ankle"][2] + 0.1
    torch.testing.assert_close(places["pelvis"], torch.zeros(3))
    flipped = rest.joints[:, list(MIRRORED)] * torch.tensor([-1.0, 1, 1])
    assert float((flipped - rest.joints).abs().max()) < 2e-3


def test_sliders_do_what_they_say(body: BakedBody) -> None:
    def extents(**values: float) -> Tensor:
        vertices = body.rest(body.shape_from_phenotype(values)).vertices[0]
        return vertices.amax(0) - vertices.amin(0)

    assert extents(height=1.0)[1] > extents(height=0.0)[1] + 0.1
    assert extents(age=0.3)[1] < extents(age=0.7)[1] - 0.2
    assert extents(weight=1.0)[2] > extents(weight=0.0)[2]


def test_joints_are_the_skeleton_s_own_forward_kinematics(body: BakedBody, adults: Tensor) -> None:
    pose, place = random_pose(4), torch.tensor([[1.0, 2.0, -3.0]])
    posed = body.posed(adults, pose, place)
    wanted = forward_kinematics(pose, body.rest(adults).joints)[1] + place
    torch.testing.assert_close(posed.joints, wanted, rtol=0, atol=1e-5)


def test_closed_form_brings_poses_of_the_body_back(body: BakedBody, adults: Tensor) -> None:
    pose = random_pose(4)
    rest, posed = body.rest(adults), body.posed(adults, pose)
    angles = decompose(pose, rest.joints)[2]
    found = closed_form(posed.joints, rest.joints, torch.stack([angles.cos(), angles.sin()], -1))
    again = body.posed(adults, found)
    assert float((again.joints - posed.joints).norm(dim=-1).max()) < 1e-4
    assert float(geodesic_angle(found, pose).max()) < 5e-3


def test_a_turn_of_the_pelvis_turns_all(body: BakedBody, adults: Tensor) -> None:
    pose = random_pose(4)
    turn = axis_angle_to_matrix(torch.tensor([0.3, -2.0, 0.5]))
    turned = torch.cat([turn @ pose[:, :1], pose[:, 1:]], 1)
    first, second = body.posed(adults, pose), body.posed(adults, turned)
    torch.testing.assert_close(first.vertices @ turn.T, second.vertices, rtol=0, atol=1e-5)


def test_twist_is_spread_over_the_skin_only(body: BakedBody, adults: Tensor) -> None:
    pose = random_pose(4)
    spread, rigid = body.posed(adults, pose), body.posed(adults, pose, spread_twist=False)
    torch.testing.assert_close(spread.joints, rigid.joints)
    moved = (spread.vertices - rigid.vertices).norm(dim=-1)
    assert 0.005 < float(moved.max()) < 0.1
    rest = body.rest(adults).vertices
    eyes = torch.eye(3).expand(1, 24, 3, 3)
    torch.testing.assert_close(body.posed(adults, eyes, spread_twist=False).vertices, rest)


def test_one_shape_for_many_poses_and_fewer_numbers(body: BakedBody, adults: Tensor) -> None:
    pose = random_pose(3)
    many = body.posed(adults[:1, :10], pose)
    padded = torch.cat([adults[:1, :10], torch.zeros(1, body.shape_size - 10)], 1)
    alone = torch.cat([body.posed(padded, one[None]).vertices for one in pose])
    torch.testing.assert_close(many.vertices, alone, rtol=0, atol=1e-5)


def test_gradients_reach_everything(body: BakedBody) -> None:
    values = torch.full((1, 6), 0.45, requires_grad=True)
    angles = torch.zeros(1, 24, 3, requires_grad=True)
    place = torch.zeros(1, 3, requires_grad=True)
    posed = body.posed(body.shape_from_phenotype(values), axis_angle_to_matrix(angles), place)
    weights = torch.randn(posed.vertices.shape, generator=torch.Generator().manual_seed(2))
    (posed.vertices * weights).sum().backward()
    for variable in (values, angles, place):
        assert variable.grad is not None
        assert torch.isfinite(variable.grad).all()
        assert (variable.grad != 0).all()


def test_shape_gradient_is_that_of_differences() -> None:
    body = load_builtin_body(torch.float64)
    stream = torch.Generator().manual_seed(3)
    pose = random_pose(1).double()
    weights = torch.randn(1, 29, 3, generator=stream, dtype=torch.float64)
    shape = torch.zeros(1, 3, dtype=torch.float64, requires_grad=True)

    def value(at: Tensor) -> Tensor:
        return (body.posed(at, pose).joints * weights).sum()

    (slope,) = torch.autograd.grad(value(shape), shape)
    step = 1e-6 * torch.eye(3, dtype=torch.float64)
    measured = [(value(shape + one) - value(shape - one)).detach() / 2e-6 for one in step]
    torch.testing.assert_close(slope[0], torch.stack(measured), rtol=1e-4, atol=1e-7)


def test_normals_look_outwards(body: BakedBody, adults: Tensor) -> None:
    vertices = body.rest(adults[:1]).vertices
    normals = vertex_normals(vertices, body.faces)
    used = normals[0].norm(dim=-1) > 0
    torch.testing.assert_close(normals[0, used].norm(dim=-1), torch.ones(int(used.sum())))
    corners = vertices[0, body.faces]
    volume = (torch.linalg.cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() / 6
    assert 0.02 < float(volume) < 0.2


def test_weights_of_joints_share_each_vertex_out(body: BakedBody) -> None:
    torch.testing.assert_close(body.joint_weights.sum(1), torch.ones(len(body.template)))
    assert float(body.joint_weights.min()) >= 0


def test_keypoints_are_near_the_joints(body: BakedBody, adults: Tensor) -> None:
    posed = body.posed(adults, random_pose(4))
    keypoints = body.coco_keypoints(posed.vertices)
    for keypoint, joint in ((7, 18), (8, 19), (13, 4), (14, 5), (9, 20), (10, 21)):
        assert float((keypoints[:, keypoint] - posed.joints[:, joint]).norm(dim=-1).max()) < 0.06


def test_it_is_anny(body: BakedBody) -> None:
    """Needs anny's cache of some 800 MB: run with ANNY_CACHE_DIR where there is one."""
    import os

    cache = Path(os.environ.get("ANNY_CACHE_DIR", "-"))
    if not cache.is_dir():
        pytest.skip("anny's cache is not here (ANNY_CACHE_DIR)")
    anny = pytest.importorskip("anny")
    import warnings

    from engine.bodies.bake_body import JOINT_BONES, Z_UP_TO_Y_UP

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = anny.Anny()
    values = random_phenotypes(4, torch.Generator().manual_seed(7), adults=False)
    pose = random_pose(4).double()
    pose[:, [10, 11, 22, 23]] = torch.eye(3).double()
    deltas = torch.eye(4).double().repeat(4, len(model.bone_labels), 1, 1)
    for label, joint in JOINT_BONES.items():
        turned = Z_UP_TO_Y_UP.T @ pose[:, joint] @ Z_UP_TO_Y_UP
        deltas[:, model.bone_labels.index(label), :3, :3] = turned
    wanted = model(deltas, values)["vertices"] @ Z_UP_TO_Y_UP.T
    found = body.posed(body.shape_from_phenotype(values), pose.float(), spread_twist=False)
    error = (found.vertices - wanted).norm(dim=-1)
    assert float(error.mean()) < 5e-5
    assert float(error.max()) < 2e-3


def test_files_there_and_back(tmp_path: Path) -> None:
    data = read_body(BUILTIN_BODY)
    assert BUILTIN_BODY.stat().st_size < 8e6
    copy = tmp_path / "copy.safetensors"
    write_body(copy, data, data.about["coarse"])
    again = read_body(copy)
    for name in ("template", "heads", "faces", "skin_bones", "coco_weights", "phenotype_map"):
        np.testing.assert_array_equal(getattr(again, name), getattr(data, name))
    np.testing.assert_allclose(again.basis, data.basis, rtol=0, atol=1e-6)
    np.testing.assert_allclose(again.skin_weights, data.skin_weights, rtol=0, atol=2e-5)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="not there") as missing:
        read_body(tmp_path / "none.safetensors")
    assert missing.value.code == ErrorCode.MISSING_WEIGHTS
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(BUILTIN_BODY.read_bytes()[:100_000])
    with pytest.raises(EngineError, match="damaged") as damaged:
        read_body(torn)
    assert damaged.value.code == ErrorCode.BAD_FILE
    data = read_body(BUILTIN_BODY)
    huge = replace(data, faces=np.zeros((10_000_000, 3), np.int64))
    write_body(tmp_path / "huge.safetensors", huge, data.about["coarse"])
    with pytest.raises(EngineError, match="10,000,000 faces"):
        read_body(tmp_path / "huge.safetensors")


def test_bad_input_is_named(body: BakedBody, adults: Tensor) -> None:
    with pytest.raises(EngineError, match="96"):
        body.rest(torch.zeros(1, 97))
    with pytest.raises(EngineError, match="not finite"):
        body.rest(torch.full((1, 3), torch.inf))
    with pytest.raises(EngineError, match="bodies"):
        body.posed(adults, random_pose(3))
    with pytest.raises(EngineError, match="no beauty"):
        body.shape_from_phenotype({"beauty": 1.0})
    with pytest.raises(EngineError, match="0 to 1"):
        body.shape_from_phenotype({"age": 1.5})
