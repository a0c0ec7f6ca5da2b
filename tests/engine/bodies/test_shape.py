"""Shapes from lengths and widths: ShapeBoost's measures and closed form, as its authors have them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.bodies.body_model import load_builtin_body
from engine.bodies.shape import (
    BUILTIN_SHAPE,
    COMPONENTS,
    LIMIT,
    AnalyticBody,
    Refinement,
    ShapeDecoder,
    load_shape_decoder,
    read_refinement,
    save_refinement,
)
from engine.bodies.shape_parts import (
    PARTS,
    SEGMENT_ENDS,
    Parts,
    bone_lengths,
    rest_skeleton,
    scale_corrected,
    segment_lengths,
)
from engine.bodies.shape_training import draw_measured, random_shapes, train_refinement, vertex_error
from engine.errors import EngineError, ErrorCode
from engine.weight_files import digest_of

Reference = dict[str, Tensor]


def read(path: Path) -> Reference:
    with np.load(path) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files if file[key].dtype.kind in "fi"}


@pytest.fixture(scope="module")
def parts_file(golden: Path) -> Reference:
    return read(golden / "shapeboost" / "parts.npz")


@pytest.fixture(scope="module")
def parts(parts_file: Reference) -> Parts:
    owners = torch.zeros(len(parts_file["skin_weights"]), dtype=torch.int64)
    ends = parts_file["part_vertex_ptr"].tolist()
    for joint, (first, last) in enumerate(pairwise(ends)):
        owners[parts_file["part_vertex_ids"][first:last].long()] = joint
    return Parts.of_skin(owners, parts_file["skin_weights"])


@pytest.fixture(scope="module")
def decoder() -> ShapeDecoder:
    return ShapeDecoder(load_builtin_body())


def test_segments_are_the_published_ones(parts_file: Reference) -> None:
    assert parts_file["spine_from_to"].tolist() == [[j, end] for j, end in enumerate(SEGMENT_ENDS)]
    assert tuple(parts_file["part_joint_ids"].tolist()) == PARTS


def test_lengths_and_widths_are_the_published_ones(parts_file: Reference, parts: Parts) -> None:
    vertices, joints = parts_file["vertices"], parts_file["joints29"]
    widths = parts.widths(vertices, joints)
    torch.testing.assert_close(widths, parts_file["widths24"], rtol=0, atol=1e-9)
    torch.testing.assert_close(widths[:, list(PARTS)], parts_file["widths20"], rtol=0, atol=1e-9)
    lengths = segment_lengths(joints)
    torch.testing.assert_close(lengths, parts_file["bone_lengths24"], rtol=0, atol=1e-9)
    torch.testing.assert_close(widths / lengths, parts_file["width_ratio24"], rtol=0, atol=1e-9)


def test_slices_are_the_published_ones(parts_file: Reference, parts: Parts) -> None:
    vertices, joints = parts_file["vertices"], parts_file["joints29"]
    sliced = parts.sliced(3, vertices[0], joints[0])
    widths = sliced.widths(vertices, joints).unflatten(1, (24, 3))[:, list(PARTS)].flatten(1)
    torch.testing.assert_close(widths, parts_file["slice_widths"], rtol=0, atol=1e-9)


def test_rest_skeleton_is_the_published_one(parts_file: Reference) -> None:
    """But for where its pelvis is: theirs begins where the posed one was."""
    lengths = bone_lengths(parts_file["posed_skeleton"])
    for index, template in enumerate(parts_file["joints29"]):
        found = rest_skeleton(template, lengths[index : index + 1])[0]
        wanted = parts_file["tpose_from_skeleton"][index]
        torch.testing.assert_close(found - found[0], wanted - wanted[0], rtol=0, atol=1e-9)


def test_scale_correction_is_the_published_one(parts_file: Reference) -> None:
    target = parts_file["align_target"]
    found = scale_corrected(parts_file["align_source"], target)
    torch.testing.assert_close(found, parts_file["align_out"], rtol=0, atol=1e-9)
    error = torch.linalg.vector_norm(found - target, dim=-1).mean(1)
    torch.testing.assert_close(error, parts_file["pve_t_sc"], rtol=0, atol=1e-9)


def test_the_analytic_body_is_the_published_one(golden: Path) -> None:
    file = read(golden / "shapeboost" / "widths_to_template.npz")
    template, widths = file["template_joints29"], file["template_widths24"]
    skeleton = rest_skeleton(template, bone_lengths(file["posed_skeleton"]))
    torch.testing.assert_close(skeleton, file["rest_joints"], rtol=0, atol=1e-9)
    body = AnalyticBody(file["template_vertices"], template, file["skin_weights"], widths)
    found = body.vertices(skeleton, file["widths24"])
    torch.testing.assert_close(found, file["v_shaped"], rtol=0, atol=1e-7)


def test_the_template_comes_back(decoder: ShapeDecoder) -> None:
    lengths = bone_lengths(decoder.space.joints[None])
    widths = decoder.widths[None, list(PARTS)]
    made = decoder.analytic_vertices(lengths, widths)[0]
    assert (made - decoder.space.vertices).abs().max() < 1e-5
    assert decoder.projected(lengths, widths).abs().max() < 1e-2


def test_steps_a_and_b_are_the_least_squares_of_the_meshes(decoder: ShapeDecoder) -> None:
    """The one linear map against the mesh of step A and numpy's own solver."""
    seen = draw_measured(decoder, torch.randn(2, COMPONENTS), torch.Generator().manual_seed(1), 0.2)
    made = decoder.analytic_vertices(seen.lengths, seen.widths)
    count = len(decoder.space.vertices)
    columns = torch.cat(
        [decoder.space.basis.flatten(1), torch.eye(3).repeat(1, count)]
    ).double().T  # fmt: skip
    prior = decoder.error * count**0.5 * torch.eye(COMPONENTS + 3)[:COMPONENTS].double()
    target = (made - decoder.space.vertices).flatten(1).double().T
    whole = np.concatenate([columns.numpy(), prior.numpy()])
    right = np.concatenate([target.numpy(), np.zeros((COMPONENTS, 2))])
    wanted = np.linalg.lstsq(whole, right, rcond=None)[0][:COMPONENTS].T
    found = decoder.projected(seen.lengths, seen.widths)
    torch.testing.assert_close(found.double(), torch.from_numpy(wanted), rtol=0, atol=2e-3)


