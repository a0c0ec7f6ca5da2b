"""What recovering people from a picture gives, and its file; nothing here needs more than numpy.

World frame: y up, right-handed, metres, the camera at the origin looking along -z. A body in the rest
pose faces +z, so it looks at the camera. Pixels as in :class:`engine.bodies.keypoints.person.Person`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from engine.bodies.joints import JOINT_NAMES, POINTS, ROTATING
from engine.bodies.keypoints.layouts import find_layout
from engine.bodies.keypoints.person import Mask, Person
from engine.errors import EngineError, bad_file, invalid_input

Floats = NDArray[np.float32]
FocalSource = Literal["exif", "user", "guess", "height"]
FORMAT = "triptych-recovery-1"

WORLD_TO_CAMERA = np.diag([1.0, -1.0, -1.0])
"""Rotation from the world to the frame of computer vision: x right, y down, z ahead."""


@dataclass(frozen=True)
class Camera:
    """A pinhole camera at the origin of the world.

    Attributes
    ----------
    width, height
        Of the image, pixels.
    focal
        Pixels.
    centre
        Where the optical axis meets the image, pixels.
    source
        Where the focal length is from: the photo's ``exif`` data, the ``user``, a ``guess``, or a
        known ``height`` (which then also fixes the distance).

    Raises
    ------
    EngineError
        ``invalid_input`` for sizes or focal lengths that are not positive and finite.
    """

    width: int
    height: int
    focal: float
    centre: tuple[float, float]
    source: FocalSource = "guess"

    def __post_init__(self) -> None:
        numbers = (self.width, self.height, self.focal, *self.centre)
        positive = self.width > 0 and self.height > 0 and self.focal > 0
        if not positive or not np.isfinite(numbers).all() or self.source not in get_args(FocalSource):
            raise invalid_input(
                f"There is no camera of {self.width} x {self.height} pixels, focal length {self.focal} "
                f"and centre {self.centre} from {self.source!r}; nobody was recovered.",
                "The focal length is in pixels: about 1.2 times the longer side for most photos.",
            )

    @property
    def matrix(self) -> NDArray[np.float64]:
        """K, ``(3, 3)``: image points of :data:`WORLD_TO_CAMERA` points, up to their depth."""
        (x, y), f = self.centre, self.focal
        return np.array([[f, 0, x], [0, f, y], [0, 0, 1.0]])

    def project(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Pixels ``(..., 2)`` of world points ``(..., 3)``; not finite at or behind the camera."""
        depth = np.where(points[..., 2] < 0, -points[..., 2], np.nan).astype(np.float64)
        u = self.centre[0] + self.focal * points[..., 0] / depth
        v = self.centre[1] - self.focal * points[..., 1] / depth
        return np.stack([u, v], -1)


@dataclass(frozen=True, eq=False)
class RecoveredPerson:
    """One body in front of the camera.

    Attributes
    ----------
    person
        The keypoints it was recovered from.
    method
        Name in :data:`engine.bodies.recover.METHODS`.
    shape
        ``(K,)`` float32 of the body model.
    rotations
        ``(24, 3, 3)`` float32 relative to the parents; entry 0 in the world.
    translation
        ``(3,)`` float32 metres: where the pelvis is.
    joints
        ``(29, 3)`` float32 metres, world; names in :data:`engine.bodies.joints.JOINT_NAMES`.
    error_px
        Mean distance in pixels between the seen keypoints and the body's own, projected.
    error_share
        ``error_px`` by the person's height in pixels.
    notes
        What a reader of the figures should know, in words.
    doubt
        For each joint, metres by which the pose is apart from what was seen of it, because it finds
        that unlikely; empty where the method does not say.
    guessed
        Names of joints that were not seen and are filled in.
    """

    person: Person
    method: str
    shape: Floats
    rotations: Floats
    translation: Floats
    joints: Floats
    error_px: float
    error_share: float
    notes: tuple[str, ...] = ()
    doubt: tuple[float, ...] = ()
    guessed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        wanted = {"rotations": (ROTATING, 3, 3), "translation": (3,), "joints": (POINTS, 3)}
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise invalid_input(
                    f"The {name} of a body are {shape}, not {getattr(self, name).shape}."
                )
        if self.shape.ndim != 1:
            raise invalid_input(f"A shape is a list of numbers, not {self.shape.shape}.")
        for name in ("shape", *wanted):
            if not np.isfinite(getattr(self, name)).all():
                raise invalid_input(f"The {name} of a recovered body are not finite numbers.")


