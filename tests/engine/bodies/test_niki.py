"""NIKI: invertible networks, losses, following sure joints, files; references are its authors'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.bodies.body_model import load_builtin_body
from engine.bodies.inverse_kinematics import recompose, twist_matrices
from engine.bodies.joint_noise import EXACT_UNCERTAINTY, LIMBS, blurred, occluded
from engine.bodies.niki import Niki, NikiConfig, Observation, observe, read_niki, save_niki
from engine.bodies.niki_blend import follow_sure_joints
from engine.bodies.niki_coupling import CouplingFlow
from engine.bodies.niki_losses import WEIGHTS, TrainingBatch, discrepancy, losses, weighted
from engine.bodies.rotations import axis_angle_to_matrix, geodesic_angle
from engine.bodies.skeleton import forward_kinematics
from engine.errors import EngineError, ErrorCode

SMALL = {"blocks": 4, "width": 32, "twist_blocks": 2, "twist_width": 16}


def published_flow(
    file: dict[str, Tensor], names: tuple[str, str, str], condition: int
) -> CouplingFlow:
    """The authors' weights, of which ours keeps the rows and columns that their masks let through."""
    scale, shift, mask = names
    masks = file[mask].bool()
    blocks, size = masks.shape
    layers = ("0", "2", "4") if f"{scale}.0.0.weight" in file else ("0", "3", "6")
    within = "" if layers[1] == "2" else "encoder."
    flow = CouplingFlow(size, blocks, file[f"{scale}.0.{within}0.weight"].shape[0], condition).double()
    for index, block in enumerate(flow.blocks):
        kept = torch.cat([masks[index], torch.ones(condition).bool()])
        for layer, number in enumerate(layers):
            pair = [file[f"{name}.{index}.{within}{number}.weight"] for name in (scale, shift)]
            biases = [file[f"{name}.{index}.{within}{number}.bias"] for name in (scale, shift)]
            if layer == 0:
                pair = [weight[:, kept] for weight in pair]
            if layer == 2:
                pair = [weight[~masks[index]] for weight in pair]
                biases = [bias[~masks[index]] for bias in biases]
            block.weights[layer].data = torch.stack([weight.T for weight in pair])  # type: ignore[index, union-attr]
            block.biases[layer].data = torch.stack(biases)[:, None]  # type: ignore[index, union-attr]
    return flow


@pytest.fixture(scope="module")
def reference(golden: Path) -> dict[str, dict[str, Tensor]]:
    files = {}
    for name in ("coupling_flow", "coupling_flow_shape", "mmd"):
        with np.load(golden / "niki" / f"{name}.npz") as file:
            files[name] = {key: torch.from_numpy(file[key]) for key in file.files}
    return files


