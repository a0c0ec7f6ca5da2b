"""Scenes of videos: lengths that files do not tell, cameras of one name, broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from desktop.tracks.importing import scene_of_videos
from engine.errors import EngineError, ErrorCode
from engine.video_writing import write_video


def film(path: Path, frames: int = 12) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, (np.full((48, 64, 3), 9 * n, np.uint8) for n in range(frames)), 10)
    return path


def matroska(path: Path, frames: int) -> Path:
    """The format does not say how many frames there are."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(frames):
            pixels = np.full((48, 64, 3), 9 * n, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def test_every_video_is_a_camera_with_its_length(tmp_path: Path) -> None:
    videos = [film(tmp_path / "a.mp4"), matroska(tmp_path / "b.mkv", 7)]
    with scene_of_videos(videos, tmp_path / "scenes").scene as scene:
        told = [(camera.name, camera.frames, camera.fps) for camera in scene.cameras]
    assert told == [("a", 12, 10.0), ("b", 7, 10.0)]


def test_cameras_of_one_name_are_called_after_their_folders(tmp_path: Path) -> None:
    videos = [film(tmp_path / name / "vdo.mp4") for name in ("c001", "c002", "x/c002")]
    videos.append(film(tmp_path / "other.mp4"))
    with scene_of_videos(videos, tmp_path / "scenes").scene as scene:
        names = [camera.name for camera in scene.cameras]
    assert names == ["c001 vdo", "c002 vdo 1", "c002 vdo 2", "other"]


def test_a_broken_video_makes_no_scene(tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(film(tmp_path / "a.mp4").read_bytes()[:200])
    with pytest.raises(EngineError) as caught:
        scene_of_videos([tmp_path / "a.mp4", tmp_path / "bad.mp4"], tmp_path / "scenes")
    assert caught.value.code is ErrorCode.BAD_FILE
    assert not (tmp_path / "scenes").exists()
