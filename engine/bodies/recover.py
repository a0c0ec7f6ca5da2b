"""From keypoints to a body: the camera, closed-form inverse kinematics, and a fit to the picture.

``ik`` takes the keypoints in space as a start, moves them to where they are seen, derives the joints
from them and solves for rotations in closed form: quick enough to follow a hand that drags a keypoint.
``fit`` goes on from there: L-BFGS on rotations, place and shape, so that the body's own keypoints fall
on those in the picture (SMPLify, Bogo et al. 2016, with Geman and McClure's loss).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.bodies.body_model import BakedBody, BodyModel, PosedBody
from engine.bodies.in_space import in_space
from engine.bodies.inverse_kinematics import closed_form
from engine.bodies.keypoints.layouts import find_layout
from engine.bodies.keypoints.person import SEEN, Person
from engine.bodies.record import Camera, RecoveredPerson
from engine.bodies.skeleton import COCO_NAMES
from engine.errors import invalid_input
from engine.registry import Registry

Array = NDArray[np.float64]
Check = Callable[[], None]

FOCAL_GUESS = 1.2
"""Of the longer side, which is what phones have, where nothing is known."""

FILM_WIDTH = 36.0
"""Millimetres that ``FocalLengthIn35mmFilm`` is relative to, along the longer side."""

NO_DEPTH = "How far limbs reach to the front or back is a guess: there are no points in space."

ADULT_HEIGHT = 1.7
"""Metres, about the mean of adults: one picture does not show how large a person is."""

_ROUNDS = 3
"""Of moving points to where they are seen, and solving again."""

_HEIGHT_STEPS = 4


@dataclass(frozen=True, eq=False)
class Task:
    """One person to recover.

    Attributes
    ----------
    person, camera, body
        What is seen, through what, and what it is to be.
    shape
        ``(1, K)``, where the method begins.
    fixed_shape
        Whether it has to stay.
    check
        Raises when the user cancelled.
    height
        Metres, where it is known.
    """

    person: Person
    camera: Camera
    body: BodyModel
    shape: Tensor
    fixed_shape: bool
    check: Check
    height: float | None = None


@dataclass(frozen=True, eq=False)
class Solution:
    """``shape (1, K)``, ``rotations (1, 24, 3, 3)``, ``translation (1, 3)``; what is to be said.

    ``doubt`` and ``guessed`` as in :class:`~engine.bodies.record.RecoveredPerson`.
    """

    shape: Tensor
    rotations: Tensor
    translation: Tensor
    notes: tuple[str, ...] = ()
    doubt: tuple[float, ...] = ()
    guessed: tuple[str, ...] = ()


Method = Callable[[Task], Solution]
METHODS: Registry[Method] = Registry("body method")


def guess_camera(
    width: int, height: int, exif: Mapping[str, Any] | None = None, focal: float | None = None
) -> Camera:
    """The camera of a photo: the user's focal length in pixels, else EXIF's, else a guess.

    Parameters
    ----------
    width, height
        Pixels, upright.
    exif
        Values by name, as ``FocalLengthIn35mmFilm``.
    focal
        Pixels.
    """
    centre = (width / 2, height / 2)
    if focal is not None:
        return Camera(width, height, focal, centre, "user")
    try:
        film = float((exif or {}).get("FocalLengthIn35mmFilm", 0))
    except (TypeError, ValueError):
        film = 0.0
    if film > 0:
        return Camera(width, height, film / FILM_WIDTH * max(width, height), centre, "exif")
    return Camera(width, height, FOCAL_GUESS * max(width, height), centre, "guess")


def recover_person(
    person: Person,
    camera: Camera,
    body: BodyModel,
    method: str = "ik",
    height: float | None = None,
    shape: Tensor | None = None,
    check: Check = lambda: None,
) -> RecoveredPerson:
    """The body of one person.

    Parameters
    ----------
    person
        Keypoints in pixels of the camera's picture, perhaps points in space.
    camera
        Of the picture.
    body
        A body model with the keypoints of :data:`engine.bodies.skeleton.COCO_NAMES`.
    method
        Of :data:`METHODS`.
    height
        Metres, where it is known: it fixes the scale, which one picture does not show.
    shape
        ``(1, K)``, where it is known; then it stays.
    check
        Called now and then; raises to stop.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown method, or fewer than four keypoints that are seen.
    """
    solve = METHODS.get(method)
    if int((person.confidence >= SEEN).sum()) < 4:
        raise invalid_input(
            "Fewer than four keypoints of this person are seen; no body was made.",
            "Set those that can be seen by hand, or choose another photo.",
        )
    start = average_shape(body) if shape is None else shape
    if shape is None and height is not None:
        start = shape_of_height(body, start, height)
    fixed = shape is not None or height is not None
    found = solve(Task(person, camera, body, start, fixed, check, height if shape is None else None))
    with torch.no_grad():
        posed = body.posed(found.shape, found.rotations, found.translation)
    error, scale = _errors(posed, person, camera, body, found.translation)
    notes = list(found.notes)
    if float(found.translation[0, 2]) > -0.2:
        notes.append("A body stands behind the camera: check left and right, and the focal length.")
    return RecoveredPerson(
        person=person,
        method=method,
        shape=_plain(found.shape),
        rotations=_plain(found.rotations),
        translation=_plain(found.translation),
        joints=_plain(posed.joints),
        error_px=error,
        error_share=error / scale,
        notes=tuple(notes),
        doubt=found.doubt,
        guessed=found.guessed,
    )


def average_shape(body: BodyModel) -> Tensor:
    """Shape ``(1, K)`` of an average adult; the mean of all bodies where phenotypes are not known."""
    if isinstance(body, BakedBody):
        return _average_adult(body)
    return torch.zeros(1, body.shape_size)


@lru_cache(maxsize=4)
def _average_adult(body: BakedBody) -> Tensor:
    return shape_of_height(body, body.shape_from_phenotype({}), ADULT_HEIGHT)


def shape_of_height(body: BodyModel, shape: Tensor, height: float) -> Tensor:
    """The nearest shape ``(1, K)`` whose body is ``height`` metres tall."""
    for _ in range(_HEIGHT_STEPS):
        wanted = shape.detach().clone().requires_grad_()
        with torch.enable_grad():
            y = body.rest(wanted).vertices[0, :, 1]
            tall = y.max() - y.min()
            (slope,) = torch.autograd.grad(tall, wanted)
        shape = wanted.detach() + (height - tall.detach()) * slope / slope.square().sum()
    return shape


Posing = Callable[[Tensor, Tensor], Tensor]
"""From joints ``(1, 29, 3)`` and a skeleton ``(1, 29, 3)`` to rotations ``(1, 24, 3, 3)``."""


def _closed_form(joints: Tensor, rest: Tensor) -> Tensor:
    return closed_form(joints, rest, spine3="three_children")


@METHODS.register("ik")
def solve_ik(task: Task) -> Solution:
    """Closed-form inverse kinematics, the points moved to where they are seen."""
    return solve_in_space(task, _closed_form)


@METHODS.register("niki")
def solve_niki(task: Task) -> Solution:
    """The same with neural inverse kinematics: limbs that are not seen are where they plausibly are."""
    from engine.bodies.recover_niki import NikiPosing

    posing = NikiPosing(task.person)
    found = solve_in_space(task, posing)
    return replace(found, doubt=posing.doubt, guessed=posing.guessed)


@METHODS.register("niki+shape")
def solve_niki_and_shape(task: Task) -> Solution:
    """The same, and the shape from the person's outline."""
    from engine.bodies.recover_shape import solve_shape

    return solve_shape(task)


