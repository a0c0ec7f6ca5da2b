"""Who drives where and when in a synthetic network: crossings along a main road, a camera at each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

WIDTH, HEIGHT = 960, 540
WEST, EAST, NORTH, SOUTH = range(4)
ARMS = np.array([[-50.0, 330.0], [1010.0, 330.0], [520.0, 130.0], [430.0, 640.0]])
"""Where the arms of a crossing leave the picture, pixels."""
CENTRE = np.array([480.0, 320.0])


@dataclass(frozen=True)
class Passage:
    """One vehicle at one crossing.

    Attributes
    ----------
    camera
        Number of the crossing.
    start, duration
        Seconds; without the stop.
    way_in, way_out
        Arms.
    lane
        Pixels beside the middle of its way.
    stop_at, stop
        Share of its way at which it stops, and for how many seconds.
    """

    camera: int
    start: float
    duration: float
    way_in: int
    way_out: int
    lane: float = 0.0
    stop_at: float = 0.3
    stop: float = 0.0

    @property
    def end(self) -> float:
        """When it leaves the crossing."""
        return self.start + self.duration + self.stop


@dataclass(frozen=True)
class Vehicle:
    """One vehicle: its look, its size, and its passages in order of time."""

    kind: int
    size: float
    passages: tuple[Passage, ...]


def shares(passage: Passage, seconds: np.ndarray) -> np.ndarray:
    """Share of the way, from 0 to 1, at some times."""
    gone = seconds - passage.start
    before = passage.stop_at * passage.duration
    driven = np.where(gone < before, gone, np.maximum(before, gone - passage.stop))
    return np.clip(driven / passage.duration, 0, 1)


def places(passage: Passage, share: np.ndarray) -> np.ndarray:
    """``(N, 2)`` bottom centre in the picture: a quadratic curve from arm over centre to arm."""
    start, end = ARMS[passage.way_in], ARMS[passage.way_out]
    middle = CENTRE + (8.0 if passage.way_in == passage.way_out else 0.0)
    u = share[:, None]
    curve = (1 - u) ** 2 * start + 2 * u * (1 - u) * middle + u**2 * end
    along = 2 * (1 - u) * (middle - start) + 2 * u * (end - middle)
    length = np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    return curve + passage.lane * np.stack([-along[:, 1], along[:, 0]], axis=1) / length


def random_traffic(
    rng: np.random.Generator, cameras: int, seconds: float, rate: float, kinds: int
) -> list[Vehicle]:
    """Vehicles that arrive at random: a third crosses the main road, the others drive along it.

    Parameters
    ----------
    rng
        Of the scene.
    cameras
        Crossings.
    seconds
        How long.
    rate
        Arrivals a second in the whole network.
    kinds
        How many different looks there are.
    """
    links = rng.uniform(8, 30, max(cameras - 1, 0))  # seconds of free flow between crossings
    vehicles = []
    time = float(rng.exponential(1 / rate))
    while time < seconds:
        vehicles.append(_vehicle(rng, time, cameras, links, kinds))
        time += float(rng.exponential(1 / rate))
    return vehicles


def _vehicle(
    rng: np.random.Generator, time: float, cameras: int, links: np.ndarray, kinds: int
) -> Vehicle:
    speed = float(np.exp(rng.normal(0, 0.15)))
    across = bool(rng.random() < 0.35) or cameras == 1
    first, last = rng.integers(cameras), rng.integers(cameras)
    if across or first == last:
        last = first
        ways = [(NORTH, SOUTH) if rng.random() < 0.5 else (SOUTH, NORTH)]
    else:
        ahead, behind = (EAST, WEST) if last > first else (WEST, EAST)
        at_edge = first in (0, cameras - 1) and rng.random() < 0.5
        begin = behind if at_edge else int(rng.choice([NORTH, SOUTH]))
        leaves = last in (0, cameras - 1) and rng.random() < 0.5
        finish = ahead if leaves else int(rng.choice([NORTH, SOUTH]))
        count = abs(int(last) - int(first)) + 1
        ways = [(behind, ahead)] * count
        ways[0] = (begin, ways[0][1])
        ways[-1] = (ways[-1][0], finish)
    step = 1 if last >= first else -1
    passages: list[Passage] = []
    for at, (way_in, way_out) in enumerate(ways):
        camera = int(first) + step * at
        stop = float(rng.uniform(5, 25)) if rng.random() < 0.35 else 0.0
        passage = Passage(
            camera, time, 6.0 / speed * float(rng.uniform(0.9, 1.1)), way_in, way_out,
            float(rng.uniform(10, 34)), float(rng.uniform(0.16, 0.36)), stop,
        )  # fmt: skip
        passages.append(passage)
        if at + 1 < len(ways):
            link = links[min(camera, camera + step)]
            time = passage.end + float(link) / speed * float(rng.uniform(0.9, 1.25))
    return Vehicle(int(rng.integers(kinds)), float(rng.uniform(0.85, 1.25)), tuple(passages))


def convoy(
    count: int, cameras: Sequence[int], gap: float, *, kinds: Sequence[int], stop: float = 0.0
) -> list[Vehicle]:
    """Vehicles one after the other from west to east, ``gap`` seconds apart, each with a stop."""
    vehicles = []
    for number in range(count):
        time = 1.0 + gap * number
        passages = []
        for camera in cameras:
            # Those behind stop earlier on their way: a queue.
            place = max(0.38 - 0.05 * number, 0.06)
            passages.append(Passage(camera, time, 6.0, WEST, EAST, 20.0, place, stop))
            time = passages[-1].end + 10.0
        vehicles.append(Vehicle(kinds[number % len(kinds)], 1.0, tuple(passages)))
    return vehicles
