"""From seeds to noise, from decoded states to 8-bit pictures, and how many fit into memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.images.generators.protocol import Generator


def initial_noise(
    seeds: Sequence[int], shape: tuple[int, int, int], steps: int, with_steps: bool
) -> tuple[Tensor, Tensor]:
    """All randomness of some pictures: ``x_T (B, C, h, w)`` and step noises ``(T, B, C, h, w)``.

    Float32 on the CPU, a stream of its own for each seed, so a picture does not depend on its
    neighbours or the device. ``x_T`` is drawn first, then the steps from T - 1 down to 0; without
    ``with_steps`` the second tensor is empty.
    """
    starts, noises = [], []
    for seed in seeds:
        stream = torch.Generator().manual_seed(seed)
        starts.append(torch.randn(shape, generator=stream))
        drawn = [torch.randn(shape, generator=stream) for _ in range(steps if with_steps else 0)]
        noises.append(torch.stack(drawn[::-1]) if drawn else torch.empty(0, *shape))
    return torch.stack(starts), torch.stack(noises, dim=1)


def to_pixels(decoded: Tensor) -> NDArray[np.uint8]:
    """8-bit RGB ``(B, H, W, 3)`` of decoded pictures ``(B, 3, H, W)`` in [-1, 1]."""
    scaled = (decoded.float().clamp(-1, 1) + 1) * 127.5
    pixels: NDArray[np.uint8] = scaled.round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def evaluation_bytes(generator: Generator, shape: tuple[int, int, int]) -> int:
    """Rough peak of the activations of one guided evaluation of one state ``(C, h, w)``."""
    return math.ceil(generator.bytes_per_evaluation * _share_of_own_size(generator, shape))


def picture_bytes(generator: Generator, shape: tuple[int, int, int]) -> int:
    """Rough memory beside the weights that making one picture from states of ``shape`` takes."""
    largest = max(generator.bytes_per_evaluation, generator.bytes_per_decode)
    return math.ceil(largest * _share_of_own_size(generator, shape))


def images_that_fit(
    generator: Generator, budget: int, wanted: int, shape: tuple[int, int, int] | None = None
) -> int:
    """How many pictures at once stay within ``budget`` bytes of free memory; at least 1.

    ``shape`` is that of one state, by default the model's own.
    """
    needed = picture_bytes(generator, shape or generator.latent_shape(None, None))
    return max(1, min(wanted, budget // max(1, needed)))


def _share_of_own_size(generator: Generator, shape: tuple[int, int, int]) -> float:
    return math.prod(shape[1:]) / math.prod(generator.latent_shape(None, None)[1:])
