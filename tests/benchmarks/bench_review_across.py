"""How far up the review lists planted errors between cameras, and how much it lists of true ways.

    python tests/benchmarks/bench_review_across.py [--plants 30]

True passages of synthetic networks (four cameras, ten minutes) with what a detector finds; one error at
a time: the identities of two passages at a camera are exchanged, or an identity is broken in two.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.tracks import edits
from engine.tracks.boxes import NO_TRACK
from engine.tracks.cameras import Camera
from engine.tracks.events import WAYS, suspicious_events
from engine.tracks.synthetic import make_scene
from engine.tracks.track_motion import flatten
from engine.tracks.tracklet_ends import Ends
from engine.tracks.tracklets import TrackState

ACROSS = (*WAYS, "missing")


def true_scene(preset: str, seed: int) -> tuple[TrackState, tuple[Camera, ...]]:
    """Tracklets are true passages, identities true vehicles."""
    made = make_scene(preset, seed, seconds=600, cameras=4)
    truth, found = made.truth, made.detections
    _, passage = np.unique(truth.extra["passage"], return_inverse=True)
    keys = zip(truth.cameras.tolist(), truth.frames.tolist(), truth.tracks.tolist(), strict=True)
    known = dict(zip(keys, passage.tolist(), strict=True))
    asked = zip(found.cameras.tolist(), found.frames.tolist(), made.sources.tolist(), strict=True)
    owner = np.array([known.get(key, NO_TRACK) for key in asked])
    whose = dict(zip(passage.tolist(), truth.tracks.tolist(), strict=True))
    return TrackState(found, owner, whose), made.cameras


def ranks(state: TrackState, cameras: tuple[Camera, ...], plants: int) -> dict[str, list[float]]:
    """Place in the list of each planted error; infinite where it is not there."""
    flat = flatten(state)
    ends = Ends(flat, cameras)
    ways = ends.passages()
    found: dict[str, list[float]] = {"exchanged": [], "broken": []}
    chosen = np.random.default_rng(1).choice(len(ways.one), min(plants, len(ways.one)), replace=False)
    for at in chosen.tolist():
        x = int(flat.names[ways.other[at]])
        there = np.flatnonzero(flat.cameras == flat.cameras[ways.other[at]])
        near = there[np.argsort(np.abs(ends.begin[there] - ends.begin[ways.other[at]]))]
        y, identity = int(flat.names[near[1]]), state.identity_of(x)
        if identity != state.identity_of(y):
            wrong = state.copy()
            wrong.apply(edits.reassign(wrong, [x], state.identity_of(y)))
            wrong.apply(edits.reassign(wrong, [y], identity))
            found["exchanged"].append(place(wrong, cameras, {x, y}, ACROSS))
        later = (flat.identities == identity) & (ends.begin >= ends.begin[ways.other[at]])
        wrong = state.copy()
        wrong.apply(edits.reassign(wrong, flat.names[later].tolist(), None))
        found["broken"].append(place(wrong, cameras, {x}, ("missing",)))
    return found


def place(
    state: TrackState, cameras: tuple[Camera, ...], who: set[int], kinds: tuple[str, ...]
) -> float:
    """From 1."""
    events = suspicious_events(state, cameras)
    hits = [n for n, e in enumerate(events, 1) if e.kind in kinds and who & set(e.tracklets)]
    return hits[0] if hits else float("inf")


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plants", type=int, default=30)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12])
    options = parser.parse_args()
    print("| preset | ways | listed of true ones | planted | first | in first five | not listed | ms |")
    print("|---|---|---|---|---|---|---|---|")
    for preset in ("easy", "medium", "hard"):
        count = listed = 0
        found: dict[str, list[float]] = {"exchanged": [], "broken": []}
        for seed in options.seeds:
            state, cameras = true_scene(preset, seed)
            flat = flatten(state)
            count += len(Ends(flat, cameras).passages().one)
            start = time.thread_time()
            listed += sum(event.kind in ACROSS for event in suspicious_events(state, cameras))
            taken = 1000 * (time.thread_time() - start)
            for kind, some in ranks(state, cameras, options.plants).items():
                found[kind] += some
        for kind, some in found.items():
            shares = [np.mean([r <= n for r in some]) for n in (1, 5)] + [np.mean(np.isinf(some))]
            told = " | ".join(f"{share:.0%}" for share in shares)
            print(f"| {preset} | {count} | {listed} | {len(some)} {kind} | {told} | {taken:.0f} |")


if __name__ == "__main__":
    main()
