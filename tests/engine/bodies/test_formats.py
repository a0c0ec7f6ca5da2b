"""Files of bodies, read back: by trimesh where it knows the format, by their definition elsewhere."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from engine.bodies import formats
from engine.bodies.body_model import load_builtin_body
from engine.bodies.rotations import axis_angle_to_matrix, quaternion_to_matrix
from engine.bodies.skeleton import PARENTS, forward_kinematics
from engine.errors import EngineError


class Body:
    """The built-in body, bound and posed, as numpy."""

    def __init__(self) -> None:
        model = load_builtin_body()
        shape = model.shape_from_phenotype({})
        stream = torch.Generator().manual_seed(4)
        self.pose = axis_angle_to_matrix(0.3 * torch.randn(1, 24, 3, generator=stream))
        rest = model.rest(shape)
        self.vertices, self.joints = rest.vertices[0].numpy(), rest.joints[0].numpy()
        self.faces, self.weights = model.faces.numpy(), model.joint_weights.numpy()
        self.uv, self.face_uv = model.uv.numpy(), model.face_uv.numpy()


@pytest.fixture(scope="module")
def body() -> Body:
    return Body()


@pytest.mark.parametrize("ending", ["obj", "ply", "stl", "glb"])
def test_meshes_come_back(tmp_path: Path, body: Body, ending: str) -> None:
    trimesh = pytest.importorskip("trimesh")
    path = tmp_path / f"body.{ending}"
    if ending == "glb":
        formats.write_glb(path, body.vertices, body.faces, body.joints, body.weights)
    else:
        getattr(formats, f"write_{ending}")(path, body.vertices, body.faces)
    read = trimesh.load(path, process=False, force="mesh")
    np.testing.assert_allclose(read.vertices[read.faces], body.vertices[body.faces], rtol=0, atol=1e-6)


def test_colours_come_back(tmp_path: Path, body: Body) -> None:
    trimesh = pytest.importorskip("trimesh")
    colours = np.random.default_rng(0).integers(0, 256, body.vertices.shape, np.uint8)
    formats.write_ply(tmp_path / "c.ply", body.vertices, body.faces, colours)
    read = trimesh.load(tmp_path / "c.ply", process=False)
    np.testing.assert_array_equal(read.visual.vertex_colors[:, :3], colours)


def test_texture_coordinates_are_written(tmp_path: Path, body: Body) -> None:
    formats.write_obj(tmp_path / "t.obj", body.vertices, body.faces, body.uv, body.face_uv)
    lines = (tmp_path / "t.obj").read_text().splitlines()
    assert sum(line.startswith("vt ") for line in lines) == len(body.uv)
    corners = [part.split("/") for part in lines[-1].split()[1:]]
    assert [int(v) - 1 for v, _ in corners] == body.faces[-1].tolist()
    assert [int(t) - 1 for _, t in corners] == body.face_uv[-1].tolist()


def read_glb(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    data = path.read_bytes()
    magic, version, size, length = struct.unpack("<4sIII", data[:16])
    assert (magic, version, size) == (b"glTF", 2, len(data))
    document = json.loads(data[20 : 20 + length])
    blob = data[28 + length :]
    kinds = {5126: np.float32, 5121: np.uint8, 5125: np.uint32}
    widths = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
    arrays = []
    for accessor in document["accessors"]:
        view = document["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0
        raw = blob[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]
        arrays.append(
            np.frombuffer(raw, kinds[accessor["componentType"]]).reshape(
                accessor["count"], widths[accessor["type"]]
            )
        )
    return document, arrays


def test_skin_of_a_glb_poses_the_body(tmp_path: Path, body: Body) -> None:
    path = tmp_path / "posed.glb"
    formats.write_glb(
        path, body.vertices, body.faces, body.joints, body.weights, body.pose[0].numpy(), "CC0"
    )
    document, (positions, joints, weights, _, bind) = read_glb(path)
    assert document["asset"]["copyright"] == "CC0"
    world: list[np.ndarray] = []
    for node, parent in zip(document["nodes"], PARENTS[:24], strict=False):
        x, y, z, w = node["rotation"]
        local = np.eye(4)
        local[:3, :3] = quaternion_to_matrix(torch.tensor([w, x, y, z], dtype=torch.float64))
        local[:3, 3] = node["translation"]
        world.append(local if parent < 0 else world[parent] @ local)
    wanted = forward_kinematics(body.pose, torch.from_numpy(body.joints)[None])[1][0, :24]
    np.testing.assert_allclose(np.stack(world)[:, :3, 3], wanted, rtol=0, atol=1e-5)
    moved = np.stack(world) @ bind.reshape(-1, 4, 4).transpose(0, 2, 1)
    blended = (weights[..., None, None] * moved[joints]).sum(1)
    skinned = (blended[:, :3, :3] @ positions[..., None])[..., 0] + blended[:, :3, 3]
    model = load_builtin_body()
    posed = model.posed(model.shape_from_phenotype({}), body.pose, spread_twist=False)
    error = np.linalg.norm(skinned - posed.vertices[0].numpy(), axis=1)
    assert error.mean() < 2e-3


def test_motion_of_a_bvh_is_the_pose(tmp_path: Path, body: Body) -> None:
    pelvis = np.array([[1.0, 2.0, 3.0]])
    formats.write_bvh(tmp_path / "m.bvh", body.joints, body.pose.numpy(), pelvis, 25)
    lines = (tmp_path / "m.bvh").read_text().splitlines()
    values = np.array(lines[-1].split(), float)
    np.testing.assert_allclose(values[:3], pelvis[0])
    names = [line.split()[1] for line in lines if line.split()[0] in ("ROOT", "JOINT")]
    assert lines.count("Frame Time: 0.04000000") == 1
    for index, name in enumerate(names):
        z, x, y = torch.from_numpy(np.radians(values[3 + 3 * index : 6 + 3 * index]))
        axes = torch.eye(3, dtype=torch.float64)
        turned = (
            axis_angle_to_matrix(z * axes[2])
            @ axis_angle_to_matrix(x * axes[0])
            @ axis_angle_to_matrix(y * axes[1])
        )
        joint = formats.JOINT_NAMES.index(name)
        np.testing.assert_allclose(turned, body.pose[0, joint], rtol=0, atol=1e-5)


def test_npz_there_and_back(tmp_path: Path) -> None:
    arrays = {key: np.full((2, 3), index) for index, key in enumerate(formats.NPZ_KEYS)}
    formats.write_npz(tmp_path / "b.npz", "anny", **arrays)
    found = formats.read_npz(tmp_path / "b.npz")
    for key, array in arrays.items():
        np.testing.assert_array_equal(found[key], array)
    assert str(found["joint_names"][3]) == "spine1"
    with pytest.raises(EngineError, match="camera_K"):
        formats.write_npz(tmp_path / "b.npz", "anny", vertices=arrays["vertices"])
    np.savez(tmp_path / "other.npz", a=1)
    with pytest.raises(EngineError, match="holds no bodies"):
        formats.read_npz(tmp_path / "other.npz")
    cut = (tmp_path / "b.npz").read_bytes()[:-40]
    (tmp_path / "cut.npz").write_bytes(cut)
    with pytest.raises(EngineError, match="cannot be read"):
        formats.read_npz(tmp_path / "cut.npz")


def test_broken_meshes_are_refused(tmp_path: Path, body: Body) -> None:
    with pytest.raises(EngineError, match="no vertex"):
        formats.write_obj(tmp_path / "x.obj", body.vertices[:9], body.faces)
    with pytest.raises(EngineError, match="not finite"):
        formats.write_stl(tmp_path / "x.stl", body.vertices * np.nan, body.faces)
    with pytest.raises(EngineError, match="uint8"):
        formats.write_ply(tmp_path / "x.ply", body.vertices, body.faces, body.vertices)
