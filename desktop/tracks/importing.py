"""Makes scenes of files (tracks, detections, videos), and files of scenes; beside the window."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import EngineError, bad_file
from engine.suffixes import VIDEO_SUFFIXES
from engine.tracks.boxes import NO_TRACK, Boxes
from engine.tracks.cameras import Camera
from engine.tracks.evaluate_errors import KINDS, errors
from engine.tracks.evaluate_network import evaluate_network
from engine.tracks.formats import TrackFile, read_tracks, write_tracks
from engine.tracks.itineraries import itineraries, write_itineraries
from engine.tracks.scene import DATABASE, Scene
from engine.tracks.tracklets import TrackState

TRACK_SUFFIXES = frozenset({".txt", ".json", ".xml", ".csv"})
MOST_ERRORS = 500
VISITS = "visits"
"""Instead of a format of tracks: who was at which camera from when to when."""


@dataclass(frozen=True)
class Made:
    """A new scene, and what is to be told about it."""

    scene: Scene
    notes: tuple[str, ...]


def looks_usable(path: Path) -> bool:
    """Whether a dropped path can be a scene, a video, or a file of boxes."""
    if path.is_dir():
        # Or with a file a camera, as read_tracks takes it.
        return (path / DATABASE).is_file() or any(
            child.suffix in (".txt", ".xml") or (child / "gt" / "gt.txt").is_file()
            for child in path.iterdir()
        )
    return path.name == DATABASE or path.suffix.lower() in VIDEO_SUFFIXES | TRACK_SUFFIXES


def is_scene(path: Path) -> bool:
    """Whether a path is a scene's folder or its database."""
    return path.name == DATABASE or (path.is_dir() and (path / DATABASE).is_file())


def fresh_folder(parent: Path, name: str) -> Path:
    """A folder for a new scene that nobody has."""
    for number in itertools.count(1):
        folder = parent / (name if number == 1 else f"{name}-{number}")
        if not folder.exists():
            return folder
    raise AssertionError


def scene_of_videos(paths: Sequence[Path], parent: Path) -> Made:
    """A scene with a camera a video, named after its file; of one name, after their folders too.

    Raises
    ------
    EngineError
        ``bad_file`` when a video cannot be read; no scene is made then.
    """
    from engine.video import VideoFile

    cameras = []
    for path, name in zip(paths, _camera_names(paths), strict=True):
        with VideoFile(path) as video:
            cameras.append(
                Camera(
                    name,
                    fps=float(video.rate),
                    width=video.width,
                    height=video.height,
                    frames=len(video.times),
                    video=str(path.resolve()),
                )
            )
    scene = Scene.create(fresh_folder(parent, paths[0].stem), cameras)
    return Made(scene, ())


def _camera_names(paths: Sequence[Path]) -> list[str]:
    """Each once; ``c001/vdo.avi`` and ``c002/vdo.avi`` are two cameras."""
    stems = [path.stem for path in paths]
    wanted = [
        f"{path.resolve().parent.name} {stem}" if stems.count(stem) > 1 else stem
        for path, stem in zip(paths, stems, strict=True)
    ]
    return [
        name if wanted.count(name) == 1 else f"{name} {1 + wanted[:at].count(name)}"
        for at, name in enumerate(wanted)
    ]


def scene_of_tracks(path: Path, parent: Path) -> Made:
    """A scene of a file (or folder) of tracks or detections.

    Raises
    ------
    EngineError
        ``bad_file`` when it cannot be read; no scene is made then.
    """
    file = read_tracks(path)
    if not len(file.boxes):
        raise bad_file(
            f"{path.name} has no boxes; no scene was made of it.", "\n".join(file.report.lines())
        )
    scene = Scene.create(fresh_folder(parent, path.stem), file.cameras)
    try:
        scene.name_classes(file.class_names)
        if (file.boxes.tracks == NO_TRACK).all():
            scene.add_detections(file.boxes, path.name)
        else:
            scene.import_tracks(file.boxes, path.stem, path.name)
    except EngineError:
        scene.close()
        raise
    return Made(scene, tuple(file.report.lines()))


def tracks_of(
    cameras: tuple[Camera, ...], class_names: Mapping[int, str], state: TrackState
) -> TrackFile:
    """A result as a file has it; ids are identities."""
    return TrackFile(state.boxes(), cameras, class_names)


def export_tracks(file: TrackFile, path: Path, format: str) -> list[str]:
    """Write it; what the format cannot hold."""
    if format == VISITS:
        write_itineraries(itineraries(file.boxes, file.cameras), file.cameras, path)
        return []
    return write_tracks(file, path, format)


@dataclass(frozen=True)
class Comparison:
    """Tracks beside the truth.

    Attributes
    ----------
    figures
        By name.
    errors
        ``(text, camera, frame, identity)``, the first 500: switches, then fragments, false ones,
        misses (of which the identity is NO_TRACK).
    count
        How many errors there are.
    """

    figures: dict[str, float]
    errors: tuple[tuple[str, int, int, int], ...]
    count: int


def compare(own: TrackFile, path: Path) -> Comparison:
    """Compare tracks with the true ones in a file.

    Raises
    ------
    EngineError
        ``bad_file`` when it cannot be read, ``invalid_input`` when it is about other cameras.
    """
    names = [camera.name for camera in own.cameras]
    truth = read_tracks(path, camera=names[0] if len(names) == 1 else "", reference=own)
    known = [camera.name for camera in truth.cameras]
    strange = [name for name in known if name not in names]
    if strange:
        raise bad_file(
            f"{path.name} is about cameras that this scene does not have: {', '.join(strange[:5])}; "
            "nothing was compared.",
            "Choose the truth of this scene.",
        )
    boxes = truth.boxes.replace(cameras=[names.index(known[at]) for at in truth.boxes.cameras.tolist()])
    found = evaluate_network(_plain(boxes), _plain(own.boxes), names)
    listed = errors(found.network, found.truth, found.predicted)
    rows = sorted(listed.rows(), key=lambda row: KINDS.index(row["kind"]))
    told = [
        (_words(row, names), row["camera"], row["frame"], row.get("predicted_id", NO_TRACK))
        for row in rows[:MOST_ERRORS]
    ]
    figures = {
        name: float(value) for name, value in found.to_json().items() if isinstance(value, float | int)
    }
    return Comparison(figures, tuple(told), len(rows))


def _plain(boxes: Boxes) -> Boxes:
    return replace(boxes, extra={})


def _words(row: dict[str, Any], names: Sequence[str]) -> str:
    where = f"{names[row['camera']]}, frame {row['frame']}"
    return {
        "switch": "Switch in {where}: true {true_id} becomes {predicted_id}",
        "fragment": "Interrupted until {where}: {predicted_id}",
        "false": "False box in {where}: {predicted_id}",
        "miss": "Missed in {where}: true {true_id}",
    }[row["kind"]].format(where=where, **row)
