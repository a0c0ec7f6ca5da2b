"""What a running image job tells: progress, and previews within a share of the time."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from engine.context import RunContext
from engine.images.generators import Generator, to_pixels

PREVIEW_SHARE = 0.15
"""Largest part of a run's time that decoding previews may take."""


class Previewer:
    """Decodes the predicted clean pictures, but no more often than its share of the time allows.

    Attributes
    ----------
    seconds_each
        What the last decoding took, a picture; ``None`` before the first.
    """

    def __init__(self, generator: Generator, ctx: RunContext, every: int) -> None:
        self._generator, self._ctx, self._every = generator, ctx, every
        self._spent = 0.0
        self.seconds_each: float | None = None

    def __call__(self, done: int, clean: Tensor) -> NDArray[np.uint8] | None:
        """Show ``clean (B, C, h, w)`` after ``done`` steps; its pixels, when it was time for it."""
        if not self._every or done % self._every or not self._ctx.wants_preview():
            return None
        if self._spent > PREVIEW_SHARE * self._ctx.seconds:
            return None
        started = time.monotonic()
        pixels = to_pixels(self._generator.decode(clean))
        self._ctx.preview(pixels)
        took = time.monotonic() - started
        self._spent += took
        self.seconds_each = took / len(clean)
        return pixels


class Reporter:
    """Progress, cancel and preview of one batch within the whole job: a sampler's ``on_step``."""

    def __init__(
        self, ctx: RunContext, previewer: Previewer, before: int, total: int, batch: int
    ) -> None:
        self._ctx, self._previewer = ctx, previewer
        self._before, self._total, self._batch = before, total, batch

    def __call__(self, done: int, total: int, clean: Tensor) -> None:
        finished = self._before + done * self._batch
        self._ctx.progress(finished, self._total, f"Step {done} of {total}")
        if done < total:
            self._previewer(done, clean)
