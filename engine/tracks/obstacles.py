"""Why some cameras cannot be linked with others, in words: nothing seen, clocks, zones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.tracks.camera_graph import ways_of
from engine.tracks.cameras import Camera
from engine.tracks.visits import Visits

MOST_NAMES = 4


def obstacles(visits: Visits, cameras: Sequence[Camera], most_seconds: float = 120.0) -> list[str]:
    """What keeps cameras from being linked.

    Parameters
    ----------
    visits
        What cameras saw.
    cameras
        Of the scene.
    most_seconds
        The longest time from one to another.

    Returns
    -------
    A sentence or two for each; none where there is nothing to say.
    """
    if len(cameras) < 2:
        return ["There is one camera: its tracklets were put together, nothing was linked."]
    seen = np.bincount(visits.cameras, minlength=len(cameras)) > 0
    told = []
    empty = [camera.name for camera, some in zip(cameras, seen, strict=True) if not some]
    if empty:
        told.append(f"Nothing was tracked in {_names(empty)}: nobody can be linked there.")
    ways = ways_of(cameras)
    known = np.isfinite(ways.least)
    if ways.overlapping is not None:
        known |= ways.overlapping
    if not known.any():
        told.append(
            "No zone leads to another camera: cameras were linked by looks and time alone, which is "
            "less sure. Draw zones, and say where they lead."
        )
    else:
        lone = [
            cameras[at].name
            for at in np.flatnonzero(seen & ~known.any(axis=0) & ~known.any(axis=1)).tolist()
        ]
        if lone:
            told.append(f"No zone leads to {_names(lone)} or away: nobody can be linked there.")
    told += _far_apart(visits, cameras, seen, most_seconds)
    return told


def _far_apart(
    visits: Visits, cameras: Sequence[Camera], seen: np.ndarray, most_seconds: float
) -> list[str]:
    """Groups of cameras that saw nothing within the longest way of one another."""
    there = np.flatnonzero(seen)
    if len(there) < 2:
        return []
    start = np.array([visits.t_in[visits.cameras == at].min() for at in there])
    end = np.array([visits.t_out[visits.cameras == at].max() for at in there])
    order = np.argsort(start, kind="stable")
    reached = np.maximum.accumulate(end[order])
    breaks = np.flatnonzero(start[order][1:] - reached[:-1] > most_seconds)
    told = []
    for at in breaks.tolist():
        before = [cameras[there[one]].name for one in order[: at + 1]]
        after = [cameras[there[one]].name for one in order[at + 1 :]]
        gap = float(start[order][at + 1] - reached[at])
        told.append(
            f"{_names(after)} saw the first only {_long(gap)} after the last in {_names(before)}: "
            f"nobody can be linked between them, a way takes {most_seconds:.0f} s at most. If they "
            "were recorded together, correct the clocks of the cameras."
        )
    return told


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMES])
    return shown + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")


def _long(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"
