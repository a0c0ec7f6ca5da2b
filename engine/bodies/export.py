"""People recovered from photos and videos, written to files that other programs open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from engine.artifacts import storage_error
from engine.bodies.body_model import BakedBody, BodyModel
from engine.bodies.formats import write_bvh, write_glb, write_npz, write_obj, write_ply, write_stl
from engine.bodies.record import RecoveredPerson, Recovery
from engine.errors import invalid_input

FORMATS = {
    "obj": "Wavefront OBJ: the posed mesh, with texture coordinates",
    "ply": "PLY: the posed mesh",
    "stl": "STL: the posed mesh, for printing",
    "glb": "GLB: mesh with skeleton and skin, posed",
    "bvh": "BVH: the motion, for animation programs",
    "npz": "NPZ: everything as arrays, with the camera",
}
"""What can be written, and what for."""


@dataclass(frozen=True)
class _Work:
    recoveries: Sequence[Recovery]
    body: BodyModel
    folder: Path
    stem: str
    fps: float

    def named(self, ending: str, *parts: object) -> Path:
        return self.folder / ("-".join([self.stem, *map(str, parts)]) + ending)


def export_bodies(
    recoveries: Sequence[Recovery],
    body: BodyModel,
    folder: Path,
    stem: str,
    formats: Sequence[str],
    fps: float = 30.0,
) -> list[Path]:
    """Write people to ``folder``; existing files of the same names are replaced.

    Meshes get a file a person (and frame), ``STEM-p1.obj`` or ``STEM-p1-f000012.obj``; BVH a file a
    person with all frames, NPZ one for everything. Metres, y-up, as the camera of the photo sees them.

    Parameters
    ----------
    recoveries
        One for a photo; those of a video in order.
    body
        The body model they were recovered with.
    folder, stem
        Where to, and what the names begin with.
    formats
        Of :data:`FORMATS`.
    fps
        Recoveries a second, of a video; for BVH.

    Raises
    ------
    EngineError
        ``invalid_input`` for unknown formats, another body model, nobody to write, or a folder that
        cannot be written.
    """
    unknown = sorted(set(formats) - set(FORMATS))
    if unknown or not formats:
        raise invalid_input(
            f"Bodies are not written as {', '.join(unknown) or 'nothing'}; no file was written.",
            f"Choose from {', '.join(FORMATS)}.",
        )
    if not any(recovery.people for recovery in recoveries):
        raise invalid_input("Nobody was recovered, so there is nothing to export.")
    other = {recovery.body for recovery in recoveries} - {body.name}
    if other:
        raise invalid_input(
            f"These people were recovered with the body model {', '.join(sorted(other))}, and the "
            f"loaded one is {body.name}; no file was written.",
            "Load that body model, or recover them again.",
        )
    work = _Work(recoveries, body, folder, stem, fps)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [path for name in formats for path in _WRITERS[name](work)]
    except OSError as error:
        raise storage_error(error, folder, "The export is not complete") from error


def posed_vertices(body: BodyModel, person: RecoveredPerson) -> NDArray[np.float32]:
    """The mesh of a person, ``(V, 3)`` metres, as the camera sees it."""
    with torch.no_grad():
        posed = body.posed(*(_row(v) for v in (person.shape, person.rotations, person.translation)))
    return np.asarray(posed.vertices[0].cpu().numpy(), np.float32)


def _row(values: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32))[None]


def _each(work: _Work, ending: str, write: Callable[[Path, RecoveredPerson], None]) -> list[Path]:
    files = []
    for recovery in work.recoveries:
        for number, person in enumerate(recovery.people, 1):
            frame = [] if recovery.frame is None else [f"f{recovery.frame:06d}"]
            name = person.person.identity
            path = work.named(ending, f"p{number if name is None else name}", *frame)
            write(path, person)
            files.append(path)
    return files


def _obj(work: _Work) -> list[Path]:
    body, faces = work.body, work.body.faces.cpu().numpy()
    uv = (body.uv.cpu().numpy(), body.face_uv.cpu().numpy()) if isinstance(body, BakedBody) else ()

    def write(path: Path, person: RecoveredPerson) -> None:
        write_obj(path, posed_vertices(body, person), faces, *uv)

    return _each(work, ".obj", write)


def _ply(work: _Work) -> list[Path]:
    faces = work.body.faces.cpu().numpy()
    return _each(work, ".ply", lambda path, p: write_ply(path, posed_vertices(work.body, p), faces))


def _stl(work: _Work) -> list[Path]:
    faces = work.body.faces.cpu().numpy()
    return _each(work, ".stl", lambda path, p: write_stl(path, posed_vertices(work.body, p), faces))


def _glb(work: _Work) -> list[Path]:
    body = work.body

    def write(path: Path, person: RecoveredPerson) -> None:
        with torch.no_grad():
            rest = body.rest(_row(person.shape))
        write_glb(
            path,
            rest.vertices[0].cpu().numpy(),
            body.faces.cpu().numpy(),
            rest.joints[0].cpu().numpy(),
            body.joint_weights.cpu().numpy(),
            person.rotations,
            body.licence,
        )

    return _each(work, ".glb", write)


def _bvh(work: _Work) -> list[Path]:
    tracks: dict[int, list[RecoveredPerson]] = {}
    for recovery in work.recoveries:
        for number, person in enumerate(recovery.people, 1):
            name = person.person.identity
            tracks.setdefault(number if name is None else name, []).append(person)
    files = []
    for who, track in tracks.items():
        with torch.no_grad():
            rest = work.body.rest(_row(track[0].shape)).joints[0].cpu().numpy()
        rotations = np.stack([person.rotations for person in track])
        pelvis = np.stack([person.translation for person in track])
        path = work.named(".bvh", f"p{who}")
        write_bvh(path, rest, rotations, pelvis, work.fps)
        files.append(path)
    return files


def _npz(work: _Work) -> list[Path]:
    people = [(r, person) for r in work.recoveries for person in r.people]
    camera = work.recoveries[0].camera
    width = max(len(person.shape) for _, person in people)
    path = work.named(".npz")
    write_npz(
        path,
        work.body.name,
        vertices=np.stack([posed_vertices(work.body, person) for _, person in people]),
        faces=work.body.faces.cpu().numpy(),
        joints=np.stack([person.joints for _, person in people]),
        rotations=np.stack([person.rotations for _, person in people]),
        translation=np.stack([person.translation for _, person in people]),
        shape=np.stack([np.pad(p.shape, (0, width - len(p.shape))) for _, p in people]),
        camera_K=np.array(
            [[camera.focal, 0, camera.centre[0]], [0, camera.focal, camera.centre[1]], [0, 0, 1]]
        ),
        camera_R=np.diag([1.0, -1.0, -1.0]),
        camera_t=np.zeros(3),
        image_size=np.array([camera.width, camera.height]),
    )
    return [path]


_WRITERS: dict[str, Callable[[_Work], list[Path]]] = {
    "obj": _obj, "ply": _ply, "stl": _stl, "glb": _glb, "bvh": _bvh, "npz": _npz,
}  # fmt: skip