@dataclass(frozen=True, eq=False)
class Recovery:
    """All people of one picture.

    Attributes
    ----------
    picture
        Its file, as it was given.
    width, height
        Pixels, after the EXIF orientation.
    body
        Name of the body model that ``shape`` belongs to.
    frame
        Number of the frame where the picture is a video's.
    seconds
        What it took.
    """

    picture: str
    width: int
    height: int
    camera: Camera
    body: str
    people: tuple[RecoveredPerson, ...]
    frame: int | None = None
    seconds: float | None = None


OWN_BODIES = ("SMPL", "SMPL-H", "SMPL-X")
"""Body models that only a user's own file makes; their shapes mean nothing to the built-in body."""

KEYS = {
    "format": FORMAT,
    "joint_names": "(29,) of joints; rotations are of the first 24",
    "about": "JSON: pictures with camera, body model, frame; people with method, errors, notes, layout",
    "camera_K": "(R, 3, 3) pixels of the full image, for each of R pictures",
    "camera_R": "(R, 3, 3) world to camera; x right, y down, z ahead",
    "camera_t": "(R, 3) metres: x_camera = R x_world + t",
    "image_size": "(R, 2) width and height in pixels",
    "picture_of": "(P,) which of the pictures each of P people is in",
    "shape": "(P, K) of the body model; zeros fill up",
    "rotations": "(P, 24, 3, 3) relative to the parents; entry 0 in the world",
    "translation": "(P, 3) metres, where the pelvis is",
    "joints": "(P, 29, 3) metres, world",
    "box": "(P, 4) left, top, right, bottom in pixels",
    "keypoints": "(N, 3) of all people in turn: x, y in pixels, confidence",
    "world": "(M, 3) of those with world points, in turn, metres",
    "masks": "(B,) uint8, the masks of those with one, in turn, row by row",
    "mask_to_image": "(Q, 2, 3) from a mask's pixels to the image's, of those with one",
}
"""What is in a file."""


def write_recovery(path: Path, recovery: Recovery) -> None:
    """Write the people of one picture; see :data:`KEYS`."""
    write_recoveries(path, [recovery])


def write_recoveries(path: Path, recoveries: Sequence[Recovery]) -> None:
    """Write the people of pictures, or of the frames of a video, into one ``.npz`` file."""
    people = [person for recovery in recoveries for person in recovery.people]
    seen = [person.person for person in people]
    masks = [one.mask for one in seen if one.mask is not None]
    count = len(recoveries)
    size = max((len(person.shape) for person in people), default=0)
    shapes = [np.pad(person.shape, (0, size - len(person.shape))) for person in people]
    about = {
        "pictures": [_about_picture(recovery) for recovery in recoveries],
        "people": [_about_person(person) for person in people],
    }
    arrays: dict[str, Any] = {
        "format": FORMAT,
        "joint_names": np.array(JOINT_NAMES),
        "about": json.dumps(about),
        "camera_K": _stack([recovery.camera.matrix for recovery in recoveries], (3, 3), np.float64),
        "camera_R": np.broadcast_to(WORLD_TO_CAMERA, (count, 3, 3)),
        "camera_t": np.zeros((count, 3)),
        "image_size": _stack([np.array([r.width, r.height]) for r in recoveries], (2,), np.int64),
        "picture_of": np.repeat(np.arange(count), [len(recovery.people) for recovery in recoveries]),
        "shape": _stack(shapes, (size,), np.float32),
        "rotations": _stack([person.rotations for person in people], (ROTATING, 3, 3), np.float32),
        "translation": _stack([person.translation for person in people], (3,), np.float32),
        "joints": _stack([person.joints for person in people], (POINTS, 3), np.float32),
        "box": _stack([one.box for one in seen], (4,), np.float64),
        "keypoints": np.concatenate([np.zeros((0, 3)), *(one.keypoints for one in seen)]),
        "world": np.concatenate(
            [np.zeros((0, 3)), *(one.world for one in seen if one.world is not None)]
        ),
        "masks": np.concatenate([np.zeros(0, np.uint8), *(mask.values.ravel() for mask in masks)]),
        "mask_to_image": _stack([mask.to_image for mask in masks], (2, 3), np.float64),
    }
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def _stack(rows: list[Any], shape: tuple[int, ...], kind: type) -> NDArray[Any]:
    return np.array(rows, kind).reshape(len(rows), *shape)


