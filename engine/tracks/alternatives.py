"""Who else somebody could be: the identities most alike by looks, time and place, with the reasons.

For a reviewer who sees that a tracklet has the wrong identity. The score is a guess like those of
:mod:`engine.tracks.events`: the order is what counts. An identity that is seen elsewhere in the same
camera at the same time is no alternative.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import FEATURES, Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.track_motion import flatten
from engine.tracks.tracklet_ends import Ends, usual_times
from engine.tracks.tracklets import TrackState
from engine.tracks.visits import UNKNOWN

Float64Array = NDArray[np.float64]

LOOKED_AT = 300
"""Tracklets, those that fit best by time and place, whose looks are compared."""
LOOKS_SCALE = 0.2
"""Of 1 - cosine."""
HERE_SECONDS, ELSEWHERE_SECONDS = 4.0, 45.0
"""Of gaps in the same camera and between two."""
REACH = 2.0
"""Sizes of the box, of the distance from where it was going."""
LEADS, UNSURE, LEADS_ELSEWHERE = 1.0, 0.5, 0.15
"""Of the zones that it left and came by."""
ENOUGH_PASSAGES = 5
"""Between two cameras, to say how long the way usually takes."""
NOTHING_KNOWN = 0.35
"""Of looks that nobody knows: less than those of most pairs that are one object."""


@dataclass(frozen=True)
class Alternative:
    """An identity that somebody could have.

    Attributes
    ----------
    identity
        Which.
    tracklet
        The one of its tracklets that fits best.
    score
        From 0 to 1.
    looks
        Cosine of mean appearances; NaN where one has none.
    reason
        Looks, time and place in words.
    """

    identity: int
    tracklet: int
    score: float
    looks: float
    reason: str


class Alternatives:
    """Looks through one state again and again.

    Parameters
    ----------
    state
        Is not to be changed any more; see :meth:`~engine.tracks.tracklets.TrackState.copy`.
    cameras
        With clocks and zones.
    """

    def __init__(self, state: TrackState, cameras: Sequence[Camera]) -> None:
        self._state, self._cameras = state, tuple(cameras)
        self._flat = flatten(state)
        self._features = state.detections.extra.get(FEATURES)
        if len(self._flat.names):
            self._ends = Ends(self._flat, self._cameras)
            passages = self._ends.passages()
            self._usual = usual_times(self._flat, passages, ENOUGH_PASSAGES)

    def of(self, tracklets: Iterable[int], most: int = 5) -> list[Alternative]:
        """Identities that tracklets could belong to, the likeliest first; not those that they have."""
        flat = self._flat
        wanted = set(tracklets)
        own = np.flatnonzero(np.isin(flat.names, list(wanted)))
        if not len(own):
            return []
        taken = np.isin(flat.identities, flat.identities[own])
        best = np.zeros(len(flat.names))
        told: dict[int, tuple[int, float, float]] = {}
        for one in own.tolist():
            score, gap, away = self._fit(one)
            conflict = (flat.cameras == flat.cameras[one]) & (gap <= 0)
            taken |= np.isin(flat.identities, flat.identities[conflict])
            better = score > best
            best = np.where(better, score, best)
            for at in np.flatnonzero(better).tolist():
                told[at] = (one, float(gap[at]), float(away[at]))
        best[taken] = 0
        likely = np.argsort(-best, kind="stable")[:LOOKED_AT]
        likely = likely[best[likely] > 0]
        mine = self._ends.looks(self._features, own)
        mine = mine[np.isfinite(mine).all(axis=1)].sum(axis=0)
        length = np.linalg.norm(mine)
        looks = self._ends.looks(self._features, likely) @ (
            mine / length if length > 0 else mine + np.nan
        )
        alike = np.where(np.isfinite(looks), np.exp(-(1 - looks) / LOOKS_SCALE), NOTHING_KNOWN)
        scores = alike * np.sqrt(best[likely])
        found: list[Alternative] = []
        seen: set[int] = set()
        for rank in np.argsort(-scores, kind="stable").tolist():
            at = int(likely[rank])
            identity = int(flat.identities[at])
            if identity in seen or len(found) == most:
                continue
            seen.add(identity)
            reason = self._words(float(looks[rank]), at, *told[at])
            found.append(
                Alternative(
                    identity, int(flat.names[at]), float(scores[rank]), float(looks[rank]), reason
                )
            )
        return found

    def _fit(self, one: int) -> tuple[Float64Array, Float64Array, Float64Array]:
        """By time and place, all tracklets beside one: score, seconds between, distance in sizes.

        Seconds are positive afterwards as before, negative where the two are there at once.
        """
        flat = self._flat
        after, before = self._ends.begin - self._ends.end[one], self._ends.begin[one] - self._ends.end
        later = after >= before
        gap = np.maximum(after, before)
        here = flat.cameras == flat.cameras[one]
        near = np.clip(gap, 0, 1)[:, None]
        aim = np.where(
            later[:, None],
            self._ends.last[one] + self._ends.speed_out[one] * near,
            self._ends.last + self._ends.speed_out * near,
        )
        away = np.hypot(*(np.where(later[:, None], self._ends.first, self._ends.first[one]) - aim).T)
        away = np.where(here, away / ((self._ends.size + self._ends.size[one]) / 2), np.nan)
        time = np.exp(-np.maximum(gap, 0) / np.where(here, HERE_SECONDS, ELSEWHERE_SECONDS))
        for at in range(len(self._cameras)):
            for forward in (True, False):
                pair = (int(flat.cameras[one]), at) if forward else (at, int(flat.cameras[one]))
                usual = self._usual.get(pair)
                if usual is not None:
                    which = (flat.cameras == at) & (later == forward)
                    time[which] = np.exp(-np.abs(gap[which] - usual.middle) / (2 * usual.spread + 2))
        # Where cameras see one place, somebody is in both at once for a while.
        time[~here & (gap < 0)] = np.exp(gap[~here & (gap < 0)] / HERE_SECONDS)
        out, into = self._zones(one, later)
        place = np.where(here, np.exp(-away / REACH), out * into)
        return time * place, gap, away

    def _zones(self, one: int, later: NDArray[np.bool_]) -> tuple[Float64Array, Float64Array]:
        """How well zones agree: of the earlier of two to the later, and of the later to the earlier."""
        cameras = self._flat.cameras

        def of(leads: Int64Array, to: Int64Array) -> Float64Array:
            known = np.where(leads == to, LEADS, LEADS_ELSEWHERE)
            return np.where(leads == UNKNOWN, UNSURE, known)

        mine = np.full(len(cameras), cameras[one])
        went = np.where(later, self._ends.went[one], self._ends.went)
        came = np.where(later, self._ends.came, self._ends.came[one])
        return (
            of(went, np.where(later, cameras, mine)),
            of(came, np.where(later, mine, cameras)),
        )

    def _words(self, looks: float, at: int, one: int, gap: float, away: float) -> str:
        flat = self._flat
        later = self._ends.begin[at] - self._ends.end[one] >= self._ends.begin[one] - self._ends.end[at]
        parts = [f"looks {looks:.2f}" if np.isfinite(looks) else "looks unknown"]
        camera, own = int(flat.cameras[at]), int(flat.cameras[one])
        when = "at the same time" if gap < 0 else f"{gap:.1f} s {'later' if later else 'earlier'}"
        usual = self._usual.get((own, camera) if later else (camera, own))
        if usual is not None and camera != own:
            when += f" (usually {usual.middle:.1f} s)"
        parts.append(when)
        if camera == own:
            parts.append(f"{away:.1f} sizes from where it {'went' if later else 'came from'}")
        else:
            out, into = self._zones(one, np.full(len(flat.names), later))
            known = {float(out[at]), float(into[at])}
            zones = ""
            if LEADS_ELSEWHERE in known:
                zones = ", against its zones"
            elif LEADS in known:
                zones = ", as its zones lead"
            parts.append(f"at {self._cameras[camera].name}{zones}")
        return " · ".join(parts)
