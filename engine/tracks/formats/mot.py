"""MOTChallenge text: ``frame,id,x,y,w,h[,conf,X,Y,Z]`` or ``frame,id,x,y,w,h,flag,class,visibility``.

Frames count from 1 in the file. One file holds one camera. In ground truth a confidence of 0 marks
boxes to be ignored: they are kept with the score 0, and evaluation leaves them out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.cameras import Camera
from engine.tracks.formats.text import no_table, number_texts, read_numbers, whole_numbers, write_text
from engine.tracks.formats.track_file import TrackFile, clean


def read_mot(path: Path, camera: str, reference: TrackFile | None = None) -> TrackFile:
    """Read one camera's file; see :func:`engine.tracks.formats.read_tracks`."""
    table, lines = read_numbers(path)
    cameras = (Camera(camera),)
    if not len(table):
        boxes, report = clean(Boxes.empty(), cameras, str, ("The file has no rows.",))
        return TrackFile(boxes, cameras, format="mot", report=report)
    columns = table.shape[1]
    if not 6 <= columns <= 10:
        raise no_table(path, int(lines[0]), f"MOTChallenge has 6 to 10 columns, not {columns}")
    frames, notes = from_one(whole_numbers(path, table[:, 0], lines, "frame"))
    tracks = np.maximum(whole_numbers(path, table[:, 1], lines, "id"), NO_TRACK)
    extra: dict[str, np.ndarray] = {}
    classes = np.zeros(len(table), np.int64)
    if columns in (8, 9):
        classes = whole_numbers(path, table[:, 7], lines, "class")
        if (classes == -1).all():  # CityFlow writes -1 where it has nothing to say
            classes = np.zeros_like(classes)
        if columns == 9 and np.any(table[:, 8] != -1):
            extra["visibility"] = table[:, 8]
    elif columns == 10 and np.any(table[:, 7:] != -1):
        extra["world"] = table[:, 7:]
    scores = table[:, 6] if columns > 6 else np.ones(len(table))
    raw = Boxes.of(frames, table[:, 2:6], scores=scores, classes=classes, tracks=tracks, extra=extra)
    boxes, report = clean(raw, cameras, lambda row: f"line {lines[row]}", notes)
    return TrackFile(boxes, cameras, format="mot", report=report)


def write_mot(file: TrackFile, path: Path) -> list[str]:
    """Write one camera's file; with class and visibility where there are any."""
    boxes = file.boxes.sorted()
    with_class = bool(np.any(boxes.classes != 0)) or "visibility" in boxes.extra
    texts = [
        number_texts(boxes.frames + 1), number_texts(boxes.tracks),
        *(number_texts(boxes.xywh[:, side]) for side in range(4)), number_texts(boxes.scores),
    ]  # fmt: skip
    nothing = np.full(len(boxes), -1.0)
    if with_class:
        visibility = boxes.extra.get("visibility", nothing)
        texts += [number_texts(boxes.classes), number_texts(visibility)]
    else:
        world = boxes.extra.get("world", np.full((len(boxes), 3), -1.0))
        texts += [number_texts(world[:, axis]) for axis in range(world.shape[1])]
        texts += [number_texts(nothing)] * (3 - world.shape[1])
    write_text(path, map(",".join, zip(*texts, strict=True)))
    kept = {"visibility"} if with_class else {"world"}
    return lost_columns(boxes, kept, "MOTChallenge")


def from_one(frames: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Frames that a file counts from 1, counted from 0; and a note where it seems to count from 0."""
    if len(frames) and frames.min() == 0:
        return frames, ("The file's first frame is 0, so its frames were taken to count from 0.",)
    return frames - 1, ()


def lost_columns(boxes: Boxes, kept: set[str], title: str) -> list[str]:
    """What a format cannot hold."""
    lost = sorted(set(boxes.extra) - kept)
    return [f"{title} has no place for: {', '.join(lost)}."] if lost else []
