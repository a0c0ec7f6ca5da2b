"""What is suspicious about single tracklets: jumps, other looks, sudden births and deaths, glimpses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.tracks.boxes import Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.track_motion import MOST_WINDOW, Flat, Float64Array, Motion
from engine.tracks.tracklet_looks import Looks, cosines

JUMP_SIGMAS = 4.0
JUMP_HALF = 8.0
"""So many standard deviations above that, a jump is as likely right as it ever is."""
JUMP_CHANCE, SIZE_CHANCE, BIRTH_CHANCE, SHORT_CHANCE = 0.6, 0.3, 0.35, 0.7
ALIKE = 0.6
"""Cosine of a tracklet's first and second half below which they look like two."""
SURE, LEAST_DOUBT = 0.95, 0.15
"""Cosine from which a jump is hardly suspicious, and how much of its chance is left then."""
LEAST_FOR_LOOK = 8
EDGE = 8.0
"""Pixels from the picture's border within which somebody may come and go, or is cut off."""
EDGE_SECONDS = 0.5
"""At the beginning and the end of a video everybody is just there."""


@dataclass(frozen=True)
class Found:
    """``K`` events of one kind.

    Attributes
    ----------
    tracklets
        int64 ``(K, 1)`` or ``(K, 2)`` positions in the :class:`~engine.tracks.track_motion.Flat`; the
        first is the one to change.
    frames
        int64 ``(K,)``.
    chances
        ``(K,)`` P(wrong).
    boxes
        int64 ``(K,)`` boxes that would be right if it were.
    amounts
        ``(K,)`` what is told: standard deviations, frames, a cosine.
    """

    tracklets: Int64Array
    frames: Int64Array
    chances: Float64Array
    boxes: Int64Array
    amounts: Float64Array

    @classmethod
    def of(
        cls,
        tracklets: ArrayLike,
        frames: ArrayLike,
        chances: ArrayLike,
        boxes: ArrayLike,
        amounts: ArrayLike,
    ) -> Found:
        """From anything like arrays; one tracklet an event may be flat."""
        names = np.asarray(tracklets, np.int64)
        return cls(
            names if names.ndim == 2 else names[:, None], np.asarray(frames, np.int64),
            np.asarray(chances, np.float64), np.asarray(boxes, np.int64),
            np.asarray(amounts, np.float64),
        )  # fmt: skip

    def select(self, mask: NDArray[np.bool_]) -> Found:
        """Some of them."""
        return Found(
            self.tracklets[mask], self.frames[mask], self.chances[mask], self.boxes[mask],
            self.amounts[mask],
        )  # fmt: skip


def jumps(flat: Flat, motion: Motion, looks: Looks) -> Found:
    """A tracklet goes on where it was not going."""
    at = motion.inside
    return _peaks(flat, looks, at, motion.misfit(at, at + 1).motion, JUMP_CHANCE)


def size_jumps(flat: Flat, motion: Motion, looks: Looks, cameras: Sequence[Camera]) -> Found:
    """A tracklet is suddenly larger or smaller, and not because the picture's border cuts it off."""
    at = motion.inside
    sigmas = motion.misfit(at, at + 1).size
    cut = at_border(flat, cameras)
    sigmas[cut[at] | cut[at + 1]] = 0
    return _peaks(flat, looks, at, sigmas, SIZE_CHANCE)