def solve_in_space(task: Task, posing: Posing) -> Solution:
    """A body for points in space, the points moved to where they are seen."""
    camera, body = task.camera, task.body
    notes = () if task.person.world is not None else (NO_DEPTH,)
    with torch.no_grad():
        rest = body.rest(task.shape)
        known = in_space(task.person, rest)
        person, points = known.person, known.points.copy()
        places, columns = shared_keypoints(person)
        pixels, weights = person.points[places], weights_of(person)[places]
        rotations = translation = torch.zeros(0)
        for turn in range(_ROUNDS):
            task.check()
            rotations = posing(known.joints(points), rest.joints)
            posed = body.posed(task.shape, rotations)
            own = keypoints_of(body, posed)[0].double().numpy()[columns]
            place = place_body(own, pixels, weights, camera)
            translation = torch.from_numpy(place).float()[None]
            if turn == _ROUNDS - 1:
                break
            seen = own + place
            depth = np.maximum(-seen[:, 2], 0.1)
            apart = (pixels - camera.project(seen)) * (depth / camera.focal)[:, None] * weights[:, None]
            points[places] += np.concatenate([apart * [1, -1], np.zeros((len(apart), 1))], 1)
    return Solution(task.shape, rotations, translation, notes)


@METHODS.register("fit")
def solve_fit(task: Task) -> Solution:
    """L-BFGS from what ``ik`` finds."""
    from engine.bodies.recover_fit import fitted_to_picture

    return fitted_to_picture(task, solve_ik(task))


