"""Rewards without a gradient: file size, edges, colours, shapes, and what the classifier says.

Each looks at one saved picture at a time, on the CPU.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.errors import invalid_input
from engine.images.rewards.catalogue import REWARDS, Sort
from engine.images.rewards.encoder import Encoder, cached_encoder
from engine.images.rewards.options import ClassOptions, RewardOptions
from engine.images.rewards.protocol import Reward, RewardContext

Pixels = NDArray[np.uint8]

JPEG_QUALITY = 75
CANNY_THRESHOLDS = (80, 160)
COLOUR_BITS = 3
PAPER = 0.9
"""Luma from which a pixel is ground rather than shape."""
LEAST_SHAPE = 8
"""Pixels that a shape must exceed."""


@dataclass(frozen=True)
class PixelReward:
    """A reward that is one function of the 8-bit pixels ``(H, W, 3)``."""

    name: str
    function: Callable[[Pixels], float]
    kind: Sort = field(default="value", init=False)

    @property
    def title(self) -> str:
        """The user's words."""
        return REWARDS.get(self.name).title

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        return torch.tensor([self.function(pixels) for pixels in to_bytes(x)], dtype=torch.float64)


def to_bytes(x: Tensor) -> Pixels:
    """``(B, H, W, 3)`` of pictures ``(B, 3, H, W)`` in [0, 1]."""
    pixels: Pixels = x.detach().mul(255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(pixels)


def _jpeg_bytes(pixels: Pixels) -> int:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return len(buffer.getvalue())


@cache
def _grey_bytes(height: int, width: int) -> int:
    return _jpeg_bytes(np.full((height, width, 3), 128, np.uint8))


def jpeg_size(options: RewardOptions, context: RewardContext) -> Reward:
    """KiB of the picture as JPEG, beyond those of a flat grey one of its size.

    More than half of a small picture's file is its header, which says nothing.
    """

    def value(pixels: Pixels) -> float:
        return (_jpeg_bytes(pixels) - _grey_bytes(*pixels.shape[:2])) / 1024

    return PixelReward("jpeg_size", value)


def edges(options: RewardOptions, context: RewardContext) -> Reward:
    """Share of the pixels that Canny's detector calls edges."""

    def value(pixels: Pixels) -> float:
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        return float((cv2.Canny(grey, *CANNY_THRESHOLDS) > 0).mean())

    return PixelReward("edges", value)


def colour_count(options: RewardOptions, context: RewardContext) -> Reward:
    """Number of distinct colours at 3 bits a channel."""

    def value(pixels: Pixels) -> float:
        coarse = (pixels >> (8 - COLOUR_BITS)).astype(np.int32)
        return float(len(np.unique(coarse @ np.array([1, 1 << COLOUR_BITS, 1 << 2 * COLOUR_BITS]))))

    return PixelReward("colour_count", value)


def shape_count(options: RewardOptions, context: RewardContext) -> Reward:
    """Number of 8-connected groups of more than 8 pixels that are darker than the ground."""

    def value(pixels: Pixels) -> float:
        luma = pixels @ np.array([0.299, 0.587, 0.114]) / 255
        drawn = (luma < PAPER).astype(np.uint8)
        _, _, figures, _ = cv2.connectedComponentsWithStats(drawn, connectivity=8)
        return float((figures[1:, cv2.CC_STAT_AREA] > LEAST_SHAPE).sum())

    return PixelReward("shape_count", value)


@dataclass(frozen=True)
class ClassProbability:
    """How sure the own classifier is of one class; 0 unless it is its first guess."""

    encoder: Encoder
    place: int
    name: str = "class_probability"
    kind: Sort = field(default="value", init=False)

    @property
    def title(self) -> str:
        """The user's words, with the class."""
        return f"Looks like {self.encoder.config.class_names[self.place]}"

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        chances = self.encoder.classify(x.float()).softmax(dim=1)
        return torch.where(chances.argmax(dim=1) == self.place, chances[:, self.place], 0.0)


def class_probability(options: ClassOptions, context: RewardContext) -> Reward:
    """The probability of a class by name; without one, of the class the picture is made of.

    Raises
    ------
    EngineError
        ``invalid_input`` for a class that the classifier does not know.
    """
    encoder = cached_encoder("cpu")
    names = encoder.config.class_names
    wanted = options.class_name or context.class_name
    if wanted not in names:
        raise invalid_input(
            f"The classifier knows no class {wanted!r}, so it cannot say how much a picture looks like "
            "it; nothing was started."
            if wanted
            else "The picture is of no class, so the reward class_probability needs one; nothing was "
            "started.",
            f"Known: {', '.join(names)}.",
        )
    return ClassProbability(encoder, names.index(wanted))
