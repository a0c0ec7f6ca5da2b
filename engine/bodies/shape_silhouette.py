"""Widths of parts from a silhouette, by comparison with that of a body that is already there.

Across each projected bone the run inside the mask is measured, and so it is in the silhouette of a body
in the same pose. The ratio of the two is that of their widths: how a part's outline depends on view,
pose and cross-section is the same in both and cancels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.bodies.shape_parts import PARTS, SEGMENT_ENDS

Array = NDArray[np.float64]
Bools = NDArray[np.bool_]

LINES = 16
ALONG = (0.15, 0.85)
"""Where on a bone lines are drawn: near joints other parts begin."""

END_ON = 0.4
"""A bone that is seen shorter than this share of its length shows nothing of its width."""

_STEPS = 96
_FARTHEST = 2.5
"""Times the part's own width: a run that is longer has run into another part."""

_LEAST = LINES // 3
_RATIOS = (0.5, 2.0)
"""Ratios of widths beyond are mistakes."""


def half_widths(mask: Bools, starts: Array, ends: Array, farthest: Array) -> Array:
    """Half the run inside a mask across each bone.

    Parameters
    ----------
    mask
        ``(h, w)``.
    starts, ends
        ``(20, 2)`` pixels, of the bones.
    farthest
        ``(20,)`` pixels; a run that goes on farther to one side says nothing.

    Returns
    -------
    ``(20, 16)`` pixels on as many lines a bone; not a number where a line says nothing.
    """
    share = np.linspace(*ALONG, LINES)[None, :, None]
    bones = ends - starts
    across = np.stack([-bones[:, 1], bones[:, 0]], 1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    middles = starts[:, None] + share * bones[:, None]
    reach = np.linspace(0, 1, _STEPS) * farthest[:, None]
    halves = np.zeros((2, len(starts), LINES))
    for side, sign in enumerate((1.0, -1.0)):
        way = sign * reach[:, None, :, None] * across[:, None, None, :]
        inside = _at(mask, middles[:, :, None] + way)
        # The first step outside; none: it runs into something else.
        out = np.where(inside.all(2), _STEPS, (~inside).argmax(2))
        run = np.take_along_axis(
            reach[:, None].repeat(LINES, 1), np.minimum(out, _STEPS - 1)[..., None], 2
        )
        halves[side] = np.where((out > 0) & (out < _STEPS), run[..., 0], np.nan)
    return halves.mean(0)


def _at(mask: Bools, places: Array) -> Bools:
    columns, rows = np.floor(places[..., 0]).astype(int), np.floor(places[..., 1]).astype(int)
    height, width = mask.shape
    within = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    return within & mask[rows.clip(0, height - 1), columns.clip(0, width - 1)]


def width_ratios(
    mask: Bools, own: Bools, joints: Array, pixels: Array, widths: Array, focal: float
) -> tuple[Array, Array]:
    """By what a person's parts are wider than those of a body that stands in the same pose.

    Parameters
    ----------
    mask, own
        ``(h, w)``: the person's silhouette, and the body's.
    joints
        ``(29, 3)`` metres, of the body; the camera at the origin looks along -z.
    pixels
        ``(29, 2)`` where they are seen.
    widths
        ``(20,)`` metres, of the body's parts.
    focal
        Pixels.

    Returns
    -------
    Ratios ``(20,)`` and their deviations; not a number and infinite where a part is not seen.
    """
    parts, ends = list(PARTS), [SEGMENT_ENDS[part] for part in PARTS]
    depth = np.maximum(-(joints[parts, 2] + joints[ends, 2]) / 2, 0.1)
    long = np.linalg.norm(joints[ends] - joints[parts], axis=1)
    shown = np.linalg.norm(pixels[ends] - pixels[parts], axis=1)
    across = shown >= END_ON * long * focal / depth
    farthest = _FARTHEST * 2 * widths * focal / depth
    runs = [half_widths(one, pixels[parts], pixels[ends], farthest) for one in (mask, own)]
    both = runs[0] / runs[1]
    both[~np.isfinite(both)] = np.nan
    count = np.isfinite(both).sum(1)
    seen = across & (count >= _LEAST)
    ratios, spreads = np.full(len(parts), np.nan), np.full(len(parts), np.inf)
    for part in np.flatnonzero(seen):
        lines = both[part][np.isfinite(both[part])]
        middle = float(np.median(lines))
        if _RATIOS[0] < middle < _RATIOS[1]:
            ratios[part] = middle
            spreads[part] = 1.5 * float(np.median(np.abs(lines - middle))) + 0.03
    return ratios, spreads
