"""Boxes of several detectors: fused by the formulas of weighted boxes fusion."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks.detection.found import Found, together
from engine.tracks.detection.fusion import Fused, fuse
from engine.video import Frame, VideoFile


def test_boxes_of_one_thing_become_their_weighted_mean() -> None:
    a = Found.of([[0, 0, 10, 10], [50, 50, 60, 60]], [0.8, 0.6])
    b = Found.of([[2, 0, 12, 10]], [0.4])
    fused = fuse([a, b])
    np.testing.assert_allclose(fused.boxes[0], [0.8 / 1.2, 0, 12.8 / 1.2, 10])
    np.testing.assert_allclose(fused.scores, [0.6, 0.3])  # mean of both; half, as one of two saw it
    np.testing.assert_allclose(fused.boxes[1], [50, 50, 60, 60])


def test_weights_classes_and_the_least_overlap_count() -> None:
    a, b = Found.of([[0, 0, 10, 10]], [0.9], 1), Found.of([[1, 0, 11, 10]], [0.3], 1)
    np.testing.assert_allclose(fuse([a, b], [2, 1]).scores, [(1.8 + 0.3) / 2 * 2 / 3])
    assert len(fuse([a, b], least_overlap=0.9)) == 2
    other = Found.of(b.boxes, b.scores, 2)
    assert fuse([a, other]).classes.tolist() == [1, 2]
    assert len(fuse([])) == len(fuse([Found.nothing(), Found.nothing()])) == 0


class Says:
    """A detector that says the same of every frame."""

    batch = 3

    def __init__(self, names: Mapping[int, str], found: Found) -> None:
        self.name, self.class_names, self._found = "/".join(names.values()), names, found
        self.begun = 0

    def begin(self, video: VideoFile, camera: str, check: Callable[[], None]) -> None:
        self.begun += 1

    def detect(self, frames: Sequence[Frame]) -> list[Found]:
        return [self._found for _ in frames]


def test_classes_meet_by_their_names() -> None:
    cars = Says({2: "car"}, Found.of([[0, 0, 10, 10]], [0.5], 2))
    both = Says(
        {0: "bus", 1: "car"},
        together([Found.of([[0, 0, 10, 10]], [0.7], 1), Found.of([[40, 0, 50, 9]], [0.9], 7)]),
    )
    detector = Fused([cars, both])
    detector.begin(None, "c", lambda: None)  # type: ignore[arg-type]
    assert cars.begun == both.begun == 1
    frame = Frame(0, 0.0, np.zeros((60, 60, 3), np.uint8))
    first, second = detector.detect([frame, frame])
    assert [detector.class_names[number] for number in first.classes] == ["car", "class 7"]
    np.testing.assert_allclose(first.scores, [0.6, 0.45])
    np.testing.assert_array_equal(first.boxes, second.boxes)
    assert detector.name == "car + bus/car"


def test_wrong_weights_are_refused() -> None:
    one = Says({0: "x"}, Found.nothing())
    for parts, weights in (([], None), ([one], [1, 2]), ([one], [0])):
        with pytest.raises(EngineError, match="cannot be put together"):
            Fused(parts, weights)


def test_each_thing_is_kept_once_among_its_class() -> None:
    found = Found.of([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10]], [0.5, 0.9, 0.7], [0, 0, 1])
    assert found.once(0.5).scores.tolist() == [0.9]
    assert found.once(0.5, per_class=True).scores.tolist() == [0.9, 0.7]
    assert len(Found.nothing().once(0.5, per_class=True)) == 0
    clipped = Found.of([[-5, -5, 5, 5], [90, 90, 100, 100], [3, 3, 3.5, 9]], [1, 1, 1]).clipped(50, 40)
    assert clipped.boxes.tolist() == [[0, 0, 5, 5]]
