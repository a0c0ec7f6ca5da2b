"""AOA: linking by appearance, joining, on golden files and made-up objects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.tracks.any_object import DETECTOR, AnyObjectOptions, link, track_any_object
from engine.tracks.boxes import NO_TRACK, Boxes, concatenate
from engine.tracks.track_joining import (
    join_best_first,
    join_in_order,
    one_a_frame,
    without_doubles,
)

OPTIONS = AnyObjectOptions()


def same_partition(one: NDArray[np.int64], other: NDArray[np.int64]) -> bool:
    """Whether two numberings put the same boxes together."""
    pairs = len(set(zip(one.tolist(), other.tolist(), strict=True)))
    return pairs == len(np.unique(one)) == len(np.unique(other))


def unit(features: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(features / np.linalg.norm(features, axis=1, keepdims=True), np.float64)


# --- golden ---------------------------------------------------------------------------------------


def of_table(table: NDArray[np.float64]) -> Boxes:
    return Boxes.of(table[:, 0], table[:, 2:6], scores=table[:, 6], classes=table[:, 1])


def golden_ids(detections: NDArray[np.float64], tracked: NDArray[np.float64]) -> NDArray[np.int64]:
    """The track of each detection, found by its frame and box."""
    names = {tuple(row[[0, 2, 3, 4, 5]].round(9)): int(row[1]) for row in tracked}
    return np.array([names[tuple(row[[0, 2, 3, 4, 5]].round(9))] for row in detections])


def test_golden_linking_union_and_joining(golden: Path) -> None:
    data = np.load(golden / "mtmc" / "aoa_link_seed6.npz")
    linked = []
    for name in "ab":
        table = data[f"det_{name}"]
        ids = link(of_table(table), unit(table[:, 7:]), OPTIONS)
        assert same_partition(ids, golden_ids(table, data[f"linked_{name}"]))
        linked.append(ids)
    table = np.concatenate([data["det_a"], data["det_b"]])
    boxes, looks = of_table(table), unit(table[:, 7:])
    union, wanted = golden_ids(table, data["concat"]), golden_ids(table, data["associated_070"])
    assert np.array_equal(join_in_order(boxes, union, looks, 0.7), wanted)
    detectors = np.repeat([0, 1], [len(ids) for ids in linked])
    found = track_any_object(
        boxes.with_extra(**{DETECTOR: detectors}), table[:, 7:], AnyObjectOptions(least_boxes=1)
    )
    assert same_partition(found, wanted)
    assert np.bincount(wanted)[wanted].min() == 1  # there is something for least_boxes to do
    default = track_any_object(boxes.with_extra(**{DETECTOR: detectors}), table[:, 7:], OPTIONS)
    assert np.array_equal(default == NO_TRACK, np.bincount(wanted)[wanted] == 1)


# --- linking --------------------------------------------------------------------------------------


def objects(
    seed: int, *, count: int = 4, frames: int = 20, step: int = 1, dimensions: int = 16
) -> tuple[Boxes, NDArray[np.float64]]:
    """Well told apart objects of two classes in places that say nothing; tracks are the truth."""
    rng = np.random.default_rng(seed)
    frame, track = (axis.ravel() for axis in np.mgrid[0:frames, 0:count])
    xywh = np.concatenate([rng.uniform(0, 500, (len(frame), 2)), np.full((len(frame), 2), 20.0)], 1)
    looks = np.eye(count, dimensions)[track] + 0.05 * rng.normal(size=(len(frame), dimensions))
    boxes = Boxes.of(step * frame, xywh, classes=track % 2, tracks=track, scores=rng.random(len(frame)))
    return boxes, looks


@pytest.mark.parametrize("step", [1, 30])
def test_objects_are_followed_by_appearance_whatever_the_step(step: int) -> None:
    boxes, looks = objects(1, step=step)
    assert same_partition(track_any_object(boxes, looks, OPTIONS), boxes.tracks)


def test_a_class_is_never_left() -> None:
    boxes, looks = objects(2)
    found = track_any_object(boxes, np.ones_like(looks), OPTIONS)
    for track in np.unique(found[found != NO_TRACK]).tolist():
        assert len(np.unique(boxes.classes[found == track])) == 1


@settings(max_examples=25, deadline=None)
@given(gap=strategies.integers(1, 20), at=strategies.integers(1, 8))
def test_a_gap_within_the_memory_keeps_the_track(gap: int, at: int) -> None:
    boxes, looks = objects(3, frames=40)
    there = (boxes.frames < at) | (boxes.frames >= at + gap)
    options = AnyObjectOptions(join="off")
    found = track_any_object(boxes.select(there), looks[there], options)
    # Last seen in frame at - 1, seen again in frame at + gap: gap + 1 frames later.
    kept = gap + 1 <= options.memory
    if at > 1 or kept:  # a single box before the gap is left out
        assert len(np.unique(found[boxes.tracks[there] == 0])) == (1 if kept else 2)


@settings(max_examples=25, deadline=None)
@given(seed=strategies.integers(0, 10**6), noise=strategies.floats(0, 1))
def test_the_order_of_detections_does_not_matter_and_ids_are_unique_in_a_frame(
    seed: int, noise: float
) -> None:
    rng = np.random.default_rng(seed)
    boxes, looks = objects(seed, frames=12)
    looks = looks + noise * rng.normal(size=looks.shape)
    order = rng.permutation(len(boxes))
    for join in ("compatible", "improved"):
        options = AnyObjectOptions(join=join)
        found = track_any_object(boxes, looks, options)
        shuffled = track_any_object(boxes.select(order), looks[order], options)
        assert same_partition(found[order], shuffled)
        tracked = found != NO_TRACK
        keys = np.stack([boxes.frames[tracked], found[tracked]], axis=1)
        assert len(np.unique(keys, axis=0)) == len(keys)


def test_the_nearest_of_the_gallery_counts_and_it_forgets() -> None:
    """An object that turns round: its first look comes back, within the gallery or not."""
    looks = np.repeat(np.eye(2), [1, 11], axis=0)
    looks[1:6, 0] = np.linspace(1, 0.2, 5)  # each like the one before
    looks[-1] = [1, 0]
    boxes = Boxes.of(np.arange(12), np.tile([0.0, 0, 9, 9], (12, 1)))
    assert len(np.unique(link(boxes, unit(looks), OPTIONS))) == 1
    assert len(np.unique(link(boxes, unit(looks), AnyObjectOptions(gallery=3)))) == 2


def test_nothing_one_box_and_no_appearance() -> None:
    assert len(track_any_object(Boxes.empty(), np.zeros((0, 8)), OPTIONS)) == 0
    one = Boxes.of([7], [[0, 0, 5, 5]])
    assert track_any_object(one, np.ones((1, 8)), OPTIONS).tolist() == [NO_TRACK]
    assert track_any_object(one, np.ones((1, 8)), AnyObjectOptions(least_boxes=1)).tolist() == [0]
    unknown = track_any_object(one, np.zeros((1, 8)), AnyObjectOptions(least_boxes=1))
    assert unknown.tolist() == [0]  # an appearance of nothing is like nothing
    with pytest.raises(EngineError, match="no appearances"):
        track_any_object(one, np.zeros((1, 0)), OPTIONS)


def test_it_can_be_stopped() -> None:
    boxes, looks = objects(4)

    def stop(frame: int) -> None:
        if frame == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track_any_object(boxes, looks, OPTIONS, stop)


# --- joining --------------------------------------------------------------------------------------


def spans(*parts: tuple[int, int], classes: int = 0) -> Boxes:
    """A track for each (first frame, end), all at one place."""
    made = [
        Boxes.of(
            range(first, end), np.tile([0.0, 0, 9, 9], (end - first, 1)), tracks=track, classes=classes
        )
        for track, (first, end) in enumerate(parts)
    ]
    return concatenate(made)


def test_in_order_overlapping_tracks_may_meet_in_one_best_first_they_do_not() -> None:
    """A track takes two later ones that overlap each other; the more alike of them is the right one."""
    boxes = spans((0, 5), (6, 12), (8, 14))
    looks = unit(np.array([[1, 0.0], [0.9, 0.4], [1, 0.05]]))[boxes.tracks]
    together = join_in_order(boxes, boxes.tracks, looks, 0.7)
    assert set(together.tolist()) == {0}
    single = one_a_frame(boxes.replace(scores=boxes.tracks), together)
    assert (single != NO_TRACK).sum() == 14 - 1
    assert np.array_equal(single == NO_TRACK, (boxes.tracks == 1) & (boxes.frames >= 8))
    apart = join_best_first(boxes, boxes.tracks, looks, 0.7)
    assert [set(apart[boxes.tracks == track].tolist()) for track in range(3)] == [{0}, {1}, {0}]


def test_best_first_goes_by_all_boxes_of_what_was_joined() -> None:
    """A chain of looks: the mean of the first two is too far from the third."""
    boxes = spans((0, 5), (6, 11), (12, 17))
    angles = np.deg2rad([0, 30, 65])
    looks = np.stack([np.cos(angles), np.sin(angles)], axis=1)[boxes.tracks]
    assert join_best_first(boxes, boxes.tracks, looks, 0.7)[boxes.tracks == 2].min() == 2
    assert set(join_best_first(boxes, boxes.tracks, looks, 0.6).tolist()) == {0}


def test_doubles_of_two_detectors_are_left_out_by_score_and_class() -> None:
    first, second = spans((0, 10)), spans((0, 10))
    boxes = concatenate([first.replace(scores=0.4), second.replace(scores=0.6, tracks=1)])
    found = without_doubles(boxes, boxes.tracks, 0.5)
    assert found.tolist() == [NO_TRACK] * 10 + [1] * 10
    other_class = boxes.replace(classes=boxes.tracks)
    assert np.array_equal(without_doubles(other_class, boxes.tracks, 0.5), boxes.tracks)
    half = boxes.select((boxes.tracks == 0) | (boxes.frames < 4))  # 4 of 10 frames: overlap 0.4
    assert np.array_equal(without_doubles(half, half.tracks, 0.5), half.tracks)
    assert (without_doubles(half, half.tracks, 0.39) == NO_TRACK).sum() == 10
