"""Association of a result as a reviewer left it: what was said is respected, what was computed kept.

What a reviewer confirmed stays and is compared with nothing, its travel times are learnt from; what
must be one is, what cannot is not. An edit touches few cameras: only the visits of those are summed up
again (:class:`Reassociation`), with the same outcome as if everything were.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.tracks.association import AssociateOptions, Association, associate
from engine.tracks.boxes import Boxes, Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.edits import CANNOT, LINK, MUST, confirmed_identities
from engine.tracks.tracklet_filter import taking_part
from engine.tracks.tracklets import ADDED, TrackState
from engine.tracks.visits import Visits, visits_of
from engine.tracks.way_times import sure_times, way_times

Pairs = frozenset[tuple[int, int]]


@dataclass(frozen=True)
class Reassociated:
    """What was found.

    Attributes
    ----------
    visits, found
        Of what is free to be anybody.
    identities
        The identity of each tracklet, from 1; those of confirmed ones as well.
    left_out
        Tracklets of visits that took no part in it, and why (:mod:`engine.tracks.tracklet_filter`).
    summed_up
        Cameras whose visits had to be summed up for it.
    """

    visits: Visits
    found: Association
    identities: dict[int, int]
    left_out: dict[tuple[int, ...], str]
    summed_up: tuple[int, ...]


@dataclass(frozen=True)
class _Kept:
    """A camera's visits, and what they were made of."""

    rows: dict[int, Int64Array]
    apart: Pairs
    visits: Visits
    left_out: dict[tuple[int, ...], str]


class Reassociation:
    """Associates one scene again and again.

    Parameters
    ----------
    detections
        Of the scene, with appearances.
    cameras
        Of the scene; where zones or clocks change, a new one is needed.
    options
        See :class:`~engine.tracks.association.AssociateOptions`.
    """

    def __init__(
        self, detections: Boxes, cameras: Sequence[Camera], options: AssociateOptions | None = None
    ) -> None:
        self.options = options or AssociateOptions()
        self.cameras = tuple(cameras)
        self._detections = detections
        self._kept: dict[int, _Kept] = {}

    def run(self, state: TrackState, check: Callable[[], object] = lambda: None) -> Reassociated:
        """Associate the tracklets of a state of this scene.

        Parameters
        ----------
        state
            Who is who, with marks; it is not changed.
        check
            Called between cameras and rounds; raises to stop.

        Raises
        ------
        EngineError
            What :func:`~engine.tracks.association.associate` and
            :func:`~engine.tracks.visits.visits_of` raise.
        """
        confirmed = _confirmed(state)
        cannot = _linked(state, CANNOT)
        free = self._by_camera(state, confirmed)
        parts, summed_up = [], []
        left_out: dict[tuple[int, ...], str] = {}
        for camera, rows in free.items():
            check()
            apart = frozenset(pair for pair in cannot if pair[0] in rows and pair[1] in rows)
            kept = self._kept.get(camera)
            if kept is None or kept.apart != apart or not _same(kept.rows, rows):
                kept = _Kept(rows, apart, *self._sum_up(rows, apart))
                self._kept[camera] = kept
                summed_up.append(camera)
            parts.append(kept.visits)
            left_out |= kept.left_out
        visits = together(parts) if parts else self._sum_up({}, frozenset())[0]
        place = {name: at for at, names in enumerate(visits.tracklets) for name in names}
        never = [
            (place[one], place[other])
            for one, other in cannot
            if one in place and other in place and place[one] != place[other]
        ]
        must = _linked(state, MUST)
        said = confirmed or must  # without, no time is sure, and boxes need not be looked at
        observed = sure_times(way_times(state, self.cameras) if said else {})
        found = associate(
            visits, self.cameras, self.options, apart=never, observed=observed, check=check
        )
        # What is left out is still somebody; so are tracklets that are all in places that say nothing.
        seen = {*place, *(name for names in left_out for name in names)}
        hidden = [(name,) for rows in free.values() for name in rows if name not in seen]
        identities = _identities(visits, found, confirmed, [*left_out, *hidden], must)
        return Reassociated(visits, found, identities, left_out, tuple(summed_up))

    def _by_camera(
        self, state: TrackState, confirmed: dict[int, int]
    ) -> dict[int, dict[int, Int64Array]]:
        """By camera the tracklets that are free, with all their boxes."""
        names = [name for name in state.tracklets if name not in confirmed]
        firsts = np.array([state.rows_of(name).min() for name in names], np.int64)
        cameras = np.full(len(names), -1, np.int64)  # boxes that edits added have no appearance
        seen = firsts < ADDED
        cameras[seen] = self._detections.cameras[firsts[seen]]
        found: dict[int, dict[int, Int64Array]] = {}
        for camera, name in sorted(zip(cameras.tolist(), names, strict=True)):
            if camera >= 0:
                found.setdefault(camera, {})[name] = state.rows_of(name)
        return found

    def _sum_up(
        self, rows: dict[int, Int64Array], apart: Pairs
    ) -> tuple[Visits, dict[tuple[int, ...], str]]:
        own = {name: those[those < ADDED] for name, those in rows.items()}
        every = np.concatenate([*own.values(), np.zeros(0, np.int64)])
        names = np.repeat(np.array([*own], np.int64), [len(those) for those in own.values()])
        boxes = self._detections.select(every).replace(tracks=names)
        visits = visits_of(boxes, self.cameras, join_parts=self.options.join_parts, apart=apart)
        if not self.options.leave_out or self.options.zones == "off":
            return visits, {}
        return taking_part(visits, boxes, self.cameras)