def test_adults_are_nearly_linear(decoder: ShapeDecoder) -> None:
    body = load_builtin_body()
    shapes = random_shapes(body, 16, torch.Generator().manual_seed(5))
    with torch.no_grad():
        numbers = decoder.space.numbers_of(shapes)
        vertices, joints = decoder.space.rest(numbers)
        true = body.rest(shapes)
        near = body.rest(decoder.space.body_numbers(numbers))
    assert torch.linalg.vector_norm(vertices - true.vertices, dim=-1).mean() < 0.003
    assert torch.linalg.vector_norm(joints - true.joints, dim=-1).mean() < 0.003
    assert torch.linalg.vector_norm(near.vertices - true.vertices, dim=-1).mean() < 0.001
    assert numbers.std() == pytest.approx(1, abs=0.3)


def test_a_short_training_corrects_shapes(decoder: ShapeDecoder, tmp_path: Path) -> None:
    stream = torch.Generator().manual_seed(2)
    numbers = torch.randn(900, COMPONENTS, generator=stream)
    model, steps = train_refinement(decoder, numbers[:700], minutes=0.06)
    assert steps > 5
    refined = ShapeDecoder(load_builtin_body(), model)
    seen = draw_measured(decoder, numbers[700:], stream, 0.3)
    error = vertex_error(decoder)
    before = error(decoder.decode(seen.lengths, seen.widths), seen.numbers)
    after = error(refined.decode(seen.lengths, seen.widths), seen.numbers)
    assert after < 0.9 * before
    save_refinement(model, tmp_path / "shape.safetensors", {})
    again = read_refinement(tmp_path / "shape.safetensors")
    features = decoder.features(seen.lengths, seen.widths, seen.numbers)
    torch.testing.assert_close(again(features), model(features), rtol=0, atol=0.05)
    save_file(load_file(tmp_path / "shape.safetensors"), tmp_path / "other.safetensors")
    with pytest.raises(EngineError, match="no network for shapes") as caught:
        read_refinement(tmp_path / "other.safetensors")
    assert caught.value.code is ErrorCode.BAD_FILE


def test_the_decoder_that_ships_finds_bodies_from_exact_measures() -> None:
    (line,) = (BUILTIN_SHAPE.parent / "SHA256SUMS").read_text().splitlines()
    assert line.split() == [digest_of(BUILTIN_SHAPE), BUILTIN_SHAPE.name]
    body, decoder = load_builtin_body(), load_shape_decoder()
    shapes = random_shapes(body, 16, torch.Generator().manual_seed(8))
    with torch.no_grad():
        true = body.rest(shapes)
        widths = decoder.parts.widths(true.vertices, true.joints)[:, list(PARTS)]
        found = decoder.decode(bone_lengths(true.joints), widths)
        made = body.rest(decoder.space.body_numbers(found))
        wide = decoder.parts.widths(made.vertices, made.joints)[:, list(PARTS)]
    assert torch.linalg.vector_norm(made.vertices - true.vertices, dim=-1).mean() < 0.006
    assert (wide - widths).abs().mean() < 0.001


def test_no_number_goes_too_far(decoder: ShapeDecoder) -> None:
    lengths = 3 * bone_lengths(decoder.space.joints[None])
    found = decoder.decode(lengths, 5 * decoder.widths[None, list(PARTS)])
    assert found.abs().max() <= LIMIT


def test_a_part_without_skin_is_refused() -> None:
    with pytest.raises(EngineError, match="no skin"):
        Parts(torch.zeros(4).long(), torch.arange(2), torch.ones(4))
    assert Refinement(8).width == 8
