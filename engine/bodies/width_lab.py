"""The width lab: parts of a person in a photo made wider or slimmer, with clothes and labels kept.

:mod:`engine.bodies.shape_stretch` stretches a whole person by one map; here each part is stretched
across its own bone. Beyond its edge the trunk's map is a shift, so that arms that hang beside it are
pushed aside as they are; a limb's map ends there. Texture stays real, and how much wider each part
became is known, because the same map moves its outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.bodies.shape_parts import PARTS
from engine.bodies.shape_silhouette import half_widths
from engine.bodies.shape_stretch import filled_ground
from engine.errors import invalid_input

Array = NDArray[np.float64]

NARROWEST, WIDEST = 0.5, 2.0
"""Factors of a part's width that can be asked for."""

_GRID = 240
"""Cells of the longer side, where the map is computed; between them it is interpolated."""
_ROUNDS = 40
_TRUNK = [PARTS.index(joint) for joint in (0, 3, 6, 9)]
_LIMBS = [at for at in range(len(PARTS)) if at not in _TRUNK]
_EDGE = 1.25
"""Times its width, the mean distance of skin from bone, a part's edge is off in a picture."""
_REACH = 0.6
"""Times its edge, how far beyond it a limb's map fades out."""
_UNFOLDED = 2.4
_PAST = 0.25
"""Times its width, how far a map goes on past the ends of the bone."""
_FARTHEST = 2.5


@dataclass(frozen=True, eq=False)
class Lines:
    """Bones of 20 parts, pixels: ``starts`` and ``ends (20, 2)``, half their ``widths (20,)``."""

    starts: Array
    ends: Array
    widths: Array

    @property
    def across(self) -> Array:
        """Unit vectors ``(20, 2)`` across the bones."""
        bones = self.ends - self.starts
        turned = np.stack([-bones[:, 1], bones[:, 0]], 1)
        return np.asarray(turned / np.maximum(np.linalg.norm(turned, axis=1, keepdims=True), 1e-9))

    def shifts(self, places: Array, factors: Array, chosen: list[int], fading: bool) -> Array:
        """From places ``(N, 2)`` of the new picture to those of the old one that are shown there.

        Of the ``chosen`` parts; beyond a part's edge a shift, or ``fading`` out.
        """
        starts, bones = self.starts[chosen], (self.ends - self.starts)[chosen]
        widths, across, wanted = self.widths[chosen], self.across[chosen], factors[chosen]
        long = np.maximum(np.linalg.norm(bones, axis=1), 1e-9)
        towards = places[:, None] - starts
        along = (towards * bones).sum(2) / long
        past = np.maximum(0, np.maximum(-along, along - long))
        weights = np.exp(-((past / (_PAST * widths)) ** 2))
        edge = wanted * _EDGE * widths
        off = (towards * across).sum(2)
        if fading:
            # Quicker, the map of a slim limb would fold.
            reach = edge * np.maximum(_REACH, _UNFOLDED * (1 / wanted - 1))
            beyond = (np.abs(off) - edge).clip(0) / reach
            weights = weights * (1 - beyond.clip(0, 1)) ** 2
        weights = weights / np.maximum(1, weights.sum(1, keepdims=True))
        amounts = weights * (1 / wanted - 1) * off.clip(-edge, edge)
        return np.asarray((amounts[..., None] * across).sum(1))


