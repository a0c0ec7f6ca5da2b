"""People followed through a video: each keeps its number, and its keypoints do not jitter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from engine.bodies.keypoints.blazepose import BlazePose, Found
from engine.bodies.keypoints.detectors import KeypointDetector
from engine.bodies.keypoints.duplicates import distance, without_duplicates
from engine.bodies.keypoints.person import Person
from engine.bodies.keypoints.pictures import Picture, Pixels, as_picture
from engine.bodies.keypoints.regions import Region
from engine.bodies.keypoints.smoothing import PersonSmoother
from engine.errors import invalid_input
from engine.video import Frame, VideoFile

_REACH = 0.4
"""How far keypoints may move, over the size of a person, to be taken for the same one's."""


@dataclass
class _Track:
    identity: int
    last: Person
    seconds: float
    smoother: PersonSmoother
    region: Region | None = None
    missed: bool = False


class Tracker:
    """People of a video, frame by frame.

    BlazePose looks for each person where the frame before says that it will be, which takes one
    network instead of two and no tiles. It searches in tiles every ``interval`` frames and when
    somebody was lost, and in the whole picture while nobody is there. Other detectors look at every
    frame. Nobody is recognised by looks: who leaves for longer than ``patience`` gets a new number.

    Parameters
    ----------
    detector
    interval
        Frames after which BlazePose looks for newcomers.
    patience
        Seconds for which a lost person is remembered, but at least to the next frame.
    smooth
        Whether keypoints are smoothed (:mod:`engine.bodies.keypoints.smoothing`).

    Raises
    ------
    EngineError
        ``invalid_input`` for an interval under 1 or a negative patience.
    """

    def __init__(
        self,
        detector: KeypointDetector,
        interval: int = 10,
        patience: float = 1.0,
        smooth: bool = True,
    ) -> None:
        if interval < 1 or patience < 0:
            raise invalid_input(
                f"A tracker cannot work with an interval of {interval} frames and a patience of "
                f"{patience} seconds.",
                "Give an interval from 1 and a patience from 0.",
            )
        self._detector = detector
        self._interval, self._patience, self._smooth = interval, patience, smooth
        self._tracks: list[_Track] = []
        self._next = 1
        self._since_search = interval
        self._time = -np.inf

    def step(self, pixels: Pixels, seconds: float) -> list[Person]:
        """The people in the next frame, ordered by ``identity``.

        Parameters
        ----------
        pixels
            ``(h, w, 3)`` uint8, RGB.
        seconds
            When it is shown; later than the frame before.

        Raises
        ------
        EngineError
            ``invalid_input`` when it is not later, or the frame is no picture.
        """
        if not seconds > self._time:
            raise invalid_input(
                f"A frame at {seconds:g} s cannot follow one at {self._time:g} s; it was left out.",
                "Give frames in the order in which they are shown.",
            )
        self._time = seconds
        picture = as_picture(pixels)
        # However far frames are apart, who was there in the last one is remembered.
        self._tracks = [
            t for t in self._tracks if not t.missed or seconds - t.seconds <= self._patience
        ]
        followed: dict[int, Found] = {}
        if isinstance(self._detector, BlazePose):
            for track in self._tracks:
                if track.region is not None and not track.missed:
                    found = self._detector.look(picture, track.region)
                    if found is not None:
                        followed[track.identity] = found
            # Of two that have slid onto one person, the one who was there first keeps it.
            identities = sorted(followed)
            kept = without_duplicates([followed[identity].person for identity in identities])
            followed = {identities[place]: followed[identities[place]] for place in kept}
            new = self._search(self._detector, picture, followed)
        else:
            new = [(person, None) for person in self._detector.detect(picture)]
        result = []
        for track in self._tracks:
            if track.identity in followed:
                found = followed[track.identity]
                result.append(self._go_on(track, found.person, found.following, seconds))
        lost = [track for track in self._tracks if track.identity not in followed]
        for track, (person, region) in self._assigned(lost, new, seconds):
            result.append(self._go_on(track, person, region, seconds))
        for track in self._tracks:
            track.missed = track.seconds < seconds
        return sorted(result, key=lambda person: person.identity or 0)

    def _search(
        self, detector: BlazePose, picture: Picture, followed: dict[int, Found]
    ) -> list[tuple[Person, Region | None]]:
        """Who is there beside those that are followed, when it is time to look."""
        self._since_search += 1
        complete = all(track.missed or track.identity in followed for track in self._tracks)
        due = self._since_search >= self._interval or not complete
        if followed and not due:
            return []
        if due:
            self._since_search = 0
        seen = list(followed.values())
        # Between searches in tiles, a glance at the whole picture that nobody large comes in unseen.
        found = detector.find(picture, [item.following for item in seen], None if due else 1)
        people = [item.person for item in (*seen, *found)]
        places = [place - len(seen) for place in without_duplicates(people) if place >= len(seen)]
        return [(found[place].person, found[place].following) for place in places]

    def _assigned(
        self, lost: list[_Track], new: list[tuple[Person, Region | None]], seconds: float
    ) -> Iterator[tuple[_Track, tuple[Person, Region | None]]]:
        """Each newly found person with the track it goes on with, or begins; nearest pairs first."""
        pairs = sorted(
            (apart, row, column)
            for row, track in enumerate(lost)
            for column, (person, _) in enumerate(new)
            if (apart := distance(track.last, person)) < _REACH
        )
        rows: set[int] = set()
        columns: set[int] = set()
        for _, row, column in pairs:
            if row not in rows and column not in columns:
                rows.add(row)
                columns.add(column)
                yield lost[row], new[column]
        for column, item in enumerate(new):
            if column not in columns:
                track = _Track(self._next, item[0], seconds, PersonSmoother())
                self._next += 1
                self._tracks.append(track)
                yield track, item

    def _go_on(self, track: _Track, person: Person, region: Region | None, seconds: float) -> Person:
        track.last, track.region, track.seconds = person, region, seconds
        if self._smooth:
            if track.missed:
                track.smoother.reset()
            person = track.smoother(person, seconds)
        return replace(person, identity=track.identity)


def follow(
    video: VideoFile, tracker: Tracker, start: int = 0, stop: int | None = None, step: int = 1
) -> Iterator[tuple[Frame, list[Person]]]:
    """Frames of a video with the people in them.

    Frames whose time is not later than the one before are left out (there are files like that).

    Raises
    ------
    EngineError
        As :meth:`engine.video.VideoFile.frames` does; what came before is valid.
    """
    last = -np.inf
    for frame in video.frames(start, stop, step):
        if frame.seconds > last:
            last = frame.seconds
            yield frame, tracker.step(frame.pixels, frame.seconds)
