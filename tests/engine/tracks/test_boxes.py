"""Boxes as columns."""

from __future__ import annotations

import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks.boxes import NO_TRACK, Boxes, concatenate


def test_numbers_count_for_all_boxes() -> None:
    boxes = Boxes.of([3, 1], [[0, 0, 2, 2], [1, 1, 4, 4]], scores=0.5, cameras=[1, 0])
    assert boxes.scores.tolist() == [0.5, 0.5]
    assert boxes.tracks.tolist() == [NO_TRACK] * 2
    assert [column.dtype.name for column in boxes.columns().values()] == [
        "int64", "float32", "float32", "int64", "int64", "int64",
    ]  # fmt: skip
    assert boxes.xyxy().tolist() == [[0, 0, 2, 2], [1, 1, 5, 5]]


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(EngineError, match="scores"):
        Boxes.of([1, 2], np.ones((2, 4)), scores=[1, 2, 3])
    with pytest.raises(EngineError, match=r"\(2, 4\)"):
        Boxes.of([1, 2], np.ones((3, 4)))
    with pytest.raises(EngineError, match="visibility"):
        Boxes.of([1, 2], np.ones((2, 4)), extra={"visibility": [1.0]})


def test_sorting_is_by_camera_frame_and_track_and_keeps_extra() -> None:
    boxes = Boxes.of(
        [2, 1, 1],
        np.arange(12).reshape(3, 4),
        tracks=[1, 2, 1],
        cameras=[0, 1, 1],
        extra={"n": [0, 1, 2]},
    )
    assert boxes.sorted().extra["n"].tolist() == [0, 2, 1]
    assert boxes.select(boxes.cameras == 1).extra["n"].tolist() == [1, 2]
    assert len(boxes.select([])) == 0


def test_concatenation_fills_missing_columns() -> None:
    seen = Boxes.of(
        [1], np.ones((1, 4)), extra={"visibility": np.array([0.5]), "occluded": np.array([1])}
    )
    joined = concatenate([seen, Boxes.of([2], np.ones((1, 4)))])
    assert np.isnan(joined.extra["visibility"][1])
    assert joined.extra["occluded"].tolist() == [1, 0]
    assert joined.frames.tolist() == [1, 2]
    assert len(concatenate([])) == 0


def test_equality_looks_at_every_column() -> None:
    boxes = Boxes.of([1, 2], np.ones((2, 4)), extra={"visibility": [np.nan, 1.0]})
    assert boxes.equals(boxes.select(slice(None)))
    assert not boxes.equals(boxes.replace(tracks=[1, -1]))
    assert not boxes.equals(Boxes.of([1, 2], np.ones((2, 4))))
