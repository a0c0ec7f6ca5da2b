"""What the bridge from keypoints to joints is fitted to: people of whom both are known.

Exact: recorded poses on random adults, the keypoints of their surface. Seen: rendered pictures of such
people with what the built-in detector says of them, its habits and its errors included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bodies.body_model import BakedBody, load_builtin_body
from engine.bodies.keypoints.detectors import load_detector
from engine.bodies.keypoints.layouts import BLAZEPOSE33
from engine.bodies.keypoints.pictures import as_picture
from engine.bodies.phenotype import random_phenotypes
from engine.bodies.skeleton import COCO_NAMES
from engine.bodies.synthetic import known_picture

Array = NDArray[np.float64]

_CHUNK = 64
_BY_MOCAP = 0.7
"""Share of the pictures whose people stand as recorded; the others as the samples do."""
_FOUND_WITHIN = 0.2
"""Of the person's height in pixels, between the hips that are found and the true ones."""
_COMMON = tuple(
    f"{side}_{part}"
    for side in ("left", "right")
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Points of a detector beside the joints they are of.

    Attributes
    ----------
    points
        ``(N, K, 3)`` metres, y-up, as tall as the body.
    joints
        ``(N, 29, 3)`` in the same place.
    rest
        ``(N, 29, 3)``, the skeleton at rest.
    """

    points: Array
    joints: Array
    rest: Array

    def part(self, rows: slice) -> Pairs:
        """Some of them."""
        return Pairs(*(getattr(self, field.name)[rows] for field in fields(self)))


def exact_pairs(body: BakedBody, poses: Tensor, count: int, seed: int) -> Pairs:
    """``count`` random adults in random ``poses (M, 24, 3, 3)``, with the body's own keypoints."""
    stream = torch.Generator().manual_seed(seed)
    rows = torch.randint(len(poses), (count,), generator=stream)
    shapes = body.shape_from_phenotype(random_phenotypes(count, stream).float())
    points, joints, rests = [], [], []
    with torch.no_grad():
        for part in range(0, count, _CHUNK):
            chosen = slice(part, part + _CHUNK)
            posed = body.posed(shapes[chosen], poses[rows[chosen]])
            points.append(body.coco_keypoints(posed.vertices).double())
            joints.append(posed.joints.double())
            rests.append(body.rest(shapes[chosen]).joints.double())
    return Pairs(*(torch.cat(values).numpy() for values in (points, joints, rests)))


def seen_pairs(
    poses: Tensor, count: int, seed: int, progress: Callable[[int], None] = lambda _: None
) -> Pairs:
    """Up to ``count`` rendered people in ``poses``, with what the built-in detector says of them."""
    detector, body = load_detector("blazepose"), load_builtin_body()
    found: list[tuple[Array, Array, Array]] = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        pose = poses[number % len(poses)][None] if rng.random() < _BY_MOCAP else None
        picture = known_picture(rng, 1, 640, 800, poses=None if pose is None else [pose])
        (true,) = picture.people
        hips = true.image_keypoints[[11, 12]].mean(0)
        tall = float(np.ptp(true.image_keypoints[:, 1]))
        for person in detector.detect(as_picture(picture.pixels)):
            middle = (person.point("left_hip") + person.point("right_hip"))[:2] / 2
            if person.world is None or np.linalg.norm(middle - hips) > _FOUND_WITHIN * tall:
                continue
            turned = np.diag([1.0, -1.0, -1.0]) @ picture.view.extrinsic[:3, :3]
            keypoints, joints = true.keypoints @ turned.T, true.joints @ turned.T
            with torch.no_grad():
                rest = body.rest(torch.from_numpy(true.shape)[None]).joints[0].double().numpy()
            points = _fitted(person.world * [1, -1, -1], keypoints)
            found.append((points, joints, rest))
            break
        progress(number + 1)
    return Pairs(*(np.array(values) for values in zip(*found, strict=True)))


def _fitted(points: Array, keypoints: Array) -> Array:
    """A detector's points as large as the true ones and where they are; not turned."""
    own = points[[BLAZEPOSE33.names.index(name) for name in _COMMON]]
    true = keypoints[[COCO_NAMES.index(name) for name in _COMMON]]
    middle, goal = own.mean(0), true.mean(0)
    scale = np.linalg.norm(true - goal) / np.linalg.norm(own - middle)
    return np.asarray((points - middle) * scale + goal)


def save_pairs(pairs: Pairs, path: Path) -> None:
    """Keep pairs, which take minutes to make."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{field.name: getattr(pairs, field.name) for field in fields(pairs)})


def read_pairs(path: Path) -> Pairs:
    """What :func:`save_pairs` kept."""
    with np.load(path, allow_pickle=False) as file:
        return Pairs(*(file[field.name] for field in fields(Pairs)))
