"""What a timeline shows, as columns, and their picture: its cost goes by pixels, not by segments."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

DENSE = 2
"""Times that a pixel is covered, on average, from which not every segment is painted."""


def _floats() -> Floats:
    return np.zeros(0)


def _ints() -> Ints:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Segments:
    """``N`` segments, one row each in every column; made by :meth:`of`, which sorts them by row.

    Attributes
    ----------
    keys
        int64 ``(N,)`` what they stand for.
    rows
        int64 ``(N,)`` row of the timeline.
    lanes
        int64 ``(N,)`` lane inside the row, below ``lane_count``.
    starts, ends
        float64 ``(N,)`` seconds.
    colours
        uint32 ``(N,)`` 0xffRRGGBB.
    lane_count
        Lanes a row.
    """

    keys: Ints = field(default_factory=_ints)
    rows: Ints = field(default_factory=_ints)
    lanes: Ints = field(default_factory=_ints)
    starts: Floats = field(default_factory=_floats)
    ends: Floats = field(default_factory=_floats)
    colours: NDArray[np.uint32] = field(default_factory=lambda: np.zeros(0, np.uint32))
    lane_count: int = 1
    sorted_starts: Floats = field(default_factory=_floats)
    sorted_ends: Floats = field(default_factory=_floats)

    @classmethod
    def of(
        cls,
        keys: Ints,
        rows: Ints,
        lanes: Ints,
        starts: Floats,
        ends: Floats,
        colours: NDArray[np.uint32],
        lane_count: int,
    ) -> Segments:
        """Segments in any order."""
        order = np.lexsort((starts, rows))
        columns = (column[order] for column in (keys, rows, lanes, starts, ends, colours))
        return cls(*columns, lane_count, np.sort(starts), np.sort(ends))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(self.keys)

    def of_rows(self, first: int, last: int) -> slice:
        """Those of rows ``first`` to ``last``, both included."""
        low, high = np.searchsorted(self.rows, [first, last + 1])
        return slice(int(low), int(high))

    def find(self, row: int, lane: int, time: float, reach: float) -> int | None:
        """The segment at a place, or the nearest one within ``reach`` seconds; its position."""
        part = self.of_rows(row, row)
        apart = np.maximum(self.starts[part] - time, time - self.ends[part]).clip(min=0)
        apart = np.where(self.lanes[part] == lane, apart, np.inf)
        if not len(apart) or apart.min() > reach:
            return None
        # Of several, the shortest: the longer one can be hit elsewhere.
        length = np.where(apart == apart.min(), self.ends[part] - self.starts[part], np.inf)
        return part.start + int(length.argmin())

    def density(self, edges: Floats) -> Ints:
        """How many segments there are in each interval of ``edges (W + 1,)`` seconds; ``(W,)``."""
        begun = np.searchsorted(self.sorted_starts, edges[1:], side="left")
        over = np.searchsorted(self.sorted_ends, edges[:-1], side="right")
        return np.asarray(begun - over)


@dataclass(frozen=True)
class View:
    """The part of a timeline that is painted.

    Attributes
    ----------
    left, seconds_a_pixel
        Time at the left edge, and scale; device pixels.
    width, height, row_height
        Device pixels.
    top
        How far the rows are scrolled, device pixels.
    """

    left: float
    seconds_a_pixel: float
    width: int
    height: int
    row_height: int
    top: int

    @property
    def rows(self) -> tuple[int, int]:
        """First and last row in view."""
        first = max(0, self.top) // self.row_height
        return first, max(first, (self.top + self.height - 1) // self.row_height)


def rasterise(segments: Segments, view: View) -> NDArray[np.uint32]:
    """The segments as a picture ``(height, width)`` 0xAARRGGBB, 0 where nothing is.

    Each is at least a pixel wide. Later ones cover earlier ones in the same lane; where they are very
    dense, what a later one that is over already had covered shows the one that lasts longest.
    """
    first, last = view.rows
    count = last - first + 1
    bands = np.zeros((count * segments.lane_count, view.width), np.uint32)
    part = segments.of_rows(first, last)
    starts = (segments.starts[part] - view.left) / view.seconds_a_pixel
    ends = (segments.ends[part] - view.left) / view.seconds_a_pixel
    seen = (ends >= 0) & (starts < view.width)
    low = np.floor(starts[seen].clip(0, view.width - 1)).astype(np.int64)
    high = np.ceil(ends[seen].clip(0, view.width)).astype(np.int64)
    lengths = np.maximum(high - low, 1)
    band = (segments.rows[part][seen] - first) * segments.lane_count + segments.lanes[part][seen]
    begin = band * view.width + low
    colours = segments.colours[part][seen]
    if lengths.sum() > DENSE * bands.size:
        bands = _dense(bands.shape, begin, low + lengths, colours)
    else:
        offsets = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        bands.reshape(-1)[np.repeat(begin, lengths) + offsets] = np.repeat(colours, lengths)
    return _stretched(bands, segments.lane_count, view, first)


def _dense(
    shape: tuple[int, int], begin: Ints, ends: Ints, colours: NDArray[np.uint32]
) -> NDArray[np.uint32]:
    """Lanes ``shape`` in which most pixels are covered many times: two passes along them.

    ``begin (N,)`` are positions of first pixels in all lanes, ``ends (N,)`` pixels in their own lane.
    """
    number = np.arange(len(begin))
    pixel = np.arange(shape[1])
    latest = np.full(shape[0] * shape[1], -1)
    latest[begin] = number
    latest = np.maximum.accumulate(
        np.where(latest.reshape(shape) >= 0, pixel << 32 | latest.reshape(shape), -1), axis=1
    )
    lasting = np.full(shape[0] * shape[1], -1)
    np.maximum.at(lasting, begin, ends << 32 | number)
    lasting = np.maximum.accumulate(lasting.reshape(shape), axis=1)
    result = np.zeros(shape, np.uint32)
    for keys in (lasting, latest):
        owner = np.where(keys >= 0, keys & 0xFFFFFFFF, 0)
        active = (keys >= 0) & (ends[owner] > pixel)
        result = np.where(active, colours[owner], result)
    return result


def _stretched(bands: NDArray[np.uint32], lanes: int, view: View, first: int) -> NDArray[np.uint32]:
    """Each lane as thick as its row allows, with some room between rows."""
    room = max(1, view.row_height // 8)
    pixels = np.arange(view.height) + view.top
    row, inside = pixels // view.row_height, pixels % view.row_height
    usable = max(lanes, view.row_height - 2 * room)
    lane = ((inside - room) * lanes) // usable
    painted = (inside >= room) & (lane < lanes) & (lane >= 0)
    # A line of the ground between lanes that are thick enough.
    thick = usable // lanes
    if thick >= 4:
        painted &= ((inside - room) * lanes) % usable >= lanes
    index = (row - first) * lanes + lane.clip(0, lanes - 1)
    result = bands[index.clip(0, len(bands) - 1)]
    result[~painted | (row < first)] = 0
    return result


def pack_lanes(rows: Ints, starts: Floats, ends: Floats, most: int) -> Ints:
    """``(N,)`` lanes, below ``most``, in which segments of one row overlap as little as can be."""
    lanes = np.zeros(len(rows), np.int64)
    for row in np.unique(rows).tolist():
        own = np.flatnonzero(rows == row)
        own = own[np.argsort(starts[own], kind="stable")]
        free = np.full(most, -np.inf)
        for at in own.tolist():
            fitting = np.flatnonzero(free <= starts[at])
            lane = int(fitting[0]) if len(fitting) else int(free.argmin())
            lanes[at], free[lane] = lane, ends[at]
    return lanes
