"""``triptych detect``: from videos to a scene with detections, without the window."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from engine.errors import bad_file, invalid_input
from engine.terminal import OK, StopOnInterrupt, add_json, tell, write, write_json

_SCENE = "scene.sqlite"


def configure_detect(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    add = parser.add_argument
    add("videos", nargs="+", type=Path, metavar="VIDEO|SCENE_DIR")
    add(
        "--detector", action="append", metavar="NAME|FILE",
        help="moving (default: what moves before a fixed camera), an .onnx model, or a file of boxes; "
        "several are fused",
    )  # fmt: skip
    add("--weight", action="append", type=float, metavar="X", help="of each of several detectors")
    add(
        "--appearance", action="append", metavar="NAME|FILE",
        help="built-in (default), an .onnx embedding, or none; several are put together",
    )  # fmt: skip
    add("--classes", default="", metavar="LIST", help="of an ONNX model: names or numbers; default all")
    add("--one-class", action="store_true", help="treat them as one class")
    add("--least-score", type=float, default=0.1, metavar="X", help="leave out boxes below (0.1)")
    add("--least-size", type=float, default=0.02, metavar="X", help="of what moves, share of the side")
    add("--overlap", type=float, default=0.45, metavar="X", help="of ONNX boxes that displace (0.45)")
    add("--layout", default="auto", help="of an ONNX model's outputs; auto recognises it")
    add("--size", type=int, default=0, metavar="N", help="ONNX: side of the input where any will do")
    add("--tiles", type=int, default=1, metavar="N", help="ONNX: also N by N parts; 0: by size")
    add("--frames", type=int, metavar="N", help="of each video at most so many")
    add("--truth", type=Path, metavar="FILE", help="compare with true boxes")
    add("--device", default="auto", metavar="NAME", help="of ONNX models: auto, cpu, cuda, ...")
    add("--out", type=Path, metavar="DIR", help="the scene; needed with videos")
    add_json(parser)


def run_detect(options: argparse.Namespace) -> int:
    """Run the command."""
    from engine.headless import run_to_folder
    from engine.job import JobSpec
    from engine.progress import ProgressLine

    inputs = _inputs(options.videos)
    if options.out is None and "scene" not in inputs:
        raise invalid_input("There is no folder for the scene; nothing was started.", "Give --out DIR.")
    detectors = options.detector or ["moving"]
    described = [name for name in options.appearance or ["built-in"] if name != "none"]
    out = options.out or inputs["scene"]
    names = (
        "classes",
        "one_class",
        "least_score",
        "least_size",
        "overlap",
        "layout",
        "size",
        "tiles",
        "frames",
    )
    params = {name: getattr(options, name) for name in names} | {
        "detectors": detectors,
        "weights": options.weight or [],
        "appearance": described,
        "out": "" if options.out is None else str(options.out.resolve()),
    }
    # To know what `auto` means, torch has to be loaded; without a network it does not matter.
    has_network = any(name.lower().endswith(".onnx") for name in (*detectors, *described))
    spec = JobSpec("tracks.detect", params, inputs, device=options.device if has_network else "cpu")
    with StopOnInterrupt() as stop, ProgressLine(sys.stderr) as progress:
        outcome = run_to_folder(spec, out, progress.show, stop)
    if outcome.error is not None:
        raise outcome.error
    said: dict[str, Any] = {**outcome.metrics, "warnings": outcome.warnings}
    if options.truth is not None:
        said["evaluation"] = _compared(Path(said["scene"]), options.truth)
    if options.json:
        write_json(said)
        return OK
    write(said["scene"])
    tell(
        f"{said['detections']} detections in {said['frames']} frames of {said['cameras']} camera(s) by "
        f"{said['detector']}; appearance: {said['appearance']}."
    )
    if "evaluation" in said:
        figures = said["evaluation"]["all"]
        shown = "  ".join(f"{name} {figures[name]:.4g}" for name in ("precision", "recall", "AP", "F1"))
        write(f"IoU 0.5: {shown}")
    for note in outcome.warnings:
        tell(f"note: {note}")
    return OK


def _inputs(given: list[Path]) -> dict[str, Path]:
    for path in given:
        if not path.exists():
            raise bad_file(f"{path} is not there; nothing was started.", "Check the name.")
        if path.is_dir() and not (path / _SCENE).is_file():
            raise bad_file(
                f"There is no scene in the folder {path}; nothing was started.",
                "Give the videos in it, or the folder of a scene.",
            )
    folders = [path for path in given if path.is_dir()]
    if folders and len(given) > 1:
        raise invalid_input("Give one scene, or videos; nothing was started.")
    if folders:
        return {"scene": folders[0].resolve()}
    return {f"video {number}": path.resolve() for number, path in enumerate(given, 1)}


def _compared(folder: Path, truth: Path) -> dict[str, Any]:
    """Figures of all cameras together, and of each."""
    from engine.tracks.boxes import Boxes
    from engine.tracks.evaluate_detections import evaluate_detections
    from engine.tracks.formats import TrackFile, read_tracks
    from engine.tracks.scene import Scene

    with Scene.open(folder) as scene:
        cameras, found = scene.cameras, scene.detections
        only = cameras[0].name if len(cameras) == 1 else ""
        file = read_tracks(truth, camera=only, reference=TrackFile(Boxes.empty(), cameras))
        figures = {"all": evaluate_detections(file.boxes, found)}
        for at, camera in enumerate(cameras):
            figures[camera.name] = evaluate_detections(
                file.boxes.select(file.boxes.cameras == at), found.select(found.cameras == at)
            )
    return figures
