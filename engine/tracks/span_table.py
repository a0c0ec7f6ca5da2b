"""Spans of all tracklets as columns, kept up to date a few at a time, however many there are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.tracks.boxes import Int64Array
from engine.tracks.cameras import Camera
from engine.tracks.overview import Span

_COLUMNS = ("tracklet", "identity", "camera", "first", "last")


@dataclass(frozen=True)
class Identities:
    """Identities by their first appearance.

    Attributes
    ----------
    names
        int64 ``(I,)``.
    first, last
        float64 ``(I,)`` seconds on the scene's clock: when it is first seen, and the end of its last
        frame.
    row_of
        int64 ``(T,)`` which of them each tracklet is.
    """

    names: Int64Array
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    row_of: Int64Array


class SpanTable:
    """See the module; like a dictionary of spans by tracklet, in no order.

    Attributes
    ----------
    gaps
        Of the tracklets that have some.
    """

    def __init__(self, spans: Iterable[Span] = ()) -> None:
        self._spans: list[Span] = []
        self._row: dict[int, int] = {}
        self._columns = np.zeros((len(_COLUMNS), 64), np.int64)
        self.gaps: dict[int, tuple[tuple[int, int], ...]] = {}
        self.replace((), spans)

    def __len__(self) -> int:
        return len(self._spans)

    def __iter__(self) -> Iterator[Span]:
        return iter(self._spans)

    def get(self, tracklet: int) -> Span | None:
        """Of one tracklet; ``None`` where there is none."""
        row = self._row.get(tracklet)
        return None if row is None else self._spans[row]

    def row_of(self, tracklet: int) -> int:
        """Its place in the columns; ``KeyError`` where it has none."""
        return self._row[tracklet]

    def column(self, name: str) -> Int64Array:
        """``(T,)`` of ``tracklet, identity, camera, first, last``; not to be kept."""
        return self._columns[_COLUMNS.index(name), : len(self._spans)]

    def replace(self, gone: Iterable[int], new: Iterable[Span]) -> None:
        """Take tracklets out (those that are not there too), and put spans in."""
        for tracklet in gone:
            row = self._row.pop(tracklet, None)
            if row is None:
                continue
            self.gaps.pop(tracklet, None)
            last = self._spans.pop()
            if row < len(self._spans):  # the last one fills the hole
                self._spans[row], self._row[last.tracklet] = last, row
                self._columns[:, row] = self._columns[:, len(self._spans)]
        start, added = len(self._spans), list(new)
        self._spans += added
        while self._columns.shape[1] < len(self._spans):
            self._columns = np.concatenate([self._columns, np.zeros_like(self._columns)], axis=1)
        for at, name in enumerate(_COLUMNS):
            self._columns[at, start : len(self._spans)] = [getattr(span, name) for span in added]
        self._row.update((span.tracklet, start + at) for at, span in enumerate(added))
        self.gaps.update((span.tracklet, span.gaps) for span in added if span.gaps)

    def times(self, cameras: tuple[Camera, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``(T,)`` beginnings and ends, seconds on the scene's clock."""
        offsets = np.array([camera.offset for camera in cameras])
        rates = np.array([camera.fps for camera in cameras])
        of = self.column("camera")
        return (
            offsets[of] + self.column("first") / rates[of],
            offsets[of] + (self.column("last") + 1) / rates[of],
        )

    def identities(self, cameras: tuple[Camera, ...]) -> Identities:
        """Everybody, by first appearance (of those at once by number)."""
        if not len(self):
            none = np.zeros(0)
            return Identities(none.astype(np.int64), none, none, none.astype(np.int64))
        begin, end = self.times(cameras)
        names, row_of = np.unique(self.column("identity"), return_inverse=True)
        first, last = np.full(len(names), np.inf), np.full(len(names), -np.inf)
        np.minimum.at(first, row_of, begin)
        np.maximum.at(last, row_of, end)
        order = np.lexsort((names, first))
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return Identities(names[order], first[order], last[order], place[row_of])