def _same(one: dict[int, Int64Array], other: dict[int, Int64Array]) -> bool:
    """Whether these are the same boxes: a state exchanges arrays, it never writes to them."""
    return one.keys() == other.keys() and all(one[name] is other[name] for name in one)


def together(parts: Sequence[Visits]) -> Visits:
    """Visits of several cameras as :func:`~engine.tracks.visits.visits_of` gives them at once."""
    tracklets = [names for part in parts for names in part.tracklets]
    order = sorted(range(len(tracklets)), key=lambda at: min(tracklets[at]))
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])[np.array(order, np.int64)]
        for name in ("cameras", "came_from", "went_to", "t_in", "t_out", "looks")
    }
    return Visits(tuple(tracklets[at] for at in order), **columns)


def _confirmed(state: TrackState) -> dict[int, int]:
    """Tracklets of identities that a reviewer confirmed, and those."""
    names = confirmed_identities(state)
    known = set(state.identities)
    return {tracklet: name for name in names if name in known for tracklet in state.members(name)}


def _linked(state: TrackState, kind: str) -> list[tuple[int, int]]:
    """Pairs of tracklets that a reviewer said something about."""
    marks = state.marks.get(LINK, {})
    pairs = [tuple(map(int, key.split(","))) for key, value in marks.items() if value == kind]
    return [(one, other) for one, other in pairs]


def _identities(
    visits: Visits,
    found: Association,
    confirmed: dict[int, int],
    alone: Iterable[tuple[int, ...]],
    must: Iterable[tuple[int, int]],
) -> dict[int, int]:
    """The identity of each tracklet, from 1."""
    label: dict[int, tuple[str, int]] = {
        tracklet: ("found", identity)
        for names, identity in zip(visits.tracklets, found.identities.tolist(), strict=True)
        for tracklet in names
    }
    label |= {tracklet: ("alone", names[0]) for names in alone for tracklet in names}
    label |= {tracklet: ("confirmed", identity) for tracklet, identity in confirmed.items()}
    for one, other in must:
        if one in label and other in label:
            old, new = label[other], label[one]
            label = {name: new if value == old else value for name, value in label.items()}
    numbers = {value: number for number, value in enumerate(dict.fromkeys(label.values()), 1)}
    return {tracklet: numbers[value] for tracklet, value in label.items()}
