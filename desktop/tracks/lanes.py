"""Rows of the timeline from the spans of a result: by identity, or by camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PySide6.QtGui import QColor

from desktop.widgets.timeline_segments import Segments, pack_lanes
from engine.tracks.cameras import Camera
from engine.tracks.overview import Span

MOST_LANES = 6
"""Of a camera's row; busier moments overlap."""


def colour_of(identity: int) -> QColor:
    """An identity's own; neighbouring numbers are far apart in hue."""
    hue = (identity * 0.618034) % 1
    return QColor.fromHsvF(hue, 0.55, 0.86 if identity % 2 else 0.72)


def zone_colour(number: int) -> QColor:
    """A zone's, by its number in its camera; bright, as pictures are darker."""
    return QColor.fromHsvF((0.1 + 0.381966 * number) % 1, 0.6, 0.96)


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
    spans: Sequence[Span],
    cameras: Sequence[Camera],
    by: str,
    names: Mapping[int, str],
) -> Lanes:
    """Arrange spans in rows by ``identity`` (a lane a camera) or by ``camera``.

    ``names`` are what identities are called, where that is not their number.
    """
    if not spans:
        return Lanes((), Segments(), np.zeros((0, 4)), {})
    offsets = np.array([camera.offset for camera in cameras])
    rates = np.array([camera.fps for camera in cameras])
    of = np.array([span.camera for span in spans], np.int64)
    starts = offsets[of] + np.array([span.first for span in spans]) / rates[of]
    ends = offsets[of] + (np.array([span.last for span in spans]) + 1) / rates[of]
    identities = np.array([span.identity for span in spans], np.int64)
    keys = np.array([span.tracklet for span in spans], np.int64)
    if by == "identity":
        order = np.lexsort((identities, starts))
        row_of: dict[int, int] = {}
        for at in order.tolist():
            row_of.setdefault(int(identities[at]), len(row_of))
        rows = np.array([row_of[identity] for identity in identities.tolist()], np.int64)
        lane_of, count = of, len(cameras)
        labels = tuple(names.get(identity, str(identity)) for identity in row_of)
    else:
        row_of = {at: at for at in range(len(cameras))}
        rows, lane_of = of, pack_lanes(of, starts, ends, MOST_LANES)
        count = int(lane_of.max()) + 1
        labels = tuple(camera.name for camera in cameras)
    known = {identity: colour_of(identity).rgb() for identity in set(identities.tolist())}
    colours = np.array([known[identity] for identity in identities.tolist()], np.uint32)
    gaps = [
        (rows[at], lane_of[at], offsets[c] + low / rates[c], offsets[c] + (high + 1) / rates[c])
        for at, span in enumerate(spans)
        for c in (span.camera,)
        for low, high in span.gaps
    ]
    return Lanes(
        labels,
        Segments.of(keys, rows, lane_of, starts, ends, colours, count),
        np.array(gaps, np.float64).reshape(-1, 4),
        row_of,
    )
