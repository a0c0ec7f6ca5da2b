"""The shape of people in pictures: their outline and the lengths of their limbs, beside a body's.

Begins with a body of average shape in the person's pose. Its parts are made wider or narrower as the
mask says, its limbs longer or shorter as the keypoints say, the shape that goes with all of that is
decoded, and the pose is solved again for it; twice. One picture does not show scale: the height is the
one that is known, else that of the detector's points in space.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bodies.body_model import BakedBody, PosedBody
from engine.bodies.in_space import scale_to_body
from engine.bodies.joints import JOINT_NAMES
from engine.bodies.keypoints.layouts import find_layout
from engine.bodies.keypoints.person import SEEN
from engine.bodies.recover import Solution, Task, shape_of_height, solve_niki
from engine.bodies.recover_niki import NikiPosing
from engine.bodies.render import Caster, Mesh, View
from engine.bodies.shape import load_shape_decoder
from engine.bodies.shape_evidence import Measures, MeasuresModel, ShapeEstimate
from engine.bodies.shape_parts import PARTS, SEGMENT_ENDS, bone_lengths
from engine.bodies.shape_silhouette import width_ratios
from engine.bodies.skeleton import COCO_NAMES, POINTS

Array = NDArray[np.float64]

ROUNDS = 2
IN_PLANE = 0.75
"""A limb that is seen shorter than this share of its length says nothing of it."""

LENGTH_ERROR = 0.06
"""Of a limb's length: the pose behind it is not exact."""

_LARGEST = 512
"""Pixels of the longer side of silhouettes."""

_LIMBS = {
    (4,): ("left_hip", "left_knee"), (5,): ("right_hip", "right_knee"),
    (7,): ("left_knee", "left_ankle"), (8,): ("right_knee", "right_ankle"),
    (18,): ("left_shoulder", "left_elbow"), (19,): ("right_shoulder", "right_elbow"),
    (20,): ("left_elbow", "left_wrist"), (21,): ("right_elbow", "right_wrist"),
    (3, 6, 9): ("left_shoulder", "left_hip"), (12,): ("right_shoulder", "right_hip"),
    (16, 17): ("left_shoulder", "right_shoulder"),
}  # fmt: skip
"""Bones, by the points where they end, and the keypoints whose distance shows their lengths."""


@lru_cache(maxsize=1)
def measures_model() -> MeasuresModel:
    """Of the decoder that ships."""
    return MeasuresModel(load_shape_decoder())


def solve_shape(task: Task) -> Solution:
    """Pose and shape; where the shape has to stay, or no mask tells the outline, the pose alone."""
    given = task.fixed_shape and task.height is None
    if given or task.person.mask is None or not isinstance(task.body, BakedBody):
        found = solve_niki(task)
        built_in = isinstance(task.body, BakedBody)
        lacking = (
            "There is no outline of this person" if built_in else "Only the built-in body has widths"
        )
        why = () if given else (f"{lacking}, so the shape is an average one.",)
        return replace(found, notes=(*found.notes, *why))
    shape = _of_height(task, load_shape_decoder().space.mean[None])
    estimate: ShapeEstimate | None = None
    for _ in range(ROUNDS):
        task.check()
        found = solve_niki(replace(task, shape=shape))
        estimate = measures_model().estimate(measured_in_picture(task, found))
        shape = _of_height(task, estimate.shape)
    found = solve_niki(replace(task, shape=shape))
    assert estimate is not None
    said = f"Widths of {int(estimate.seen.sum())} of {len(PARTS)} parts were seen, the others inferred."
    return replace(found, notes=(*found.notes, said))


def _of_height(task: Task, shape: Tensor) -> Tensor:
    return shape if task.height is None else shape_of_height(task.body, shape, task.height)


def _size(task: Task, rest: PosedBody) -> float:
    """By how much a person is larger than a body, as points in space say."""
    if task.height is not None or task.person.world is None:
        return 1.0
    points = task.person.world * [1, -1, -1]
    return 1 / scale_to_body(rest, points, find_layout(task.person.layout).names)


def measured_in_picture(task: Task, found: Solution) -> Measures:
    """What the picture says of lengths and widths, given a body in about the right pose."""
    body = task.body
    assert isinstance(body, BakedBody)
    with torch.no_grad():
        posed = body.posed(found.shape, found.rotations, found.translation)
        rest = body.rest(found.shape)
        keypoints = body.coco_keypoints(posed.vertices)[0].double().numpy()
        widths = measures_model().decoder.parts.widths(rest.vertices, rest.joints)[0, list(PARTS)]
        lengths = bone_lengths(rest.joints)[0]
    ratios, spreads = _width_ratios(task, posed, widths)
    # The outline where somebody is hidden is that of what hides them.
    spreads[_ends_unseen(task)] = np.inf
    longer, length_spreads = _length_ratios(task, keypoints)
    lengths, widths = (_size(task, rest) * values for values in (lengths, widths))
    return Measures(
        lengths * torch.from_numpy(longer).float(),
        lengths * torch.from_numpy(length_spreads).float(),
        widths * torch.from_numpy(np.nan_to_num(ratios, nan=1.0)).float(),
        widths * torch.from_numpy(spreads).float(),
    )


def _ends_unseen(task: Task) -> NDArray[np.bool_]:
    """Of the 20 parts ``(20,)``, those of which one end is not seen."""
    guessed = [JOINT_NAMES.index(name) for name in NikiPosing(task.person).guessed]
    return np.asarray(np.isin(PARTS, guessed) | np.isin([SEGMENT_ENDS[j] for j in PARTS], guessed))


def _width_ratios(task: Task, posed: PosedBody, widths: Tensor) -> tuple[Array, Array]:
    camera, mask = task.camera, task.person.mask
    assert mask is not None
    factor = min(1.0, _LARGEST / max(camera.width, camera.height))
    view = View.pinhole(camera.focal, camera.centre, camera.width, camera.height).scaled(factor)
    scaled = replace(mask, to_image=factor * mask.to_image)
    seen = scaled.in_image(view.height, view.width) > 127
    grey = np.full(3, 128, np.uint8)
    mesh = Mesh(posed.vertices[0].numpy(), task.body.faces.numpy(), grey)
    own = Caster([mesh]).silhouette(view)
    joints = posed.joints[0].double().numpy()
    pixels = factor * camera.project(joints)
    return width_ratios(seen, own, joints, pixels, widths.double().numpy(), factor * camera.focal)


def _length_ratios(task: Task, keypoints: Array) -> tuple[Array, Array]:
    """Of the 28 bones ``(28,)``; those of which nothing is known have an infinite deviation."""
    camera, person = task.camera, task.person
    pixels = camera.project(keypoints)
    ratios, spreads = np.ones(POINTS - 1), np.full(POINTS - 1, np.inf)
    for bones, names in _LIMBS.items():
        ours = [COCO_NAMES.index(name) for name in names]
        theirs = [person.point(name) for name in names]
        depth = max(0.1, -float(keypoints[ours, 2].mean()))
        whole = np.linalg.norm(keypoints[ours[0]] - keypoints[ours[1]]) * camera.focal / depth
        shown = float(np.linalg.norm(pixels[ours[0]] - pixels[ours[1]]))
        if min(point[2] for point in theirs) < SEEN or shown < IN_PLANE * whole:
            continue
        at = [bone - 1 for bone in bones]
        ratios[at] = np.linalg.norm(theirs[0][:2] - theirs[1][:2]) / shown
        spreads[at] = LENGTH_ERROR
    return ratios.clip(0.6, 1.6), spreads
