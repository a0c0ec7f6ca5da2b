"""Zones suggested from tracks beside the scene's own: IDF1 of the association over cameras.

``python tests/benchmarks/bench_zone_suggestions.py [--seeds 11 12 13 14 15] [--preset hard] [--json]``:
who sets the cameras up takes what is suggested and says only that left and right lead to the cameras
before and after; the other zones stay exits. Nothing else is told.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.tracks.association import AssociateOptions, associate
from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.cameras import Camera
from engine.tracks.evaluate_network import evaluate_network
from engine.tracks.synthetic import SyntheticScene, make_scene
from engine.tracks.track_motion import flatten
from engine.tracks.trackers import track
from engine.tracks.tracklets import TrackState
from engine.tracks.visits import visits_of
from engine.tracks.zone_counts import end_points
from engine.tracks.zone_suggestions import suggested_zones


def suggested(scene: SyntheticScene, state: TrackState) -> list[Camera]:
    """The cameras with suggested zones; left and right lead along the road."""
    flat, names, cameras = flatten(state), [camera.name for camera in scene.cameras], []
    for at, camera in enumerate(scene.cameras):
        to = {"left": at - 1, "right": at + 1}
        zones = [
            replace(zone, leads_to=names[to[zone.name]])
            if 0 <= to.get(zone.name, -1) < len(names)
            else zone
            for zone in suggested_zones(end_points(flat, at), camera.width, camera.height)
        ]
        cameras.append(camera.with_zones(tuple(zones)))
    return cameras


def idf1(scene: SyntheticScene, boxes: Boxes, cameras: list[Camera], zones: str = "on") -> float:
    """Of the association over all cameras."""
    visits = visits_of(boxes, cameras)
    found = associate(visits, cameras, AssociateOptions(zones="on" if zones == "on" else "off"))
    who = {
        tracklet: identity
        for names, identity in zip(visits.tracklets, found.identities.tolist(), strict=True)
        for tracklet in names
    }
    named = boxes.replace(tracks=np.array([who[name] for name in boxes.tracks.tolist()]))
    names = [camera.name for camera in cameras]
    result = evaluate_network(scene.truth, named, names, several_cameras_only=True)
    return float(result.network.figures["IDF1"])


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[11, 12, 13, 14, 15])
    parser.add_argument("--preset", default="hard")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for seed in options.seeds:
        scene = make_scene(options.preset, seed, seconds=180.0, cameras=6)
        found = track(scene.detections, "jde")
        boxes = scene.detections.select(found.rows).replace(tracks=found.tracklets)
        owners = np.full(len(scene.detections), NO_TRACK)
        owners[found.rows] = found.tracklets
        own = suggested(scene, TrackState(scene.detections, owners, {}))
        rows.append(
            {
                "seed": seed,
                "own": round(idf1(scene, boxes, list(scene.cameras)), 3),
                "suggested": round(idf1(scene, boxes, own), 3),
                "none": round(idf1(scene, boxes, list(scene.cameras), "off"), 3),
                "zones": [len(camera.zones) for camera in own],
            }
        )
        if not options.json:
            sys.stdout.write(f"{rows[-1]}\n")
    ways = ("own", "suggested", "none")
    means = {way: round(float(np.mean([row[way] for row in rows])), 3) for way in ways}
    sys.stdout.write(json.dumps({"rows": rows, "mean": means}) if options.json else f"mean {means}\n")


if __name__ == "__main__":
    main()
