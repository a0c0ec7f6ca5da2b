"""The width lab: what is measured in the new picture follows the labels that go with it."""

from __future__ import annotations

import numpy as np
import pytest

from engine.bodies.shape_parts import PARTS
from engine.bodies.shape_silhouette import half_widths
from engine.bodies.width_lab import Lines, WidthLab
from engine.errors import EngineError

CHEST, LEFT, RIGHT = PARTS.index(9), PARTS.index(1), PARTS.index(2)
OURS = [CHEST, LEFT, RIGHT]
STARTS, ENDS, WIDTHS = np.full((20, 2), 20.0), np.full((20, 2), 20.0), np.ones(20)
ENDS[:, 1] += 4
STARTS[OURS] = [[100, 40], [60, 150], [140, 150]]
ENDS[OURS] = [[100, 140], [60, 260], [140, 260]]
WIDTHS[OURS] = [26, 12, 12]
HALF = [30, 14, 14]


def person() -> tuple[np.ndarray, np.ndarray]:
    """A trunk and two legs, striped, on grey."""
    rows, columns = np.mgrid[:300, :200] + 0.5
    mask = np.zeros((300, 200), bool)
    for start, end, half in zip(STARTS[OURS], ENDS[OURS], HALF, strict=True):
        mask |= (abs(columns - start[0]) < half) & (rows > start[1]) & (rows < end[1])
    photo = np.full((300, 200, 3), 90, np.uint8)
    photo[mask] = np.where(rows[mask] % 8 < 4, 200, 160)[:, None]
    return photo, mask


def test_each_part_gets_its_own_width(rng: np.random.Generator) -> None:
    photo, mask = person()
    lab = WidthLab(photo, mask, Lines(STARTS, ENDS, WIDTHS), np.array([[100.0, 90], [60, 200]]))
    told, measured = [], []
    before = np.nanmedian(half_widths(mask, STARTS, ENDS, 4 * WIDTHS)[OURS], axis=1)
    for _ in range(12):
        factors = np.ones(20)
        factors[OURS] = rng.uniform(0.65, 1.4, 3)
        made = lab.widened(factors)
        told += made.ratios[OURS].tolist()
        now = np.nanmedian(half_widths(made.mask, STARTS, ENDS, 4 * WIDTHS)[OURS], axis=1)
        measured += (now / before).tolist()
        assert np.abs(made.ratios[OURS] - factors[OURS]).max() < 0.2
        assert np.abs(made.points - [[100, 90], [60, 200]]).max() < 2.5, "bones stay"
    assert np.corrcoef(told, measured)[0, 1] > 0.95
    assert np.abs(np.array(measured) - told).mean() < 0.05


def test_nothing_asked_changes_nothing_and_the_ground_is_filled() -> None:
    photo, mask = person()
    lab = WidthLab(photo, mask, Lines(STARTS, ENDS, WIDTHS), np.zeros((0, 2)))
    same = lab.widened(np.ones(20))
    assert np.abs(same.pixels.astype(int) - photo).max() <= 1
    assert np.array_equal(same.mask, mask)
    assert np.nanmax(np.abs(same.ratios - 1)) < 1e-6
    slim = lab.widened(np.full(20, 0.6))
    bared = mask & ~slim.mask
    assert bared.sum() > 0.25 * mask.sum()
    assert np.abs(slim.pixels[bared].astype(int) - 90).mean() < 15


def test_what_cannot_be_is_refused() -> None:
    photo, mask = person()
    lines = Lines(STARTS, ENDS, WIDTHS)
    with pytest.raises(EngineError, match="times as wide"):
        WidthLab(photo, mask, lines, np.zeros((0, 2))).widened(np.full(20, 3.0))
    with pytest.raises(EngineError, match="does not belong"):
        WidthLab(photo, mask[:100], lines, np.zeros((0, 2)))
    with pytest.raises(EngineError, match="does not belong"):
        WidthLab(photo, np.zeros_like(mask), lines, np.zeros((0, 2)))
