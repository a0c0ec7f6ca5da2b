"""``triptych convert``: files of boxes and tracks from one format to another, and what got lost."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import invalid_input
from engine.terminal import OK, add_json, tell, write, write_json

if TYPE_CHECKING:
    from engine.tracks.formats import TrackFile

FORMAT_NAMES = (
    "mot", "aicity", "aicity_submission", "aicity_enlarged", "tao", "tao_result", "coco_vid", "cvat",
    "csv",
)  # fmt: skip
"""Those of :data:`engine.tracks.formats.FORMATS`, which takes NumPy to know."""
_BY_SUFFIX = {".csv": "csv", ".xml": "cvat"}
_JSON_FORMATS = ("tao", "tao_result", "coco_vid")


def configure_convert(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument(
        "source", type=Path, metavar="IN", help="file, folder with a file a camera, scene"
    )
    parser.add_argument("target", type=Path, metavar="OUT", help="file; folder for a file a camera")
    parser.add_argument(
        "--from",
        choices=("auto", *FORMAT_NAMES),
        default="auto",
        dest="source_format",
        help="default auto",
    )
    parser.add_argument(
        "--to", choices=FORMAT_NAMES, dest="target_format", help="default: by the name of OUT"
    )
    parser.add_argument("--camera", default="", metavar="NAME", help="of a file that does not say it")
    parser.add_argument(
        "--reference", type=Path, metavar="FILE", help="the annotations that a TAO result is about"
    )
    parser.add_argument(
        "--result", metavar="NAME", help="of a scene: which result; default the newest, else detections"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")
    add_json(parser)


def run_convert(options: argparse.Namespace) -> int:
    """Run the command.

    Raises
    ------
    EngineError
        ``bad_file`` and ``invalid_input`` as reading and writing do, and when OUT exists; nothing is
        written then.
    """
    from engine.tracks.formats import FORMATS, write_tracks

    source: Path = options.source
    target: Path = options.target
    if target.exists() and (not options.overwrite or target.resolve() == source.resolve()):
        raise invalid_input(
            f"{target} exists; nothing was converted.", "Choose another name, or add --overwrite."
        )
    file = _read(options)
    chosen = options.target_format or _by_name(target, file)
    notes = write_tracks(file, target, chosen)
    tracks = len({*zip(file.boxes.cameras.tolist(), file.boxes.tracks.tolist(), strict=True)})
    said: dict[str, Any] = {
        "file": str(target),
        "from": file.format,
        "to": chosen,
        "boxes": len(file.boxes),
        "cameras": [camera.name for camera in file.cameras],
        "report": file.report.to_json(),
        "lost": notes,
    }
    if options.json:
        write_json(said)
        return OK
    write(str(target))
    title = FORMATS[file.format].title if file.format in FORMATS else "Scene"
    tell(
        f"{title} to {FORMATS[chosen].title}: {len(file.boxes)} boxes, {tracks} tracks, "
        f"{len(file.cameras)} cameras."
    )
    for line in (*file.report.lines(), *notes):
        tell(f"note: {line}")
    return OK


def _read(options: argparse.Namespace) -> TrackFile:
    from engine.tracks.formats import read_tracks
    from engine.tracks.scene import DATABASE

    if (options.source / DATABASE).is_file():
        return _read_scene(options.source, options.result)
    if options.result is not None:
        raise invalid_input(
            f"{options.source} is no scene, so it has no results; nothing was converted.",
            "Leave --result out.",
        )
    reference = None if options.reference is None else read_tracks(options.reference)
    return read_tracks(
        options.source, options.source_format, camera=options.camera, reference=reference
    )


def _read_scene(folder: Path, name: str | None) -> TrackFile:
    """A result of a scene with all its edits, ids being identities; or its detections."""
    from engine.tracks.formats import Report, TrackFile
    from engine.tracks.scene import Scene

    with Scene.open(folder) as scene:
        results = {info.name: info.id for info in scene.results()}
        if name is not None and name not in results:
            raise invalid_input(
                f"{folder} has no result {name!r}; nothing was converted.",
                f"It has: {', '.join(results)}." if results else "It has none so far.",
            )
        if results:
            chosen = name or list(results)[-1]
            boxes = scene.state(results[chosen]).boxes()
            report = Report(len(boxes), len(boxes), notes=(f"The result {chosen}.",))
        else:
            boxes = scene.detections
            report = Report(len(boxes), len(boxes), notes=("Detections: it has no result.",))
        return TrackFile(boxes, scene.cameras, scene.class_names, "scene", report)


def _by_name(target: Path, file: TrackFile) -> str:
    suffix = target.suffix.lower()
    if suffix in _BY_SUFFIX:
        return _BY_SUFFIX[suffix]
    if suffix == ".json":
        return file.format if file.format in _JSON_FORMATS else "coco_vid"
    if suffix == ".txt":
        return "mot" if len(file.cameras) == 1 else "aicity"
    if not suffix and len(file.cameras) > 1:
        return "mot"
    raise invalid_input(
        f"The name {target.name} does not say which format is meant; nothing was converted.",
        f"Add --to with one of {', '.join(FORMAT_NAMES)}.",
    )