def _peaks(flat: Flat, looks: Looks, at: Int64Array, sigmas: Float64Array, chance: float) -> Found:
    """Boxes at which something is more than 4 standard deviations off, the highest of neighbours."""
    over = sigmas > JUMP_SIGMAS
    at, sigmas = at[over], sigmas[over]
    if not len(at):
        return Found.of(np.zeros((0, 1)), [], [], [], [])
    new = np.r_[True, (np.diff(at) > MOST_WINDOW) | (np.diff(flat.owner[at]) != 0)]
    group = np.cumsum(new) - 1
    order = np.lexsort((-sigmas, group))
    best = order[np.r_[True, np.diff(group[order]) != 0]]
    at, sigmas = at[best], sigmas[best]
    owner = flat.owner[at]
    before = at + 1 - flat.starts[owner]
    over_limit = sigmas - JUMP_SIGMAS
    # Who looks the same afterwards is probably the same.
    alike = cosines(looks.window(at, -1), looks.window(at + 1, 1))
    doubt = np.nan_to_num((SURE - alike) / (SURE - ALIKE), nan=1).clip(LEAST_DOUBT, 1)
    return Found.of(
        owner, flat.boxes.frames[at + 1], doubt * chance * over_limit / (over_limit + JUMP_HALF),
        np.minimum(before, flat.lengths[owner] - before), sigmas,
    )  # fmt: skip


def look_changes(flat: Flat, looks: Looks) -> Found:
    """The first half of a tracklet does not look like the second."""
    alike = looks.halves(LEAST_FOR_LOOK)
    found = np.flatnonzero(alike < ALIKE)
    cuts = np.array([looks.cut(one)[0] for one in found.tolist()], np.int64)
    before = cuts - flat.starts[found]
    return Found.of(
        found, flat.boxes.frames[cuts], (1 - alike[found] / ALIKE).clip(0, 1),
        np.minimum(before, flat.lengths[found] - before), alike[found],
    )  # fmt: skip


def births(flat: Flat, cameras: Sequence[Camera]) -> Found:
    """A tracklet begins away from every zone, of cameras that have zones."""
    early = np.array([EDGE_SECONDS * camera.fps for camera in cameras])
    inside = flat.firsts > early[flat.cameras]
    return _ends(flat, cameras, flat.starts[:-1], inside)


def deaths(flat: Flat, cameras: Sequence[Camera]) -> Found:
    """A tracklet ends away from every zone, of cameras that have zones."""
    last = np.array([camera.frames for camera in cameras], np.float64)
    np.maximum.at(last, flat.cameras, flat.lasts + 1.0)
    late = last - np.array([EDGE_SECONDS * camera.fps for camera in cameras])
    inside = flat.lasts + 1 < late[flat.cameras]
    return _ends(flat, cameras, flat.starts[1:] - 1, inside)


def _ends(flat: Flat, cameras: Sequence[Camera], at: Int64Array, wanted: NDArray[np.bool_]) -> Found:
    xywh = flat.boxes.xywh[at].astype(np.float64)
    centres = xywh[:, :2] + xywh[:, 2:] / 2
    strange = wanted & ~at_border(flat, cameras)[at]
    for position, camera in enumerate(cameras):
        own = flat.cameras == position
        strange[own] &= (camera.zone_of(centres[own]) < 0) if camera.zones else False
    found = np.flatnonzero(strange)
    return Found.of(
        found, flat.boxes.frames[at[found]], np.full(len(found), BIRTH_CHANCE), flat.lengths[found],
        np.zeros(len(found)),
    )  # fmt: skip


def glimpses(flat: Flat) -> Found:
    """Tracklets of a single box."""
    found = np.flatnonzero(flat.lengths == 1)
    ones = np.ones(len(found))
    return Found.of(found, flat.firsts[found], SHORT_CHANCE * ones, ones, ones)


def at_border(flat: Flat, cameras: Sequence[Camera]) -> NDArray[np.bool_]:
    """``(N,)`` which boxes touch the picture's border, of cameras whose size is known."""
    sizes = np.array([(c.width or np.inf, c.height or np.inf) for c in cameras])
    xywh = flat.boxes.xywh.astype(np.float64)
    high = xywh[:, :2] + xywh[:, 2:]
    return np.asarray(
        (xywh[:, :2] < EDGE).any(axis=1) | (high > sizes[flat.boxes.cameras] - EDGE).any(axis=1)
    )
