"""Pictures of people of whom everything is known: the built-in body, clothed, posed, in a room.

They are the samples that ship, the check of people detectors, and the truth that recovered bodies are
measured against. ``python -m engine.bodies.synthetic --out FOLDER`` makes the samples anew.

World: metres, y-up, the floor at 0, the camera at +z. Nothing in a picture is anybody's photo.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.bodies.body_model import BakedBody, load_builtin_body, vertex_normals
from engine.bodies.clothes import clothed, room
from engine.bodies.render import Caster, Mesh, View
from engine.bodies.rotations import axis_angle_to_matrix
from engine.bodies.skeleton import JOINT_NAMES, ROTATING
from engine.errors import invalid_input
from engine.video_writing import write_video

Array = NDArray[np.float64]
Pixels = NDArray[np.uint8]

SAMPLES = {"one": (1, 640, 800), "two": (2, 960, 800), "three": (3, 1200, 800)}
"""Number of people, width and height of the pictures that ship."""

_APART = 0.95
"""Metres between people, on average."""
_HIDDEN = 0.12
"""Metres that a keypoint, which lies inside the body, may be behind what is seen there."""


@dataclass(frozen=True, eq=False)
class KnownPerson:
    """A person as it was made.

    Attributes
    ----------
    shape
        ``(K,)`` float32, numbers of the built-in body.
    rotations
        ``(24, 3, 3)`` float32, relative to the parents.
    translation
        ``(3,)`` float32.
    vertices
        ``(V, 3)`` float32, world.
    joints
        ``(29, 3)`` float64, world, :data:`engine.bodies.skeleton.JOINT_NAMES`.
    keypoints
        ``(23, 3)`` float64, world, :data:`engine.bodies.skeleton.COCO_NAMES`.
    image_keypoints
        ``(23, 2)`` float64, pixels of the picture.
    visible
        ``(23,)``: whether nothing but the person's own surface is before a keypoint.
    """

    shape: NDArray[np.float32]
    rotations: NDArray[np.float32]
    translation: NDArray[np.float32]
    vertices: NDArray[np.float32]
    joints: Array
    keypoints: Array
    image_keypoints: Array
    visible: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class KnownPicture:
    """A picture ``(h, w, 3)`` uint8 RGB with the people in it, from left to right, and its camera."""

    pixels: Pixels
    view: View
    people: tuple[KnownPerson, ...]


@dataclass(frozen=True, eq=False)
class _Somebody:
    """Shape ``(1, K)``, colours of the vertices, pose ``(1, 24, 3, 3)``, place ``(1, 3)``."""

    shape: Tensor
    colours: Pixels
    rotations: Tensor
    place: Tensor


def random_pose(rng: np.random.Generator, yaw: float) -> Tensor:
    """Somebody who stands, walks or reaches, ``(1, 24, 3, 3)``; ``yaw`` in radians, 0 to the camera."""
    stride = rng.uniform(-0.45, 0.45)
    crouch = max(0.0, rng.normal(0, 0.25))
    turns = {"pelvis": (0.0, yaw, 0.0)}
    for side, sign in (("left", 1), ("right", -1)):
        turns[f"{side}_hip"] = -sign * stride - crouch, 0, sign * rng.uniform(0, 0.15)
        turns[f"{side}_knee"] = 2 * crouch + max(0.0, sign * stride) * rng.uniform(0.5, 1.2), 0, 0
        turns[f"{side}_ankle"] = -crouch, 0, 0
        lift = rng.uniform(0.2, 0.8) if rng.random() < 0.25 else rng.uniform(-0.9, -0.3)
        swing = sign * stride * 0.8 + rng.normal(0, 0.15)
        turns[f"{side}_shoulder"] = 0, -sign * swing, sign * lift
        turns[f"{side}_elbow"] = 0, -sign * rng.uniform(0.1, 1.2), 0
    turns["spine2"] = tuple(rng.normal(0, 0.1, 3))
    turns["neck"] = tuple(rng.normal(0, 0.15, 3))
    return _pose(turns)


def walking_pose(phase: float, yaw: float) -> Tensor:
    """A moment of a walk, ``(1, 24, 3, 3)``; a phase of 2 pi is two steps."""
    turns = {"pelvis": (0.0, yaw, 0.0), "spine2": (0.05, 0.1 * math.sin(phase), 0.0)}
    for side, sign in (("left", 1), ("right", -1)):
        forward = sign * math.sin(phase)
        lifted = max(0.0, sign * math.cos(phase))
        turns[f"{side}_hip"] = -0.45 * forward - 0.15 * lifted, 0, 0
        turns[f"{side}_knee"] = 0.1 + 0.9 * lifted, 0, 0
        turns[f"{side}_ankle"] = 0.15 * forward - 0.1, 0, 0
        turns[f"{side}_shoulder"] = 0, sign * 0.5 * forward, -sign * 0.75
        turns[f"{side}_elbow"] = 0, -sign * (0.35 - 0.2 * forward), 0
    return _pose(turns)


def _pose(turns: Mapping[str, tuple[float, ...]]) -> Tensor:
    vectors = np.zeros((ROTATING, 3))
    for joint, turn in turns.items():
        vectors[JOINT_NAMES.index(joint)] = turn
    return axis_angle_to_matrix(torch.from_numpy(vectors).float())[None]


def known_picture(
    rng: np.random.Generator,
    count: int = 1,
    width: int = 640,
    height: int = 800,
    from_behind: float = 0.2,
    poses: Sequence[Tensor] | None = None,
) -> KnownPicture:
    """A picture of random people side by side, all of each inside the picture.

    Parameters
    ----------
    rng
        Decides everything; the same numbers make the same picture.
    count
        1 to 8.
    width, height
        Pixels, at least 64.
    from_behind
        Share of people who turn their back.
    poses
        ``(1, 24, 3, 3)`` of each, turned as they are to be seen; without, :func:`random_pose`.

    Raises
    ------
    EngineError
        ``invalid_input`` for numbers out of range.
    """
    _check_size(count, width, height)
    body = load_builtin_body()
    people = []
    for index in range(count):
        x = _APART * (index - (count - 1) / 2) + rng.uniform(-0.1, 0.1)
        yaw = rng.uniform(-0.9, 0.9) + (math.pi if rng.random() < from_behind else 0.0)
        shape, colours = _clothed_shape(body, rng)
        pose = random_pose(rng, yaw) if poses is None else poses[index]
        people.append(
            _Somebody(shape, colours, pose, _on_floor(body, shape, pose, x, rng.uniform(-0.3, 0.3)))
        )
    corners = np.concatenate([_posed(body, person)[0].vertices for person in people])
    view = _view_of(corners, rng, width, height)
    return _rendered(body, people, view, room(view, rng))


def known_walk(
    rng: np.random.Generator,
    frames: int = 40,
    rate: float = 20.0,
    width: int = 480,
    height: int = 360,
) -> Iterator[KnownPicture]:
    """Somebody who walks through a room, frame by frame, seen by a camera that stands still.

    Raises
    ------
    EngineError
        ``invalid_input`` for numbers out of range.
    """
    _check_size(1, width, height)
    if frames < 1 or rate <= 0:
        raise invalid_input(f"A walk of {frames} frames, {rate} a second, cannot be made.")
    body = load_builtin_body()
    shape, colours = _clothed_shape(body, rng)
    yaw = rng.uniform(0.6, 1.1)
    length = 1.3 * frames / rate
    ahead = np.array([math.sin(yaw), math.cos(yaw)]) * length
    view = View.look_at((0.0, 1.4, 3.2 + abs(ahead[1]) / 2), (0.0, 0.9, 0.0), 42, width, height)
    ground = room(view, rng)
    for index in range(frames):
        pose = walking_pose(2 * math.pi * 0.9 * index / rate, yaw)
        x, z = ahead * (index / max(frames - 1, 1) - 0.5)
        place = _on_floor(body, shape, pose, float(x), float(z))
        yield _rendered(body, [_Somebody(shape, colours, pose, place)], view, ground)


def _check_size(count: int, width: int, height: int) -> None:
    if not 1 <= count <= 8 or min(width, height) < 64:
        raise invalid_input(
            f"A picture of {count} people with {width} x {height} pixels cannot be made.",
            "It holds 1 to 8 people and has at least 64 x 64 pixels.",
        )


def _clothed_shape(body: BakedBody, rng: np.random.Generator) -> tuple[Tensor, Pixels]:
    """An adult who is neither a giant nor a dwarf."""
    shape = body.shape_from_phenotype(
        {
            "gender": rng.uniform(0, 1),
            "age": rng.uniform(0.62, 0.9),
            **{name: rng.uniform(0.25, 0.75) for name in ("muscle", "weight", "height", "proportions")},
        }
    )
    rest = body.rest(shape).vertices[0].numpy()
    return shape, clothed(body.joint_weights.numpy(), rest, rng)


def _on_floor(body: BakedBody, shape: Tensor, rotations: Tensor, x: float, z: float) -> Tensor:
    lowest = float(body.posed(shape, rotations).vertices[0, :, 1].min())
    return torch.tensor([[x, -lowest, z]], dtype=torch.float32)


def _posed(body: BakedBody, person: _Somebody) -> tuple[Mesh, Array, Array]:
    """Mesh, joints ``(29, 3)`` and keypoints ``(23, 3)``."""
    posed = body.posed(person.shape, person.rotations, person.place)
    normals = vertex_normals(posed.vertices, body.faces)[0].numpy()
    mesh = Mesh(posed.vertices[0].numpy(), body.faces.numpy(), person.colours, normals)
    keypoints = body.coco_keypoints(posed.vertices)[0].double().numpy()
    return mesh, posed.joints[0].double().numpy(), keypoints


def _rendered(body: BakedBody, people: Sequence[_Somebody], view: View, ground: Array) -> KnownPicture:
    posed = [_posed(body, person) for person in people]
    caster = Caster([mesh for mesh, *_ in posed])
    painted = caster.paint(view, samples=2).astype(np.float64)
    cover = painted[..., 3:] / 255
    mixed = painted[..., :3] * cover + ground * (1 - cover)
    depth = caster.cast(view).depth
    known = []
    for person, (mesh, joints, keypoints) in zip(people, posed, strict=True):
        places = view.project(keypoints)
        away = (keypoints @ view.extrinsic[:3, :3].T + view.extrinsic[:3, 3])[:, 2]
        columns, rows = np.floor(places).astype(int).T
        columns, rows = columns.clip(0, view.width - 1), rows.clip(0, view.height - 1)
        known.append(
            KnownPerson(
                person.shape[0].numpy(),
                person.rotations[0].numpy(),
                person.place[0].numpy(),
                mesh.vertices,
                joints,
                keypoints,
                places,
                depth[rows, columns] > away - _HIDDEN,
            )
        )
    return KnownPicture(mixed.clip(0, 255).round().astype(np.uint8), view, tuple(known))


def _view_of(points: NDArray[np.float32], rng: np.random.Generator, width: int, height: int) -> View:
    """A camera at chest to head height that sees all points with some room around."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle = (low + high) / 2
    across = max(high[1] - low[1], (high[0] - low[0]) * height / width)
    fov = rng.uniform(35, 50)
    away = across / 2 * rng.uniform(1.15, 1.4) / math.tan(math.radians(fov) / 2) + high[2]
    eye = (float(middle[0]) + rng.uniform(-0.3, 0.3), rng.uniform(1.0, 1.8), float(away))
    return View.look_at(eye, (float(middle[0]), float(middle[1]), 0.0), fov, width, height)


def write_samples(folder: Path, seed: int = 20_011) -> list[Path]:
    """The pictures (JPEG) and the clip (MP4) that ship; returns where they are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, (name, (count, width, height)) in enumerate(SAMPLES.items()):
        picture = known_picture(np.random.default_rng(seed + number), count, width, height, 0.0)
        paths.append(folder / f"{name}.jpg")
        Image.fromarray(picture.pixels).save(paths[-1], quality=90)
    paths.append(folder / "walk.mp4")
    walk = known_walk(np.random.default_rng(seed), 40, 20.0, 480, 360)
    write_video(paths[-1], (picture.pixels for picture in walk), 20, {"crf": "26"})
    return paths


def main(arguments: list[str] | None = None) -> int:
    """Write the samples, and say where they are."""
    parser = argparse.ArgumentParser(prog="python -m engine.bodies.synthetic", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=20_011)
    options = parser.parse_args(arguments)
    for path in write_samples(options.out, options.seed):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
