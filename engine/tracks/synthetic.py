"""A synthetic camera network with its exact truth, for tests, demonstrations and figures.

Formula mode: boxes and features are computed, no picture is drawn. A tracker gets what a detector and
an embedding would deliver (:attr:`SyntheticScene.detections`): boxes that miss, jitter and are false,
with features that blur where a vehicle is hidden, and neither identities nor travel times. The same
seed makes the same scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.errors import invalid_input
from engine.tracks.boxes import Boxes, Int64Array
from engine.tracks.cameras import Camera, Zone
from engine.tracks.evaluate_pairs import Float64Array, pair_up
from engine.tracks.synthetic_traffic import (
    HEIGHT,
    NORTH,
    SOUTH,
    WEST,
    WIDTH,
    Passage,
    Vehicle,
    convoy,
    places,
    random_traffic,
    shares,
)

FPS = 10.0
FEATURES = 64
LEAST_VISIBLE = 0.25
"""Vehicles less visible than this are not in the truth."""


@dataclass(frozen=True)
class Difficulty:
    """How alike vehicles look, and how badly they are detected.

    Attributes
    ----------
    individual, view, camera
        How far features are moved by the vehicle, by one passage, by the camera; the prototype of a
        look has length 1.
    kinds
        Different looks.
    miss, false
        Share of visible vehicles that is missed, and of false boxes.
    rate
        Arrivals a second for six cameras.
    """

    individual: float
    view: float
    camera: float
    kinds: int
    miss: float
    false: float
    rate: float


PRESETS = {
    "easy": Difficulty(0.7, 0.2, 0.1, 200, 0.02, 0.02, 0.35),
    "medium": Difficulty(0.5, 0.35, 0.35, 12, 0.06, 0.02, 0.35),
    "hard": Difficulty(0.35, 0.45, 0.5, 8, 0.10, 0.05, 0.5),
}
PURPOSES = ("handover", "twins", "queue", "u_turn", "clock_off", "missing_camera", "overlap")
"""Small scenes that show one thing each."""
_CLEAR = Difficulty(0.7, 0.1, 0.05, 200, 0.0, 0.0, 0.35)


@dataclass(frozen=True)
class SyntheticScene:
    """A scene.

    Attributes
    ----------
    cameras
        With the clocks that a user would enter: in ``clock_off`` one of them is wrong.
    detections
        What a tracker gets; ``extra["features"]`` is float32 ``(N, 64)``, unit length.
    truth
        Tracks are vehicles, the same in all cameras; ``extra``: ``visibility``, and the ``passage`` (a
        number for each vehicle at each camera).
    sources
        int64 ``(N,)`` the vehicle of each detection, -1 for false ones. For oracles in tests; never
        a tracker's.
    clocks
        The true offset of each camera, seconds.
    drawn
        All vehicles in the pictures, also those that are hidden; for drawing.
    kinds
        int64 the look of each vehicle.
    poles
        ``(C, 2, 2)`` left and right edges of what stands before the road.
    """

    cameras: tuple[Camera, ...]
    detections: Boxes
    truth: Boxes
    sources: Int64Array
    clocks: tuple[float, ...]
    drawn: Boxes
    kinds: Int64Array
    poles: Float64Array


def make_scene(name: str, seed: int, *, seconds: float = 180.0, cameras: int = 6) -> SyntheticScene:
    """Make a scene.

    Parameters
    ----------
    name
        One of :data:`PRESETS`, or of :data:`PURPOSES`, which have sizes of their own.
    seed
        Equal seeds, equal scenes.
    seconds, cameras
        Size of a preset's scene.

    Raises
    ------
    EngineError
        ``invalid_input`` for an unknown name, or a size that is not possible.
    """
    if not 0 < seconds <= 86_400 or not 1 <= cameras <= 200 or seed < 0:
        raise invalid_input(
            "A scene has 1 to 200 cameras, a seed from 0, and lasts at most a day; none was made."
        )
    rng = np.random.default_rng([seed, *name.encode()])
    late = {}
    blind: dict[int, tuple[float, float]] = {}
    if name in PRESETS:
        level = PRESETS[name]
        vehicles = random_traffic(rng, cameras, seconds, level.rate * cameras / 6, level.kinds)
    elif name in PURPOSES:
        level = _CLEAR
        vehicles, cameras, seconds = _purpose(name, rng)
        if name == "clock_off":
            late = {1: 7.0}
        if name == "missing_camera":
            blind = {2: (20.0, 60.0)}
    else:
        raise invalid_input(
            f"There is no synthetic scene {name!r}.",
            f"Choose one of: {', '.join((*PRESETS, *PURPOSES))}.",
        )
    offsets = np.round(rng.uniform(0, 2, cameras), 3)
    clocks = tuple(float(offset) + late.get(at, 0.0) for at, offset in enumerate(offsets))
    frames = round(seconds * FPS)
    made = _Film(rng, vehicles, clocks, frames, level)
    boxes, visible = made.truth()
    seen = np.ones(len(boxes), bool)
    for camera, (start, end) in blind.items():
        times = clocks[camera] + boxes.frames / FPS
        seen &= ~((boxes.cameras == camera) & (times >= start) & (times < end))
    detections, sources = made.detect(boxes, visible, seen)
    counted = visible > LEAST_VISIBLE
    truth = boxes.select(counted).with_extra(visibility=visible[counted])
    kinds = np.array([vehicle.kind for vehicle in vehicles], np.int64)
    return SyntheticScene(
        _cameras(offsets, frames), detections, truth, sources, clocks, boxes, kinds, made.poles
    )


def _purpose(name: str, rng: np.random.Generator) -> tuple[list[Vehicle], int, float]:
    """Vehicles, number of cameras and length of a scene with a purpose."""
    if name == "handover":
        return convoy(5, (0, 1), 8.0, kinds=range(5)), 2, 70.0
    if name == "twins":
        return convoy(2, (0, 1), 4.0, kinds=(0,)), 2, 40.0
    if name == "queue":
        return convoy(6, (0,), 1.5, kinds=range(6), stop=12.0), 1, 40.0
    if name == "u_turn":
        there = Passage(0, 2.0, 6.0, WEST, WEST, 14.0)
        return [Vehicle(0, 1.0, (there,)), *convoy(2, (0,), 9.0, kinds=(1, 2))], 1, 30.0
    if name == "clock_off":
        return convoy(8, (0, 1, 2), 7.0, kinds=range(8)), 3, 110.0
    if name == "missing_camera":
        return random_traffic(rng, 6, 100.0, 0.35, 200), 6, 120.0
    both = []
    for number in range(6):  # overlap: two cameras on one crossing, the second one turned by 90 degrees
        start = 1.0 + 7.0 * number
        seen = (
            Passage(0, start, 6.0, WEST, SOUTH, 20.0),
            Passage(1, start + 0.4, 6.0, NORTH, WEST, 20.0),
        )
        both.append(Vehicle(number, 1.0, seen))
    return both, 2, 60.0


def _cameras(offsets: np.ndarray, frames: int) -> tuple[Camera, ...]:
    count = len(offsets)
    cameras = []
    for at in range(count):
        before = f"c{at:03d}" if at else ""
        after = f"c{at + 2:03d}" if at + 1 < count else ""
        zones = (
            Zone("west", ((0, 200), (300, 200), (300, 460), (0, 460)), before),
            Zone("east", ((660, 200), (960, 200), (960, 460), (660, 460)), after),
            Zone("north", ((300, 0), (660, 0), (660, 230), (300, 230))),
            Zone("south", ((300, 420), (660, 420), (660, 540), (300, 540))),
        )
        neighbours = tuple(name for name in (before, after) if name)
        cameras.append(
            Camera(
                f"c{at + 1:03d}", float(offsets[at]), FPS, WIDTH, HEIGHT, frames, "", zones, neighbours
            )
        )
    return tuple(cameras)


class _Film:
    """What the cameras see of the vehicles."""

    def __init__(
        self, rng: np.random.Generator, vehicles: list[Vehicle], clocks: tuple[float, ...], frames: int,
        level: Difficulty,
    ) -> None:  # fmt: skip
        self.rng, self.vehicles, self.clocks, self.frames, self.level = (
            rng,
            vehicles,
            clocks,
            frames,
            level,
        )
        x = rng.uniform(150, 810, (len(clocks), 2))
        self.poles = np.stack([x, x + rng.uniform(6, 22, x.shape)], axis=2)
        """``(C, 2, 2)`` left and right of what stands before the road."""

    def truth(self) -> tuple[Boxes, Float64Array]:
        """Boxes of all vehicles that are at least half in the picture, and how visible each is."""
        columns: list[tuple[np.ndarray, ...]] = []
        number = 0
        for name, vehicle in enumerate(self.vehicles):
            for passage in vehicle.passages:
                clock = self.clocks[passage.camera]
                first = max(int(np.ceil((passage.start - clock) * FPS)), 0)
                last = min(int(np.floor((passage.end - clock) * FPS)), self.frames - 1)
                frames = np.arange(first, last + 1)
                bottom = places(passage, shares(passage, clock + frames / FPS))
                height = (34 + 0.16 * np.clip(bottom[:, 1], 0, HEIGHT)) * vehicle.size
                box = np.stack(
                    [bottom[:, 0] - 0.75 * height, bottom[:, 1] - height, 1.5 * height, height], axis=1
                )
                ids = np.full(len(frames), name)
                columns.append(
                    (
                        frames,
                        box,
                        ids,
                        np.full(len(frames), passage.camera),
                        np.full(len(frames), number),
                    )
                )
                number += 1
        if not columns:
            return Boxes.empty().with_extra(passage=np.zeros(0, np.int64)), np.zeros(0)
        frames, box, ids, cameras, passages = (
            np.concatenate(part) for part in zip(*columns, strict=True)
        )
        low = np.clip(box[:, :2], 0, [WIDTH, HEIGHT])
        high = np.clip(box[:, :2] + box[:, 2:], 0, [WIDTH, HEIGHT])
        inside = np.prod(high - low, axis=1) / np.prod(box[:, 2:], axis=1)
        kept = inside >= 0.5
        clipped = np.concatenate([low, high - low], axis=1)[kept]
        boxes = Boxes.of(
            frames[kept],
            clipped,
            tracks=ids[kept],
            cameras=cameras[kept],
            extra={"passage": passages[kept]},
        )
        return boxes, inside[kept] * (1 - self._covered(boxes))

    def _covered(self, boxes: Boxes) -> Float64Array:
        """Share of each box that nearer vehicles and poles cover, at most 1."""
        area = np.prod(boxes.xywh.astype(np.float64)[:, 2:], axis=1)
        pairs = pair_up(boxes, boxes)
        mine, other = pairs.truth.rows[pairs.g], pairs.predicted.rows[pairs.p]
        bottom = boxes.xyxy()[:, 3]
        nearer = (mine != other) & (
            (bottom[other] > bottom[mine]) | ((bottom[other] == bottom[mine]) & (other > mine))
        )
        common = pairs.iou * (area[mine] + area[other]) / (1 + pairs.iou)
        covered = np.bincount(mine[nearer], common[nearer], len(boxes)) / area
        corners = boxes.xyxy()
        for pole in range(self.poles.shape[1]):
            left, right = self.poles[boxes.cameras, pole].T
            wide = np.minimum(corners[:, 2], right) - np.maximum(corners[:, 0], left)
            covered += np.maximum(wide, 0) / (corners[:, 2] - corners[:, 0])
        return np.minimum(covered, 1)

    def detect(self, boxes: Boxes, visible: Float64Array, seen: np.ndarray) -> tuple[Boxes, Int64Array]:
        """What a detector and an embedding make of them; and the vehicle of each detection."""
        rng, level = self.rng, self.level
        chance = np.clip((visible - 0.15) / 0.5, 0, 1) * (1 - level.miss)
        found = np.flatnonzero((rng.random(len(boxes)) < chance) & seen)
        exact = boxes.xywh[found].astype(np.float64)
        noisy = exact + rng.normal(0, 0.02, exact.shape) * exact[:, [2, 3, 2, 3]]
        noisy[:, 2:] = np.maximum(noisy[:, 2:], 2)
        scores = np.clip(0.25 + 0.6 * visible[found] + rng.normal(0, 0.12, len(found)), 0.01, 1)
        false = rng.poisson(level.false * len(found))
        height = rng.uniform(20, 110, false)
        phantom = np.stack(
            [
                rng.uniform(0, WIDTH - 1.5 * height), rng.uniform(0, HEIGHT - height),
                1.5 * height, height,
            ], axis=1,
        )  # fmt: skip
        features = np.concatenate([self._features(boxes, visible, found), _gauss(rng, false)])
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        detections = Boxes.of(
            np.concatenate([boxes.frames[found], rng.integers(0, self.frames, false)]),
            np.concatenate([noisy, phantom]),
            scores=np.concatenate([scores, rng.uniform(0.05, 0.4, false)]),
            cameras=np.concatenate([boxes.cameras[found], rng.integers(0, len(self.clocks), false)]),
            extra={"features": features.astype(np.float32)},
        )
        sources = np.concatenate([boxes.tracks[found], np.full(false, -1)])
        # In an order that tells nothing: by camera and frame, by chance within them.
        order = rng.permutation(len(detections))
        order = order[np.lexsort((detections.frames[order], detections.cameras[order]))]
        return detections.select(order), sources[order]

    def _features(self, boxes: Boxes, visible: Float64Array, found: Int64Array) -> Float64Array:
        rng, level = self.rng, self.level
        looks = _gauss(rng, max([level.kinds, *(vehicle.kind + 1 for vehicle in self.vehicles)]))
        looks /= np.linalg.norm(looks, axis=1, keepdims=True)
        kinds = np.array([vehicle.kind for vehicle in self.vehicles], np.int64)
        own = looks[kinds] + level.individual * _gauss(rng, len(kinds))
        passages = boxes.extra["passage"]
        views = level.view * _gauss(rng, int(passages.max(initial=-1)) + 1)
        biases = level.camera * _gauss(rng, len(self.clocks))
        blur = (0.25 + 0.9 * (1 - visible[found]))[:, None] * _gauss(rng, len(found))
        return own[boxes.tracks[found]] + views[passages[found]] + biases[boxes.cameras[found]] + blur


def _gauss(rng: np.random.Generator, count: int) -> Float64Array:
    """``(count, 64)`` random directions of length about 1."""
    return rng.normal(size=(count, FEATURES)) / np.sqrt(FEATURES)