@dataclass(frozen=True, eq=False)
class Widened:
    """A person with other widths.

    Attributes
    ----------
    pixels, mask
        The picture ``(h, w, 3)`` uint8, and where the person is in it ``(h, w)``.
    points
        ``(K, 2)`` pixels: where given points of the person are now.
    ratios
        ``(20,)``: by what each part is wider; not a number where its outline was not seen.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    points: Array
    ratios: Array


class WidthLab:
    """One person of one photo.

    Parameters
    ----------
    pixels, mask
        ``(h, w, 3)`` uint8 RGB, and ``(h, w)``: where the person is.
    lines
        The bones of its parts, in order of :data:`engine.bodies.shape_parts.PARTS`.
    points
        ``(K, 2)`` pixels, keypoints.

    Raises
    ------
    EngineError
        ``invalid_input`` where photo and mask differ in size, or the mask is empty.
    """

    def __init__(
        self, pixels: NDArray[np.uint8], mask: NDArray[np.bool_], lines: Lines, points: Array
    ) -> None:
        if pixels.shape[:2] != mask.shape or not mask.any():
            raise invalid_input(
                f"The outline of this person ({mask.shape}, {int(mask.sum())} pixels) does not belong "
                f"to a photo of {pixels.shape[:2]}; the photo is unchanged."
            )
        self._pixels, self._mask, self._lines, self._points = pixels, mask, lines, points
        self._ground = filled_ground(pixels, mask)
        halves = half_widths(mask, lines.starts, lines.ends, _FARTHEST * 2 * lines.widths)
        self._halves = np.full(len(lines.widths), np.nan)
        seen = np.isfinite(halves).sum(1) >= 4
        self._halves[seen] = np.nanmedian(halves[seen], axis=1)

    def widened(self, factors: Array) -> Widened:
        """With parts ``factors (20,)`` times as wide.

        Raises
        ------
        EngineError
            ``invalid_input`` for factors beyond :data:`NARROWEST` and :data:`WIDEST`.
        """
        if factors.min() < NARROWEST or factors.max() > WIDEST:
            raise invalid_input(
                f"A part can become {NARROWEST} to {WIDEST} times as wide, not {factors.min():.2f} to "
                f"{factors.max():.2f}; the photo is unchanged."
            )
        height, width = self._mask.shape
        cell = max(1.0, max(height, width) / _GRID)
        columns = np.linspace(0, width - 1, max(2, round(width / cell)))
        rows = np.linspace(0, height - 1, max(2, round(height / cell)))
        grid = np.stack(np.meshgrid(columns, rows), 2).reshape(-1, 2)
        shifts = self._shifts(grid + 0.5, factors).reshape(len(rows), len(columns), 2)
        at = np.meshgrid(np.linspace(0, len(columns) - 1, width), np.linspace(0, len(rows) - 1, height))
        # On the grid's own corners, which cv2.resize would move by half a cell.
        full = cv2.remap(
            shifts.astype(np.float32), at[0].astype(np.float32), at[1].astype(np.float32),
            cv2.INTER_LINEAR,
        )  # fmt: skip
        maps = [
            (np.arange(width)[None] + full[..., 0]).astype(np.float32),
            (np.arange(height)[:, None] + full[..., 1]).astype(np.float32),
        ]
        moved = cv2.remap(
            self._pixels, maps[0], maps[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        cover = cv2.remap(self._mask.astype(np.float32), maps[0], maps[1], cv2.INTER_LINEAR)
        mixed = moved * cover[..., None] + self._ground * (1 - cover[..., None])
        return Widened(
            mixed.round().clip(0, 255).astype(np.uint8),
            cover > 0.5,
            self._moved(self._points, factors),
            self._ratios(factors),
        )

    def _shifts(self, places: Array, factors: Array) -> Array:
        trunk = self._lines.shifts(places, factors, _TRUNK, False)
        return trunk + self._lines.shifts(places + trunk, factors, _LIMBS, True)

    def _moved(self, places: Array, factors: Array) -> Array:
        """Where places of the old picture are in the new one, by halved fixed-point steps."""
        found = places.copy()
        for _ in range(_ROUNDS):
            found += 0.5 * (places - found - self._shifts(found, factors))
        return found

    def _ratios(self, factors: Array) -> Array:
        """How far the outline's two sides are apart, beside before, around each bone's middle."""
        share = np.linspace(0.3, 0.7, 5)[:, None, None]
        middles = self._lines.starts + share * (self._lines.ends - self._lines.starts)
        halves = np.fmin(self._halves, _EDGE * self._lines.widths)  # the rest is what lies beside it
        step = halves[:, None] * self._lines.across
        sides = [
            self._moved((middles + sign * step).reshape(-1, 2), factors).reshape(5, -1, 2)
            for sign in (1, -1)
        ]
        apart = ((sides[0] - sides[1]) * self._lines.across).sum(2) / (2 * halves)
        return np.where(np.isfinite(self._halves), np.median(apart, axis=0), np.nan)
