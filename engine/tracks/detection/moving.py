"""The detector ``moving``: whatever is not the background of a camera that stands still."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, ErrorCode, invalid_input
from engine.tracks.detection.background import MOST_SAMPLES, Background, learn_background
from engine.tracks.detection.blobs import blobs
from engine.tracks.detection.catalogue import MovingOptions
from engine.tracks.detection.found import Found
from engine.video import Frame, VideoFile

log = logging.getLogger("triptych.tracks")

SAMPLES = 48
"""Frames from which a background is learnt."""
_LEAST_SAMPLES = 3


class MovingDetector:
    """Background subtraction; see :mod:`engine.tracks.detection.background`.

    It looks at a stretch of the video before it finds things in it, so that what already stands there
    when the video begins is found as well, if it leaves.
    """

    name = "what moves"
    class_names: Mapping[int, str] = {0: "object"}
    batch = 8

    def __init__(self, options: MovingOptions | None = None) -> None:
        self._options = options or MovingOptions()
        self._video: VideoFile | None = None
        self._check: Callable[[], None] = lambda: None
        self._stretch = 1
        self._number = -1
        self._background: Background | None = None

    def begin(self, video: VideoFile, camera: str, check: Callable[[], None]) -> None:
        """See :class:`~engine.tracks.detection.catalogue.Detector`.

        Raises
        ------
        EngineError
            ``invalid_input`` for a video of too few frames to tell what moves.
        """
        count = len(video.times)
        if count < _LEAST_SAMPLES:
            raise invalid_input(
                f"The video {video.path.name} has {count} frame(s), too few to tell what moves in it; "
                "nothing was detected.",
                "Use a detector from an ONNX file.",
            )
        self._video, self._check, self._number = video, check, -1
        longest = max(round(self._options.minutes * 60 * video.rate), SAMPLES)
        parts = max(1, round(count / longest))
        self._stretch = -(-count // parts)

    def detect(self, frames: Sequence[Frame]) -> list[Found]:
        """See :class:`~engine.tracks.detection.catalogue.Detector`."""
        return [self._one(frame) for frame in frames]

    def _one(self, frame: Frame) -> Found:
        number = frame.index // self._stretch
        if number != self._number or self._background is None:
            self._background = self._learn(number)
            self._number = number
        small = self._small(frame.pixels)
        mask, difference = self._background.foreground(small)
        height, width = small.shape[:2]
        found = blobs(mask, difference, self._options.least_size**2 * height * width)
        scale = np.array([frame.pixels.shape[1] / width, frame.pixels.shape[0] / height] * 2)
        return Found(found.boxes * scale, found.scores, found.classes)

    def _learn(self, number: int) -> Background:
        assert self._video is not None, "begin() comes first"
        start = number * self._stretch
        step = max(1, self._stretch // SAMPLES)
        samples = []
        try:
            for frame in self._video.frames(start, start + self._stretch, step):
                self._check()
                samples.append(self._small(frame.pixels))
                if len(samples) == MOST_SAMPLES:
                    break
        except EngineError as error:
            # Cut off: the frames before that are looked at all the same.
            if error.code is not ErrorCode.BAD_FILE or not samples:
                raise
        log.info("learnt the background of %s from frame %d on", self._video.path.name, start)
        return learn_background(np.stack(samples))

    def _small(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        height, width = pixels.shape[:2]
        scale = self._options.side / max(height, width)
        if scale >= 1:
            return pixels
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
