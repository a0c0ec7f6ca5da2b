"""Who was where when: visits of identities to cameras, from zone to zone, and how long it takes."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Boxes, Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.formats.text import write_text
from engine.tracks.zones import centres

Float64Array = NDArray[np.float64]

LONGEST_ABSENCE = 20.0
"""Seconds for which somebody may be out of a camera's sight within one visit."""
COLUMNS = (
    "identity", "camera", "in", "out", "seconds", "zone_in", "zone_out", "first_frame", "last_frame",
    "boxes",
)  # fmt: skip


@dataclass(frozen=True)
class Itineraries:
    """``N`` visits, by identity and time.

    Attributes
    ----------
    identities, cameras
        int64 ``(N,)`` who, and positions in the list of cameras.
    first, last
        int64 ``(N,)`` frames.
    t_in, t_out
        float64 ``(N,)`` seconds on the scene's clock.
    zone_in, zone_out
        int64 ``(N,)`` positions in the camera's zones, -1 for none.
    boxes
        int64 ``(N,)`` how many.
    """

    identities: Int64Array
    cameras: Int64Array
    first: Int64Array
    last: Int64Array
    t_in: Float64Array
    t_out: Float64Array
    zone_in: Int64Array
    zone_out: Int64Array
    boxes: Int64Array

    def __len__(self) -> int:
        return len(self.identities)


def itineraries(boxes: Boxes, cameras: Sequence[Camera]) -> Itineraries:
    """The visits of tracked boxes, whose tracks are identities.

    Somebody who is out of sight for longer than :data:`LONGEST_ABSENCE` visits a camera anew.
    """
    times = np.zeros(len(boxes))
    zones = np.full(len(boxes), -1, np.int64)
    middles = centres(boxes)
    for at, camera in enumerate(cameras):
        own = boxes.cameras == at
        times[own] = camera.seconds(boxes.frames[own])
        zones[own] = camera.zone_of(middles[own])
    order = np.lexsort((times, boxes.cameras, boxes.tracks))
    who, where, when = boxes.tracks[order], boxes.cameras[order], times[order]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(who) != 0) | (np.diff(where) != 0) | (np.diff(when) > LONGEST_ABSENCE)
    first = np.flatnonzero(new)
    last = np.append(first[1:], len(order))[: len(first)] - 1
    visits = np.lexsort((when[first], who[first]))
    first, last = first[visits], last[visits]
    frames, zone = boxes.frames[order], zones[order]
    return Itineraries(
        who[first], where[first], frames[first], frames[last], when[first], when[last], zone[first],
        zone[last], last - first + 1,
    )  # fmt: skip


def write_itineraries(found: Itineraries, cameras: Sequence[Camera], path: Path) -> None:
    """Write visits as CSV, a row each (:data:`COLUMNS`; times are seconds).

    Raises
    ------
    EngineError
        When the file cannot be written; it is whole, or not there.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for at in range(len(found)):
        camera = cameras[found.cameras[at]]
        t_in, t_out = float(found.t_in[at]), float(found.t_out[at])
        table.writerow(
            (
                int(found.identities[at]), camera.name, f"{t_in:.3f}", f"{t_out:.3f}",
                f"{t_out - t_in:.3f}", _zone(camera, int(found.zone_in[at])),
                _zone(camera, int(found.zone_out[at])), int(found.first[at]), int(found.last[at]),
                int(found.boxes[at]),
            )
        )  # fmt: skip
    write_text(path, [text.getvalue().removesuffix("\n")])


def origins_and_destinations(
    found: Itineraries, cameras: Sequence[Camera]
) -> tuple[list[str], Int64Array]:
    """How many identities begin in which zone and end in which.

    Returns
    -------
    Names of the ``Z`` zones (``camera/zone``, the zone empty outside of all of them) that occur, and
    int64 ``(Z, Z)``: a row is where identities are first, a column where they are last.
    """
    starts = np.flatnonzero(np.diff(found.identities, prepend=-2) != 0)
    ends = np.append(starts[1:], len(found))[: len(starts)] - 1
    sides = [
        np.stack([found.cameras[at], zone[at]], axis=1)
        for at, zone in ((starts, found.zone_in), (ends, found.zone_out))
    ]
    places, index = np.unique(np.concatenate(sides), axis=0, return_inverse=True)
    index = index.reshape(2, len(starts))
    counts = np.zeros((len(places), len(places)), np.int64)
    np.add.at(counts, (index[0], index[1]), 1)
    names = [f"{cameras[c].name}/{_zone(cameras[c], z)}" for c, z in places.tolist()]
    return names, counts


def travel_times(found: Itineraries) -> dict[tuple[int, int], Float64Array]:
    """Seconds from the last sight in one camera to the first in the next, by pair of cameras.

    Negative where two cameras see the same place.
    """
    follows = np.flatnonzero(np.diff(found.identities) == 0)
    follows = follows[found.cameras[follows] != found.cameras[follows + 1]]
    seconds = found.t_in[follows + 1] - found.t_out[follows]
    pairs = np.stack([found.cameras[follows], found.cameras[follows + 1]], axis=1)
    edges = sorted({(int(a), int(b)) for a, b in pairs.tolist()})
    return {edge: seconds[(pairs == edge).all(axis=1)] for edge in edges}


def _zone(camera: Camera, zone: int) -> str:
    return camera.zones[zone].name if zone >= 0 else ""
