"""How long the Tracks page takes for an edit of a large scene: 40,000 tracklets, a million boxes.

``QT_QPA_PLATFORM=offscreen python tests/benchmarks/bench_tracks_edit.py [--tracklets 40000]``

Processor time of the window's thread, from the key to its being free again: recorded on disk, timeline
and lists shown anew.
Suspicious events are looked for afterwards, beside it; the longest pause of the event loop meanwhile.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from PySide6.QtGui import QUndoStack
from PySide6.QtWidgets import QApplication

from desktop.actions import Actions
from desktop.bridge import Bridge, process_executor
from desktop.services import Services
from desktop.settings import Settings
from desktop.shell.notifications import Notifications
from desktop.theme import Theme
from desktop.tracks.page import TracksPage
from engine.project import Project
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera
from engine.tracks.scene import Scene

LENGTH, EDITS = 25, 12


def make(folder: Path, count: int) -> Path:
    """Tracklets of 25 boxes at random in an hour of six cameras."""
    rng = np.random.default_rng(0)
    steps = np.arange(LENGTH)
    frames = (rng.integers(0, 36_000, count)[:, None] + steps).ravel()
    left = (rng.uniform(0, 1700, count)[:, None] + 3 * steps).ravel()
    top = np.repeat(rng.uniform(0, 900, count), LENGTH)
    size = np.full(count * LENGTH, 60.0)
    features = np.repeat(rng.normal(size=(count, 32)).astype(np.float32), LENGTH, 0)
    cameras = np.repeat(rng.integers(0, 6, count), LENGTH)
    xywh = np.stack([left, top, size, 2 * size], axis=1)
    names = [Camera(f"c{at}", fps=10, width=1920, height=1080) for at in range(6)]
    with Scene.create(folder, names) as scene:
        scene.add_detections(Boxes.of(frames, xywh, cameras=cameras, extra={"features": features}), "")
        tracklets = np.repeat(np.arange(count), LENGTH)
        identities = {at: at % (count * 3 // 8) for at in range(count)}
        scene.add_result("made up", np.arange(count * LENGTH), tracklets, identities)
    return folder


def main() -> None:
    """Print medians and the worst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracklets", type=int, default=40_000)
    options = parser.parse_args()
    app = QApplication([])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        theme = Theme("dark")
        project, settings = Project.create(root / "project"), Settings(root / "settings.json")
        actions = Actions(theme, settings)
        bridge = Bridge(project, process_executor)
        undo = QUndoStack()
        services = Services(project, bridge, settings, actions, theme, Notifications(), undo)
        page = TracksPage(services)
        page.resize(1600, 900)
        page.show()

        def until(done: Callable[[], bool]) -> float:
            """Let the loop run; the longest pause, milliseconds."""
            worst, before = 0.0, time.perf_counter()
            while not done():
                app.processEvents()
                worst, before = max(worst, time.perf_counter() - before), time.perf_counter()
                time.sleep(0.001)
            return 1000 * worst

        page.model.open(make(root / "scene", options.tracklets))
        until(lambda: page.model.result is not None and not page.review.busy)
        taken: dict[str, list[float]] = {"edit": [], "undo": []}
        pauses = []
        for at in range(EDITS):
            page.model.select([100 + at])
            until(lambda: not page.card.busy)
            for what, do in (("edit", page.editing.separate), ("undo", undo.undo)):
                start = time.thread_time()
                do()
                taken[what].append(1000 * (time.thread_time() - start))
                pauses.append(until(lambda: not page.review.busy))
        for what, some in taken.items():
            print(f"{what}: median {np.median(some):.0f} ms, worst {max(some):.0f} ms")
        print(
            f"event loop while events are looked for: longest pause {np.median(pauses):.0f} ms (median)"
        )
        os._exit(0)  # the window's threads are of no use any more


if __name__ == "__main__":
    main()
