"""Boxes from files as a detector."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks.detection.catalogue import load_detector
from engine.video import Frame

NOBODY = lambda: None  # noqa: E731
BLACK = np.zeros((50, 60, 3), np.uint8)


def frame(index: int) -> Frame:
    return Frame(index, index / 10, BLACK)


def test_a_file_of_one_camera_is_about_any_video(tmp_path: Path) -> None:
    path = tmp_path / "boxes.txt"
    path.write_text("1,-1,10,5,20,30,0.8\n3,-1,11,5,20,30,0.5\n3,-1,40,5,9,9,0.9\n")
    detector = load_detector(str(path))
    detector.begin(None, "anything", NOBODY)  # type: ignore[arg-type]
    first, second, third = detector.detect([frame(0), frame(1), frame(2)])
    assert first.boxes.tolist() == [[10, 5, 30, 35]]
    assert len(second) == 0
    assert third.scores.tolist() == pytest.approx([0.5, 0.9])
    assert set(detector.class_names) >= set(third.classes.tolist())


def test_cameras_are_found_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "many.txt"
    path.write_text("1 7 1 10 10 20 20 -1 -1\n2 7 1 30 10 20 20 -1 -1\n")
    detector = load_detector(str(path))
    detector.begin(None, "c002", NOBODY)  # type: ignore[arg-type]
    assert detector.detect([frame(0)])[0].boxes[0, 0] == pytest.approx(30, abs=1)
    with pytest.raises(EngineError, match="cameras c001, c002, not of c003"):
        detector.begin(None, "c003", NOBODY)  # type: ignore[arg-type]
