"""Association over cameras on synthetic scenes: IDF1 by the rules of AI City, and seconds.

``python tests/benchmarks/bench_association.py [--seeds 11 12 13 14 15] [--preset hard] [--json]``: the
baseline is ByteTrack with average linkage of mean looks, its cut the best of six by the truth (in its
favour). The oracle gives every tracklet of the JDE tracker its true identity: more cannot be reached by
association alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.tracks.association import AssociateOptions, associate
from engine.tracks.boxes import Boxes
from engine.tracks.evaluate_network import evaluate_network
from engine.tracks.evaluate_pairs import pair_up
from engine.tracks.itineraries import itineraries, travel_times
from engine.tracks.multi_camera import NOBODY, associate_along_road
from engine.tracks.synthetic import SyntheticScene, make_scene
from engine.tracks.temporal_mask import Arm, Passages, temporal_mask
from engine.tracks.trackers import track
from engine.tracks.tracklet_filter import taking_part
from engine.tracks.visits import OUTSIDE, Visits, visits_of

CUTS = (0.1, 0.2, 0.25, 0.3, 0.35, 0.4)
WAYS = {
    "zones": AssociateOptions(),
    "one window": AssociateOptions(learn=False),
    "nothing left out": AssociateOptions(leave_out=False),
    "parts not joined": AssociateOptions(join_parts=False),
    "no time windows": AssociateOptions(least_seconds=-3600, most_seconds=3600, learn=False),
    "mean look of a camera alone": AssociateOptions(ridge=1e6),
    "no zones": AssociateOptions(zones="off"),
}
"""As it is, and with one thing each switched off."""


def tracked(scene: SyntheticScene, tracker: str) -> Boxes:
    """Its boxes, with tracklets."""
    found = track(scene.detections, tracker)
    return scene.detections.select(found.rows).replace(tracks=found.tracklets)


def score(scene: SyntheticScene, boxes: Boxes, identities: np.ndarray) -> float:
    """IDF1 where tracklets have these identities; of two boxes in a frame the first counts."""
    own = boxes.replace(tracks=identities[boxes.tracks])
    keys = np.stack([own.cameras, own.frames, own.tracks], axis=1)
    own = own.select(np.unique(keys, axis=0, return_index=True)[1])
    names = [camera.name for camera in scene.cameras]
    found = evaluate_network(scene.truth, own, names, several_cameras_only=True)
    return found.network.figures["IDF1"]


def oracle(scene: SyntheticScene, boxes: Boxes) -> np.ndarray:
    """The true identity of each tracklet, by most of its boxes."""
    pairs = pair_up(scene.truth, boxes)
    good = pairs.iou > 0.5
    true = np.full(len(boxes), -1)
    true[pairs.predicted.rows[pairs.p[good]]] = scene.truth.tracks[pairs.truth.rows[pairs.g[good]]]
    count = int(boxes.tracks.max()) + 1
    identities = 10**6 + np.arange(count)
    for tracklet in range(count):
        votes = true[(boxes.tracks == tracklet) & (true >= 0)]
        if len(votes):
            identities[tracklet] = np.bincount(votes).argmax()
    return identities


def measured(scene: SyntheticScene) -> dict[str, float]:
    """All figures of one scene."""
    plain = tracked(scene, "bytetrack")
    visits = visits_of(plain, scene.cameras, join_parts=False)
    tree = linkage(visits.looks, "average", "cosine")
    figures = {"baseline": max(score(scene, plain, fcluster(tree, cut, "distance")) for cut in CUTS)}
    boxes = tracked(scene, "jde")
    figures["oracle"] = score(scene, boxes, oracle(scene, boxes))
    for name, options in WAYS.items():
        started = time.process_time()
        visits = visits_of(boxes, scene.cameras, join_parts=options.join_parts)
        if options.leave_out and options.zones != "off":
            visits, _ = taking_part(visits, boxes, scene.cameras)
        found = associate(visits, scene.cameras, options)
        if name == "zones":
            figures["seconds"] = time.process_time() - started
        figures[name] = score(scene, boxes, named(visits, found.identities, boxes))
    # The published program knows no parts of a visit.
    visits = visits_of(boxes, scene.cameras, join_parts=False)
    figures["published"] = score(scene, boxes, named(visits, published(scene, visits), boxes))
    return figures


def named(visits: Visits, identities: np.ndarray, boxes: Boxes) -> np.ndarray:
    """The identity of each tracklet, by its number."""
    found = 10**6 + np.arange(int(boxes.tracks.max()) + 1)  # nobody else, where it is left out
    for tracklets, identity in zip(visits.tracklets, identities, strict=True):
        found[list(tracklets)] = identity
    return found


def published(scene: SyntheticScene, visits: Visits) -> np.ndarray:
    """Identities by the association of the AI City winner along the road.

    Its table of least travel times is the true one, which is in its favour.
    """
    count = len(scene.cameras)
    times = travel_times(itineraries(scene.truth, scene.cameras))
    step = np.full(count - 1, np.inf)
    for (one, other), seconds in times.items():
        if abs(one - other) == 1:
            at = min(one, other)
            step[at] = min(step[at], float(seconds.min()))
    place = np.r_[0.0, np.cumsum(np.maximum(np.where(np.isfinite(step), step, 0.0), 0.0))]
    travel = np.abs(place[:, None] - place[None])
    arms = [
        np.select(
            [there == visits.cameras + 1, there == visits.cameras - 1, there == OUTSIDE],
            [int(Arm.NEXT), int(Arm.PREVIOUS), int(Arm.SIDE_A)],
            int(Arm.CROSSING),
        )
        for there in (visits.came_from, visits.went_to)
    ]
    passages = Passages(visits.cameras, *arms, visits.t_in, visits.t_out)
    mask = temporal_mask(passages, travel, clip_end=float(visits.t_out.max()) - 1)
    found = associate_along_road(passages, visits.looks, mask)
    alone = found == NOBODY
    found[alone] = found.max(initial=0) + 1 + np.arange(int(alone.sum()))
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("--preset", default="hard")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = {seed: measured(make_scene(options.preset, seed)) for seed in options.seeds}
    means = {
        name: float(np.mean([row[name] for row in rows.values()])) for name in rows[options.seeds[0]]
    }
    if options.json:
        print(json.dumps({"seeds": rows, "means": means}))
        return
    for name, row in [*rows.items(), ("mean", means)]:
        print(
            f"{options.preset} {name}: " + ", ".join(f"{key} {value:.3f}" for key, value in row.items())
        )
    more, share = means["zones"] - means["baseline"], means["zones"] / means["oracle"]
    print(f"zones: baseline + {more:.3f}, {share:.3f} of the oracle")


if __name__ == "__main__":
    main()
