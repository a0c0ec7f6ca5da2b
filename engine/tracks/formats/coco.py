"""TAO and COCO-VID annotations in JSON, and TAO results (a plain list of boxes).

A video is a camera here. Frames are the ``frame_index`` (TAO) or ``frame_id`` (COCO-VID) of the
pictures; a result names pictures by number only, so that it is read together with its annotations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import EngineError, bad_file, invalid_input
from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.cameras import Camera
from engine.tracks.formats import track_file
from engine.tracks.formats.mot import lost_columns
from engine.tracks.formats.text import write_text
from engine.tracks.formats.track_file import Dropped, Report, TrackFile, clean, read_error, too_many

TAO, COCO_VID, RESULT = "tao", "coco_vid", "tao_result"
_FRAME = {TAO: "frame_index", COCO_VID: "frame_id"}


def load_json(path: Path) -> Any:
    """Parse a JSON file; ``bad_file``, naming the line, when it is none or too large."""
    try:
        if path.stat().st_size > track_file.MOST_BYTES:
            raise bad_file(
                f"{path} is larger than {track_file.MOST_BYTES >> 20} MiB; it was not read.",
                "Split it by video and import the parts.",
            )
        return json.loads(path.read_bytes())
    except OSError as error:
        raise read_error(path, error) from error
    except json.JSONDecodeError as error:
        raise bad_file(
            f"{path}, line {error.lineno}: {error.msg}. The file was not read.",
            "It may be cut off; export or copy it again.",
        ) from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise bad_file(f"{path} is no JSON that can be read: {error}. Nothing was changed.") from error


def json_format(data: Any) -> str | None:
    """Which of the three it is; ``None`` for other JSON."""
    if isinstance(data, list):
        first = data[0] if data else {}
        result = isinstance(first, dict) and {"image_id", "track_id", "bbox"} <= first.keys()
        return RESULT if result or not data else None
    if not isinstance(data, dict) or not isinstance(data.get("annotations"), list):
        return None
    images = data.get("images")
    if not isinstance(images, list) or not isinstance(data.get("videos"), list):
        return None
    return TAO if images and isinstance(images[0], dict) and "frame_index" in images[0] else COCO_VID


def read_json(path: Path, camera: str, reference: TrackFile | None = None) -> TrackFile:
    """Read any of the three; see :func:`engine.tracks.formats.read_tracks`."""
    data = load_json(path)
    kind = json_format(data)
    try:
        if kind == RESULT:
            return _result(path, data, reference)
        if kind is not None:
            return _annotations(path, data, kind)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _wrong(path, f"something is missing or of another type ({error!r})") from error
    raise _wrong(path, "it is neither TAO, nor COCO-VID, nor a list of tracked boxes")


def _annotations(path: Path, data: dict[str, Any], kind: str) -> TrackFile:
    notes: list[str] = []
    videos = data["videos"]
    position = {int(video["id"]): at for at, video in enumerate(videos)}
    if len(position) < len(videos):
        raise _wrong(path, "two videos have one id")
    key = _FRAME[kind]
    pictures = {
        int(image["id"]): (position[int(image["video_id"])], int(image[key]))
        for image in data["images"]
    }
    names = _unique([str(video.get("name", video["id"])) for video in videos])
    cameras = tuple(
        Camera(name, width=int(video.get("width", 0)), height=int(video.get("height", 0)))
        for name, video in zip(names, videos, strict=True)
    )
    rows = data["annotations"]
    outlines = sum(bool(row.get("segmentation")) for row in rows)
    if outlines:
        notes.append(f"{outlines} outlines were not read; only boxes are.")
    boxes = _boxes(
        path, rows, pictures, lambda row: row.get("track_id", row.get("instance_id", NO_TRACK))
    )
    extra = {"annotation": np.array([int(row.get("id", 0)) for row in rows], np.int64)}
    if any(row.get("iscrowd") for row in rows):
        extra["crowd"] = np.array([int(row.get("iscrowd", 0)) for row in rows], np.int64)
    raw = boxes.with_extra(**extra)
    kept, report = clean(
        raw, cameras, lambda row: f"annotation {extra['annotation'][row]}", tuple(notes)
    )
    tables = {name: data.get(name, []) for name in ("videos", "images", "categories")}
    tables |= {name: data[name] for name in ("info", "tracks", "licenses") if name in data}
    class_names = {
        int(row["id"]): str(row.get("name", row["id"])) for row in data.get("categories", ())
    }
    return TrackFile(kept, cameras, class_names, kind, report, tables)


def _result(path: Path, rows: list[dict[str, Any]], reference: TrackFile | None) -> TrackFile:
    if reference is None or "images" not in reference.tables:
        raise invalid_input(
            f"{path} is a TAO result, which names pictures by number only; it was not read.",
            "Open the annotations that it belongs to first, or give them as the truth.",
        )
    tables = reference.tables
    position = {int(video["id"]): at for at, video in enumerate(tables["videos"])}
    key = _FRAME.get(reference.format, "frame_index")
    pictures = {
        int(image["id"]): (position[int(image["video_id"])], int(image[key]))
        for image in tables["images"]
    }
    known = [row for row in rows if int(row["image_id"]) in pictures]
    lost = [at for at, row in enumerate(rows) if int(row["image_id"]) not in pictures]
    boxes = _boxes(path, known, pictures, lambda row: row["track_id"])
    raw = boxes.replace(scores=[float(row.get("score", 1)) for row in known])
    merged = _merged(tables["categories"])
    classes = np.array([merged.get(number, number) for number in raw.classes.tolist()], np.int64)
    kept, report = clean(raw.replace(classes=classes), reference.cameras, lambda row: f"box {row}")
    if lost:
        examples = tuple(f"box {at}" for at in lost[: track_file.EXAMPLES])
        unknown = Dropped("the annotations have no such picture", len(lost), examples)
        report = Report(len(rows), len(kept), (unknown, *report.dropped), report.notes)
    return TrackFile(kept, reference.cameras, reference.class_names, RESULT, report, tables)


def _merged(categories: Iterable[dict[str, Any]]) -> dict[int, int]:
    """Categories that LVIS merged into another one, and that one."""
    return {
        int(synonym["id"]): int(category["id"])
        for category in categories
        for synonym in category.get("merged", ())
    }


def _boxes(
    path: Path, rows: list[dict[str, Any]], pictures: dict[int, tuple[int, int]], track: Any
) -> Boxes:
    if len(rows) > track_file.MOST_BOXES:
        raise too_many(path)
    places = np.array([pictures[int(row["image_id"])] for row in rows], np.int64).reshape(-1, 2)
    return Boxes.of(
        places[:, 1],
        np.array([row["bbox"] for row in rows], np.float64).reshape(len(rows), 4),
        classes=[int(row["category_id"]) for row in rows],
        tracks=[int(track(row)) for row in rows],
        cameras=places[:, 0],
    )


def write_tao(file: TrackFile, path: Path) -> list[str]:
    """Write annotations as TAO has them, with the lists that were read where there were any."""
    return _write(file, path, TAO)


def write_coco_vid(file: TrackFile, path: Path) -> list[str]:
    """Write annotations as COCO-VID has them."""
    return _write(file, path, COCO_VID)


def write_result(file: TrackFile, path: Path) -> list[str]:
    """Write a list of boxes with scores; the file must come from annotations or their result."""
    if "images" not in file.tables:
        raise invalid_input(
            "A TAO result belongs to TAO annotations, and these boxes come from none; nothing was "
            "written.",
            "Choose another format.",
        )
    key = _FRAME.get(file.format, "frame_index")
    videos = [int(video["id"]) for video in file.tables["videos"]]
    pictures = {(int(row["video_id"]), int(row[key])): int(row["id"]) for row in file.tables["images"]}
    boxes = file.boxes.sorted()
    rows = []
    for row in _rows(boxes):
        video = videos[row["camera"]]
        if (video, row["frame"]) not in pictures:
            raise invalid_input(
                f"The annotations have no picture of frame {row['frame']}; nothing was written."
            )
        rows.append(
            {
                "image_id": pictures[video, row["frame"]], "video_id": video,
                "category_id": row["class"], "bbox": row["bbox"], "score": row["score"],
                "track_id": row["track"],
            }
        )  # fmt: skip
    write_text(path, [json.dumps(rows)])
    return lost_columns(boxes, {"annotation"}, "A TAO result")


def _write(file: TrackFile, path: Path, kind: str) -> list[str]:
    boxes = file.boxes.sorted()
    key, old_key = _FRAME[kind], _FRAME.get(file.format, _FRAME[kind])
    videos = file.tables.get("videos") or [
        {"id": at, "name": camera.name, "width": camera.width, "height": camera.height}
        for at, camera in enumerate(file.cameras, 1)
    ]
    ids = [int(video["id"]) for video in videos]
    images = [
        {**{name: value for name, value in image.items() if name != old_key}, key: image[old_key]}
        for image in file.tables.get("images", ())
    ]
    pictures = {(int(row["video_id"]), int(row[key])): int(row["id"]) for row in images}
    highest = max(pictures.values(), default=0)
    seen = np.unique(np.stack([boxes.cameras, boxes.frames], axis=1), axis=0).tolist()
    for at, frame in seen:
        if (ids[at], frame) not in pictures:
            highest += 1
            pictures[ids[at], frame] = highest
            video = videos[at]
            name = f"{video['name']}/{frame:06d}.jpg"
            images.append(
                {
                    "id": highest, "video_id": ids[at], key: frame, "file_name": name,
                    "width": video.get("width", 0), "height": video.get("height", 0),
                }
            )  # fmt: skip
    numbers = boxes.extra.get("annotation")
    if numbers is None or len(np.unique(numbers)) < len(boxes):
        numbers = np.arange(1, len(boxes) + 1)
    crowd = boxes.extra.get("crowd", np.zeros(len(boxes), np.int64))
    rows = []
    for row, number, is_crowd in zip(_rows(boxes), numbers.tolist(), crowd.tolist(), strict=True):
        width, height = row["bbox"][2:]
        annotation = {
            "id": number, "image_id": pictures[ids[row["camera"]], row["frame"]],
            "video_id": ids[row["camera"]], "category_id": row["class"], "bbox": row["bbox"],
            "area": width * height, "iscrowd": is_crowd, "segmentation": [], "track_id": row["track"],
        }  # fmt: skip
        if kind == COCO_VID:
            annotation["instance_id"] = row["track"]
        rows.append(annotation)
    named = {int(row["id"]) for row in file.tables.get("categories", ())}
    used = set(boxes.classes.tolist()) | set(file.class_names)
    categories = [
        *file.tables.get("categories", ()),
        *({"id": at, "name": file.class_names.get(at, str(at))} for at in sorted(used - named)),
    ]
    data = {
        "info": file.tables.get("info", {}), "licenses": file.tables.get("licenses", []),
        "videos": videos, "images": images, "annotations": rows, "categories": categories,
    }  # fmt: skip
    if kind == TAO:
        data["tracks"] = _tracks(file, boxes, ids)
    write_text(path, [json.dumps(data)])
    notes = lost_columns(boxes, {"annotation", "crowd"}, "COCO JSON")
    if np.any(boxes.scores != 1):
        notes.append("Annotations have no place for scores.")
    return notes


def _tracks(file: TrackFile, boxes: Boxes, ids: list[int]) -> list[dict[str, Any]]:
    """The list of tracks; TAO's track ids are unique over all videos."""
    known = list(file.tables.get("tracks", ()))
    there = {int(row["id"]) for row in known}
    tracks, first = np.unique(boxes.tracks, return_index=True)
    return known + [
        {"id": track, "category_id": int(boxes.classes[at]), "video_id": ids[int(boxes.cameras[at])]}
        for track, at in zip(tracks.tolist(), first.tolist(), strict=True)
        if track != NO_TRACK and track not in there
    ]


def _rows(boxes: Boxes) -> Iterable[dict[str, Any]]:
    # Through their texts: a float32 written as a float64 has nine digits that nobody measured.
    sides = boxes.xywh.astype("U32").astype(np.float64).tolist()
    scores = boxes.scores.astype("U32").astype(np.float64).tolist()
    columns = (boxes.cameras, boxes.frames, boxes.tracks, boxes.classes)
    values = zip(*(column.tolist() for column in columns), sides, scores, strict=True)
    for camera, frame, track, number, bbox, score in values:
        yield {
            "camera": camera, "frame": frame, "track": track, "class": number, "bbox": bbox,
            "score": score,
        }  # fmt: skip


def _unique(names: list[str]) -> list[str]:
    taken: dict[str, int] = {}
    for name in names:
        taken[name] = taken.get(name, 0) + 1
    return [name if taken[name] == 1 else f"{name} ({at})" for at, name in enumerate(names, 1)]


def _wrong(path: Path, detail: str) -> EngineError:
    return bad_file(
        f"{path} cannot be read: {detail}. Nothing was changed.",
        "Check that it is whole and in the format of TAO or COCO-VID.",
        detail,
    )
