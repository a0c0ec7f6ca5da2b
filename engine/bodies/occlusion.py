"""What the hand painted as hidden in a picture, and what that hides of a person.

A painting is kept as its strokes in the order in which they were made: it is the same at any size,
takes little room, and what it covers is computed exactly. No more than numpy: the window imports this.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.bodies.keypoints.person import Person
from engine.errors import invalid_input

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Stroke:
    """A round brush drawn along a line.

    Attributes
    ----------
    points
        One or more positions in pixels of the original picture.
    radius
        Pixels of the original picture.
    erases
        It takes paint away instead.

    Raises
    ------
    EngineError
        ``invalid_input`` for no points, numbers that are not finite, or a radius that is not positive.
    """

    points: tuple[tuple[float, float], ...]
    radius: float
    erases: bool = False

    def __post_init__(self) -> None:
        numbers = np.array([*(v for point in self.points for v in point), self.radius], np.float64)
        if not self.points or not np.isfinite(numbers).all() or self.radius <= 0:
            raise invalid_input(
                f"A stroke of {len(self.points)} points with a radius of {self.radius} paints nothing."
            )

    def to_json(self) -> dict[str, Any]:
        """As it is kept in a project."""
        points = [[round(x, 1), round(y, 1)] for x, y in self.points]
        return {"points": points, "radius": round(self.radius, 2), "erases": self.erases}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Stroke:
        """The inverse of :meth:`to_json`, to a tenth of a pixel."""
        points = tuple((float(x), float(y)) for x, y in values["points"])
        return cls(points, float(values["radius"]), bool(values["erases"]))

    def covers(self, places: Array) -> NDArray[np.bool_]:
        """Which of positions ``(N, 2)`` it touches, ``(N,)``."""
        line = np.array(self.points, np.float64)
        starts, ways = line, np.diff(line, axis=0, append=line[-1:])
        squares = np.maximum((ways**2).sum(1), 1e-12)
        towards = places[:, None] - starts
        share = ((towards * ways).sum(2) / squares).clip(0, 1)
        apart = np.linalg.norm(towards - share[..., None] * ways, axis=2)
        return np.asarray(apart.min(1) <= self.radius)


def covered(strokes: Sequence[Stroke], places: Array) -> NDArray[np.bool_]:
    """Which of positions ``(N, 2)`` are painted, ``(N,)``: the last stroke that touches one decides."""
    found = np.zeros(len(places), bool)
    for stroke in strokes:
        found[stroke.covers(places)] = not stroke.erases
    return found


def with_hidden(person: Person, strokes: Sequence[Stroke]) -> Person:
    """The same person, whose keypoints under the paint are not seen: their confidence is 0."""
    hidden = covered(strokes, person.points)
    if not hidden.any():
        return person
    keypoints = person.keypoints.copy()
    keypoints[hidden, 2] = 0.0
    return replace(person, keypoints=keypoints)
