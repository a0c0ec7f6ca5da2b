"""Files of the SMPL family, on small models made up here: nothing of the real ones is used."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.bodies.body_model import BodyModel, load_builtin_body
from engine.bodies.inverse_kinematics import closed_form
from engine.bodies.joints import PARENTS
from engine.bodies.keypoints.layouts import COCO17
from engine.bodies.keypoints.person import Person
from engine.bodies.record import Camera, read_recoveries
from engine.bodies.recover import average_shape, recover_person
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.smpl import LICENCE, SmplBody, load_smpl
from engine.bodies.surface_keypoints import hung_on
from engine.cli import main
from engine.errors import EngineError, ErrorCode

PHOTO = Path(__file__).parents[3] / "resources" / "samples" / "bodies" / "one.jpg"

Arrays = dict[str, np.ndarray]


def parents_of(count: int) -> list[int]:
    if count == 24:
        return list(PARENTS[:24])
    face = [15] * (count - 52)
    first, fingers = 22 + len(face), []
    for side, wrist in enumerate((20, 21)):
        for finger in range(5):
            base = first + 15 * side + 3 * finger
            fingers += [wrist, base, base + 1]
    return [*PARENTS[:22], *face, *fingers]


def made_up(count: int = 24, seed: int = 0) -> Arrays:
    """A model in the layout of the files: six vertices around each joint."""
    rng = np.random.default_rng(seed)
    body = load_builtin_body()
    known = body.rest(torch.zeros(1, 1)).joints[0].numpy().astype(float)
    parents = parents_of(count)
    joints = np.zeros((count, 3))
    joints[: min(count, 24)] = known[: min(count, 24)]
    for joint in range(22, count):
        if count > 24:
            joints[joint] = joints[parents[joint]] + rng.uniform(0.005, 0.02, 3)
    joints += [0.1, 0.9, -0.05]
    around = 0.05 * np.concatenate([np.eye(3), -np.eye(3)])
    vertices = (joints[:, None] + around).reshape(-1, 3)
    apart = np.linalg.norm(vertices[:, None] - joints, axis=2)
    weights = np.exp(-((apart / 0.04) ** 2))
    number = len(vertices)
    return {
        "v_template": vertices,
        "shapedirs": 0.01 * rng.standard_normal((number, 3, 16)),
        "posedirs": 0.01 * rng.standard_normal((number, 3, 9 * (count - 1))),
        "J_regressor": np.kron(np.eye(count), np.full((1, 6), 1 / 6)),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([[4294967295, *parents[1:]], range(count)], np.int64),
        "f": np.array([[6 * at, 6 * at + 1, 6 * at + 2] for at in range(count)]),
    }


def by_definition(arrays: Arrays, shape: np.ndarray, rotations: np.ndarray) -> tuple[np.ndarray, ...]:
    """Loper et al. 2015, equations 2 to 12, joint by joint with 4 x 4 matrices."""
    shaped = arrays["v_template"] + arrays["shapedirs"][:, :, : len(shape)] @ shape
    joints = arrays["J_regressor"] @ shaped
    unposed = shaped + arrays["posedirs"] @ (rotations[1:] - np.eye(3)).ravel()
    parents = arrays["kintree_table"][0]
    chains: list[np.ndarray] = []
    for joint, turn in enumerate(rotations):
        local = np.eye(4)
        local[:3, :3] = turn
        local[:3, 3] = joints[joint] - (joints[parents[joint]] if joint else 0)
        chains.append(chains[parents[joint]] @ local if joint else local)
    posed = np.array([chain[:3, 3] for chain in chains])
    moved = []
    for vertex, weights in zip(unposed, arrays["weights"], strict=True):
        place = np.zeros(3)
        for chain, joint, weight in zip(chains, joints, weights, strict=True):
            place += weight * (chain[:3, :3] @ (vertex - joint) + chain[:3, 3])
        moved.append(place)
    return np.array(moved) - joints[0], posed - joints[0]


def turned(seed: int, batch: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return axis_angle_to_matrix(0.5 * torch.randn(batch, 24, 3, generator=generator).double())


def test_smpl_is_posed_as_published() -> None:
    arrays = made_up()
    body: BodyModel = SmplBody(arrays, torch.float64)
    shape = torch.randn(2, 10, generator=torch.Generator().manual_seed(1)).double()
    rotations = turned(2, 2)
    place = torch.tensor([[0.0, 1.0, -3.0]]).double()
    found = body.posed(shape, rotations, place)
    for at in range(2):
        vertices, joints = by_definition(arrays, shape[at].numpy(), rotations[at].numpy())
        assert np.abs(found.vertices[at].numpy() - place.numpy() - vertices).max() < 1e-10
        assert np.abs(found.joints[at, :24].numpy() - place.numpy() - joints).max() < 1e-10


@pytest.mark.parametrize(("count", "name"), [(52, "SMPL-H"), (55, "SMPL-X")])
def test_fingers_and_faces_go_along(count: int, name: str) -> None:
    """Hands that are not turned: as published with fingers, jaw and eyes at rest."""
    arrays = made_up(count)
    body = SmplBody(arrays, torch.float64)
    assert body.name == name
    rotations = turned(3)
    rotations[:, 22:] = torch.eye(3, dtype=torch.float64)
    full = np.tile(np.eye(3), (count, 1, 1))
    full[:22] = rotations[0, :22].numpy()
    shape = torch.full((1, 4), 0.7, dtype=torch.float64)
    vertices, joints = by_definition(arrays, shape[0].numpy(), full)
    found = body.posed(shape, rotations)
    assert np.abs(found.vertices[0].numpy() - vertices).max() < 1e-10
    assert np.abs(found.joints[0, :22].numpy() - joints[:22]).max() < 1e-10
    middle = count - 30 + 3
    assert np.abs(found.joints[0, 22].numpy() - joints[middle]).max() < 1e-10
    # A turned hand takes its fingers along and leaves the rest.
    rotations[:, 22] = axis_angle_to_matrix(torch.tensor([0.0, 0.0, 1.0]).double())
    moved = (body.posed(shape, rotations).vertices - found.vertices)[0].norm(dim=1)
    fingers = body.joint_weights[:, 22] > 0.9
    assert moved[fingers].min() > 1e-4
    assert moved[body.joint_weights[:, 22] < 1e-9].max() < 1e-9


def test_ends_weights_and_gradients() -> None:
    body = SmplBody(made_up())
    assert torch.allclose(body.joint_weights.sum(1), torch.ones(144))
    rest = body.rest(torch.zeros(1, 10)).joints[0]
    assert rest[0].abs().max() < 1e-6
    assert rest[24, 1] > rest[15, 1]
    assert rest[25, 0] > rest[22, 0]
    assert rest[26, 0] < rest[23, 0]
    assert (rest[27:, 2] > rest[10:12, 2]).all()
    shape = torch.zeros(1, 10, requires_grad=True)
    body.posed(shape, turned(4).float()).vertices.square().sum().backward()
    assert shape.grad is not None
    assert shape.grad.abs().min() > 0


def test_inverse_kinematics_works_on_it() -> None:
    """The skeleton is the one all methods speak of: joints are met again in closed form."""
    body = SmplBody(made_up(), torch.float64)
    shape = torch.zeros(1, 10, dtype=torch.float64)
    wanted = body.posed(shape, turned(5)).joints
    solved = closed_form(wanted, body.rest(shape).joints, spine3="three_children")
    again = body.posed(shape, solved).joints
    assert (again - wanted).norm(dim=2).max() < 1e-6


def arms_up() -> torch.Tensor:
    """A rest pose of another model: arms level rather than lowered, legs apart."""
    turns = torch.zeros(1, 24, 3)
    turns[0, [16, 17, 1, 2], 2] = torch.tensor([0.7, -0.7, 0.15, -0.15])
    return axis_angle_to_matrix(turns)


@pytest.fixture(scope="module")
def known_arrays() -> Arrays:
    """The built-in body, at rest in another pose, in the layout of SMPL's files."""
    body = load_builtin_body()
    shapes = average_shape(body) + torch.eye(11, body.shape_size).roll(1, 0)
    shapes[0] = average_shape(body)
    rest = body.posed(shapes, arms_up())
    near, weights = hung_on(rest.joints[0, :24], rest.vertices[0])
    regressor = torch.zeros(24, len(rest.vertices[0]), dtype=torch.float64)
    return {
        "v_template": rest.vertices[0].numpy(),
        "shapedirs": (rest.vertices[1:] - rest.vertices[:1]).permute(1, 2, 0).numpy(),
        "posedirs": np.zeros((len(rest.vertices[0]), 3, 207), np.float32),
        "J_regressor": regressor.scatter_(1, near, weights).numpy(),
        "weights": body.joint_weights.numpy(),
        "kintree_table": np.array([[4294967295, *PARENTS[1:24]], range(24)]),
        "f": body.faces.numpy(),
    }


