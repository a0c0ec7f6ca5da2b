"""Trackers on synthetic scenes: how well, and how fast.

``python tests/benchmarks/bench_tracks.py [--seeds 11 12 13 14 15] [--minutes 3] [--json]``: means over
the seeds, each camera measured by itself; all trackers on the same boxes in one run. Then seconds for
about 27,000 boxes, beside ByteTrack as the baseline.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.tracks.boxes import Boxes
from engine.tracks.evaluate import evaluate
from engine.tracks.synthetic import PRESETS, make_scene
from engine.tracks.trackers import TRACKERS, track

FIGURES = ("HOTA", "AssA", "IDF1", "MOTA", "IDSW")
BASELINE = "bytetrack"
VARIANTS = {name: (name, {}) for name in TRACKERS.names()} | {
    "aoa improved": ("aoa", {"join": "improved"})
}
"""What is measured: trackers with their settings."""
MANY = 27_000


def measured(detections: Boxes, truth: Boxes, variant: str) -> dict[str, float]:
    """One tracker on one scene: figures averaged over cameras (switches summed), seconds."""
    started = time.perf_counter()
    found = track(detections, *VARIANTS[variant])
    seconds = time.perf_counter() - started
    linked = detections.select(found.rows).replace(tracks=found.tracklets)
    rows = [
        evaluate(truth.select(truth.cameras == at), linked.select(linked.cameras == at)).figures
        for at in np.unique(truth.cameras)
    ]
    figures = {name: float(np.mean([row[name] for row in rows])) for name in FIGURES}
    figures["IDSW"] *= len(rows)
    return {**figures, "seconds": seconds, "boxes": len(detections)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    table: dict[str, dict[str, dict[str, float]]] = {}
    for preset in PRESETS:
        scenes = [make_scene(preset, seed, seconds=60 * options.minutes) for seed in options.seeds]
        for tracker in VARIANTS:
            rows = [measured(scene.detections, scene.truth, tracker) for scene in scenes]
            means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
            table.setdefault(preset, {})[tracker] = means
    large = make_scene("hard", 1, seconds=360)
    large_boxes = large.detections.select(slice(0, MANY))
    seconds: dict[str, float] = {}
    for tracker in VARIANTS:
        started = time.process_time()
        track(large_boxes, *VARIANTS[tracker])
        seconds[tracker] = time.process_time() - started
    if options.json:
        print(json.dumps({"table": table, "seconds": seconds, "boxes": len(large_boxes)}))
        return
    for preset, trackers in table.items():
        for tracker, row in trackers.items():
            told = " ".join(f"{name} {row[name]:.3f}" for name in FIGURES)
            print(f"{preset:8} {tracker:12} {told} ({row['boxes']:.0f} boxes, {row['seconds']:.1f} s)")
    for tracker, value in seconds.items():
        ratio = value / seconds[BASELINE]
        print(f"{len(large_boxes)} boxes: {tracker} {value:.1f} s, {ratio:.2f} times {BASELINE}")


if __name__ == "__main__":
    main()
