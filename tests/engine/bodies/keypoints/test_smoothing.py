"""The One-Euro filter: quiet at rest, no lag in motion, causal, and frame rates do not matter much."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.bodies.keypoints.smoothing import OneEuro, PersonSmoother
from engine.errors import EngineError
from tests.engine.bodies.keypoints.figure import a_person


def run(values: np.ndarray, times: np.ndarray, scale: float = 1.0, **settings: float) -> np.ndarray:
    smooth = OneEuro(**settings)
    return np.array(
        [smooth(value, float(time), scale) for value, time in zip(values, times, strict=True)]
    )


def test_a_constant_stays_and_the_first_value_is_itself() -> None:
    values = np.tile([[[3.0, 4.0], [-1.0, 0.5]]], (5, 1, 1))
    np.testing.assert_array_equal(run(values, np.arange(5) / 30), values)


def test_a_step_is_followed_as_a_first_order_filter_does() -> None:
    values = np.zeros((4, 1, 1))
    values[1:] = 1
    share = 2 * np.pi * 2 * 0.1 / (1 + 2 * np.pi * 2 * 0.1)  # cutoff 2 Hz, 0.1 s, no speed
    got = run(values, np.arange(4) / 10, least_cutoff=2, speed_coefficient=0)
    np.testing.assert_allclose(got.ravel(), [0, *(1 - (1 - share) ** np.arange(1, 4))], atol=1e-12)


def test_jitter_at_rest_shrinks_and_motion_is_not_held_back(rng: np.random.Generator) -> None:
    times = np.arange(200) / 30
    noise = rng.normal(0, 1, (200, 20, 2))
    rest = run(noise, times, scale=500)
    assert rest[20:].std() < 0.55 * noise[20:].std()
    walk = np.tile((400 * times)[:, None, None], (1, 20, 2)) + noise
    lag = np.abs(run(walk, times, scale=500) - walk)[20:].mean()
    slow = np.abs(run(walk, times, scale=500, speed_coefficient=0) - walk)[20:].mean()
    assert lag < 0.4 * slow
    assert lag < 13  # less than one frame


def test_it_depends_on_the_past_only_and_on_sizes_not_at_all(rng: np.random.Generator) -> None:
    values, times = rng.normal(0, 5, (30, 3, 2)), np.cumsum(rng.uniform(0.01, 0.1, 30))
    whole = run(values, times)
    changed = values.copy()
    changed[20:] += 100
    np.testing.assert_array_equal(run(changed, times)[:20], whole[:20])
    np.testing.assert_allclose(run(values * 7, times, scale=7.0), whole * 7)


def test_times_count_and_not_the_number_of_frames() -> None:
    def end(rate: int) -> float:
        times = np.arange(rate + 1) / rate
        values = (times > 0.5).astype(float)[:, None, None]
        return float(run(values, times, speed_coefficient=0)[-1, 0, 0])

    assert end(30) == pytest.approx(end(120), abs=0.03)


def test_points_of_a_person_are_smoothed_apart(rng: np.random.Generator) -> None:
    quiet, moving = np.zeros((40, 1, 2)), np.arange(40)[:, None, None] * np.ones((1, 1, 2))
    both = np.concatenate([quiet + rng.normal(0, 0.1, quiet.shape), moving], axis=1)
    times = np.arange(40) / 30
    alone = run(both[:, :1], times)
    np.testing.assert_allclose(run(both, times)[:, :1], alone)


def test_what_cannot_be_smoothed_is_refused_and_changes_nothing() -> None:
    smooth = OneEuro()
    smooth(np.zeros((2, 2)), 1.0)
    expected = OneEuro()
    expected(np.zeros((2, 2)), 1.0)
    for values, time in (
        (np.full((2, 2), np.nan), 2.0),
        (np.zeros((3, 2)), 2.0),
        (np.zeros((2, 2)), 1.0),
        (np.zeros((2, 2)), 0.5),
        (np.zeros((2, 2)), np.nan),
    ):
        with pytest.raises(EngineError):
            smooth(values, time)
    np.testing.assert_array_equal(smooth(np.ones((2, 2)), 2.0), expected(np.ones((2, 2)), 2.0))
    for settings in ({"least_cutoff": 0}, {"speed_coefficient": -1}, {"speed_cutoff": -1}):
        with pytest.raises(EngineError, match="cutoffs"):
            OneEuro(**settings)


def test_a_smoothed_person_keeps_everything_else() -> None:
    smooth, person = PersonSmoother(), a_person()
    assert person.world is not None
    first = smooth(person, 0.0)
    np.testing.assert_array_equal(first.keypoints, person.keypoints)
    np.testing.assert_array_equal(first.box, person.box)
    right = replace(
        person,
        keypoints=person.keypoints + np.array([10, 0, 0]),
        box=person.box + np.array([10, 0, 10, 0]),
        world=person.world + np.array([0, 0, 0.1]),
    )
    second = smooth(right, 0.04)
    shift = second.points - person.points
    assert (shift[:, 0] > 1).all()
    assert (shift[:, 0] < 10).all()
    np.testing.assert_allclose(shift[:, 1], 0, atol=1e-9)
    np.testing.assert_array_equal(second.confidence, person.confidence)
    np.testing.assert_allclose(second.box - person.box, [shift[0, 0], 0, shift[0, 0], 0], atol=1e-9)
    assert second.world is not None
    assert 0.01 < second.world[0, 2] - person.world[0, 2] < 0.1
    smooth.reset()
    np.testing.assert_array_equal(smooth(right, 0.01).keypoints, right.keypoints)
    flat = PersonSmoother()
    assert flat(replace(person, world=None), 0.0).world is None