def place_body(points: Array, pixels: Array, weights: Array, camera: Camera) -> Array:
    """Where a body is, ``(3,)`` metres, from its points ``(N, 3)`` and where they are seen ``(N, 2)``.

    Weighted linear least squares on the equations of projection, multiplied by the depth.
    """
    u, v = (pixels - np.array(camera.centre)).T
    f, zero = np.full(len(u), camera.focal), np.zeros(len(u))
    rows = np.concatenate([np.stack([f, zero, u], 1), np.stack([zero, f, -v], 1)])
    x, y, z = points.T
    right = np.concatenate([-u * z - f * x, v * z - f * y])
    root = np.sqrt(np.concatenate([weights, weights]))
    found, *_ = np.linalg.lstsq(rows * root[:, None], right * root, rcond=None)
    return np.asarray(found)


def shared_keypoints(person: Person) -> tuple[list[int], list[int]]:
    """Which keypoints of the person the body has too, and their places among the body's."""
    names = find_layout(person.layout).names
    alias = {"left_foot_index": "left_big_toe", "right_foot_index": "right_big_toe"}
    pairs = [(at, alias.get(name, name)) for at, name in enumerate(names)]
    pairs = [(at, name) for at, name in pairs if name in COCO_NAMES]
    return [at for at, _ in pairs], [COCO_NAMES.index(name) for _, name in pairs]


def weights_of(person: Person) -> Array:
    """Confidence, and next to nothing for what is not seen."""
    return np.where(person.confidence >= SEEN, person.confidence, 1e-3)


def keypoints_of(body: BodyModel, posed: PosedBody) -> Tensor:
    marks = getattr(body, "coco_keypoints", None)
    if marks is None:
        raise invalid_input(
            f"The body model {body.name} has no keypoints of the surface, so it cannot be recovered "
            "from a photo.",
            "Use the built-in body.",
        )
    return cast("Tensor", marks(posed.vertices))


def _errors(
    posed: PosedBody, person: Person, camera: Camera, body: BodyModel, translation: Tensor
) -> tuple[float, float]:
    """Mean error of seen keypoints in pixels, and the height in pixels of the body if it stood."""
    places, columns = shared_keypoints(person)
    own = keypoints_of(body, posed)[0].double().numpy()[columns]
    seen = person.confidence[places] >= SEEN
    apart = np.linalg.norm(camera.project(own) - person.points[places], axis=1)[seen]
    joints = posed.joints[0].double().numpy()
    chain = (24, 15, 12, 9, 6, 3, 0, 1, 4, 7, 10)
    tall = sum(np.linalg.norm(joints[a] - joints[b]) for a, b in pairwise(chain))
    depth = max(0.1, -float(translation[0, 2]))
    return float(np.nanmean(apart)) if len(apart) else 0.0, float(tall) * camera.focal / depth


def _plain(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values[0].detach().cpu().numpy(), np.float32)
