"""The example: a synthetic crossing, tracked; made beside the window's thread."""

from __future__ import annotations

from pathlib import Path

from desktop.tracks.importing import fresh_folder
from engine.tracks.scene import Scene

SEED, SECONDS, CAMERAS = 4, 60.0, 3
TRACKER = "bytetrack"


def make_example(parent: Path) -> Scene:
    """A scene of three cameras and a minute, with tracks of the tracker by overlap."""
    from engine.tracks.synthetic import make_scene
    from engine.tracks.trackers import track

    made = make_scene("medium", SEED, seconds=SECONDS, cameras=CAMERAS)
    scene = Scene.create(fresh_folder(parent, "example"), made.cameras)
    scene.name_classes({0: "vehicle"})
    scene.add_detections(made.detections, f"synthetic medium, seed {SEED}")
    found = track(made.detections, TRACKER)
    scene.add_result(TRACKER, found.rows, found.tracklets, about={"tracker": TRACKER})
    return scene
