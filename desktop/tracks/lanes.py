"""Rows of the timeline from the spans of a result: by identity, or by camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PySide6.QtGui import QColor

from desktop.widgets.timeline_segments import Segments, pack_lanes
from engine.tracks.cameras import Camera
from engine.tracks.span_table import SpanTable

MOST_LANES = 6
"""Of a camera's row; busier moments overlap."""


def colour_of(identity: int) -> QColor:
    """An identity's own; neighbouring numbers are far apart in hue."""
    hue = (identity * 0.618034) % 1
    return QColor.fromHsvF(hue, 0.55, 0.86 if identity % 2 else 0.72)


def zone_colour(number: int) -> QColor:
    """A zone's, by its number in its camera; bright, as pictures are darker."""
    return QColor.fromHsvF((0.1 + 0.381966 * number) % 1, 0.6, 0.96)


@lru_cache(maxsize=1 << 17)
def _ink(identity: int) -> int:
    """Its colour as 0xffRRGGBB."""
    return colour_of(identity).rgb()


@dataclass(frozen=True)
class Lanes:
    """What the timeline gets.

    Attributes
    ----------
    labels
        Of the rows.
    segments
        Keys are tracklets.
    gaps
        float64 ``(G, 4)`` row, lane, first and last second.
    row_of
        Row of each identity, or of each camera.
    """

    labels: tuple[str, ...]
    segments: Segments
    gaps: np.ndarray
    row_of: Mapping[int, int]


def lanes(
    spans: SpanTable,
    cameras: Sequence[Camera],
    by: str,
    names: Mapping[int, str],
) -> Lanes:
    """Arrange spans in rows by ``identity`` (a lane a camera) or by ``camera``.

    ``names`` are what identities are called, where that is not their number.
    """
    if not len(spans):
        return Lanes((), Segments(), np.zeros((0, 4)), {})
    cameras = tuple(cameras)
    of, keys = spans.column("camera"), spans.column("tracklet")
    starts, ends = spans.times(cameras)
    who = spans.identities(cameras)
    known = np.array([_ink(identity) for identity in who.names.tolist()], np.uint32)
    if by == "identity":
        rows, lane_of, count = who.row_of, of, len(cameras)
        row_of = {identity: row for row, identity in enumerate(who.names.tolist())}
        labels = tuple(names.get(identity, str(identity)) for identity in row_of)
    else:
        row_of = {at: at for at in range(len(cameras))}
        rows, lane_of = of, pack_lanes(of, starts, ends, MOST_LANES)
        count = int(lane_of.max()) + 1
        labels = tuple(camera.name for camera in cameras)
    colours = known[who.row_of]
    gaps = [
        (
            rows[at],
            lane_of[at],
            camera.offset + low / camera.fps,
            camera.offset + (high + 1) / camera.fps,
        )
        for tracklet, holes in spans.gaps.items()
        for at in (spans.row_of(tracklet),)
        for camera in (cameras[of[at]],)
        for low, high in holes
    ]
    return Lanes(
        labels,
        Segments.of(keys, rows, lane_of, starts, ends, colours, count),
        np.array(gaps, np.float64).reshape(-1, 4),
        row_of,
    )
