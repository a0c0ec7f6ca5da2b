"""CVAT for video 1.1 in XML: tracks of boxes, linear between those that are written.

Frames count from 0. A box with ``outside="1"`` says from which frame on the object is not seen; the
boxes before it are interpolated up to there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.parsers import expat
from xml.sax.saxutils import quoteattr

import numpy as np

from engine.errors import EngineError, bad_file
from engine.tracks.boxes import Boxes, concatenate
from engine.tracks.cameras import Camera
from engine.tracks.formats import track_file
from engine.tracks.formats.mot import lost_columns
from engine.tracks.formats.text import number_texts, write_text
from engine.tracks.formats.track_file import Report, TrackFile, clean, read_error, too_many


class _Reader:
    """Collects tracks from the parser's calls."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tracks: list[tuple[int, str, list[tuple[float, ...]]]] = []
        self.attributes = 0
        self.pictures = 0
        self.size = [0, 0]
        self.frames = 0
        self.count = 0
        self._inside: list[str] = []
        self._text = ""
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._refuse

    def wrong(self, problem: str) -> EngineError:
        return bad_file(
            f"{self.path}, line {self.parser.CurrentLineNumber}: {problem}. The file was not read, "
            "nothing was changed.",
            "Export it from CVAT again as 'CVAT for video 1.1'.",
        )

    def _refuse(self, *_: Any) -> None:
        # Only its own declarations can make an XML file grow without end while it is read.
        raise self.wrong("it declares a document type, which CVAT never does")

    def _start(self, name: str, values: dict[str, str]) -> None:
        if not self._inside and name != "annotations":
            raise self.wrong(f"it begins with <{name}>, not with <annotations>")
        self._text = ""
        try:
            if name == "track":
                self.tracks.append((int(values["id"]), values["label"], []))
            elif name == "box" and self._inside[-1] == "track":
                self.count += 1
                if self.count > track_file.MOST_BOXES:
                    raise too_many(self.path)
                corners = [float(values[key]) for key in ("xtl", "ytl", "xbr", "ybr")]
                flags = [int(values.get(key, "0")) for key in ("outside", "occluded", "z_order")]
                line = self.parser.CurrentLineNumber
                self.tracks[-1][2].append((int(values["frame"]), *corners, *flags, line))
            elif name == "attribute" and self._inside[-1] == "box":
                self.attributes += 1
            elif name in (
                "polygon",
                "polyline",
                "points",
                "mask",
                "cuboid",
                "ellipse",
                "skeleton",
                "image",
            ):
                self.pictures += 1
        except KeyError as error:
            raise self.wrong(f"<{name}> has no {error.args[0]!r}") from error
        except (ValueError, OverflowError) as error:
            raise self.wrong(f"<{name}> has a value that is no number ({error})") from error
        self._inside.append(name)

    def _characters(self, text: str) -> None:
        if len(self._text) < 1000:
            self._text += text

    def _end(self, name: str) -> None:
        self._inside.pop()
        where = "/".join(self._inside[-2:])
        if (
            name in ("width", "height")
            and where.endswith("original_size")
            and self._text.strip().isdecimal()
        ):
            self.size[name == "height"] = int(self._text)
        elif (
            name == "size"
            and self._inside[-1:] in (["task"], ["job"])
            and self._text.strip().isdecimal()
        ):
            self.frames = int(self._text)
        self._text = ""


def read_cvat(path: Path, camera: str, reference: TrackFile | None = None) -> TrackFile:
    """Read one camera's file; see :func:`engine.tracks.formats.read_tracks`."""
    reader = _Reader(path)
    try:
        if path.stat().st_size > track_file.MOST_BYTES:
            raise bad_file(f"{path} is larger than {track_file.MOST_BYTES >> 20} MiB; it was not read.")
        with path.open("rb") as file:
            reader.parser.ParseFile(file)
    except OSError as error:
        raise read_error(path, error) from error
    except expat.ExpatError as error:
        raise reader.wrong(f"it is no whole XML ({expat.ErrorString(error.code)})") from error
    known = {name: number for number, name in (reference.class_names if reference else {}).items()}
    labels = sorted({label for _, label, _ in reader.tracks} - known.keys())
    first = max([-1, *known.values()]) + 1
    known |= {label: first + at for at, label in enumerate(labels)}
    if len({track for track, _, _ in reader.tracks}) < len(reader.tracks):
        raise bad_file(
            f"{path} has two tracks with one id; it was not read.",
            "Export it from CVAT again, or give one of them another id.",
        )
    parts, line_parts = [], []
    for track, label, rows in reader.tracks:
        if rows:
            boxes, lines = _interpolated(np.array(rows, np.float64), track, known[label])
            parts.append(boxes)
            line_parts.append(lines)
    raw = concatenate(parts)
    lines = np.concatenate(line_parts) if line_parts else np.zeros(0, np.int64)
    notes = []
    if reader.attributes:
        notes.append(f"{reader.attributes} attributes were not read; there is no place for them.")
    if reader.pictures:
        notes.append(f"{reader.pictures} shapes that are no tracked boxes were not read.")
    if len(raw) > reader.count:
        notes.append(f"{len(raw) - reader.count} boxes were interpolated between those in the file.")
    cameras = (Camera(camera, width=reader.size[0], height=reader.size[1], frames=reader.frames),)
    kept, report = clean(raw, cameras, lambda row: f"line {lines[row]}", tuple(notes))
    if len(kept) and not kept.extra["occluded"].any():
        extra = {name: column for name, column in kept.extra.items() if name != "occluded"}
        kept = Boxes(**kept.columns(), extra=extra)
    names = {number: label for label, number in known.items()}
    return TrackFile(
        kept, cameras, names, "cvat", Report(report.rows, len(kept), report.dropped, report.notes)
    )


