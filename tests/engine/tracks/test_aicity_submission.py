"""What the AI City server takes, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from engine.errors import EngineError
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.formats import TrackFile, read_tracks, write_tracks
from engine.tracks.formats.aicity_submission import enlarged

CAMERAS = (Camera("c041", width=1920, height=1080), Camera("c042", width=1280, height=960))


def tracks() -> Boxes:
    """Identity 7 in both cameras, 9 in one, a second box of 7 in a frame, one outside."""
    return Boxes.of(
        [0, 4, 4, 9, 5],
        [[10.4, 20, 100, 50.2], [1250, 900, 100, 100], [5, 5, 9, 9], [1, 2, 3, 4], [-90, 5, 50, 50]],
        tracks=[7, 7, 7, 9, 7],
        cameras=[0, 1, 1, 0, 0],
    )


def test_rows_of_a_submission(tmp_path: Path) -> None:
    path = tmp_path / "track1.txt"
    notes = write_tracks(TrackFile(tracks(), CAMERAS), path, "aicity_submission")
    rows = [line.split(" ") for line in path.read_text().splitlines()]
    assert sorted(rows) == [
        ["41", "1", "1", "10", "20", "100", "50", "-1", "-1"],
        ["42", "1", "5", "1250", "900", "30", "60", "-1", "-1"],
    ]
    assert notes == [
        "Left out: 1 box of an identity that has two in a frame.",
        "Left out: 1 box of identities that one camera alone has seen.",
        "Left out: 1 box outside of the picture.",
    ]
    again = read_tracks(path)
    assert (again.format, [camera.name for camera in again.cameras]) == ("aicity", ["c041", "c042"])


def test_enlarged_boxes(tmp_path: Path) -> None:
    np.testing.assert_allclose(
        enlarged(np.array([[100.0, 100, 50, 300]])), [[95, 80, 60, 340]], err_msg="min(1.2 w, w + 40)"
    )
    boxes = tracks()
    before = boxes.xywh.copy()
    path = tmp_path / "track1.txt"
    write_tracks(TrackFile(boxes, CAMERAS), path, "aicity_enlarged")
    assert "41 1 1 0 15 120 60 -1 -1" in path.read_text()
    assert "42 1 5 1240 890 40 70 -1 -1" in path.read_text(), "to the border of the picture"
    np.testing.assert_array_equal(boxes.xywh, before)


def test_cameras_without_numbers_are_refused(tmp_path: Path) -> None:
    cameras = (Camera("gate"), Camera("yard"))
    with pytest.raises(EngineError, match="knows cameras by their numbers"):
        write_tracks(TrackFile(tracks(), cameras), tmp_path / "x.txt", "aicity_submission")
    assert not list(tmp_path.iterdir())
    assert (
        write_tracks(TrackFile(Boxes.empty(), CAMERAS), tmp_path / "x.txt", "aicity_submission") == []
    )
    assert (tmp_path / "x.txt").read_text() == ""
