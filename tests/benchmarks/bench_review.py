"""Planted switches among the suspicious events: their rank, and how long looking for events takes.

``python tests/benchmarks/bench_review.py [--seeds 11 12 13 14 15]``

In a tracker's result two tracklets that overlap are exchanged from there on; everything that the
tracker did wrong itself competes with that.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.edits import swap
from engine.tracks.event_pairs import MEET, touches
from engine.tracks.events import suspicious_events
from engine.tracks.synthetic import make_scene
from engine.tracks.track_motion import flatten
from engine.tracks.trackers import track
from engine.tracks.tracklets import TrackState

LEAST = 8
"""Boxes of either before and after the exchange."""


def places(state: TrackState) -> list[tuple[int, int, int]]:
    """Where two tracklets could be exchanged: a frame a pair, that of the largest overlap."""
    flat = flatten(state)
    met = touches(flat)
    best: dict[tuple[int, int], tuple[float, int]] = {}
    for a, b, frame, iou in zip(
        *(x.tolist() for x in (met.a, met.b, met.frames, met.iou)), strict=True
    ):
        spans = [flat.boxes.frames[flat.starts[t] : flat.starts[t + 1]] for t in (a, b)]
        room = min(min((s < frame).sum(), (s >= frame).sum()) for s in spans)
        if room >= LEAST and iou >= MEET:
            best[a, b] = max(best.get((a, b), (0.0, 0)), (iou, frame))
    names = flat.names
    return [(int(names[a]), int(names[b]), frame) for (a, b), (_, frame) in best.items()]


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("--tracker", default="bytetrack")
    options = parser.parse_args()
    for preset in ("easy", "medium", "hard"):
        for looks in (True, False):
            ranks, off, seconds, boxes = [], [], [], []
            for seed in options.seeds:
                scene = make_scene(preset, seed, seconds=120, cameras=4)
                found = track(scene.detections, options.tracker)
                given = scene.detections if looks else Boxes(**scene.detections.columns())
                who = np.full(len(given), NO_TRACK)
                who[found.rows] = found.tracklets
                for first, second, frame in places(TrackState(given, who, {})):
                    state = TrackState(given, who, {})
                    state.apply(swap(state, first, second, frame))
                    begin = time.process_time()
                    events = suspicious_events(state, scene.cameras)
                    seconds.append(time.process_time() - begin)
                    boxes.append(len(given))
                    hits = [
                        (rank, abs(event.frame - frame))
                        for rank, event in enumerate(events, 1)
                        if event.kind == "swap" and set(event.tracklets) == {first, second}
                    ]
                    ranks.append(hits[0][0] if hits else 10**6)
                    off += [hits[0][1]] if hits else []
            array = np.array(ranks)
            print(
                json.dumps(
                    {
                        "preset": preset,
                        "looks": looks,
                        "planted": len(ranks),
                        "first": round(float((array == 1).mean()), 3),
                        "in_top_5": round(float((array <= 5).mean()), 3),
                        "exact_frame": round(float((np.array(off) == 0).mean()), 3),
                        "boxes": round(float(np.mean(boxes))),
                        "seconds": round(float(np.median(seconds)), 3),
                    }
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