@pytest.fixture(scope="module")
def known(known_arrays: Arrays) -> SmplBody:
    return SmplBody(known_arrays)


def test_keypoints_are_carried_over(known: SmplBody) -> None:
    builtin = load_builtin_body()
    flat = torch.zeros(1, 10)
    at_rest = builtin.posed(average_shape(builtin), arms_up())
    found = known.coco_keypoints(known.rest(flat).vertices)
    assert (found - builtin.coco_keypoints(at_rest.vertices)).norm(dim=2).max() < 0.01
    # They turn with the body.
    about = axis_angle_to_matrix(torch.tensor([[[0.3, -0.8, 0.5]]])).expand(1, 24, 3, 3).clone()
    about[:, 1:] = torch.eye(3)
    turned_too = known.coco_keypoints(known.posed(flat, about).vertices)
    assert (turned_too - found @ about[0, 0].T).abs().max() < 1e-5


@pytest.mark.parametrize("method", ["ik", "fit"])
def test_people_are_recovered_with_it(known: SmplBody, method: str) -> None:
    turns = torch.zeros(1, 24, 3)
    turns[0, 0, 1] = 0.4
    turns[0, [16, 17], 2] = torch.tensor([-0.9, 0.4])
    turns[0, [1, 4], 0] = torch.tensor([-0.6, 0.9])
    place = torch.tensor([[0.1, -0.1, -4.0]])
    truth = known.posed(torch.zeros(1, 10), axis_angle_to_matrix(turns), place)
    camera = Camera(900, 1200, 1400.0, (450.0, 600.0), "user")
    pixels = camera.project(known.coco_keypoints(truth.vertices)[0, :17].double().numpy())
    person = Person(
        keypoints=np.concatenate([pixels, np.ones((17, 1))], 1),
        layout=COCO17.name,
        box=np.concatenate([pixels.min(0), pixels.max(0)]),
    )
    found = recover_person(person, camera, known, method)
    assert found.shape.shape == (10,)
    assert found.error_share < (0.06 if method == "ik" else 0.02)


