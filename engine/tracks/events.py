"""Where a result is probably wrong: suspicious events, those most worth looking at first.

Nobody should have to watch hours of film to find a switch. An event is a place, a reason and a guess,
P(wrong); it is worth that times the number of boxes that would be right afterwards. The guesses are
simple formulas of how many standard deviations something is off; their order is what counts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.tracks.boxes import FEATURES
from engine.tracks.cameras import Camera
from engine.tracks.edits import CANNOT, CHECKED, CONFIRMED, LINK, MUST
from engine.tracks.event_links import against_zones, missing, odd_times, rivals, ways_of
from engine.tracks.event_pairs import doubles, lost, swaps, together, touches
from engine.tracks.event_tracklets import (
    Found,
    births,
    deaths,
    glimpses,
    jumps,
    look_changes,
    size_jumps,
)
from engine.tracks.track_motion import Flat, Motion, flatten
from engine.tracks.tracklet_looks import Looks
from engine.tracks.tracklets import TrackState

REASONS = {
    "swap": "{0} and {1} seem to change places",
    "lost": "{0} is lost; {1} goes on from there (missing frames: {amount:.0f})",
    "together": "{0} and {1} are one identity, {amount:.0f} frames at once",
    "double": "{0} lies on {1} in {amount:.0%} of its frames",
    "jump": "{0} jumps: {amount:.0f} standard deviations",
    "size": "{0} changes its size: {amount:.0f} standard deviations",
    "look": "{0} looks different afterwards: likeness {amount:.2f}",
    "born": "{0} appears away from every zone",
    "died": "{0} disappears away from every zone",
    "glimpse": "{0} is a single box",
    "doubt": "{0} goes on from {1} at another camera, and another fits as well (likeness {amount:.2f})",
    "time": "{0} comes {amount:+.1f} s from the usual time after {1}",
    "against": "{0} follows {1}, against the zones that lead there",
    "missing": "{0} should be at the next camera; {1} there is like it ({amount:.2f})",
}
"""The kinds of events, and how they are told; ``{0}`` and ``{1}`` are tracklets."""
WAYS = ("doubt", "time", "against")
"""Those about a way from a camera to the next; of one way the one with the most to win is told."""
LEAST_SCORE = 0.5
"""Boxes to win below which nobody is bothered."""
NARROW = 3
"""Boxes in windows that say where exactly two were exchanged."""
NEARBY = 15
"""Frames within which a change of places explains what else is strange about the two."""


@dataclass(frozen=True)
class Event:
    """A place to look at.

    Attributes
    ----------
    kind
        A key of :data:`REASONS`.
    camera, frame
        Where; an exchange or a cut belongs between this frame and the one before.
    tracklets
        Whom it is about; the first is the one to change.
    chance
        P(wrong).
    boxes
        How many boxes would be right if it were.
    amount
        What its kind is measured in, as :data:`REASONS` tells it.
    """

    kind: str
    camera: int
    frame: int
    tracklets: tuple[int, ...]
    chance: float
    boxes: int
    amount: float

    @property
    def score(self) -> float:
        """Boxes to win: what events are ordered by."""
        return self.chance * self.boxes

    def reason(self, names: Sequence[object] | None = None) -> str:
        """In words; ``names`` are what its tracklets are called where that is not their number."""
        return REASONS[self.kind].format(*(names or self.tracklets), amount=self.amount)

    @property
    def key(self) -> str:
        """What it is called among the marks of a state, once somebody has looked at it."""
        return f"{self.kind},{self.frame},{','.join(map(str, self.tracklets))}"


def suspicious_events(
    state: TrackState, cameras: Sequence[Camera], most: int | None = None
) -> list[Event]:
    """The events of a result, those with the most to win first.

    Left out are those about confirmed identities only, and those that somebody has looked at and found
    right (:func:`engine.tracks.edits.check`), as long as their tracklets are what they were then.

    Parameters
    ----------
    state
        Who is who. Where its detections have ``features``, looks are compared too.
    cameras
        Of the scene. Births and deaths are judged in those that have zones.
    most
        How many are wanted; all, without it.
    """
    flat = flatten(state)
    if not len(flat.names):
        return []
    cameras = tuple(cameras)
    motion, near = Motion(flat, cameras), Motion(flat, cameras, NARROW)
    met = touches(flat)
    looks = Looks(state.detections.extra.get(FEATURES), flat)
    swapped, broken = swaps(flat, motion, near, looks, met), lost(flat, motion, looks, cameras)
    changed = _unexplained(look_changes(flat, looks), swapped)
    leaps = _unexplained(jumps(flat, motion, looks), swapped)
    growth = _unexplained(size_jumps(flat, motion, looks, cameras), swapped)
    between = ways_of(flat, cameras, state.detections.extra.get(FEATURES))
    found = {
        "swap": swapped,
        "lost": broken,
        "together": together(flat),
        "double": doubles(flat, met),
        "jump": _unexplained(leaps, changed),
        "size": _unexplained(growth, changed),
        "look": changed,
        "born": _without(births(flat, cameras), broken.tracklets[:, 1]),
        "died": _without(deaths(flat, cameras), broken.tracklets[:, 0]),
        "glimpse": _without(glimpses(flat), broken.tracklets),
        "doubt": rivals(between),
        "time": odd_times(between),
        "against": against_zones(between),
        "missing": missing(between),
    }
    confirmed, checked = state.marks.get(CONFIRMED, {}), state.marks.get(CHECKED, {})
    events = [
        event
        for kind, some in found.items()
        for event in _told(flat, kind, some)
        if event.score >= LEAST_SCORE
        and not all(str(state.identity_of(name)) in confirmed for name in event.tracklets)
        and (event.key not in checked or checked[event.key] != fingerprint(state, event.tracklets))
        and not _decided(state, event)
    ]
    events.sort(key=lambda event: (-event.score, event.camera, event.frame, event.tracklets))
    events = _a_way_once(events)
    return events if most is None else events[:most]


def fingerprint(state: TrackState, tracklets: Sequence[int]) -> str:
    """Another one when tracklets or their identities change."""
    digest = hashlib.sha256()
    for name in tracklets:
        digest.update(f"{name} {state.identity_of(name)} ".encode())
        digest.update(state.rows_of(name).tobytes())
    return digest.hexdigest()[:16]


def _decided(state: TrackState, event: Event) -> bool:
    """Whether somebody said already that the two of a way must, or cannot, be one."""
    if event.kind not in (*WAYS, "missing"):
        return False
    low, high = sorted(event.tracklets)
    said = state.marks.get(LINK, {}).get(f"{low},{high}")
    return said == (CANNOT if event.kind == "missing" else MUST)


def _a_way_once(events: list[Event]) -> list[Event]:
    seen: set[tuple[int, ...]] = set()
    kept = []
    for event in events:
        if event.kind in WAYS:
            if event.tracklets in seen:
                continue
            seen.add(event.tracklets)
        kept.append(event)
    return kept


def _told(flat: Flat, kind: str, found: Found) -> list[Event]:
    names = flat.names[found.tracklets]
    cameras = flat.cameras[found.tracklets[:, 0]]
    columns = (cameras, found.frames, found.chances, found.boxes, found.amounts)
    return [
        Event(kind, camera, frame, tuple(who), chance, boxes, amount)
        for who, camera, frame, chance, boxes, amount in zip(
            names.tolist(), *(column.tolist() for column in columns), strict=True
        )
    ]


def _unexplained(found: Found, cause: Found) -> Found:
    """Without what is strange about a tracklet because of something that happens to it nearby."""
    stride = int(max(found.frames.max(initial=0), cause.frames.max(initial=0))) + 2 * NEARBY + 2
    taken = np.sort((cause.tracklets * stride + cause.frames[:, None] + NEARBY).reshape(-1))
    own = found.tracklets[:, 0] * stride + found.frames + NEARBY
    low = np.searchsorted(taken, own - NEARBY, side="left")
    high = np.searchsorted(taken, own + NEARBY, side="right")
    return found.select(low == high)


def _without(found: Found, tracklets: np.ndarray) -> Found:
    return found.select(~np.isin(found.tracklets[:, 0], tracklets))
