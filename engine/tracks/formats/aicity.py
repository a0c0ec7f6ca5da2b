"""AI City multi-camera text: ``camera id frame x y w h X Y``, ids global over the cameras.

Frames count from 1 in the file; camera 41 is named ``c041``, as CityFlow names its folders.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.cameras import Camera
from engine.tracks.formats.mot import from_one, lost_columns
from engine.tracks.formats.text import no_table, number_texts, read_numbers, whole_numbers, write_text
from engine.tracks.formats.track_file import TrackFile, clean


def read_aicity(path: Path, camera: str = "", reference: TrackFile | None = None) -> TrackFile:
    """Read all cameras; see :func:`engine.tracks.formats.read_tracks`."""
    table, lines = read_numbers(path)
    if not len(table):
        boxes, report = clean(Boxes.empty(), (), str, ("The file has no rows.",))
        return TrackFile(boxes, (), format="aicity", report=report)
    if table.shape[1] not in (7, 9):
        raise no_table(path, int(lines[0]), f"AI City files have 9 columns, not {table.shape[1]}")
    numbers, positions = np.unique(
        whole_numbers(path, table[:, 0], lines, "camera"), return_inverse=True
    )
    names = [f"c{number:03d}" for number in numbers.tolist()]
    if reference is not None:
        # The same order of cameras as in the file that this one is compared with.
        known = [camera.name for camera in reference.cameras]
        names_all = [*known, *(name for name in names if name not in known)]
        positions = np.array([names_all.index(name) for name in names])[positions]
        names = names_all
    frames, notes = from_one(whole_numbers(path, table[:, 2], lines, "frame"))
    tracks = np.maximum(whole_numbers(path, table[:, 1], lines, "id"), NO_TRACK)
    extra = {}
    if table.shape[1] == 9 and np.any(table[:, 7:] != -1):
        extra["world"] = table[:, 7:]
    raw = Boxes.of(frames, table[:, 3:7], tracks=tracks, cameras=positions.reshape(-1), extra=extra)
    cameras = tuple(Camera(name) for name in names)
    boxes, report = clean(raw, cameras, lambda row: f"line {lines[row]}", notes)
    return TrackFile(boxes, cameras, format="aicity", report=report)


def write_aicity(file: TrackFile, path: Path) -> list[str]:
    """Write all cameras into one file; scores and classes have no place in it."""
    boxes = file.boxes.sorted()
    numbers, notes = camera_numbers([camera.name for camera in file.cameras])
    world = boxes.extra.get("world", np.full((len(boxes), 2), -1.0))
    texts = [
        number_texts(np.array(numbers, np.int64)[boxes.cameras]), number_texts(boxes.tracks),
        number_texts(boxes.frames + 1),
        *(number_texts(boxes.xywh[:, side]) for side in range(4)),
        *(number_texts(world[:, axis]) for axis in range(2)),
    ]  # fmt: skip
    write_text(path, map(" ".join, zip(*texts, strict=True)))
    notes += lost_columns(boxes, {"world"}, "AI City")
    if np.any(boxes.scores != 1) or np.any(boxes.classes != 0):
        notes.append("AI City has no place for scores and classes.")
    return notes


def camera_numbers(names: list[str]) -> tuple[list[int], list[str]]:
    """The numbers in the cameras' names; 1, 2, 3, ... and a note where there are none or equal ones."""
    found = [re.fullmatch(r"\D*(\d{1,9})", name) for name in names]
    numbers = [int(match.group(1)) for match in found if match]
    if len(numbers) == len(names) == len(set(numbers)):
        return numbers, []
    said = ", ".join(f"{name} = {number}" for number, name in enumerate(names, 1))
    return list(range(1, len(names) + 1)), [f"Cameras were numbered: {said}."]
