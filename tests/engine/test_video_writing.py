"""What is written is read back, and refused where it is no film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.video import VideoFile
from engine.video_writing import write_video


def test_round_trip(tmp_path: Path) -> None:
    frames = [np.full((31, 40, 3), shade, np.uint8) for shade in (40, 120, 200)]
    path = tmp_path / "film.mp4"
    assert write_video(path, iter(frames), 12.5) == 3
    with VideoFile(path) as video:
        assert (video.width, video.height) == (40, 30)
        assert video.rate == pytest.approx(12.5)
        shades = [float(frame.pixels.mean()) for frame in video.frames()]
    assert shades == pytest.approx([40, 120, 200], abs=4)


def test_refusals_leave_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(b"mine")
    with pytest.raises(EngineError, match="needs a frame"):
        write_video(path, [], 25)
    with pytest.raises(EngineError, match="one size"):
        write_video(path, [np.zeros((4, 4, 3), np.uint8), np.zeros((8, 4, 3), np.uint8)], 25)
    with pytest.raises(EngineError, match="more than 0"):
        write_video(path, [np.zeros((4, 4, 3), np.uint8)], 0)
    with pytest.raises(EngineError, match="could not be written"):
        write_video(tmp_path / "no" / "film.mp4", [np.zeros((4, 4, 3), np.uint8)], 25)
    assert path.read_bytes() == b"mine"
    assert [file.name for file in tmp_path.iterdir()] == ["film.mp4"]
