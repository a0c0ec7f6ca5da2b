"""Rendered synthetic scenes: what is drawn is where the truth says, and reads back frame by frame."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from engine.cli import main
from engine.errors import EngineError
from engine.tracks.scene import Scene
from engine.tracks.synthetic import make_scene
from engine.tracks.synthetic_video import frames, write_video
from engine.video import VideoFile


def test_vehicles_are_drawn_where_the_truth_has_them() -> None:
    made = make_scene("twins", 2)
    pictures = {at: picture for at, picture in enumerate(islice(frames(made, 0), 100)) if at % 4 == 0}
    np.testing.assert_array_equal(pictures[0], next(frames(made, 0)))
    # A median over time shows the ground alone; what differs from it is in the boxes, and only there.
    ground = np.median(np.stack(list(pictures.values())), axis=0)
    inside, outside = [], []
    boxes = made.drawn.select(made.drawn.cameras == 0)
    for frame in range(0, 100, 8):
        moved = np.abs(pictures[frame].astype(float) - ground).max(axis=2) > 30
        mask = np.zeros(moved.shape, bool)
        for left, top, width, height in boxes.xywh[boxes.frames == frame].astype(int):
            mask[max(top - 4, 0) : top + height + 4, max(left - 4, 0) : left + width + 4] = True
        outside.append(moved[~mask].mean())
        if mask.any():
            inside.append(moved[mask].mean())
    assert len(inside) > 2
    assert np.mean(inside) > 0.3
    assert np.max(outside) < 0.01


def test_the_command_writes_videos(tmp_path: Path) -> None:
    words = ["scene", "make", "--preset", "easy", "--minutes", "0.04", "--cameras", "2", "--video"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    with Scene.open(tmp_path / "scene") as scene:
        for camera in scene.cameras:
            with VideoFile(scene.folder / camera.video) as video:
                assert video.size == (960, 540)
                assert video.rate == pytest.approx(10)
                assert video.frame_count == camera.frames == 24
                assert video.frame_at(23).pixels.std() > 10


def test_a_video_is_whole_or_not_there(tmp_path: Path) -> None:
    made = make_scene("easy", 2, seconds=1, cameras=1)
    calls = []

    def stop() -> None:
        calls.append(0)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(made, 0, tmp_path / "v.mp4", check=stop)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match="could not be written"):
        write_video(made, 0, tmp_path / "file" / "v.mp4")
