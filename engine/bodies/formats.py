"""Bodies in files: OBJ, PLY, STL, GLB with skeleton and skin, BVH, and NPZ with everything.

All are in metres, y-up. Arrays are numpy: vertices ``(V, 3)``, faces ``(F, 3)`` int64, rest joints
``(29, 3)``, rotations ``(24, 3, 3)`` relative to the parents, colours ``(V, 3)`` uint8.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from engine.bodies.rotations import matrix_to_quaternion
from engine.bodies.skeleton import JOINT_NAMES, PARENTS, POINTS, ROTATING
from engine.errors import bad_file, invalid_input

Array = NDArray[Any]
NPZ_FORMAT = "triptych-bodies-1"
_FLOAT, _UINT8, _UINT32 = 5126, 5121, 5125
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963


def _check(vertices: Array, faces: Array, colours: Array | None = None) -> None:
    if vertices.ndim != 2 or vertices.shape[1] != 3 or faces.ndim != 2 or faces.shape[1] != 3:
        raise invalid_input(
            f"A mesh is (V, 3) vertices and (F, 3) faces, not {vertices.shape} and {faces.shape}."
        )
    if not np.isfinite(vertices).all():
        raise invalid_input("The mesh has vertices that are not finite, so no program could open it.")
    if faces.size and (faces.min() < 0 or faces.max() >= len(vertices)):
        raise invalid_input("A face of the mesh has a corner that is no vertex.")
    if colours is not None and (colours.shape != vertices.shape or colours.dtype != np.uint8):
        raise invalid_input(f"Colours are (V, 3) uint8, not {colours.shape} {colours.dtype}.")


def write_obj(path: Path, vertices: Array, faces: Array, uv: Array | None = None,
              face_uv: Array | None = None) -> None:  # fmt: skip
    """Wavefront OBJ; with ``uv`` ``(T, 2)`` and ``face_uv`` ``(F, 3)`` also texture coordinates."""
    _check(vertices, faces)
    lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices.tolist()]
    if uv is not None and face_uv is not None:
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in uv.tolist()]
        pairs = zip((faces + 1).tolist(), (face_uv + 1).tolist(), strict=True)
        lines += [f"f {a}/{d} {b}/{e} {c}/{f}" for (a, b, c), (d, e, f) in pairs]
    else:
        lines += [f"f {a} {b} {c}" for a, b, c in (faces + 1).tolist()]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def write_ply(path: Path, vertices: Array, faces: Array, colours: Array | None = None) -> None:
    """Binary PLY, with a colour a vertex where given (errors, parts)."""
    _check(vertices, faces, colours)
    fields: list[tuple[str, str]] = [(axis, "<f4") for axis in "xyz"]
    if colours is not None:
        fields += [(name, "u1") for name in ("red", "green", "blue")]
    table = np.empty(len(vertices), fields)
    for index, axis in enumerate("xyz"):
        table[axis] = vertices[:, index]
    if colours is not None:
        for index, name in enumerate(("red", "green", "blue")):
            table[name] = colours[:, index]
    corners = np.empty(len(faces), [("count", "u1"), ("corners", "<i4", 3)])
    corners["count"], corners["corners"] = 3, faces
    kinds = {"<f4": "float", "u1": "uchar"}
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {kinds[kind]} {name}" for name, kind in fields]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    path.write_bytes("\n".join(header).encode() + b"\n" + table.tobytes() + corners.tobytes())


def write_stl(path: Path, vertices: Array, faces: Array) -> None:
    """Binary STL, for printers; its unit is the reader's to choose, ours is the metre."""
    _check(vertices, faces)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    table = np.zeros(len(faces), [("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("spare", "<u2")])
    table["normal"], table["corners"] = normals, corners
    path.write_bytes(
        b"Triptych body, metres".ljust(80) + struct.pack("<I", len(faces)) + table.tobytes()
    )


def write_glb(
    path: Path,
    rest_vertices: Array,
    faces: Array,
    rest_joints: Array,
    joint_weights: Array,
    rotations: Array | None = None,
    licence: str = "",
) -> None:
    """GLB (glTF 2.0) of a rest mesh bound to the 24 joints, posed by them.

    Parameters
    ----------
    path
        Where to; replaced.
    rest_vertices, faces, rest_joints
        The bind pose.
    joint_weights
        ``(V, 24)``; the four largest of each vertex are kept, which is what glTF readers support.
    rotations
        ``(24, 3, 3)`` of the joints; the rest pose without. Twist is not spread along limbs there.
    licence
        Written as the asset's copyright.

    Raises
    ------
    EngineError
        ``invalid_input`` for shapes that do not go together.
    """
    _check(rest_vertices, faces)
    if joint_weights.shape != (len(rest_vertices), ROTATING) or rest_joints.shape != (POINTS, 3):
        raise invalid_input(
            f"A skin is (V, {ROTATING}) weights and ({POINTS}, 3) joints, not {joint_weights.shape} "
            f"and {rest_joints.shape}."
        )
    chosen = np.argsort(-joint_weights, axis=1)[:, :4]
    weights = np.take_along_axis(joint_weights, chosen, 1).astype(np.float32)
    weights /= weights.sum(1, keepdims=True)
    joints = np.where(weights > 0, chosen, 0).astype(np.uint8)
    bind = np.tile(np.eye(4, dtype=np.float32), (ROTATING, 1, 1))
    bind[:, :3, 3] = -rest_joints[:ROTATING]
    turned = np.tile(np.eye(3), (ROTATING, 1, 1)) if rotations is None else rotations
    quaternions = matrix_to_quaternion(torch.from_numpy(np.asarray(turned, np.float64))).numpy()
    positions = rest_vertices.astype(np.float32)
    parts: list[tuple[Array, int, str, int | None]] = [
        (positions, _FLOAT, "VEC3", _ARRAY_BUFFER),
        (joints, _UINT8, "VEC4", _ARRAY_BUFFER),
        (weights, _FLOAT, "VEC4", _ARRAY_BUFFER),
        (faces.astype(np.uint32).reshape(-1), _UINT32, "SCALAR", _ELEMENT_BUFFER),
        (bind.transpose(0, 2, 1).reshape(ROTATING, 16), _FLOAT, "MAT4", None),
    ]
    views, accessors, blob = [], [], b""
    for array, component, kind, target in parts:
        view = {"buffer": 0, "byteOffset": len(blob), "byteLength": array.nbytes}
        views.append(view | ({"target": target} if target else {}))
        accessors.append(
            {
                "bufferView": len(views) - 1,
                "componentType": component,
                "count": len(array),
                "type": kind,
            }
        )
        blob += np.ascontiguousarray(array).tobytes()
    accessors[0] |= {"min": positions.min(0).tolist(), "max": positions.max(0).tolist()}
    nodes: list[dict[str, Any]] = []
    for joint in range(ROTATING):
        parent = PARENTS[joint]
        offset = rest_joints[joint] - (rest_joints[parent] if parent >= 0 else 0)
        w, x, y, z = quaternions[joint].tolist()
        node = {"name": JOINT_NAMES[joint], "translation": offset.tolist(), "rotation": [x, y, z, w]}
        below = [child for child in range(ROTATING) if PARENTS[child] == joint]
        nodes.append(node | ({"children": below} if below else {}))
    nodes.append({"name": "body", "mesh": 0, "skin": 0})
    attributes = {"POSITION": 0, "JOINTS_0": 1, "WEIGHTS_0": 2}
    document = {
        "asset": {"version": "2.0", "generator": "Triptych", "copyright": licence},
        "scene": 0,
        "scenes": [{"nodes": [0, ROTATING]}],
        "nodes": nodes,
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 3}]}],
        "skins": [{"joints": list(range(ROTATING)), "skeleton": 0, "inverseBindMatrices": 4}],
        "buffers": [{"byteLength": len(blob)}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    blob += b"\0" * (-len(blob) % 4)
    size = 12 + 8 + len(text) + 8 + len(blob)
    path.write_bytes(
        struct.pack("<4sII", b"glTF", 2, size)
        + struct.pack("<I4s", len(text), b"JSON") + text
        + struct.pack("<I4s", len(blob), b"BIN\0") + blob
    )  # fmt: skip


def write_bvh(
    path: Path, rest_joints: Array, rotations: Array, pelvis: Array, fps: float = 30.0
) -> None:
    """BVH of frames ``(T, 24, 3, 3)`` with the pelvis at ``(T, 3)``; degrees, order Z X Y."""
    frames = len(rotations)
    if rotations.shape != (frames, ROTATING, 3, 3) or pelvis.shape != (frames, 3) or fps <= 0:
        raise invalid_input(
            f"A motion is (T, {ROTATING}, 3, 3) rotations, (T, 3) pelvis places and frames a second "
            f"above 0, not {rotations.shape}, {pelvis.shape} and {fps}."
        )
    order: list[int] = []
    lines = ["HIERARCHY"]

    def visit(point: int, depth: int) -> None:
        indent = "  " * depth
        offset = rest_joints[point] - (rest_joints[PARENTS[point]] if point else rest_joints[0])
        name = f"JOINT {JOINT_NAMES[point]}" if point else f"ROOT {JOINT_NAMES[0]}"
        lines.append(f"{indent}{name if point < ROTATING else 'End Site'}")
        lines.extend([f"{indent}{{", f"{indent}  OFFSET " + " ".join(f"{v:.6f}" for v in offset)])
        if point < ROTATING:
            order.append(point)
            turns = "Zrotation Xrotation Yrotation"
            places = "" if point else "Xposition Yposition Zposition "
            lines.append(f"{indent}  CHANNELS {3 if point else 6} {places}{turns}")
            for child in range(POINTS):
                if PARENTS[child] == point:
                    visit(child, depth + 1)
        lines.append(f"{indent}}}")

    visit(0, 0)
    r = rotations[:, order]
    x = np.arcsin(np.clip(r[..., 2, 1], -1, 1))
    z = np.arctan2(-r[..., 0, 1], r[..., 1, 1])
    y = np.arctan2(-r[..., 2, 0], r[..., 2, 2])
    angles = np.degrees(np.stack([z, x, y], -1)).reshape(frames, -1)
    lines += ["MOTION", f"Frames: {frames}", f"Frame Time: {1 / fps:.8f}"]
    lines += [" ".join(f"{v:.6f}" for v in row) for row in np.concatenate([pelvis, angles], 1)]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


NPZ_KEYS = {
    "vertices": "(B, V, 3) metres, world",
    "faces": "(F, 3)",
    "joints": "(B, 29, 3) metres, world",
    "rotations": "(B, 24, 3, 3) relative to the parents; entry 0 in the world",
    "translation": "(B, 3) metres, where the pelvis is",
    "shape": "(B, K) of the body model named in body_model",
    "camera_K": "(3, 3) pixels of the full image",
    "camera_R": "(3, 3) world to camera; x right, y down, z ahead",
    "camera_t": "(3,) metres: x_camera = R x_world + t",
    "image_size": "(2,) width and height in pixels",
}
"""What :func:`write_npz` takes, all of it; it adds format, body_model and joint_names."""


def write_npz(path: Path, body_model: str, **arrays: Array) -> None:
    """NPZ with the keys of :data:`NPZ_KEYS`, and the joints' names."""
    wrong = sorted(set(arrays) ^ set(NPZ_KEYS))
    if wrong:
        raise invalid_input(f"Missing from the file, or unknown in it: {', '.join(wrong)}.")
    with path.open("wb") as file:
        contents: dict[str, Any] = {
            "format": NPZ_FORMAT,
            "body_model": body_model,
            "joint_names": np.array(JOINT_NAMES),
            **arrays,
        }
        np.savez_compressed(file, **contents)


def read_npz(path: Path) -> dict[str, Array]:
    """Read what :func:`write_npz` wrote; ``bad_file`` for anything else. Nothing is unpickled."""
    try:
        # Opened here: numpy leaves a damaged archive open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as problem:
        raise bad_file(f"{path.name} cannot be read as bodies.", detail=str(problem)) from problem
    if str(found.get("format")) != NPZ_FORMAT or not set(NPZ_KEYS) <= set(found):
        raise bad_file(f"{path.name} holds no bodies of the format {NPZ_FORMAT}.")
    return found
