"""A person whose keypoints are known, for the tests of this folder."""

from __future__ import annotations

import numpy as np

from engine.bodies.keypoints.layouts import find_layout
from engine.bodies.keypoints.person import Person, box_around

# A person who faces the camera: its left is on the right of the image. Metres, x right, y down, z away.
PLACES = {
    "nose": (0.0, -0.75, -0.1), "eye_inner": (0.02, -0.78, -0.08), "eye": (0.03, -0.78, -0.08),
    "eye_outer": (0.04, -0.78, -0.07), "ear": (0.07, -0.77, 0.0), "mouth": (0.02, -0.7, -0.08),
    "shoulder": (0.18, -0.5, 0.0), "elbow": (0.25, -0.25, 0.0), "wrist": (0.28, 0.0, -0.05),
    "pinky": (0.29, 0.05, -0.05), "index": (0.27, 0.06, -0.06), "thumb": (0.26, 0.03, -0.07),
    "hip": (0.1, 0.0, 0.0), "knee": (0.11, 0.4, -0.02), "ankle": (0.12, 0.8, 0.0),
    "heel": (0.12, 0.85, 0.03), "foot_index": (0.14, 0.85, -0.15),
}  # fmt: skip


def a_person(layout: str = "blazepose33", *, world: bool = True) -> Person:
    points = []
    for name in find_layout(layout).names:
        sides = [side for side in ("left", "right") if side in name.split("_")]
        where = np.array(PLACES["_".join(part for part in name.split("_") if part not in sides)])
        points.append(where * [(-1 if sides == ["right"] else 1), 1, 1])
    places = np.array(points)
    pixels = 100 * places[:, :2] + [200, 150]
    keypoints = np.column_stack([pixels, np.full(len(places), 0.9)])
    box = box_around(pixels, keypoints[:, 2])
    return Person(keypoints, layout, box, 0.8, world=places if world else None)
