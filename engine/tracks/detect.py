"""From videos to boxes with features: what trackers get.

``watch`` reads a video once. Each frame goes to the detector, and what it finds is cut out and
described while the frame is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, ErrorCode
from engine.tracks.appearance.catalogue import Appearance
from engine.tracks.boxes import FEATURES, Boxes, concatenate
from engine.tracks.detection.catalogue import Detector
from engine.tracks.detection.found import Found
from engine.video import Frame, VideoFile

Pixels = NDArray[np.uint8]
Listener = Callable[[Frame, Found], None]

_COLOURS = ((255, 200, 0), (0, 220, 255), (255, 90, 200), (120, 255, 80), (255, 120, 40))


def watch(
    path: Path,
    detector: Detector,
    appearance: Appearance | None = None,
    *,
    camera: str = "",
    position: int = 0,
    frames: int | None = None,
    least_score: float = 0.0,
    listener: Listener = lambda frame, found: None,
    check: Callable[[], None] = lambda: None,
    warn: Callable[[str], None] = lambda text: None,
) -> Boxes:
    """Everything that a detector finds in a video.

    Parameters
    ----------
    path
        Of the video.
    detector, appearance
        What finds, and what describes; without the latter there are no features.
    camera, position
        Name of the video's camera, and its number in the boxes.
    frames
        At most so many, from the first; all by default.
    least_score
        Boxes below are left out.
    listener
        Gets every frame with what was found in it.
    check
        Called before each frame; raises to stop.
    warn
        Gets a sentence where a video is cut off: what was read before counts.

    Returns
    -------
    boxes
        By frame, the surest first; with the extra column :data:`FEATURES`.

    Raises
    ------
    EngineError
        ``bad_file`` for a video of which no frame can be read; what detector and appearance raise.
    """
    parts: list[Boxes] = []
    with VideoFile(path) as video:
        detector.begin(video, camera or path.stem, check)
        for some in _batches(video, max(1, detector.batch), frames, check, warn):
            for frame, everything in zip(some, detector.detect(some), strict=True):
                check()
                height, width = frame.pixels.shape[:2]
                found = everything.clipped(width, height)
                found = found[found.scores >= least_score]
                found = found[np.argsort(-found.scores, kind="stable")]
                listener(frame, found)
                parts.append(_boxes(frame, found, appearance, position))
    return concatenate([part for part in parts if len(part)] or parts[:1])


def crop(pixels: Pixels, box: NDArray[np.float64]) -> Pixels:
    """What is in a box (left, top, right, bottom) of a frame; at least a pixel."""
    height, width = pixels.shape[:2]
    low = np.clip(np.floor(box[:2] + 0.5), 0, [width - 1, height - 1]).astype(int)
    high = np.clip(np.floor(box[2:] + 0.5), low + 1, [width, height]).astype(int)
    return pixels[low[1] : high[1], low[0] : high[0]]


def drawn(frame: Frame, found: Found, longest: int = 960) -> Pixels:
    """A frame with boxes around what was found, no larger than ``longest``, to look at."""
    scale = min(1.0, longest / max(frame.pixels.shape[:2]))
    size = (max(1, round(frame.pixels.shape[1] * scale)), max(1, round(frame.pixels.shape[0] * scale)))
    picture = np.asarray(cv2.resize(frame.pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    for box, kind in zip((found.boxes * scale).round().astype(int), found.classes, strict=True):
        colour = _COLOURS[int(kind) % len(_COLOURS)]
        cv2.rectangle(picture, box[:2].tolist(), box[2:].tolist(), colour, 2)
    return picture


def _batches(
    video: VideoFile,
    size: int,
    most: int | None,
    check: Callable[[], None],
    warn: Callable[[str], None],
) -> Iterator[list[Frame]]:
    some: list[Frame] = []
    read = 0
    try:
        for frame in video.frames(0, most):
            check()
            some.append(frame)
            read += 1
            if len(some) == size:
                yield some
                some = []
    except EngineError as error:
        if error.code is not ErrorCode.BAD_FILE or not read:
            raise
        warn(error.message)
    if some:
        yield some


def _boxes(frame: Frame, found: Found, appearance: Appearance | None, position: int) -> Boxes:
    extra: dict[str, Any] = {}
    if appearance is not None:
        extra[FEATURES] = appearance.describe([crop(frame.pixels, box) for box in found.boxes])
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    return Boxes.of(
        np.full(len(found), frame.index),
        np.concatenate([found.boxes[:, :2], sizes], axis=1),
        scores=found.scores,
        classes=found.classes,
        cameras=position,
        extra=extra,
    )
