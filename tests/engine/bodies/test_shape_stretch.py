"""Stretched photos: what is measured in them follows the labels that go with the stretch."""

from __future__ import annotations

import numpy as np
import pytest

from engine.bodies.shape_silhouette import half_widths
from engine.bodies.shape_stretch import stretch_about, stretched_photo, transported_ratios
from engine.errors import EngineError

CENTRE = np.array([100.0, 100.0])


def limb(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """A bar 24 px wide and 120 long, and the ends of its bone."""
    rows, columns = np.mgrid[:200, :200] + 0.5
    along = (columns - 100) * np.cos(angle) + (rows - 100) * np.sin(angle)
    across = (rows - 100) * np.cos(angle) - (columns - 100) * np.sin(angle)
    way = 60 * np.array([np.cos(angle), np.sin(angle)])
    return (np.abs(along) < 60) & (np.abs(across) < 12), np.stack([CENTRE - way, CENTRE + way])


def test_measured_widths_follow_the_transported_labels(rng: np.random.Generator) -> None:
    expected, measured = [], []
    for _ in range(50):
        angle, turn = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5)
        factor = rng.uniform(0.7, 1.4)
        mask, ends = limb(angle)
        matrix = stretch_about(CENTRE, factor, 1 / factor, turn)
        photo = np.full((200, 200, 3), 90, np.uint8)
        photo[mask] = 200
        _, moved = stretched_photo(photo, mask, matrix)
        places = ends @ matrix[:, :2].T + matrix[:, 2]
        way = (ends[1] - ends[0]) / 120
        expected.append(transported_ratios(way[None], np.ones(1), matrix)[0])
        half = np.nanmedian(half_widths(moved, places[:1], places[1:], np.array([50.0])))
        measured.append(half / 12 * 120 / np.linalg.norm(places[1] - places[0]))
    assert np.corrcoef(expected, measured)[0, 1] > 0.98
    assert np.abs(np.array(measured) / expected - 1).mean() < 0.06


def test_the_ground_is_filled_and_the_rest_stays() -> None:
    mask, _ = limb(0.0)
    photo = np.full((200, 200, 3), 90, np.uint8)
    photo[mask] = 200
    slim, moved = stretched_photo(photo, mask, stretch_about(CENTRE, 1.0, 0.5, 0.0))
    assert moved.sum() == pytest.approx(mask.sum() / 2, rel=0.1)
    assert np.abs(slim[mask & ~moved].astype(int) - 90).mean() < 12
    assert np.array_equal(slim[:70], photo[:70])


def test_depth_dilutes_and_flips_are_refused() -> None:
    matrix = stretch_about(CENTRE, 1.0, 2.0, 0.0)
    way = np.array([[0.0, 1.0]])
    flat, deep = (transported_ratios(way, np.array([share]), matrix)[0] for share in (1.0, 0.5))
    assert flat == pytest.approx(0.5)
    assert flat < deep < 1
    with pytest.raises(EngineError, match="cannot be stretched"):
        stretched_photo(np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), bool), -matrix * [1, -1, 1])