def test_people_of_a_photo(
    known_arrays: Arrays, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "SMPL_NEUTRAL.npz"
    np.savez(path, **known_arrays)
    words = ["recover", str(PHOTO), "--body-model", str(path), "--out", str(tmp_path), "--json"]
    assert main([*words, "--method", "niki+shape", "--export", "glb,obj"]) == 0
    (told,) = json.loads(capsys.readouterr().out)["pictures"]
    assert told["error_share"] < 0.06
    assert 1.4 < told["bodies"][0]["height_m"] < 2
    assert any("built-in body has widths" in warning for warning in told["warnings"])
    (found,) = read_recoveries(tmp_path / "one.npz")
    assert found.body == "SMPL"
    assert LICENCE.encode() in (tmp_path / "one-body-p1.glb").read_bytes()

    words[3] = str(tmp_path / "nowhere.npz")
    assert main(words) != 0
    told = json.loads(capsys.readouterr().out)["pictures"][0]
    assert "downloads none" in told["error"]["hint"]


def test_files(tmp_path: Path) -> None:
    arrays = made_up(55)
    path = tmp_path / "SMPLX_NEUTRAL.npz"
    # As in the real ones, there are pickled objects beside what is read; they are left alone.
    np.savez(path, joint2num=np.array({"pelvis": 0}, dtype=object), **arrays)
    body = load_smpl(path)
    assert (body.name, body.shape_size) == ("SMPL-X", 10)
    assert "research" in body.licence
    with pytest.raises(EngineError) as caught:
        body.rest(torch.zeros(1, 11))
    assert caught.value.code is ErrorCode.INVALID_INPUT


def test_files_that_are_refused(tmp_path: Path) -> None:
    def refused(name: str, **changes: np.ndarray | None) -> EngineError:
        arrays = {**made_up(), **changes}
        path = tmp_path / name
        np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
        with pytest.raises(EngineError) as caught:
            load_smpl(path)
        assert caught.value.code is ErrorCode.BAD_FILE
        return caught.value

    arrays = made_up()
    assert "weights" in str(refused("missing.npz", weights=None).detail)
    assert "joints" in refused("joints.npz", weights=arrays["weights"][:, :20]).detail
    assert "finite" in refused("nan.npz", v_template=arrays["v_template"] * np.nan).detail
    assert "outside" in refused("faces.npz", f=np.array([[0, 1, 144]])).detail
    assert "order" in refused("tree.npz", kintree_table=arrays["kintree_table"][:, ::-1]).detail
    assert "posedirs" in refused("pose.npz", posedirs=arrays["posedirs"][:, :, :9]).detail
    refused("object.npz", J_regressor=np.array({"sparse": 1}, dtype=object))

    with pytest.raises(EngineError) as caught:
        load_smpl(tmp_path / "nowhere.npz")
    assert caught.value.code is ErrorCode.MISSING_WEIGHTS
    assert "licence" in caught.value.hint

    pickled = tmp_path / "SMPL_NEUTRAL.pkl"
    pickled.write_bytes(pickle.dumps(arrays))
    with pytest.raises(EngineError) as caught:
        load_smpl(pickled)
    assert caught.value.code is ErrorCode.BAD_FILE
    assert "numpy.savez" in caught.value.hint

    broken = tmp_path / "broken.npz"
    np.savez(broken, **arrays)
    data = bytearray(broken.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = bytes(2000)
    broken.write_bytes(data)
    with pytest.raises(EngineError) as caught:
        load_smpl(broken)
    assert caught.value.code is ErrorCode.BAD_FILE
