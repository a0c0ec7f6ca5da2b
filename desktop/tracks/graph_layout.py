"""Where cameras are drawn when nobody has put them anywhere: by how many ways they are apart."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

import numpy as np

from engine.tracks.camera_graph import ways_of
from engine.tracks.cameras import Camera, Point

STEP = 275.0
"""Between cameras that lead to one another."""


def places(cameras: Sequence[Camera]) -> list[Point]:
    """Of all cameras: where somebody put them, and else classical scaling of steps between them."""
    count = len(cameras)
    if not count:
        return []
    ways = ways_of(cameras)
    joined = np.isfinite(ways.least)
    if ways.overlapping is not None:
        joined = joined | ways.overlapping
    if not joined.any():
        across = math.ceil(math.sqrt(count))
        grid = [(STEP * (at % across), STEP * (at // across)) for at in range(count)]
        return [camera.place or grid[at] for at, camera in enumerate(cameras)]
    steps = _steps(joined | joined.T)
    centred = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-0.5 * centred @ (steps**2) @ centred)
    axes = vectors[:, ::-1][:, :2] * np.sqrt(np.maximum(values[::-1][:2], 0))
    axes = np.pad(axes, ((0, 0), (0, 2 - axes.shape[1])))
    for axis in axes.T:  # the first camera left and above, whatever sign the axes came with
        if axis[0] > 0:
            axis *= -1
    found = _apart(axes) * STEP
    return [
        tuple(map(float, found[at])) if camera.place is None else camera.place  # type: ignore[misc]
        for at, camera in enumerate(cameras)
    ]


def _steps(joined: np.ndarray) -> np.ndarray:
    """``(C, C)`` ways from one to the other; one more than the longest where there are none."""
    count = len(joined)
    steps = np.full((count, count), np.inf)
    for start in range(count):
        steps[start, start] = 0
        waiting = deque([start])
        while waiting:
            at = waiting.popleft()
            for other in np.flatnonzero(joined[at]).tolist():
                if np.isinf(steps[start, other]):
                    steps[start, other] = steps[start, at] + 1
                    waiting.append(other)
    most = steps[np.isfinite(steps)].max()
    steps[np.isinf(steps)] = max(most, 1) + 1
    return steps


def _apart(places: np.ndarray) -> np.ndarray:
    """Places in steps; no two on one another: what falls together goes down."""
    found = places.copy()
    for at in range(1, len(found)):
        while np.any(np.abs(found[:at] - found[at]).max(axis=1) < 0.6):
            found[at, 1] += 0.7
    return found
