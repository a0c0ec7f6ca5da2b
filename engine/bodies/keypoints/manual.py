"""The detector ``manual``: keypoints that somebody has set, or boxes, and the file they are in.

A file is JSON::

    {"people": [{"layout": "coco17", "keypoints": {"nose": [x, y], "left_hip": [x, y, confidence], ...},
                 "box": [left, top, right, bottom], "score": 1, "identity": 3},
                {"box": [left, top, right, bottom]}]}

Pixels of the original image, upright; (0, 0) is the outer corner of the first one. Keypoints that are
not named, or ``null``, are unknown (confidence 0); a list in the layout's order will do as well. In a
box without keypoints BlazePose looks.
"""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bodies.keypoints.detectors import ManualOptions
from engine.bodies.keypoints.layouts import BLAZEPOSE33, COCO17, Layout, find_layout
from engine.bodies.keypoints.person import Person, box_around
from engine.bodies.keypoints.pictures import Picture
from engine.errors import EngineError, bad_file, invalid_input

Array = NDArray[np.float64]

log = logging.getLogger("triptych.keypoints")

_EXAMPLE = (
    '{"people": [{"layout": "coco17", "keypoints": {"nose": [120, 80]}}, {"box": [0, 0, 90, 200]}]}'
)


def people_to_json(people: list[Person]) -> dict[str, Any]:
    """People as such a file holds them; masks and world points are left out."""
    return {
        "people": [
            {
                "layout": person.layout,
                "keypoints": {
                    name: [round(float(value), 4) for value in row]
                    for name, row in zip(
                        find_layout(person.layout).names, person.keypoints, strict=True
                    )
                },
                "box": [round(float(value), 4) for value in person.box],
                "score": round(person.score, 4),
                "identity": person.identity,
            }
            for person in people
        ]
    }


def people_from_json(data: Any, source: str) -> tuple[list[Person], list[Array]]:
    """People with keypoints, and boxes ``(4,)`` of those without.

    Parameters
    ----------
    data
        As :mod:`json` reads it.
    source
        What it is from, for messages.

    Raises
    ------
    EngineError
        ``invalid_input`` that names the person and what is wrong.
    """
    entries = data.get("people") if isinstance(data, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise invalid_input(
            f"There is no list of people in {source}; nothing was read.", f"It looks like: {_EXAMPLE}"
        )
    people: list[Person] = []
    boxes: list[Array] = []
    for number, entry in enumerate(entries, 1):
        try:
            box = _numbers(entry["box"], 4) if entry.get("box") is not None else None
            if entry.get("keypoints") is not None:
                people.append(_person(entry, box))
            elif box is not None and (box[2:] > box[:2]).all():
                boxes.append(box)
            else:
                raise invalid_input("there are neither keypoints nor a box with an extent")
        except EngineError as error:
            raise invalid_input(
                f"Person {number} of {source} cannot be used: {error.message.rstrip('.')}. Nothing was "
                "read.",
                error.hint or f"It looks like: {_EXAMPLE}",
            ) from error
    return people, boxes


def _person(entry: dict[str, Any], box: Array | None) -> Person:
    given = entry["keypoints"]
    named = entry.get("layout")
    if named is None and isinstance(given, list):
        named = BLAZEPOSE33.name if len(given) == len(BLAZEPOSE33) else COCO17.name
    layout = find_layout(str(named or COCO17.name))
    rows = _rows(given, layout)
    known = [place for place, row in enumerate(rows) if row is not None]
    if not known:
        raise invalid_input("none of its keypoints is set")
    keypoints = np.zeros((len(layout), 3))
    for place in known:
        row = rows[place]
        keypoints[place] = _numbers(row if len(row) == 3 else [*row, 1.0], 3)
    # An unknown keypoint has to lie somewhere; its confidence says that it is not known.
    unknown = np.setdiff1d(np.arange(len(layout)), known)
    keypoints[unknown, :2] = keypoints[known, :2].mean(axis=0)
    if box is None:
        box = box_around(keypoints[known, :2], keypoints[known, 2])
    identity, score = entry.get("identity"), entry.get("score", 1.0)
    if not (identity is None or type(identity) is int) or type(score) not in (int, float):
        raise invalid_input("its score is no number, or its identity no whole number")
    return Person(keypoints, layout.name, box, float(score), identity=identity)


def _rows(given: Any, layout: Layout) -> list[Any]:
    if isinstance(given, dict):
        for name in given:
            layout.index(name)
        rows = [given.get(name) for name in layout.names]
    elif isinstance(given, list) and len(given) == len(layout):
        rows = given
    else:
        raise invalid_input(
            f"its keypoints are neither named nor {len(layout)}, as many as {layout.name} has"
        )
    for row in rows:
        if row is not None and not (isinstance(row, list) and len(row) in (2, 3)):
            raise invalid_input("a keypoint is neither [x, y] nor [x, y, confidence] nor null")
    return rows


def _numbers(values: Any, count: int) -> Array:
    right = isinstance(values, list) and len(values) == count
    if not right or not all(type(v) in (int, float) and math.isfinite(v) for v in values):
        raise invalid_input(f"{values!r} is not {count} finite numbers")
    return np.array(values, np.float64)


def read_people(path: Path) -> tuple[list[Person], list[Array]]:
    """People and boxes of a file.

    Raises
    ------
    EngineError
        ``bad_file`` when it is not there or no JSON; ``invalid_input`` as :func:`people_from_json`.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise bad_file(
            f"The keypoints {path.name} are not there; nothing was read.", f"Looked for {path}."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise bad_file(
            f"The file {path.name} cannot be read as JSON; nothing was read.",
            f"It looks like: {_EXAMPLE}",
            str(error),
        ) from error
    return people_from_json(data, path.name)


def write_people(path: Path, people: list[Person]) -> None:
    """Write people into a file that :func:`read_people` reads."""
    text = json.dumps(people_to_json(people), indent=1)
    path.write_text(text + "\n", encoding="utf-8")


class ManualDetector:
    """Returns the people of a file, whatever the picture shows; looks into its boxes by BlazePose.

    Raises
    ------
    EngineError
        As :func:`read_people`; ``invalid_input`` when layouts are mixed.
    """

    name = "set by hand"
    licence = "your own"

    def __init__(self, path: Path) -> None:
        self._people, self._boxes = read_people(path)
        layouts = {person.layout for person in self._people}
        if self._boxes:
            layouts.add(BLAZEPOSE33.name)
        if len(layouts) > 1:
            raise invalid_input(
                f"The people in {path.name} have keypoints of several layouts: "
                f"{', '.join(sorted(layouts))} (in boxes: {BLAZEPOSE33.name}). Nothing was read.",
                "Give all of them in one layout, or boxes in a file of their own.",
            )
        self.layout = layouts.pop() if layouts else COCO17.name

    def detect(self, picture: Picture) -> list[Person]:
        """The people of the file, then those in its boxes; boxes in which nobody is are logged."""
        found = list(self._people)
        if self._boxes:
            from engine.bodies.keypoints.blazepose import BlazePose

            detector = BlazePose()
            for number, box in enumerate(self._boxes, 1):
                person = detector.in_box(picture, box)
                if person is None:
                    log.warning("nobody was recognised in box %d", number)
                else:
                    found.append(person)
        return found


def load(options: ManualOptions) -> ManualDetector:
    """The detector with its settings, for the registry."""
    return ManualDetector(Path(options.path).expanduser())
