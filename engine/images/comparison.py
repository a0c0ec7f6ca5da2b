"""How far two pictures are apart."""

from __future__ import annotations

import math

from torch import Tensor


def difference(first: Tensor, second: Tensor) -> dict[str, float | None]:
    """RMS, PSNR (dB) and largest difference of two decoded pictures of one shape, in [-1, 1].

    The PSNR of equal pictures is ``None``: it is infinite, and JSON has no such number.
    """
    gap = (first.double() - second.double()).flatten()
    rms = float(gap.square().mean().sqrt())
    psnr = 20 * math.log10(2 / rms) if rms > 0 else None
    return {"rms": rms, "psnr": psnr, "largest": float(gap.abs().max())}
