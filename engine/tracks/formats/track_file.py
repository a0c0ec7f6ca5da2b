"""What a file of boxes holds, and what was dropped when it was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, bad_file, invalid_input
from engine.tracks.boxes import Boxes
from engine.tracks.cameras import Camera

MOST_BOXES = 40_000_000
"""Files with more boxes are refused: they would not fit into the memory of an ordinary computer."""
MOST_BYTES = 1 << 30
"""The same for JSON and XML, which take several times their size while they are read."""
EXAMPLES = 5


@dataclass(frozen=True)
class Dropped:
    """Rows that were left out.

    Attributes
    ----------
    reason
        Why, for people.
    count
        How many.
    examples
        Where the first of them are: ``line 12``, ``annotation 7``...
    """

    reason: str
    count: int
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What became of a file's rows.

    Attributes
    ----------
    rows, kept
        How many there were, and how many are boxes now.
    dropped
        The others, by reason.
    notes
        What was assumed, and what the format cannot hold.
    """

    rows: int
    kept: int
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain dictionary."""
        dropped = [
            {"reason": part.reason, "count": part.count, "examples": list(part.examples)}
            for part in self.dropped
        ]
        return {"rows": self.rows, "kept": self.kept, "dropped": dropped, "notes": list(self.notes)}

    def lines(self) -> list[str]:
        """Sentences for people; none when everything was kept and nothing assumed."""
        said = []
        for part in self.dropped:
            more = ", ..." if part.count > len(part.examples) else ""
            where = f" ({', '.join(part.examples)}{more})" if part.examples else ""
            said.append(f"{part.count} of {self.rows} rows were dropped: {part.reason}{where}.")
        return [*said, *self.notes]


@dataclass(frozen=True)
class TrackFile:
    """Boxes with what they name.

    Attributes
    ----------
    boxes
        Their ``cameras`` are positions in ``cameras``, their ``classes`` keys of ``class_names``.
    cameras
        At least one.
    class_names
        May lack classes.
    format
        A key of :data:`engine.tracks.formats.FORMATS`, or empty.
    report
        What was dropped.
    tables
        What else the file said and the same format writes back (lists of TAO and COCO-VID).
    """

    boxes: Boxes
    cameras: tuple[Camera, ...]
    class_names: Mapping[int, str] = field(default_factory=dict)
    format: str = ""
    report: Report = field(default_factory=lambda: Report(0, 0))
    tables: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.boxes) and not 0 <= self.boxes.cameras.min() <= self.boxes.cameras.max() < len(
            self.cameras
        ):
            raise invalid_input("The boxes name cameras that are not in the list.")


@dataclass(frozen=True)
class Format:
    """A file format.

    Attributes
    ----------
    title
        For people.
    suffix
        Of its files.
    read
        ``read(path, camera_name, reference)``.
    write
        ``write(file, path)``; returns notes on what the format cannot hold.
    many_cameras
        Whether one file holds several cameras; otherwise there is a folder with a file each.
    """

    title: str
    suffix: str
    read: Callable[[Path, str, TrackFile | None], TrackFile]
    write: Callable[[TrackFile, Path], list[str]]
    many_cameras: bool


def clean(
    boxes: Boxes, cameras: tuple[Camera, ...], where: Callable[[int], str], notes: tuple[str, ...] = ()
) -> tuple[Boxes, Report]:
    """Leave out what is no box, and repetitions.

    Of several boxes of one track in one frame of a camera the first stays, and so it is with equal
    detections of one frame: repetitions break the assumptions of every measure.

    Parameters
    ----------
    boxes
        As they were read.
    cameras
        Their lengths tell which frames there are; a length of 0 tells nothing.
    where
        Names the place of a row in the file.
    notes
        For the report.

    Returns
    -------
    boxes, report
    """
    count = len(boxes)
    left = np.ones(count, bool)
    dropped: list[Dropped] = []

    def drop(wrong: NDArray[np.bool_], reason: str) -> None:
        rows = np.flatnonzero(left & wrong)
        if len(rows):
            examples = tuple(where(row) for row in rows[:EXAMPLES].tolist())
            dropped.append(Dropped(reason, len(rows), examples))
            left[rows] = False

    ends = np.array([camera.frames or np.iinfo(np.int64).max for camera in cameras], np.int64)
    drop(
        ~np.isfinite(boxes.xywh).all(axis=1) | ~np.isfinite(boxes.scores), "a value is no finite number"
    )
    with np.errstate(invalid="ignore"):
        drop((boxes.xywh[:, 2] <= 0) | (boxes.xywh[:, 3] <= 0), "width or height is not positive")
    drop(boxes.frames < 0, "the frame is before the first one")
    if len(cameras):
        drop(boxes.frames >= ends[boxes.cameras], "the frame is beyond the video's end")
    tracked = boxes.tracks >= 0
    rows = np.flatnonzero(left & tracked)
    keys = (boxes.cameras[rows], boxes.frames[rows], boxes.tracks[rows])
    drop(_repeated(count, rows, keys), "the track has a box in this frame already")
    rows = np.flatnonzero(left & ~tracked)
    sides = tuple(boxes.xywh[rows].T)
    keys = (boxes.cameras[rows], boxes.frames[rows], boxes.classes[rows], boxes.scores[rows], *sides)
    drop(_repeated(count, rows, keys), "the same detection is there already")
    kept = boxes if left.all() else boxes.select(left)
    return kept, Report(count, len(kept), tuple(dropped), notes)


def _repeated(count: int, rows: NDArray[np.int64], keys: tuple[NDArray[Any], ...]) -> NDArray[np.bool_]:
    """``(count,)``: which rows have a row before them with equal keys."""
    mask = np.zeros(count, bool)
    if len(rows) > 1:
        order = np.lexsort(keys[::-1])
        same = np.ones(len(rows) - 1, bool)
        for key in keys:
            same &= key[order][1:] == key[order][:-1]
        mask[rows[order[1:][same]]] = True
    return mask


def too_many(path: Path, most: int | None = None) -> EngineError:
    """The file has more boxes than fit."""
    return bad_file(
        f"{path} has more than {most or MOST_BOXES:,} boxes; it was not read, nothing was changed.",
        "Split it by camera or by time and import the parts.",
    )


def read_error(path: Path, error: OSError) -> EngineError:
    """The file system refuses."""
    return bad_file(f"{path} cannot be read: {error.strerror or error}.", "Check the name.")


def write_error(path: Path, error: OSError) -> EngineError:
    """The file system refuses."""
    return invalid_input(
        f"{path} cannot be written: {error.strerror or error}. What was there before is kept.",
        "Choose another folder, or free some space.",
    )
