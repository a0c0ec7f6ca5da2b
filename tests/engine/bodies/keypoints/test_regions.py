"""Squares around people: where they lie, what is cut out, and the way back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.bodies.keypoints.regions import MARGIN, Region

SIZE = 256


def test_a_region_stands_as_the_person_does() -> None:
    centre = np.array([100.0, 200.0])
    for rim, angle in (((100, 150), 0), ((150, 200), 90), ((100, 250), 180), ((50, 200), -90)):
        region = Region.from_alignment(centre, np.array(rim, float))
        assert (region.x, region.y) == (100, 200)
        assert region.side == pytest.approx(2 * 50 * MARGIN)
        assert math.cos(region.angle) == pytest.approx(math.cos(math.radians(angle)), abs=1e-9)
        assert math.sin(region.angle) == pytest.approx(math.sin(math.radians(angle)), abs=1e-9)
        # In the crop the rim is straight above the middle.
        up = region.project(np.array([[SIZE / 2, SIZE / 2 - SIZE / 2 / MARGIN]]), SIZE)
        np.testing.assert_allclose(up[0], rim, atol=1e-9)


@pytest.mark.parametrize("side", [180.0, 256.0, 700.0, 1600.0])
@pytest.mark.parametrize("angle", [0.0, 0.6, -2.5])
def test_what_is_seen_in_the_crop_is_found_again_in_the_image(side: float, angle: float) -> None:
    rows, columns = np.mgrid[:1500, :2000]
    spot = np.array([900.0, 700.0])
    blob = 255 * np.exp(-((columns + 0.5 - spot[0]) ** 2 + (rows + 0.5 - spot[1]) ** 2) / side**2 * 900)
    pixels = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
    region = Region(930.0, 690.0, side, angle)
    crop = region.cut(pixels, SIZE)[..., 0].astype(float)
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    centre = np.array([[(crop * columns).sum(), (crop * rows).sum()]]) / crop.sum()
    np.testing.assert_allclose(region.project(centre, SIZE)[0], spot, atol=0.1 + side / SIZE / 8)


def test_fine_patterns_do_not_flicker_in_small_crops() -> None:
    stripes = np.zeros((2048, 2048, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = Region(1024.0, 1024.0, 2048.0, 0.05).cut(stripes, SIZE)[16:-16, 16:-16]
    assert np.ptp(crop.astype(int)) <= 8


def test_a_region_may_leave_the_image() -> None:
    pixels = np.full((100, 100, 3), 200, np.uint8)
    assert Region(0.0, 0.0, 80.0).cut(pixels, 64).shape == (64, 64, 3)
    for far in (Region(5000.0, 5000.0, 3000.0), Region(-5000.0, 50.0, 100.0, 1.0)):
        assert far.cut(pixels, 64).shape == (64, 64, 3)


def test_vectors_turn_with_the_region() -> None:
    up, away = np.array([[0.0, -1, 0]]), np.array([[0.0, 0, 1]])
    region = Region.from_alignment(np.array([0.0, 0]), np.array([3.0, -4]))
    np.testing.assert_allclose(region.turn(up), [[0.6, -0.8, 0]], atol=1e-12)
    np.testing.assert_allclose(region.turn(away), away)
