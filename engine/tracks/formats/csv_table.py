"""CSV with named columns: everything that boxes have, in a file that a spreadsheet opens.

``camera, frame, track, class, x, y, w, h, score`` and further columns of numbers; frames count from 0.
Other programs' names of these columns are understood as well, and corners instead of sizes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, bad_file
from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.cameras import Camera
from engine.tracks.formats import track_file
from engine.tracks.formats.text import no_table, number_texts, text_lines, write_text
from engine.tracks.formats.track_file import TrackFile, clean, too_many

MOST_ROWS = 10_000_000
"""Of CSV files: a row takes half a kilobyte while its columns may still be anything."""

_NAMES = {
    "camera": ("camera", "camera_id", "cam", "video", "view"),
    "frame": ("frame", "frame_id", "frame_index", "frame_number"),
    "track": ("track", "track_id", "id", "object_id", "identity", "instance_id"),
    "class": ("class", "label", "category", "class_name"),
    "x": ("x", "left", "xmin", "x1", "xtl", "bb_left"),
    "y": ("y", "top", "ymin", "y1", "ytl", "bb_top"),
    "w": ("w", "width", "bb_width"),
    "h": ("h", "height", "bb_height"),
    "right": ("right", "xmax", "x2", "xbr"),
    "bottom": ("bottom", "ymax", "y2", "ybr"),
    "score": ("score", "conf", "confidence"),
}
_ALIASES = {alias: name for name, aliases in _NAMES.items() for alias in aliases}


def header_names(line: str) -> list[str] | None:
    """What the columns of a header mean; ``None`` when it is no header of boxes."""
    words = [
        word.strip().lower() for word in next(csv.reader(io.StringIO(line), delimiter=_delimiter(line)))
    ]
    names = [_ALIASES.get(word, word) for word in words]
    sized = {"w", "h"} <= set(names) or {"right", "bottom"} <= set(names)
    fits = sized and {"frame", "x", "y"} <= set(names) and len(set(names)) == len(names)
    return names if fits else None


def read_csv(path: Path, camera: str, reference: TrackFile | None = None) -> TrackFile:
    """Read a file; see :func:`engine.tracks.formats.read_tracks`."""
    source = text_lines(path)
    number, header = next(source, (1, ""))
    names = header_names(header) if header else None
    if names is None:
        raise no_table(
            path, number, "it names no columns frame, x, y, and w, h (or right, bottom), each once"
        )
    lines: list[int] = []
    rows: list[list[str]] = []
    most = min(MOST_ROWS, track_file.MOST_BOXES)
    texts: dict[int, str] = dict(islice(source, most + 1))
    if len(texts) > most:
        raise too_many(path, most)
    for number, row in zip(
        texts, csv.reader(texts.values(), delimiter=_delimiter(header)), strict=False
    ):
        if len(row) != len(names):
            raise no_table(path, number, f"it has {len(row)} columns, the header {len(names)}")
        lines.append(number)
        rows.append(row)
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    numbers = _Numbers(path, lines)
    known = [] if reference is None else [camera.name for camera in reference.cameras]
    camera_names, cameras = _codes(columns.get("camera", [camera] * len(rows)), known or [])
    class_texts = columns.get("class", ["0"] * len(rows))
    class_names, classes = _classes(class_texts, reference)
    xy = [numbers.floats(columns, name) for name in "xy"]
    if "w" in columns and "h" in columns:
        size = [numbers.floats(columns, name) for name in "wh"]
    else:
        size = [
            numbers.floats(columns, name) - low
            for name, low in zip(("right", "bottom"), xy, strict=True)
        ]
    fixed = {*_NAMES}
    tracks = NO_TRACK if "track" not in columns else np.maximum(
        numbers.whole(columns["track"], "track"), NO_TRACK
    )  # fmt: skip
    raw = Boxes.of(
        numbers.whole(columns["frame"], "frame"),
        np.stack([*xy, *size], axis=1) if rows else np.zeros((0, 4)),
        scores=numbers.floats(columns, "score") if "score" in columns else 1.0,
        classes=classes,
        tracks=tracks,
        cameras=cameras,
        extra=_grouped({name: numbers.either(columns[name]) for name in names if name not in fixed}),
    )  # fmt: skip
    known_cameras = tuple(Camera(name) for name in camera_names) or (Camera(camera),)
    boxes, report = clean(raw, known_cameras, lambda row: f"line {lines[row]}")
    return TrackFile(boxes, known_cameras, class_names, "csv", report)


def write_csv(file: TrackFile, path: Path) -> list[str]:
    """Write everything but what is no number or has more than two dimensions."""
    boxes = file.boxes.sorted()
    cameras = np.array([_quoted(camera.name) for camera in file.cameras] or [""], object)
    names = {number: _quoted(name) for number, name in file.class_names.items()}
    columns: dict[str, list[str]] = {
        "camera": cameras[boxes.cameras].tolist(),
        "frame": number_texts(boxes.frames),
        "track": number_texts(boxes.tracks),
        "class": [names.get(number, str(number)) for number in boxes.classes.tolist()],
        **{name: number_texts(boxes.xywh[:, side]) for side, name in enumerate("xywh")},
        "score": number_texts(boxes.scores),
    }
    lost = []
    for name, column in boxes.extra.items():
        if column.dtype.kind not in "iufb" or column.ndim > 2:
            lost.append(name)
            continue
        values = column.astype(np.int64) if column.dtype.kind == "b" else column
        parts = {name: values} if column.ndim == 1 else {
            f"{name}.{at}": values[:, at] for at in range(column.shape[1])
        }  # fmt: skip
        # With a point in it, so that it is read as a column of the same kind.
        for key, part in parts.items():
            whole = part.dtype.kind != "f"
            columns[key] = number_texts(part) if whole else part.astype("U32").tolist()
    rows = map(",".join, zip(*columns.values(), strict=True))
    write_text(path, [",".join(columns), *rows])
    return [f"CSV has no place for: {', '.join(lost)}."] if lost else []


class _Numbers:
    """Texts to numbers, with the line where that fails."""

    def __init__(self, path: Path, lines: Sequence[int]) -> None:
        self._path = path
        self._lines = lines

    def floats(self, columns: dict[str, list[str]], name: str) -> NDArray[np.float64]:
        texts = columns[name]
        try:
            return np.array(texts, np.float64) if texts else np.zeros(0)
        except ValueError as error:
            raise self._wrong(texts, float, f"{name}: ") from error

    def whole(self, texts: list[str], name: str) -> NDArray[np.int64]:
        try:
            return np.array([int(text) for text in texts], np.int64)
        except (ValueError, OverflowError) as error:
            raise self._wrong(texts, _int64, f"{name}: ") from error

    def either(self, texts: list[str]) -> NDArray[np.int64] | NDArray[np.float64]:
        try:
            return np.array([int(text) for text in texts], np.int64)
        except (ValueError, OverflowError):
            return self.floats({"": texts}, "")

    def _wrong(self, texts: list[str], convert: type | object, prefix: str) -> EngineError:
        for line, text in zip(self._lines, texts, strict=True):
            try:
                convert(text)  # type: ignore[operator]
            except (ValueError, OverflowError):
                return no_table(self._path, line, f"{prefix}{text[:40]!r} is no such number")
        return bad_file(f"{self._path} cannot be read.")


def _int64(text: str) -> np.int64:
    return np.int64(int(text))


def _delimiter(line: str) -> str:
    return max(",;\t", key=line.count)


def _codes(texts: list[str], known: list[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Names in the order of their first row, those known before; and the position of each text."""
    positions = {name: at for at, name in enumerate(known)}
    codes = [positions.setdefault(text, len(positions)) for text in texts]
    return list(positions), np.array(codes, np.int64)