@pytest.fixture(scope="module")
def rest() -> Tensor:
    body = load_builtin_body()
    shapes = 0.5 * torch.randn(8, body.shape_size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        return body.rest(shapes).joints


@pytest.fixture
def batch(rest: Tensor) -> TrainingBatch:
    stream = torch.Generator().manual_seed(4)
    poses = axis_angle_to_matrix(0.4 * torch.randn(8, 24, 3, generator=stream))
    joints = forward_kinematics(poses, rest)[1]
    joints = joints - joints[:, :1]
    seen, doubt = blurred(joints, stream)
    exact = torch.full_like(doubt, EXACT_UNCERTAINTY)
    return TrainingBatch(poses, joints, observe(seen, doubt, rest), observe(joints, exact, rest))


def stirred(config: NikiConfig) -> Niki:
    """A network that is not the identity any more, as after training."""
    torch.manual_seed(0)
    model = Niki(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if float(parameter.abs().max()) == 0:
                parameter.normal_(0, 0.05)
    return model


def test_the_flow_is_the_published_one(reference: dict[str, dict[str, Tensor]]) -> None:
    file = reference["coupling_flow"]
    flow = published_flow(file, ("w.s", "w.t", "w.mask"), 0)
    found, determinant = flow.inverse(file["inp"])
    torch.testing.assert_close(found, file["inverse_out"], rtol=0, atol=1e-10)
    torch.testing.assert_close(determinant, file["inverse_logdet"], rtol=0, atol=1e-10)
    back, determinant = flow(file["inverse_out"])
    torch.testing.assert_close(back, file["inp"], rtol=0, atol=1e-10)
    torch.testing.assert_close(determinant, file["forward_logdet"], rtol=0, atol=1e-10)
    found, determinant = flow(file["inp2"])
    torch.testing.assert_close(found, file["forward_out"], rtol=0, atol=1e-10)
    torch.testing.assert_close(determinant, file["forward_out_logdet"], rtol=0, atol=1e-10)


def test_the_flow_with_a_condition_is_the_published_one(
    reference: dict[str, dict[str, Tensor]],
) -> None:
    """There the condition is multiplied by zero."""
    file = reference["coupling_flow_shape"]
    flow = published_flow(file, ("w.jts_nets", "w.jts_nett", "w.jts_masks"), 3)
    nothing = 0 * file["shape"]
    found, determinant = flow.inverse(file["inp"], nothing)
    torch.testing.assert_close(found, file["inverse_out"], rtol=0, atol=1e-10)
    torch.testing.assert_close(determinant, file["inverse_logdet"], rtol=0, atol=1e-10)
    torch.testing.assert_close(flow(found, nothing)[0], file["inp"], rtol=0, atol=1e-10)
    assert not torch.allclose(flow.inverse(file["inp"], file["shape"])[0], found)


def test_discrepancy_is_the_published_one(reference: dict[str, dict[str, Tensor]]) -> None:
    a, b, wanted, zero = (reference["mmd"][key] for key in ("a", "b", "mmd", "mmd_aa"))
    torch.testing.assert_close(discrepancy(a, b), wanted, rtol=0, atol=1e-10)
    torch.testing.assert_close(discrepancy(a, a), zero, rtol=0, atol=1e-10)


def test_determinant_is_that_of_the_jacobian() -> None:
    torch.manual_seed(1)
    flow = CouplingFlow(6, 3, 8, 2).double()
    for parameter in flow.parameters():
        parameter.data.normal_(0, 0.3)
    x, condition = torch.randn(1, 6).double(), torch.randn(1, 2).double()
    jacobian = torch.autograd.functional.jacobian(
        lambda v: flow.inverse(v[None], condition)[0][0], x[0]
    )
    wanted = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(flow.inverse(x, condition)[1][0], wanted)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("start", ["closed_form", "filler"])
def test_the_network_is_undone_exactly(batch: TrainingBatch, stages: int, start: str) -> None:
    model = stirred(NikiConfig(stages=stages, start=start, **SMALL))  # type: ignore[arg-type]
    seen = batch.noisy
    with torch.no_grad():
        pose = model.inverse(seen)
        back = model(pose.numbers, pose.code, seen.rest)
    assert pose.code.shape == (8, model.config.code)
    assert (back.joints - seen.joints).abs().max() < 1e-4
    assert (back.uncertainty - seen.uncertainty).abs().max() < 1e-4
    torch.testing.assert_close(back.swing_numbers, pose.swing_numbers, rtol=0, atol=1e-4)
    if start == "filler":
        assert back.start.abs().max() < 1e-4
    if back.twists is not None:
        assert (back.twists - seen.twists).abs().max() < 1e-4


def test_sizes_are_the_published_ones() -> None:
    published = NikiConfig(stages=1, start="filler", blocks=16, width=512)
    assert (published.size, published.code) == (176, 32)
    assert NikiConfig(stages=2, start="filler").code == 32 + 46
    assert NikiConfig(stages=1).size == 144 + 87 + 29


@pytest.mark.parametrize("stages", [1, 2])
def test_an_untrained_network_is_the_closed_form(batch: TrainingBatch, stages: int) -> None:
    model = Niki(NikiConfig(stages=stages, **SMALL)).eval()  # type: ignore[arg-type]
    found = model.inverse(batch.noisy).rotations
    assert geodesic_angle(found, batch.noisy.rotations).max() < 1e-3
    whole = recompose(batch.noisy.swings, twist_matrices(batch.noisy.twists, batch.noisy.rest))
    assert geodesic_angle(whole, batch.noisy.rotations).max() < 1e-3


def test_bone_lengths_matter_only_where_they_are_known(batch: TrainingBatch) -> None:
    seen = batch.noisy
    longer = Observation(**{**vars(seen), "rest": 1.1 * seen.rest})
    for known in (True, False):
        model = stirred(NikiConfig(stages=1, bone_lengths=known, **SMALL))  # type: ignore[arg-type]
        same = torch.equal(model.inverse(seen).numbers, model.inverse(longer).numbers)
        assert same is not known


@pytest.mark.parametrize("start", ["closed_form", "filler"])
def test_a_few_steps_lower_every_kind_of_loss(batch: TrainingBatch, start: str) -> None:
    torch.manual_seed(0)
    model = Niki(NikiConfig(start=start, **SMALL))  # type: ignore[arg-type]
    assert set(losses(model, batch)) >= set(WEIGHTS) - {"code_error"}
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    first: dict[str, float] = {}
    for _ in range(40):
        found = losses(model, batch)
        first = first or {key: float(value.detach()) for key, value in found.items()}
        optimiser.zero_grad()
        weighted(found, WEIGHTS).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
    last = {key: float(value.detach()) for key, value in found.items()}
    lower = ("rotations", "swings", "forward_joints")
    # Filled up with zeros, the code begins at the joints' own numbers, far too small to fall at once.
    for key in (*lower, "clean_code") if start == "closed_form" else lower:
        assert last[key] < 0.8 * first[key], key
    assert sum(last.values()) < 0.7 * sum(first.values())


def test_sure_joints_are_followed_and_others_are_not(batch: TrainingBatch) -> None:
    model = stirred(NikiConfig(**SMALL))  # type: ignore[arg-type]
    clean = batch.clean
    pose = model.inverse(clean).rotations
    before = forward_kinematics(pose, clean.rest)[1] - clean.joints
    assert before.norm(dim=-1).mean() > 0.01
    made = follow_sure_joints(pose, clean.joints, clean.uncertainty, clean.rest)
    assert (forward_kinematics(made, clean.rest)[1] - clean.joints).norm(dim=-1).max() < 1e-4
    lost = torch.ones_like(clean.uncertainty)
    kept = follow_sure_joints(pose, clean.joints, lost, clean.rest)
    assert geodesic_angle(kept, pose).max() < 2e-3
    # A lost forearm stays the network's; the other arm is followed all the same.
    lost = clean.uncertainty.clone()
    lost[:, list(LIMBS["left_arm"][1])] = 1
    mixed = follow_sure_joints(pose, clean.joints, lost, clean.rest)
    assert geodesic_angle(mixed[:, [16, 18, 20]], pose[:, [16, 18, 20]]).max() < 2e-3
    assert (forward_kinematics(mixed, clean.rest)[1] - clean.joints)[:, 21].norm(dim=-1).max() < 1e-4


def test_noise_is_as_the_table_says(rest: Tensor) -> None:
    stream = torch.Generator().manual_seed(1)
    joints = rest[:1].expand(4000, -1, -1)
    seen, doubt = blurred(joints, stream)
    depth = (seen - joints)[..., 2].std(0)
    # 0.6 of the scale, times the spread of U(0.5, 1.5) squared.
    wanted = 0.6 * (1 + 1 / 12) ** 0.5
    for joint, scale in ((1, 0.015), (4, 0.04), (16, 0.065), (20, 0.08), (25, 0.12)):
        assert depth[joint].item() == pytest.approx(wanted * scale, rel=0.1), joint
    assert seen[:, 0].abs().max() == 0
    assert 0 <= doubt.min() < doubt.max() <= 1
    hidden, more, lost = occluded(seen, doubt, stream)
    assert torch.equal(hidden[~lost], seen[~lost])
    assert torch.equal(more[~lost], doubt[~lost])
    assert more[lost].mean() == pytest.approx(0.6, abs=0.02)
    assert (hidden - joints)[lost].norm(dim=-1).mean() > 0.1
    assert set(lost.sum(1).tolist()) == {4, 8}


def test_files_come_back_and_others_are_refused(tmp_path: Path, batch: TrainingBatch) -> None:
    model = stirred(NikiConfig(**SMALL))  # type: ignore[arg-type]
    save_niki(model, tmp_path / "niki.safetensors", {"training": {"seed": 1}})
    again = read_niki(tmp_path / "niki.safetensors")
    assert again.config == model.config
    found = geodesic_angle(again.inverse(batch.noisy).rotations, model.inverse(batch.noisy).rotations)
    assert found.max() < 0.02
    tensors = load_file(tmp_path / "niki.safetensors")
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(EngineError, match="no network for inverse kinematics") as caught:
        read_niki(tmp_path / "other.safetensors")
    assert caught.value.code is ErrorCode.BAD_FILE
    with pytest.raises(EngineError) as caught:
        read_niki(tmp_path / "absent.safetensors")
    assert caught.value.code is ErrorCode.MISSING_WEIGHTS


def test_bad_input_is_named(rest: Tensor) -> None:
    with pytest.raises(EngineError, match="from 0, sure, to 1, lost"):
        observe(rest, torch.full((8, 29), 1.5), rest)
    with pytest.raises(EngineError, match="uncertainties"):
        observe(rest, torch.zeros(8, 24), rest)
    with pytest.raises(EngineError, match="takes"):
        CouplingFlow(4, 1, 4)(torch.zeros(1, 6))
    with pytest.raises(EngineError, match="is none"):
        CouplingFlow(5, 1, 4)
