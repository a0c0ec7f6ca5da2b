"""People on the stage: what was recovered, what the hand corrected, and the requests for the poser."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from desktop.widgets.scene3d import Body3D
from engine.bodies.joints import JOINT_NAMES
from engine.bodies.keypoints.person import Person
from engine.bodies.occlusion import Stroke, with_hidden
from engine.bodies.record import Camera, RecoveredPerson

COLOURS = ("#2bbfae", "#e39a5b", "#7f9cf5", "#d96c9a", "#9ac24d", "#c9b458")
"""Of the first, second, ... person, on dark ground and on light."""

COMPARED, GHOST = 1000, 2000
"""Keys of the body that is compared, and of the mean adult's beside the selected person's."""

FULL_SCALE_MM = 100.0

OUTLINED = ("niki+shape",)
"""Methods that look at a person's outline."""


def ghost_body(key: int, answer: Mapping[str, Any], faces: NDArray[Any]) -> Body3D:
    """A body that the poser posed, grey and see-through beside another."""
    grey = np.array([150, 150, 150], np.uint8)
    return Body3D(key, answer["vertices"], answer["normals"], faces, grey, None, ghost=True)


def colour_of(index: int) -> str:
    """``#rrggbb`` of a person."""
    return COLOURS[index % len(COLOURS)]


def rgb(colour: str) -> NDArray[np.uint8]:
    """``(3,)`` of ``#rrggbb``."""
    return np.array([int(colour[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)


def part_colours(parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours ``(V, 3)`` of vertices by the joint that moves them most, neighbours well apart.

    Left and right have one hue, the right one darker.
    """
    table = np.zeros((len(JOINT_NAMES), 3), np.uint8)
    hues: dict[str, float] = {}
    for at, name in enumerate(JOINT_NAMES):
        plain = name.removeprefix("left_").removeprefix("right_")
        hue = hues.setdefault(plain, len(hues) * 0.618034 % 1)
        value = 0.62 if name.startswith("right_") else 0.88
        table[at] = [round(255 * v) for v in colorsys.hsv_to_rgb(hue, 0.5, value)]
    return table[parts]


@dataclass(frozen=True, eq=False)
class Figure:
    """One person on the stage.

    Attributes
    ----------
    recovered
        With the keypoints as they are now.
    original
        As the job found them.
    body
        None until the poser has answered.
    painted
        What the hand painted as hidden of this person.
    """

    recovered: RecoveredPerson
    original: RecoveredPerson
    body: Body3D | None = None
    painted: tuple[Stroke, ...] = ()

    @property
    def edited(self) -> bool:
        """Whether the hand corrected something."""
        return self.recovered is not self.original

    @property
    def seen(self) -> Person:
        """Without the keypoints that are painted over."""
        return with_hidden(self.recovered.person, self.painted)

    @property
    def shown(self) -> RecoveredPerson:
        """The body with the keypoints that it follows."""
        return replace(self.recovered, person=self.seen)

    def with_keypoints(self, keypoints: NDArray[np.float64]) -> Figure:
        """Other keypoints; the body follows with the poser's answer."""
        person = replace(self.recovered.person, keypoints=keypoints)
        return replace(self, recovered=replace(self.recovered, person=person))


def strokes_of(kept: Mapping[str, Any] | None) -> tuple[Stroke, ...]:
    """What is painted, of a record of :func:`painting`."""
    return () if kept is None else tuple(Stroke.from_json(one) for one in kept["strokes"])


def painting(strokes: Sequence[Stroke], method: str) -> dict[str, Any]:
    """What is painted and by which method the pose followed, as the project keeps it."""
    return {"method": method, "strokes": [stroke.to_json() for stroke in strokes]}


def camera_json(camera: Camera) -> dict[str, Any]:
    """As the poser takes it."""
    return {
        "width": camera.width,
        "height": camera.height,
        "focal": camera.focal,
        "centre": list(camera.centre),
        "source": camera.source,
    }


def person_json(person: Person) -> dict[str, Any]:
    """What is not an array."""
    return {
        "layout": person.layout,
        "box": [float(value) for value in person.box],
        "score": float(person.score),
        "identity": person.identity,
    }


def pose_request(key: int, person: RecoveredPerson) -> dict[str, Any]:
    """Show a body as it was recovered."""
    return {
        "do": "pose",
        "key": key,
        "shape": person.shape,
        "rotations": person.rotations,
        "translation": person.translation,
    }


def solve_request(
    key: int,
    person: Person,
    camera: Camera,
    method: str,
    height: float | None,
    shape: Sequence[float] | None = None,
) -> dict[str, Any]:
    """Recover a body from keypoints; one of a known shape where there is one."""
    request = {
        "do": "solve",
        "key": key,
        "person": person_json(person),
        "keypoints": person.keypoints,
        "camera": camera_json(camera),
        "method": method,
        "height": height,
    }
    if shape is not None:
        request["shape"] = np.array(shape, np.float32)
    if person.mask is not None and method in OUTLINED:
        request |= {"mask": person.mask.values, "mask_to_image": person.mask.to_image}
    return request | ({} if person.world is None else {"world": person.world})


def solved(person: Person, answer: Mapping[str, Any]) -> RecoveredPerson:
    """The poser's answer to :func:`solve_request`."""
    return RecoveredPerson(
        person=person,
        method=str(answer["method"]),
        shape=answer["shape"],
        rotations=answer["rotations"],
        translation=answer["translation"],
        joints=answer["joints"],
        error_px=float(answer["error_px"]),
        error_share=float(answer["error_share"]),
        notes=tuple(answer["notes"]),
        doubt=tuple(answer["doubt"]),
        guessed=tuple(answer["guessed"]),
    )


def export_request(
    people: Sequence[RecoveredPerson],
    camera: Camera,
    picture: str,
    folder: str,
    stem: str,
    formats: Sequence[str],
) -> dict[str, Any]:
    """Write people to files."""
    request: dict[str, Any] = {
        "do": "export",
        "camera": camera_json(camera),
        "picture": picture,
        "folder": folder,
        "stem": stem,
        "formats": list(formats),
        "people": [
            {
                "person": person_json(one.person),
                "method": one.method,
                "error_px": one.error_px,
                "error_share": one.error_share,
                "notes": list(one.notes),
                "doubt": list(one.doubt),
                "guessed": list(one.guessed),
            }
            for one in people
        ],
    }
    for index, one in enumerate(people):
        for name in ("shape", "rotations", "translation", "joints"):
            request[f"p{index}_{name}"] = getattr(one, name)
        request[f"p{index}_keypoints"] = one.person.keypoints
        if one.person.world is not None:
            request[f"p{index}_world"] = one.person.world
    return request


def heat(mm: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Colours ``(V, 3)`` of distances, 0 to 100 mm, from blue over yellow to red."""
    stops = np.array([[68, 100, 173], [96, 184, 178], [242, 214, 107], [214, 69, 65]], np.float64)
    at = np.clip(mm / FULL_SCALE_MM, 0, 1) * (len(stops) - 1)
    low = np.minimum(at.astype(int), len(stops) - 2)
    share = (at - low)[:, None]
    return np.asarray(stops[low] * (1 - share) + stops[low + 1] * share, np.uint8)
