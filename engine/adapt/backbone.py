"""The built-in backbone: a small vision transformer that describes pictures of things.

Trained by :mod:`engine.adapt.backbone_training`; its card says on what and how well. It is what Adapt
starts from where the user has no other network.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.adapt.vit import ViT, ViTConfig
from engine.errors import invalid_input
from engine.weight_files import read_safetensors

SIDE = 64
"""Pixels; pictures of any shape are squeezed to this square, as crops of boxes are compared."""
CONFIG = ViTConfig(image_size=SIDE, patch_size=8, width=192, depth=6, heads=3, mlp_width=768)
FILE = (
    Path(__file__).resolve().parents[2] / "resources" / "weights" / "backbone" / "backbone.safetensors"
)
BATCH = 64

Picture = NDArray[np.uint8]


def prepared(pictures: NDArray[np.uint8]) -> Tensor:
    """Pictures ``(B, S, S, 3)`` uint8 RGB as the network takes them, ``(B, 3, S, S)`` from -1 to 1."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def fitted(picture: Picture, side: int = SIDE) -> Picture:
    """``(h, w, 3)`` squeezed to ``(side, side, 3)``.

    Raises
    ------
    EngineError
        ``invalid_input`` when it is no such picture or is empty.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or not picture.size:
        raise invalid_input(
            f"A picture came as {picture.dtype} {picture.shape}; it must be (h, w, 3) uint8 RGB."
        )
    # Averages where it shrinks, interpolates where it grows.
    how = cv2.INTER_AREA if min(picture.shape[:2]) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(picture, (side, side), interpolation=how), np.uint8)


@cache
def load_builtin_backbone() -> ViT:
    """The network, frozen, on the CPU.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file`` when its file is not there or damaged.
    """
    model = ViT(CONFIG)
    model.load_state_dict({key: value.float() for key, value in read_safetensors(FILE).items()})
    return model.eval().requires_grad_(False)


@torch.no_grad()
def describe(pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Vectors of unit length ``(N, 192)`` for pictures ``(h, w, 3)`` uint8 RGB of any size.

    Raises
    ------
    EngineError
        ``invalid_input`` when one is no picture; what :func:`load_builtin_backbone` raises.
    """
    network = load_builtin_backbone()
    vectors = []
    for start in range(0, len(pictures), BATCH):
        part = np.stack([fitted(picture) for picture in pictures[start : start + BATCH]])
        vectors.append(F.normalize(network.features(prepared(part)), dim=1).numpy())
    return np.concatenate(vectors) if vectors else np.zeros((0, CONFIG.width), np.float32)
