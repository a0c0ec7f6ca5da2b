"""Which visits of a camera no other camera can have seen, and why: they are left out of linking.

The Tracklet Filter Strategy (arXiv 2105.06623, section 3.2) on any network: which arms lead to a camera
is said by zones, how long a clip is by the camera.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.tracks.boxes import Boxes, Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.visits import Visits
from engine.tracks.zones import Clip, Verdict, arms_of, box_arms, centres, end_zones, verdict

LONGEST_STAY = 0.75
"""Share of the clip for which what stays in its arm is parked (1,500 of 2,000 frames, as published)."""


def taking_part(
    visits: Visits, boxes: Boxes, cameras: Sequence[Camera]
) -> tuple[Visits, dict[tuple[int, ...], str]]:
    """Those that another camera can have seen; of the others the tracklets of each, and why not.

    Parameters
    ----------
    visits, boxes
        As :func:`~engine.tracks.visits.visits_of` made them of these boxes.
    cameras
        Of the scene. Where no zone of a camera leads to another, nothing is left out there.
    """
    reasons = _reasons(visits, boxes, cameras)
    rows = [at for at, names in enumerate(visits.tracklets) if names not in reasons]
    return visits.select(np.array(rows, np.int64)), reasons


def _reasons(visits: Visits, boxes: Boxes, cameras: Sequence[Camera]) -> dict[tuple[int, ...], str]:
    names = {camera.name for camera in cameras}
    boxes = boxes.select(np.lexsort((boxes.frames, boxes.tracks)))
    ids, starts = np.unique(boxes.tracks, return_index=True)
    rows = dict(zip(ids.tolist(), np.split(np.arange(len(boxes)), starts[1:]), strict=True))
    found: dict[tuple[int, ...], str] = {}
    for own in visits.tracklets:
        there = np.concatenate([rows[name] for name in own])
        part = boxes.select(there[np.argsort(boxes.frames[there], kind="stable")])
        at = int(part.cameras[0])
        camera = cameras[at]
        if not any(zone.leads_to in names for zone in camera.zones):
            continue
        arms = box_arms(part, camera, arms_of(cameras, at))
        if verdict(part.frames, arms, _clip(camera)) == Verdict.DROP:
            found[own] = _reason(part, camera)
    return found


def _clip(camera: Camera) -> Clip:
    if not camera.frames:
        return Clip(longest_stay=2**62, end=2**62)
    return Clip(end=camera.frames - 2, longest_stay=round(LONGEST_STAY * camera.frames))


def _reason(boxes: Boxes, camera: Camera) -> str:
    zones: Int64Array = camera.zone_of(centres(boxes))
    first, last = end_zones(zones)
    names = [camera.zones[zone].name if zone >= 0 else "" for zone in (first, last)]
    if first != last and all(names):
        return f"from {names[0]} to {names[1]}, where no other camera is"
    if first == last and names[0] and (zones == first).all() and camera.zones[first].leads_to:
        stay = (int(boxes.frames[-1]) - int(boxes.frames[0])) / camera.fps
        return f"stands in {names[0]} for {stay:.0f} s"
    if first == last and names[0]:
        return f"only in {names[0]}, where no other camera is"
    return "in no zone that leads to another camera"
