"""Evaluate a million boxes: HOTA, CLEAR MOT, identity, and the list of errors, on one core.

``python tests/benchmarks/bench_tracks_evaluate.py [--boxes 1000000] [--crowd 25]``
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
from engine.tracks.evaluate_errors import errors


def scene(boxes: int, crowd: int, seed: int) -> tuple[Boxes, Boxes]:
    """``crowd`` walkers a frame in a 1920 x 1080 picture, and what a mediocre tracker makes of them."""
    rng = np.random.default_rng(seed)
    frames = boxes // crowd
    life = 200  # frames that each of them is seen
    slot, frame = (axis.ravel() for axis in np.mgrid[0:crowd, 0:frames])
    track = slot * (frames // life + 1) + (frame + slot * 7) // life
    start, speed = rng.uniform(0, 1, (track.max() + 1, 2)), rng.normal(0, 1.5, (track.max() + 1, 2))
    age = ((frame + slot * 7) % life)[:, None]
    corner = start[track] * [1900, 1000] + speed[track] * age
    size = rng.uniform(40, 160, (track.max() + 1, 1))[track] * [1, 1.6]
    xywh = np.concatenate([corner, size], axis=1)
    truth = Boxes.of(frame, xywh, tracks=track)
    noisy = xywh + rng.normal(0, 0.06, xywh.shape) * size[:, :1]
    cut = track * 4 + (age[:, 0] * rng.integers(1, 4, track.max() + 1)[track]) // life
    found = Boxes.of(frame, np.maximum(noisy, 1), tracks=cut).select(rng.random(len(frame)) < 0.92)
    return truth, found


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--boxes", type=int, default=1_000_000)
    parser.add_argument("--crowd", type=int, nargs="+", default=[10, 25, 100])
    options = parser.parse_args()
    for crowd in options.crowd:
        truth, found = scene(options.boxes, crowd, 5)
        begin = time.process_time()
        result = evaluate(truth, found)
        middle = time.process_time()
        listed = errors(result, truth, found)
        end = time.process_time()
        figures = {name: round(result.figures[name], 4) for name in ("HOTA", "MOTA", "IDF1", "IDSW")}
        print(
            json.dumps(
                {
                    "boxes": len(truth),
                    "boxes_a_frame": crowd,
                    "overlapping_pairs": len(result.pairs.g),
                    "seconds": round(middle - begin, 1),
                    "seconds_for_errors": round(end - middle, 2),
                    "errors": len(listed),
                    **figures,
                }
            )
        )


if __name__ == "__main__":
    main()
