"""What a parallel run looked like, round by round: figures and small pictures in one file.

A safetensors file that is read without torch:

    residuals       (R, T) float32    RMS of each step's residual; NaN outside the window
    finished        (R,) int32        lowest solved state after the round
    evaluations     (R,) int64        states evaluated so far
    seconds         (R,) float32      since the picture's batch began
    preview_rounds  (K,) int32        rounds that have a picture
    film            (n,) uint8        one PNG, the K pictures stacked; absent without any
"""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save

from engine.images.parallel_state import Round

FILM_EDGE = 256
"""Largest edge of the pictures kept for the replay, in pixels."""


class Trace:
    """Collects the rounds of one picture."""

    def __init__(self) -> None:
        self.rounds: list[Round] = []
        self._seconds: list[float] = []
        self._frames: list[tuple[int, NDArray[np.uint8]]] = []

    def add(self, round: Round, seconds: float, frame: NDArray[np.uint8] | None) -> None:
        """Add a round, with its decoded preview ``(H, W, 3)`` if there was one."""
        self.rounds.append(round)
        self._seconds.append(seconds)
        if frame is not None:
            image = Image.fromarray(frame)
            image.thumbnail((FILM_EDGE, FILM_EDGE))
            self._frames.append((round.number, np.asarray(image)))

    def to_bytes(self) -> bytes:
        """The file; see the module."""
        tensors: dict[str, NDArray[np.generic]] = {
            "residuals": np.stack([item.residuals for item in self.rounds]).astype(np.float32),
            "finished": np.array([item.finished for item in self.rounds], np.int32),
            "evaluations": np.array([item.evaluations for item in self.rounds], np.int64),
            "seconds": np.array(self._seconds, np.float32),
            "preview_rounds": np.array([number for number, _ in self._frames], np.int32),
        }
        if self._frames:
            buffer = io.BytesIO()
            Image.fromarray(np.concatenate([frame for _, frame in self._frames])).save(buffer, "PNG")
            tensors["film"] = np.frombuffer(buffer.getvalue(), np.uint8)
        return save(tensors)