def _interpolated(rows: np.ndarray, track: int, number: int) -> tuple[Boxes, np.ndarray]:
    """Boxes of a track in every frame in which it is seen, and the lines that they come from."""
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    frames, corners, outside = rows[:, 0].astype(np.int64), rows[:, 1:5], rows[:, 5] != 0
    seen = ~outside
    steps = np.diff(frames, append=frames[-1])
    # Each box that is seen stands for itself and the frames up to the next one.
    lengths = np.where(seen, np.maximum(steps, 1), 0)
    start = np.repeat(np.arange(len(rows)), lengths)
    into = np.arange(len(start)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    following = np.minimum(start + 1, len(rows) - 1)
    share = (into / np.maximum(steps[start], 1))[:, None]
    between = corners[start] + share * (corners[following] - corners[start])
    xywh = np.concatenate([between[:, :2], between[:, 2:] - between[:, :2]], axis=1)
    boxes = Boxes.of(
        frames[start] + into, xywh, classes=number, tracks=track,
        extra={"occluded": rows[start, 6].astype(np.int64)},
    )  # fmt: skip
    return boxes, rows[start, 8].astype(np.int64)


def write_cvat(file: TrackFile, path: Path) -> list[str]:
    """Write one camera's file, every box a key frame, so that nothing is lost by interpolation."""
    boxes = file.boxes
    tracked = boxes.select(boxes.tracks >= 0)
    rows = _xml(file, tracked)
    write_text(path, rows)
    notes = lost_columns(boxes, {"occluded"}, "CVAT")
    if len(tracked) < len(boxes):
        notes.append(f"{len(boxes) - len(tracked)} boxes belong to no track and were not written.")
    if np.any(tracked.scores != 1):
        notes.append("CVAT has no place for scores.")
    mixed = sum(
        len(np.unique(tracked.classes[tracked.tracks == track])) > 1
        for track in (
            np.unique(tracked.tracks) if np.any(tracked.classes != tracked.classes[:1]) else ()
        )
    )
    if mixed:
        notes.append(f"{mixed} tracks have boxes of several classes; CVAT got the first one's.")
    return notes


def _xml(file: TrackFile, boxes: Boxes) -> list[str]:
    camera = file.cameras[0] if file.cameras else Camera("camera")
    size = camera.frames or int(boxes.frames.max(initial=-1)) + 1
    rows = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<annotations>",
        "<version>1.1</version>",
        f"<meta><task><size>{size}</size><mode>interpolation</mode>"
        f"<original_size><width>{camera.width}</width><height>{camera.height}</height></original_size>"
        "</task></meta>",
    ]
    order = np.lexsort((boxes.frames, boxes.tracks))
    boxes = boxes.select(order)
    # float64 corners of float32 boxes: their difference is the size again, to the last bit.
    corners = boxes.xyxy()
    texts = [number_texts(corners[:, side]) for side in range(4)]
    occluded = boxes.extra.get("occluded", np.zeros(len(boxes), np.int64)).tolist()
    frames, tracks, classes = boxes.frames.tolist(), boxes.tracks.tolist(), boxes.classes.tolist()
    for at, (frame, track) in enumerate(zip(frames, tracks, strict=True)):
        if at == 0 or track != tracks[at - 1]:
            label = quoteattr(str(file.class_names.get(classes[at], classes[at])))
            rows.append(f'<track id="{track}" label={label} source="manual">')
        shape = " ".join(
            f'{key}="{text[at]}"' for key, text in zip(("xtl", "ytl", "xbr", "ybr"), texts, strict=True)
        )
        end = f'occluded="{occluded[at]}" {shape} z_order="0"></box>'
        rows.append(f'<box frame="{frame}" keyframe="1" outside="0" {end}')
        last = at + 1 == len(tracks) or tracks[at + 1] != track
        if last or frames[at + 1] > frame + 1:
            rows.append(f'<box frame="{frame + 1}" keyframe="1" outside="1" {end}')
        if last:
            rows.append("</track>")
    return [*rows, "</annotations>"]
