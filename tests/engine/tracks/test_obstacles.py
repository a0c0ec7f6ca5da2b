"""Scenes in which little can be linked: it works, and says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.artifacts import ArtifactStore
from engine.job import Finished, JobSpec, Warned
from engine.runner import run_job
from engine.tracks.boxes import Boxes, concatenate
from engine.tracks.cameras import Camera
from engine.tracks.scene import Scene
from tests.engine.tracks.test_association import LOOKS, passing, road


def linked(folder: Path, cameras: list[Camera], parts: list[Boxes]) -> tuple[dict[str, Any], list[str]]:
    """Metrics of the job, and what it warned of."""
    boxes = concatenate(parts)
    with Scene.create(folder / "scene", cameras) as scene:
        rows = scene.add_detections(boxes.replace(tracks=-1), "made up")
        scene.add_result("tracked", np.arange(rows.start, rows.stop), boxes.tracks)
    events: list[Any] = []
    spec = JobSpec("tracks.associate", {}, {"scene": folder / "scene"}, device="cpu")
    run_job(spec, "job", ArtifactStore(folder / "store"), events.append, lambda: False)
    assert isinstance(events[-1], Finished), events[-1]
    return events[-1].metrics, [event.message for event in events if isinstance(event, Warned)]


def pairs(second: int, count: int = 6, camera: int = 1) -> list[Boxes]:
    """Objects that pass camera 0, and ``second`` frames later another one."""
    return [
        passing(10 * at + side, side * camera, 60 * at + side * second, LOOKS[at])
        for at in range(count)
        for side in range(2)
    ]


def test_one_camera(tmp_path: Path) -> None:
    parts = [passing(1, 0, 0, LOOKS[0], rows=range(10)), passing(2, 0, 2, LOOKS[0], rows=range(12, 30))]
    figures, told = linked(tmp_path, road(1), parts)
    assert (figures["identities"], figures["links"]) == (1, 0)
    assert told == ["There is one camera: its tracklets were put together, nothing was linked."]


def test_two_cameras_that_recorded_at_different_times(tmp_path: Path) -> None:
    figures, told = linked(tmp_path, road(2), pairs(20_000))
    assert (figures["identities"], figures["in_several_cameras"]) == (12, 0)
    assert len(told) == 1
    assert told[0].startswith("c1 saw the first only 33 minutes after the last in c0: nobody can")


def test_clocks_an_hour_apart_are_told(tmp_path: Path) -> None:
    """They recorded together; somebody was in another time zone."""
    good, told = linked(tmp_path / "good", road(2), pairs(200))
    assert (good["in_several_cameras"], told) == (6, [])
    wrong = [replace(camera, offset=3600.0 * at) for at, camera in enumerate(road(2))]
    figures, told = linked(tmp_path / "wrong", wrong, pairs(200))
    assert figures["in_several_cameras"] == 0
    assert "60 minutes after" in told[0]
    assert "correct the clocks" in told[0]


@pytest.mark.parametrize("zones", [0, 1])
def test_cameras_without_zones(tmp_path: Path, zones: int) -> None:
    """By looks and time where none has zones; the one that lacks them is named where others have."""
    cameras = [*road(2)[:zones], *(camera.with_zones(()) for camera in road(3)[zones:])]
    parts = pairs(200, camera=2)
    figures, told = linked(tmp_path, cameras, parts)
    if zones:
        assert figures["in_several_cameras"] == 0
        assert told == [
            "Nothing was tracked in c1: nobody can be linked there.",
            "No zone leads to c2 or away: nobody can be linked there.",
        ]
    else:
        assert figures["in_several_cameras"] == 6
        assert "by looks and time alone" in told[1]


def test_nothing_in_one_camera(tmp_path: Path) -> None:
    figures, told = linked(tmp_path, road(3), pairs(200))
    assert figures["in_several_cameras"] == 6
    assert told == ["Nothing was tracked in c2: nobody can be linked there."]
