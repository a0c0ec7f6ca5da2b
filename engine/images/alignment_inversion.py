"""Noise for a picture that has none: the deterministic sampler run backwards.

DDIM without noise (Song et al. 2021) is an ordinary differential equation, so that its steps can be
taken the other way. Each is an implicit equation for the noisier state, ``x_t = a x_{t+1} + b
eps(x_{t+1})``, solved by fixed-point iteration; the explicit step that is often used in its place
leaves an error that guidance amplifies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from engine.errors import bad_file, invalid_input
from engine.images.samplers import Denoiser
from engine.images.schedule import TimeGrid, step_coefficients

ITERATIONS = 12
CLOSE_ENOUGH = 1e-5


@dataclass(frozen=True)
class Inverted:
    """What was found for a picture.

    Attributes
    ----------
    pure
        ``(C, h, w)`` x_T.
    unsolved
        Steps whose equation was not solved; the picture will differ.
    """

    pure: Tensor
    unsolved: int


@torch.no_grad()
def invert(denoiser: Denoiser, x_0: Tensor, grid: TimeGrid, on_step: Callable[[int], None]) -> Inverted:
    """x_T from which DDIM makes the clean state ``x_0 (C, h, w)``.

    ``on_step`` is told the steps done and may raise to stop.
    """
    step = step_coefficients(grid, 0.0)
    x, unsolved = x_0[None], 0
    for t in range(len(grid)):
        time = torch.full((1,), grid.timesteps[t], dtype=x.dtype, device=x.device)
        noisier, moved = x, float("inf")
        for _ in range(ITERATIONS):
            found = (x - float(step.b[t]) * denoiser(noisier, time).to(x)) / float(step.a[t])
            moved = float((found - noisier).square().mean().sqrt())
            noisier = found
            if moved < CLOSE_ENOUGH:
                break
        # Bits of single precision are not settled in some models; a visible rest is told of.
        unsolved += moved > 100 * CLOSE_ENOUGH
        x = noisier
        on_step(t + 1)
    return Inverted(x[0], unsolved)


def read_picture(path: Path) -> Tensor:
    """Pixels ``(3, H, W)`` float32 in [-1, 1] of any image file, transparent parts on white.

    Raises
    ------
    EngineError
        ``bad_file`` when it cannot be read.
    """
    try:
        with Image.open(path) as image:
            flat = Image.new("RGBA", image.size, "white")
            flat.alpha_composite(image.convert("RGBA"))
            pixels = np.asarray(flat.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise bad_file(
            f"{path.name} cannot be read as a picture: {error}. Nothing was started.",
            "It may be damaged or not an image at all.",
        ) from error
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1).float() / 127.5 - 1


def require_size(picture: Tensor, name: str, width: int, height: int) -> None:
    """Raise ``invalid_input`` unless the picture ``(3, H, W)`` has the model's size."""
    high, wide = picture.shape[1:]
    if (wide, high) != (width, height):
        raise invalid_input(
            f"{name} has {wide} x {high} pixels, and the pictures of this run have {width} x {height}; "
            "nothing was started.",
            "Crop or resize it first, or set width and height where the model allows it.",
        )