def _about_picture(recovery: Recovery) -> dict[str, Any]:
    return {
        "picture": recovery.picture,
        "body": recovery.body,
        "frame": recovery.frame,
        "seconds": recovery.seconds,
        "focal_source": recovery.camera.source,
        "camera_size": [recovery.camera.width, recovery.camera.height],
    }


def _about_person(person: RecoveredPerson) -> dict[str, Any]:
    seen = person.person
    return {
        "method": person.method,
        "error_px": person.error_px,
        "error_share": person.error_share,
        "notes": list(person.notes),
        "doubt": [round(value, 4) for value in person.doubt],
        "guessed": list(person.guessed),
        "shape_size": len(person.shape),
        "layout": seen.layout,
        "score": seen.score,
        "identity": seen.identity,
        "world": seen.world is not None,
        "mask": None if seen.mask is None else list(seen.mask.values.shape),
    }


def read_recovery(path: Path) -> Recovery:
    """Read the one picture of a file.

    Raises
    ------
    EngineError
        As :func:`read_recoveries`; ``bad_file`` also where it holds several.
    """
    found = read_recoveries(path)
    if len(found) != 1:
        raise bad_file(
            f"{path.name} holds the people of {len(found)} pictures, where one is wanted.",
            "Open it as a video.",
        )
    return found[0]


def read_recoveries(path: Path) -> tuple[Recovery, ...]:
    """Read what :func:`write_recovery` and :func:`write_recoveries` wrote. Nothing is unpickled.

    Raises
    ------
    EngineError
        ``bad_file`` for any other file, or a damaged one.
    """
    try:
        # Opened here: numpy leaves a damaged archive open.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            found = {key: file[key] for key in KEYS}
        if str(found["format"]) != FORMAT:
            raise ValueError(f"format {found['format']}")
        return _recoveries(found, json.loads(str(found["about"])))
    except (OSError, EOFError, BadZipFile, KeyError, ValueError, TypeError, EngineError,
            IndexError, AttributeError) as problem:  # fmt: skip
        raise bad_file(
            f"{path.name} holds no recovered people, or is damaged; nothing was read from it.",
            "Recover the picture again.",
            f"{type(problem).__name__}: {problem}",
        ) from problem


def _recoveries(found: dict[str, NDArray[Any]], about: dict[str, Any]) -> tuple[Recovery, ...]:
    rows = about["people"]
    people: list[RecoveredPerson] = []
    keypoints, world, masks = 0, 0, 0
    pixels = 0
    for at, row in enumerate(rows):
        count = len(find_layout(row["layout"]))
        points = found["world"][world : world + count] if row["world"] else None
        world += count if row["world"] else 0
        mask = None
        if row["mask"] is not None:
            height, width = row["mask"]
            values = found["masks"][pixels : pixels + height * width].reshape(height, width)
            mask = Mask(values, found["mask_to_image"][masks])
            masks, pixels = masks + 1, pixels + height * width
        seen = Person(
            found["keypoints"][keypoints : keypoints + count],
            row["layout"],
            found["box"][at],
            row["score"],
            mask,
            points,
            row["identity"],
        )
        keypoints += count
        people.append(
            RecoveredPerson(
                seen,
                row["method"],
                found["shape"][at, : row["shape_size"]],
                found["rotations"][at],
                found["translation"][at],
                found["joints"][at],
                row["error_px"],
                row["error_share"],
                tuple(row["notes"]),
                tuple(row.get("doubt", ())),
                tuple(row.get("guessed", ())),
            )
        )
    recoveries = []
    for at, picture in enumerate(about["pictures"]):
        k = found["camera_K"][at]
        width, height = picture["camera_size"]
        centre = (float(k[0, 2]), float(k[1, 2]))
        camera = Camera(width, height, float(k[0, 0]), centre, picture["focal_source"])
        here = tuple(person for person, of in zip(people, found["picture_of"], strict=True) if of == at)
        w, h = (int(side) for side in found["image_size"][at])
        recoveries.append(
            Recovery(
                picture["picture"],
                w,
                h,
                camera,
                picture["body"],
                here,
                picture["frame"],
                picture["seconds"],
            )
        )
    return tuple(recoveries)
