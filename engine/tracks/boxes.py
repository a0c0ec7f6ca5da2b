"""Boxes as columns: what files hold, detectors find, trackers link and evaluation compares.

Frames count from 0, pixels from 0, and a box is its left, top, width and height, whatever a file
format counts from. Millions of boxes are a few arrays, which may be memory-mapped; nothing here writes
into them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import invalid_input

Int64Array = NDArray[np.int64]
Float32Array = NDArray[np.float32]

FEATURES = "features"
"""The extra column that holds what things look like: float32 ``(N, d)``, unit length."""
NO_TRACK = -1
"""The track of a box that nobody has linked yet, as detectors leave it."""


@dataclass(frozen=True)
class Boxes:
    """``N`` boxes, one row each in every column.

    Attributes
    ----------
    frames
        int64 ``(N,)`` frame in its camera's video, from 0.
    xywh
        float32 ``(N, 4)`` left, top, width, height in pixels.
    scores
        float32 ``(N,)`` confidence; 1 where nothing is known.
    classes
        int64 ``(N,)`` class id.
    tracks
        int64 ``(N,)`` track or identity, :data:`NO_TRACK` for a plain detection.
    cameras
        int64 ``(N,)`` position in the list of cameras that goes with the boxes.
    extra
        Further columns by name, ``(N, ...)``: ``visibility``, ``world`` (``(N, 3)``), ``occluded``...
        Kept by every operation, so that a file can be written as it was read.

    Raises
    ------
    EngineError
        ``invalid_input`` when the columns are not equally long.
    """

    frames: Int64Array
    xywh: Float32Array
    scores: Float32Array
    classes: Int64Array
    tracks: Int64Array
    cameras: Int64Array
    extra: Mapping[str, NDArray[Any]] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        count = len(self.frames)
        if self.xywh.shape != (count, 4):
            raise invalid_input(f"Boxes are ({count}, 4), not {self.xywh.shape}.")
        for name, column in {**self.columns(), **self.extra}.items():
            if len(column) != count or (name not in self.extra and name != "xywh" and column.ndim != 1):
                raise invalid_input(f"{count} boxes need a column {name} as long, not {column.shape}.")

    @classmethod
    def of(
        cls,
        frames: ArrayLike,
        xywh: ArrayLike,
        *,
        scores: ArrayLike = 1.0,
        classes: ArrayLike = 0,
        tracks: ArrayLike = NO_TRACK,
        cameras: ArrayLike = 0,
        extra: Mapping[str, ArrayLike] | None = None,
    ) -> Boxes:
        """Boxes from anything like arrays; single numbers count for all of them."""
        frames = np.asarray(frames, np.int64)
        count = len(frames)

        def column(values: ArrayLike, dtype: type) -> NDArray[Any]:
            array: NDArray[Any] = np.asarray(values, dtype)
            return np.full(count, array[()], dtype) if array.ndim == 0 else array

        return cls(
            frames,
            np.asarray(xywh, np.float32).reshape(-1, 4),
            column(scores, np.float32),
            column(classes, np.int64),
            column(tracks, np.int64),
            column(cameras, np.int64),
            {name: np.asarray(values) for name, values in (extra or {}).items()},
        )

    @classmethod
    def empty(cls) -> Boxes:
        """No boxes."""
        return cls.of([], np.zeros((0, 4)))

    def __len__(self) -> int:
        return len(self.frames)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The six fixed columns by name."""
        names = ("frames", "xywh", "scores", "classes", "tracks", "cameras")
        return {name: getattr(self, name) for name in names}

    def replace(self, **columns: ArrayLike) -> Boxes:
        """The same boxes with some of the fixed columns exchanged (``extra`` goes along)."""
        merged: dict[str, Any] = {**self.columns(), **columns}
        return Boxes.of(merged.pop("frames"), merged.pop("xywh"), **merged, extra=self.extra)

    def with_extra(self, **columns: ArrayLike) -> Boxes:
        """The same boxes with further columns."""
        extra = {**self.extra, **{name: np.asarray(values) for name, values in columns.items()}}
        return Boxes(**self.columns(), extra=extra)

    def select(self, rows: ArrayLike | slice) -> Boxes:
        """Some of the boxes: a mask, row numbers, or a slice."""
        index: Any = rows if isinstance(rows, slice) else np.asarray(rows)
        if isinstance(index, np.ndarray) and not index.size and index.dtype.kind == "f":
            index = index.astype(np.int64)
        chosen = {name: column[index] for name, column in self.columns().items()}
        return Boxes(**chosen, extra={name: column[index] for name, column in self.extra.items()})

    def order(self) -> Int64Array:
        """``(N,)`` the rows by camera, frame and track; equal ones keep their order."""
        return np.lexsort((self.tracks, self.frames, self.cameras))

    def sorted(self) -> Boxes:
        """The boxes in the order of :meth:`order`."""
        return self.select(self.order())

    def xyxy(self) -> NDArray[np.float64]:
        """float64 ``(N, 4)`` left, top, right, bottom."""
        corners = self.xywh.astype(np.float64)
        corners[:, 2:] += corners[:, :2]
        return corners

    def areas(self) -> NDArray[np.float64]:
        """float64 ``(N,)`` square pixels."""
        return np.asarray(self.xywh[:, 2:].astype(np.float64).prod(axis=1))

    def equals(self, other: Boxes) -> bool:
        """Whether every value of every column is the same (a NaN equals a NaN)."""
        if self.extra.keys() != other.extra.keys():
            return False
        own, its = {**self.columns(), **self.extra}, {**other.columns(), **other.extra}
        return all(
            np.array_equal(own[name], its[name], equal_nan=own[name].dtype.kind == "f") for name in own
        )


def concatenate(parts: Sequence[Boxes]) -> Boxes:
    """Boxes one after the other; an extra column that a part lacks is NaN there (0 for integers)."""
    if not parts:
        return Boxes.empty()
    fixed = {
        name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].columns()
    }
    first: dict[str, NDArray[Any]] = {}
    for part in parts:
        for name, column in part.extra.items():
            first.setdefault(name, column)

    def column_of(part: Boxes, name: str) -> NDArray[Any]:
        if name in part.extra:
            return part.extra[name]
        model = first[name]
        missing = np.nan if model.dtype.kind == "f" else model.dtype.type()
        return np.full((len(part), *model.shape[1:]), missing, model.dtype)

    extra = {name: np.concatenate([column_of(part, name) for part in parts]) for name in first}
    return Boxes(**fixed, extra=extra)
