"""Training of NIKI: recorded motion on the built-in body, samples, runs that learn and go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.bodies.body_model import load_builtin_body
from engine.bodies.mocap import Mocap, mirrored, read_mocap
from engine.bodies.niki import NikiConfig, read_niki
from engine.bodies.niki_data import PoseSource, draw_samples, random_skeletons
from engine.bodies.niki_losses import losses, weighted
from engine.bodies.niki_training import OUR_WEIGHTS, network, train
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.skeleton import MIRRORED, forward_kinematics
from engine.errors import EngineError, ErrorCode

TINY = NikiConfig(blocks=2, width=16, twist_blocks=2, twist_width=16)


@pytest.fixture(scope="module")
def rest() -> Tensor:
    body = load_builtin_body()
    return body.rest(torch.zeros(1, body.shape_size)).joints


@pytest.fixture(scope="module")
def source(rest: Tensor) -> PoseSource:
    stream = torch.Generator().manual_seed(2)
    poses = axis_angle_to_matrix(0.3 * torch.randn(40, 24, 3, generator=stream))
    return PoseSource(poses, random_skeletons(load_builtin_body(), 8, stream))


def write_motion(path: Path, vectors: np.ndarray, clip: np.ndarray) -> Path:
    np.savez(path, rotvec=vectors.astype(np.float16), clip=clip)
    return path


def test_a_recorded_t_pose_is_one_of_the_body(tmp_path: Path, rest: Tensor) -> None:
    """The body rests with lowered arms; the recording's zero is a T-pose."""
    mocap = read_mocap(write_motion(tmp_path / "m.npz", np.zeros((10, 24, 3)), np.arange(10)), rest[0])
    joints = forward_kinematics(mocap.rotations[:1], rest)[1][0]
    for start, end, side in ((16, 18, 1.0), (17, 19, -1.0)):
        bone = torch.nn.functional.normalize(joints[end] - joints[start], dim=0)
        torch.testing.assert_close(bone, torch.tensor([side, 0, 0]), rtol=0, atol=1e-5)
    assert (len(mocap.training), len(mocap.test)) == (8, 2)


def test_limbs_point_where_the_recording_says(golden: Path, rest: Tensor) -> None:
    path = golden.parent / "data" / "mocap" / "cmu_subjects01_09_30fps.npz"
    mocap = read_mocap(path, rest[0])
    with np.load(path) as file:
        own = torch.zeros(1, 29, 3)
        own[0, file["source_rest_joint_ids"]] = torch.from_numpy(file["source_rest_joints"]).float()
        vectors = torch.from_numpy(file["rotvec"].astype(np.float32))
    some = slice(0, None, 50)
    theirs = forward_kinematics(axis_angle_to_matrix(vectors[some]), own)[1]
    ours = forward_kinematics(mocap.rotations[some], rest)[1]
    for start, end in ((1, 4), (4, 7), (16, 18), (18, 20), (17, 19), (19, 21)):
        pair = [torch.nn.functional.normalize(j[:, end] - j[:, start], dim=-1) for j in (theirs, ours)]
        apart = torch.rad2deg(torch.arccos((pair[0] * pair[1]).sum(-1).clamp(-1, 1)))
        assert apart.median() < 5, (start, end)
    assert len(set(mocap.clip.tolist())) == 84


def test_a_mirrored_pose_is_the_mirror_image(source: PoseSource, rest: Tensor) -> None:
    symmetric = (rest + rest[:, list(MIRRORED)] * torch.tensor([-1.0, 1.0, 1.0])) / 2
    joints = forward_kinematics(source.poses, symmetric)[1]
    seen = forward_kinematics(mirrored(source.poses), symmetric)[1]
    image = joints[:, list(MIRRORED)] * torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(seen, image, rtol=0, atol=1e-5)


def test_samples_are_reproducible_and_true(source: PoseSource) -> None:
    first, second = (draw_samples(source, 32, torch.Generator().manual_seed(6)) for _ in range(2))
    torch.testing.assert_close(first.noisy.joints, second.noisy.joints, rtol=0, atol=0)
    posed = forward_kinematics(first.rotations, first.clean.rest)[1]
    torch.testing.assert_close(posed - posed[:, :1], first.joints, rtol=0, atol=1e-5)
    hidden = (first.noisy.uncertainty > 0.3).any(1)
    assert 0 < hidden.sum() < 32


@pytest.mark.parametrize("name", ["two_stage", "one_stage", "plain"])
def test_training_lowers_the_loss_and_goes_on(
    name: str, source: PoseSource, tmp_path: Path, single_thread: None
) -> None:
    held_out = draw_samples(source, 128, torch.Generator().manual_seed(99))
    torch.manual_seed(0)
    untrained, wanted = network(name, TINY)

    def loss(model: torch.nn.Module) -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return float(weighted(wanted(model, held_out), OUR_WEIGHTS))

    before = loss(untrained)
    train(name, source, tmp_path, minutes=0.025, batch=32, config=TINY)
    average = train(name, source, tmp_path, minutes=0.04, batch=32, config=TINY)
    assert loss(average) < before
    path = tmp_path / f"{name}.safetensors"
    if name != "plain":
        assert read_niki(path).config.stages == (2 if name == "two_stage" else 1)
        from engine.weight_files import read_metadata

        told = json.loads(read_metadata(path)["training"])
        assert told["seconds"] >= 0.04 * 60
        assert told["step"] > 2


def test_both_stages_get_gradients(source: PoseSource) -> None:
    model, _ = network("two_stage", TINY)
    samples = draw_samples(source, 16, torch.Generator().manual_seed(6))
    weighted(losses(model, samples), OUR_WEIGHTS).backward()  # type: ignore[arg-type]
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_other_files_are_refused(tmp_path: Path, rest: Tensor) -> None:
    (tmp_path / "text.npz").write_text("no")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    wrong = write_motion(tmp_path / "wrong.npz", np.zeros((4, 22, 3)), np.arange(4))
    for path in (tmp_path / "text.npz", tmp_path / "other.npz", wrong, tmp_path / "absent.npz"):
        with pytest.raises(EngineError) as caught:
            read_mocap(path, rest[0])
        assert caught.value.code is ErrorCode.BAD_FILE
    assert isinstance(Mocap(torch.zeros(0, 24, 3, 3), torch.zeros(0).long()).test, Tensor)
