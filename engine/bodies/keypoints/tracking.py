"""People followed through a video: each is looked for where it was, and keeps its number."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from engine.bodies.keypoints.blazepose import BlazePose, Landmarks, same_person
from engine.bodies.keypoints.person import Person
from engine.bodies.keypoints.pictures import Pixels, as_picture
from engine.bodies.keypoints.regions import Region
from engine.errors import invalid_input

Array = NDArray[np.float64]


@dataclass
class OneEuro:
    """The One-Euro filter (Casiez, Roussel and Vogel 2012): smooth at rest, quick in motion.

    Attributes
    ----------
    least_cutoff
        In Hz, at rest.
    speed
        How much the cutoff rises with speed (sizes of the person a second).
    """

    least_cutoff: float = 1.5
    speed: float = 6.0
    _last: Array | None = field(default=None, init=False)
    _velocity: Array = field(default_factory=lambda: np.zeros(()), init=False)

    def __call__(self, values: Array, seconds: float, size: float) -> Array:
        """The next values ``(N, D)``, ``seconds`` after the last; ``size`` sets the scale of speed."""
        if self._last is None:
            self._last, self._velocity = values, np.zeros_like(values)
            return values
        moved = (values - self._last) / seconds
        self._velocity = self._velocity + _share(1.0, seconds) * (moved - self._velocity)
        rate = np.linalg.norm(self._velocity, axis=1, keepdims=True) / max(size, 1e-6)
        cutoff = self.least_cutoff + self.speed * rate
        self._last = self._last + _share(cutoff, seconds) * (values - self._last)
        return self._last


def _share(cutoff: float | Array, seconds: float) -> Array:
    step = 2 * np.pi * np.asarray(cutoff) * seconds
    return np.asarray(step / (1 + step))


@dataclass
class _Track:
    identity: int
    region: Region
    last: Person
    missed: int = 0
    filter: OneEuro = field(default_factory=OneEuro)


class Tracker:
    """People of a video, frame by frame.

    A person keeps its identity while it is found in the region that the frame before gave, or found
    again by the detector within ``patience`` frames. Nobody is recognised by looks: who leaves and
    comes back later gets a new identity.

    Parameters
    ----------
    rate
        Frames a second.
    interval
        Frames after which the detector looks for newcomers; it also looks when nobody is followed,
        or somebody was lost.
    patience
        Frames for which a lost person is remembered.
    smooth
        Whether positions are smoothed.
    """

    def __init__(
        self,
        detector: BlazePose,
        rate: float = 25.0,
        interval: int = 10,
        patience: int = 10,
        smooth: bool = True,
    ) -> None:
        if rate <= 0 or interval < 1 or patience < 0:
            raise invalid_input(
                f"A tracker cannot work with {rate} frames a second, an interval of {interval} and a "
                f"patience of {patience} frames.",
                "Give a positive rate, an interval from 1 and a patience from 0.",
            )
        self._detector, self._seconds = detector, 1 / rate
        self._interval, self._patience, self._smooth = interval, patience, smooth
        self._tracks: list[_Track] = []
        self._frame, self._next = -1, 1

    def step(self, frame: Pixels) -> list[Person]:
        """The people in the next frame ``(h, w, 3)`` uint8 RGB, by identity."""
        self._frame += 1
        picture = as_picture(frame)
        seen: list[Person] = []
        lost: list[_Track] = []
        for track in self._tracks:
            found = self._detector.look(picture, track.region) if not track.missed else None
            # Two that have slid onto one person: the one who was there first keeps it.
            if found is None or any(same_person(found.person, other) for other in seen):
                lost.append(track)
            else:
                seen.append(self._follow(track, found))
        if lost or not self._tracks or self._frame % self._interval == 0:
            for found in self._detector.find(picture):
                if not any(same_person(found.person, other) for other in seen):
                    seen.append(self._follow(self._nearest(lost, found), found))
        for track in lost:
            track.missed += 1
        self._tracks = [track for track in self._tracks if track.missed <= self._patience]
        return sorted(seen, key=lambda person: person.identity or 0)

    def _nearest(self, lost: list[_Track], found: Landmarks) -> _Track | None:
        """The lost track that a detection goes on with; it is taken off the list."""

        def distance(track: _Track) -> float:
            centre = np.array([track.region.x, track.region.y])
            return float(np.linalg.norm(centre - [found.following.x, found.following.y]))

        near = [track for track in lost if distance(track) < 0.3 * track.region.side]
        if not near:
            return None
        best = min(near, key=distance)
        lost.remove(best)
        return best

    def _follow(self, track: _Track | None, found: Landmarks) -> Person:
        if track is None:
            track = _Track(self._next, found.following, found.person)
            self._next += 1
            self._tracks.append(track)
        person = replace(found.person, identity=track.identity)
        if self._smooth:
            if track.missed:
                track.filter = OneEuro()
            size = float(np.max(person.box[2:] - person.box[:2]))
            points = track.filter(person.points, self._seconds, size)
            person = replace(person, keypoints=np.column_stack([points, person.confidence]))
        track.region, track.last, track.missed = found.following, person, 0
        return person
