"""Decoding a large picture in overlapping tiles whose seams are blended.

A decoder's memory grows with the picture's area, and beyond some size it does not fit. In tiles it
always does. The price: a decoder normalises over what it sees, so tiles may differ slightly in
tone; each fades linearly into its neighbours within their overlap.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST_TILE = 16
"""Latent positions along a side; a smaller tile sees too little of the picture."""


def overlap_of(tile: int) -> int:
    """How many latent positions neighbouring tiles share."""
    return max(8, tile // 4)


def decode_in_tiles(
    decode: Callable[[Tensor], Tensor], latents: Tensor, tile: int, factor: int
) -> Tensor:
    """Pixels ``(B, 3, factor h, factor w)`` float32 of latents ``(B, C, h, w)``.

    Parameters
    ----------
    decode
        Maps latents ``(B, C, a, b)`` to pixels ``(B, 3, factor a, factor b)``.
    latents
        What to decode.
    tile
        Side of a tile in latent positions; at least :data:`SMALLEST_TILE`.
    factor
        Pixels a latent position along one side.
    """
    height, width = latents.shape[-2:]
    whole = factor * height, factor * width
    overlap = factor * overlap_of(tile)
    total: Tensor | None = None
    weights = torch.zeros(whole, device=latents.device)
    for top in _starts(height, tile):
        for left in _starts(width, tile):
            part = decode(latents[..., top : top + tile, left : left + tile]).float()
            first_row, first_column = factor * top, factor * left
            rows = slice(first_row, first_row + part.shape[-2])
            columns = slice(first_column, first_column + part.shape[-1])
            down = _fade(first_row, part.shape[-2], whole[0], overlap, part.device)
            across = _fade(first_column, part.shape[-1], whole[1], overlap, part.device)
            if total is None:
                total = part.new_zeros(*part.shape[:2], *whole)
            total[..., rows, columns] += part * down[:, None] * across
            weights[rows, columns] += down[:, None] * across
    assert total is not None, "a picture has at least one tile"
    return total / weights


def _starts(length: int, tile: int) -> list[int]:
    """First positions of tiles that cover ``length`` with at least the usual overlap."""
    if length <= tile:
        return [0]
    count = -(-(length - tile) // (tile - overlap_of(tile))) + 1
    return [round(index * (length - tile) / (count - 1)) for index in range(count)]


def _fade(start: int, size: int, length: int, overlap: int, device: torch.device) -> Tensor:
    """Weights ``(size,)`` of one tile along one axis: 1, falling towards neighbours; in pixels.

    They fall over the middle half of the overlap: close to its edge a tile shows what its decoder
    makes of the missing surroundings.
    """
    at = torch.arange(size, device=device, dtype=torch.float32) + 0.5
    margin, reach = overlap / 4, overlap / 2
    weights = torch.ones_like(at)
    if start > 0:
        weights = weights.minimum((at - margin) / reach)
    if start + size < length:
        weights = weights.minimum((size - at - margin) / reach)
    return weights.clamp(min=0)
