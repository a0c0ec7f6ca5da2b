"""The file of a baked body: which arrays it has, how they are packed, and what is wrong with one.

The shape basis is nearly all of it. Its first components move vertices by decimetres and are 16-bit
numbers of one scale a component; the many that move them by millimetres are 8-bit ones. Half floats
would lose a quarter of a millimetre where a component is large.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from engine.errors import EngineError, ErrorCode, bad_file

FORMAT = "triptych-body-1"
Array = NDArray[Any]

MOST_FACES = 1_000_000
"""What views, exports and measurements still handle; the built-in body has some 27,000."""

_UNIT = 65535.0


@dataclass(frozen=True)
class BodyData:
    """Arrays of a baked body; V vertices, F triangles, K components, N bones. Metres, y-up, facing +z.

    Attributes
    ----------
    template, basis
        ``(V, 3)`` and ``(K, V, 3)`` float32: unposed vertices of shape 0, and what a component adds.
    heads, heads_basis
        ``(N, 3)`` and ``(K, N, 3)``: where bones begin, likewise.
    orientations, orientations_basis
        ``(N, 3, 3)`` and ``(K, N, 3, 3)``: matrices whose nearest rotation turns a bone from the
        unposed mesh into the common rest pose.
    parents, owners
        ``(N,)`` int64: the bone above; which of the 24 joints carries the bone.
    skin_bones, skin_weights
        ``(V, S)`` int64 and float32 that sum to 1.
    faces, uv, face_uv
        ``(F, 3)`` int64, ``(T, 2)`` in [0, 1], ``(F, 3)`` int64 into ``uv``.
    joint_bones, end_bones, end_vertices
        ``(24,)`` bones whose heads are the joints; ``(5,)`` bone and vertex of the end points.
    phenotype_mask, phenotype_map, phenotype_offset
        ``(M, 26)``, ``(M, K)``, ``(K,)``: see :mod:`engine.bodies.phenotype`.
    coco_rows, coco_vertices, coco_weights
        ``(Z,)`` each: entries of the sparse matrix from vertices to the 23 keypoints.
    about
        Names, licence, source and measured figures, as written when it was baked.
    """

    template: Array
    basis: Array
    heads: Array
    heads_basis: Array
    orientations: Array
    orientations_basis: Array
    parents: Array
    owners: Array
    skin_bones: Array
    skin_weights: Array
    faces: Array
    uv: Array
    face_uv: Array
    joint_bones: Array
    end_bones: Array
    end_vertices: Array
    phenotype_mask: Array
    phenotype_map: Array
    phenotype_offset: Array
    coco_rows: Array
    coco_vertices: Array
    coco_weights: Array
    about: dict[str, Any]


_FLOATS = (
    "template", "heads", "heads_basis", "orientations", "orientations_basis", "phenotype_map",
    "phenotype_offset", "coco_weights",
)  # fmt: skip
_INDICES = {
    "parents": np.int16, "owners": np.uint8, "skin_bones": np.uint8, "faces": np.uint16,
    "face_uv": np.uint16, "joint_bones": np.uint8, "end_bones": np.uint8, "end_vertices": np.uint16,
    "phenotype_mask": np.uint8, "coco_rows": np.uint8, "coco_vertices": np.uint16,
}  # fmt: skip
_UNITS = ("skin_weights", "uv")


def write_body(path: Path, body: BodyData, coarse: int) -> None:
    """Pack a body; the first ``coarse`` components in 16 bits, the others in 8."""
    packed: dict[str, Array] = {name: getattr(body, name).astype(np.float32) for name in _FLOATS}
    for name, kind in _INDICES.items():
        values = getattr(body, name)
        packed[name] = values.astype(kind)
        if not np.array_equal(packed[name], values):
            raise ValueError(f"{name} does not fit into {kind.__name__}")
    for name in _UNITS:
        packed[name] = np.round(getattr(body, name) * _UNIT).astype(np.uint16)
    packed |= _pack("basis_coarse", body.basis[:coarse], np.int16)
    packed |= _pack("basis_fine", body.basis[coarse:], np.int8)
    packed = {name: np.ascontiguousarray(array) for name, array in packed.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    safetensors.numpy.save_file(packed, path, {"format": FORMAT, "about": json.dumps(body.about)})


def _pack(name: str, basis: Array, kind: type[np.signedinteger[Any]]) -> dict[str, Array]:
    largest = np.abs(basis).max(axis=(1, 2), initial=1e-12) / np.iinfo(kind).max
    steps = np.round(basis / largest[:, None, None]).astype(kind)
    return {name: steps, f"{name}_scale": largest.astype(np.float32)}


def read_body(path: Path) -> BodyData:
    """Read what :func:`write_body` wrote.

    Raises
    ------
    EngineError
        ``missing_weights`` where there is no file, ``bad_file`` where it is another one, or damaged.
    """
    if not path.is_file():
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The body model's file {path} is not there, so no body can be shown.",
            "It belongs to Triptych: install the program again, or choose another body model.",
        )
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("format") != FORMAT:
            raise bad_file(
                f"{path.name} is no body of the format {FORMAT}.",
                "Choose a file baked by this version: python -m engine.bodies.bake_body.",
            )
        return _unpack(found, json.loads(metadata["about"]))
    except (safetensors.SafetensorError, KeyError, ValueError, OSError) as problem:
        raise bad_file(
            f"{path.name} is damaged or incomplete, so it cannot be used as a body model.",
            "Install it again.",
            str(problem),
        ) from problem


def _unpack(found: dict[str, Array], about: dict[str, Any]) -> BodyData:
    basis = np.concatenate(
        [
            found[name].astype(np.float32) * found[f"{name}_scale"][:, None, None]
            for name in ("basis_coarse", "basis_fine")
        ]
    )
    weights = found["skin_weights"].astype(np.float32)
    values: dict[str, Any] = {name: found[name] for name in _FLOATS}
    values |= {name: found[name].astype(np.int64) for name in _INDICES}
    body = BodyData(
        basis=basis,
        skin_weights=weights / weights.sum(1, keepdims=True),
        uv=found["uv"].astype(np.float32) / _UNIT,
        about=about,
        **values,
    )
    count = len(body.template)
    if body.basis.shape[1:] != body.template.shape or len(body.skin_weights) != count:
        raise ValueError("template, basis and skin weights are of different sizes")
    if len(body.faces) > MOST_FACES:
        raise bad_file(
            f"The body model has {len(body.faces):,} faces, and at most {MOST_FACES:,} can be shown; "
            "it was not loaded.",
            "Simplify its mesh.",
        )
    if body.faces.max() >= count or body.skin_bones.max() >= len(body.heads):
        raise ValueError("an index points outside the mesh or the bones")
    return body
