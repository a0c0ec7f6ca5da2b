"""Pictures of a synthetic scene: crossings, moving vehicles, poles; written as videos.

Simple, but with what makes pixels hard: shading, alike vehicles, occlusion, another gain and white
balance in each camera, blur and noise. Boxes of the truth fit what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engine import video_writing
from engine.tracks.synthetic import FPS, SyntheticScene
from engine.tracks.synthetic_traffic import ARMS, CENTRE, HEIGHT, WIDTH

Picture = NDArray[np.uint8]

ENCODING = {"g": "12", "bf": "0", "crf": "23", "preset": "veryfast"}
"""One can jump to every twelfth frame."""


def frames(scene: SyntheticScene, camera: int, seed: int = 0) -> Iterator[Picture]:
    """All frames of one camera, ``(540, 960, 3)`` uint8 RGB."""
    rng = np.random.default_rng([seed, camera])
    ground = ground_of(rng)
    gain = rng.uniform(0.85, 1.15, 3) * rng.uniform(0.85, 1.1)
    table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8)
    boxes = scene.drawn.select(scene.drawn.cameras == camera)
    # Nearer ones, whose lower edge is lower, are painted later.
    boxes = boxes.select(np.lexsort((boxes.tracks, boxes.xyxy()[:, 3], boxes.frames)))
    length = scene.cameras[camera].frames
    starts = np.searchsorted(boxes.frames, np.arange(length + 1))
    for frame in range(length):
        picture = ground.copy()
        for row in range(starts[frame], starts[frame + 1]):
            draw_vehicle(
                picture, boxes.xywh[row], int(boxes.tracks[row]), int(scene.kinds[boxes.tracks[row]])
            )
        for left, right in scene.poles[camera]:
            cv2.rectangle(picture, (int(left), 0), (int(right), HEIGHT), (92, 84, 78), -1)
        soft = cv2.GaussianBlur(picture, (3, 3), 0.6)
        shown = np.stack([table[:, side][soft[..., side]] for side in range(3)], axis=2)
        noise = rng.integers(-5, 6, (HEIGHT, WIDTH, 1), np.int16)
        yield np.clip(shown + noise, 0, 255).astype(np.uint8)


def write_video(
    scene: SyntheticScene,
    camera: int,
    path: Path,
    *,
    seed: int = 0,
    check: Callable[[], None] | None = None,
) -> None:
    """Write one camera's video (H.264 in MP4), whole or not at all.

    Parameters
    ----------
    scene, camera
        What is drawn.
    path
        Of the file.
    seed
        Of the ground and the noise.
    check
        Called before each frame; raises to stop.

    Raises
    ------
    EngineError
        ``bad_file`` when it cannot be written, as when the folder is not there.
    """

    def checked() -> Iterator[Picture]:
        for picture in frames(scene, camera, seed):
            if check is not None:
                check()
            yield picture

    video_writing.write_video(path, checked(), FPS, ENCODING)


def ground_of(rng: np.random.Generator) -> Picture:
    grass = np.array([96, 118, 74]) + rng.normal(0, 9, (HEIGHT // 4, WIDTH // 4, 1))
    picture = cv2.resize(np.clip(grass, 0, 255).astype(np.uint8), (WIDTH, HEIGHT))
    road = np.zeros((HEIGHT, WIDTH), np.uint8)
    marks = np.zeros((HEIGHT, WIDTH), np.uint8)
    for arm in ARMS:
        start, end = (tuple(int(value) for value in point) for point in (arm, CENTRE))
        cv2.line(road, start, end, 255, 150)
        for share in np.arange(0.05, 0.72, 0.12):
            points = [arm + (CENTRE - arm) * value for value in (share, share + 0.05)]
            ends = [(int(x), int(y)) for x, y in points]
            cv2.line(marks, ends[0], ends[1], 255, 4)
    tar = np.clip(104 + rng.normal(0, 5, (HEIGHT, WIDTH, 1)), 0, 255).astype(np.uint8)
    picture = np.where(road[..., None] > 0, tar, picture)
    return np.where(marks[..., None] > 0, np.uint8(215), picture)


def draw_vehicle(picture: Picture, xywh: NDArray[np.float32], name: int, kind: int) -> None:
    """A car in its box: shadow, body with a lit roof, windows, wheels, a stripe of its own."""
    own = np.random.default_rng([name, 77])
    base = np.random.default_rng([kind, 78]).uniform(40, 225, 3)
    colour = np.clip(base + own.normal(0, 12, 3), 0, 255)
    stripe = own.uniform(20, 240, 3)
    left, top, width, height = (float(value) for value in xywh)

    def corner(x: float, y: float) -> tuple[int, int]:
        return round(left + x * width), round(top + y * height)

    def fill(points: list[tuple[float, float]], tone: NDArray[np.float64]) -> None:
        shape = np.array([corner(x, y) for x, y in points], np.int32)
        cv2.fillConvexPoly(picture, shape, [float(value) for value in np.clip(tone, 0, 255)])

    dark = np.array([38.0, 38.0, 42.0])
    fill([(0.02, 0.9), (0.98, 0.9), (0.94, 1), (0.06, 1)], dark)
    fill([(0, 0.42), (1, 0.42), (1, 0.92), (0, 0.92)], colour * 0.85)
    fill([(0.16, 0.06), (0.84, 0.06), (1, 0.42), (0, 0.42)], colour * 0.6)
    fill([(0.2, 0), (0.8, 0), (0.84, 0.08), (0.16, 0.08)], colour * 1.15)
    fill([(0.22, 0.12), (0.48, 0.12), (0.48, 0.38), (0.12, 0.38)], np.array([58.0, 70.0, 82.0]))
    fill([(0.52, 0.12), (0.78, 0.12), (0.88, 0.38), (0.52, 0.38)], np.array([70.0, 84.0, 98.0]))
    place = float(own.uniform(0.5, 0.75))
    fill([(0, place), (1, place), (1, place + 0.08), (0, place + 0.08)], stripe)
    for x in (0.2, 0.8):
        cv2.circle(picture, corner(x, 0.88), max(round(0.11 * height), 1), (24, 24, 26), -1)
