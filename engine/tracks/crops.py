"""Which boxes of somebody are worth a picture: spread over time, of each while the largest."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from engine.tracks.cameras import Camera
from engine.tracks.tracklets import ADDED, TrackState

AROUND = (-2.0, -0.4, 0.4, 2.0)
"""Seconds before and after a moment at which somebody is looked at."""


@dataclass(frozen=True)
class Crop:
    """A place in a video.

    Attributes
    ----------
    tracklet, camera, frame
        Whose box it is, and where.
    xywh
        The box: left, top, width, height in pixels.
    time
        Seconds on the scene's clock.
    """

    tracklet: int
    camera: int
    frame: int
    xywh: tuple[float, float, float, float]
    time: float


def crops_of(
    state: TrackState, cameras: Sequence[Camera], tracklets: Iterable[int], most: int = 12
) -> list[Crop]:
    """Boxes to look at, by time.

    Every tracklet has one, as long as there are no more than ``most`` (then those with most boxes);
    the rest is shared out by their numbers of boxes. A tracklet's time is cut into as many parts, and
    of each part the largest box is taken that a detector found, one that a person drew where there is
    no other.

    Parameters
    ----------
    state
        Who is who.
    cameras
        Of the scene.
    tracklets
        Of one identity, for example; those without boxes are left out.
    most
        Pictures at the most, 1 or more.
    """
    known = set(state.tracklets)
    names = sorted({name for name in tracklets if name in known})
    names = sorted(names, key=lambda name: -len(state.rows_of(name)))[:most]
    found: list[Crop] = []
    for name, count in zip(names, _shares([len(state.rows_of(n)) for n in names], most), strict=True):
        rows = state.rows_of(name)
        boxes = state.boxes_at(rows)
        worth = boxes.xywh[:, 2].astype(np.float64) * boxes.xywh[:, 3]
        worth = np.where(rows >= ADDED, worth * 1e-9, worth)
        for part in np.array_split(np.arange(len(rows)), count):
            at = int(part[np.argmax(worth[part])])
            camera, frame = int(boxes.cameras[at]), int(boxes.frames[at])
            left, top, width, height = boxes.xywh[at].tolist()
            time = float(cameras[camera].seconds(np.array([frame]))[0])
            found.append(Crop(name, camera, frame, (left, top, width, height), time))
    return sorted(found, key=lambda crop: (crop.time, crop.camera, crop.tracklet))


def _shares(sizes: Sequence[int], most: int) -> list[int]:
    """How many pictures each tracklet has: one, and more the longer it is; never over its size."""
    shares = [1] * len(sizes)
    for _ in range(most - len(sizes)):
        open_ = [at for at in range(len(sizes)) if shares[at] < sizes[at]]
        if not open_:
            break
        shares[max(open_, key=lambda at: sizes[at] / (shares[at] + 1))] += 1
    return shares


def crops_around(
    state: TrackState, cameras: Sequence[Camera], tracklets: Iterable[int], time: float
) -> list[Crop]:
    """Boxes to compare at a moment: of each tracklet up to four before and after it, or nearest to it.

    Parameters
    ----------
    state, cameras
        As above.
    tracklets
        In their order; those without boxes are left out.
    time
        Seconds on the scene's clock.
    """
    known = set(state.tracklets)
    found: list[Crop] = []
    for name in tracklets:
        if name not in known:
            continue
        boxes = state.tracklet_boxes(name)
        camera = int(boxes.cameras[0])
        times = cameras[camera].seconds(boxes.frames)
        wanted = np.clip(time, times[0], times[-1]) + np.array(AROUND)
        rows = np.unique([int(np.argmin(np.abs(times - moment))) for moment in wanted])
        for at in rows.tolist():
            left, top, width, height = boxes.xywh[at].tolist()
            frame = int(boxes.frames[at])
            found.append(Crop(name, camera, frame, (left, top, width, height), float(times[at])))
    return found