def _classes(texts: list[str], reference: TrackFile | None) -> tuple[dict[int, str], NDArray[np.int64]]:
    """Class ids, and names of those that are given by name."""
    ids = {name: number for number, name in (reference.class_names if reference else {}).items()}
    # In the order of the alphabet, so that a file's classes do not depend on the order of its rows.
    distinct = sorted(set(texts) - ids.keys())
    numbers = [text for text in distinct if text.removeprefix("-").isdecimal() and len(text) < 18]
    ids |= {text: int(text) for text in numbers}
    first = max([-1, *ids.values()]) + 1
    ids |= {text: first + at for at, text in enumerate(name for name in distinct if name not in ids)}
    used = {ids[text]: text for text in set(texts) if text != str(ids[text])}
    return used, np.array([ids[text] for text in texts], np.int64)


def _grouped(columns: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    """Columns ``name.0``, ``name.1``, ... put together again."""
    grouped: dict[str, list[NDArray[np.generic]]] = {}
    for name, column in columns.items():
        stem, _, at = name.rpartition(".")
        grouped.setdefault(stem if stem and at.isdigit() else name, []).append(column)
    return {
        name: parts[0] if len(parts) == 1 and name in columns else np.stack(parts, axis=1)
        for name, parts in grouped.items()
    }


def _quoted(text: str) -> str:
    special = any(sign in text for sign in ',;"\t\r\n')
    return (
        '"' + text.replace('"', '""').replace("\r", " ").replace("\n", " ") + '"' if special else text
    )
