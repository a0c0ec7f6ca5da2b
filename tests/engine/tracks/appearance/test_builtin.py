"""The descriptor without weights: alike in another light and size, different for other things."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from engine.tracks.appearance.builtin import BuiltIn
from engine.tracks.synthetic import make_scene
from engine.tracks.synthetic_video import frames


def thing(seed: int, size: tuple[int, int] = (60, 40)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    small = rng.uniform(30, 220, (3, 4, 3)).astype(np.float32)
    return cv2.resize(small, size, interpolation=cv2.INTER_LINEAR).astype(np.uint8)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    first, second = BuiltIn().describe([a, b])
    return float(first @ second)


def test_vectors_have_unit_length_and_the_length_that_is_told() -> None:
    built_in = BuiltIn()
    pictures = [
        thing(1),
        thing(2, (9, 7)),
        np.zeros((1, 1, 3), np.uint8),
        np.full((30, 50, 3), 255, np.uint8),
    ]
    vectors = built_in.describe(pictures)
    assert vectors.shape == (4, built_in.dimension)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert built_in.describe([]).shape == (0, built_in.dimension)
    np.testing.assert_array_equal(vectors, built_in.describe(pictures))


def test_light_size_and_blur_change_less_than_another_thing() -> None:
    one = thing(1)
    others = max(cosine(one, thing(seed)) for seed in range(2, 12))
    assert others < 0.75
    brighter = np.clip(one * 1.25, 0, 255).astype(np.uint8)
    warmer = np.clip(one * np.array([1.15, 1.0, 0.88]), 0, 255).astype(np.uint8)
    larger = cv2.resize(one, (150, 90), interpolation=cv2.INTER_LINEAR)
    blurred = cv2.GaussianBlur(one, (7, 7), 1.5)
    for changed, least in ((brighter, 0.93), (warmer, 0.85), (larger, 0.95), (blurred, 0.93)):
        assert cosine(one, changed) > max(least, others + 0.1)


def test_a_pattern_and_a_colour_both_tell_things_apart() -> None:
    one = thing(1)
    assert cosine(one, one[::-1]) < 0.6
    assert cosine(one, one[..., ::-1]) < 0.8  # red for blue
    red, blue = np.zeros((40, 60, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)
    red[..., 0] = blue[..., 2] = 200
    assert cosine(red, blue) < 0.2


@pytest.mark.slow
def test_vehicles_are_told_apart_in_drawn_scenes() -> None:
    scene = make_scene("hard", 31, seconds=60, cameras=2)
    pictures, names = [], []
    for camera in range(2):
        truth = scene.truth.select(scene.truth.cameras == camera)
        clear = truth.select(truth.extra["visibility"] > 0.9)
        for number, picture in enumerate(frames(scene, camera)):
            if number % 10:
                continue
            for row in np.flatnonzero(clear.frames == number):
                left, top, right, bottom = clear.xyxy()[row].round().astype(int)
                pictures.append(picture[top:bottom, left:right])
                names.append(int(clear.tracks[row]))
    vectors = BuiltIn().describe(pictures)
    similar = (vectors @ vectors.T)[np.triu_indices(len(names), 1)]
    same = (np.array(names)[:, None] == names)[np.triu_indices(len(names), 1)]
    # Area under the ROC curve: how often a pair of one vehicle is more alike than one of two.
    ranks = np.argsort(np.argsort(similar)) + 1.0
    area = (ranks[same].sum() - same.sum() * (same.sum() + 1) / 2) / (same.sum() * (~same).sum())
    assert area > 0.95
