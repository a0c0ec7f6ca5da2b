"""``triptych recover``: the people in photos and videos as bodies, without the window."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import EngineError, bad_file, invalid_input
from engine.terminal import FAILED, OK, StopOnInterrupt, add_json, tell, write, write_json

if TYPE_CHECKING:
    from engine.bodies.body_model import BodyModel
    from engine.bodies.record import Recovery
    from engine.headless import Outcome


def configure_recover(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PHOTO|VIDEO|FOLDER")
    parser.add_argument(
        "--method",
        choices=("ik", "niki", "niki+shape", "fit"),
        default="fit",
        help="at once; plausible where hidden; and with the shape; or fitted to the picture (fit)",
    )
    parser.add_argument(
        "--detector", default="blazepose", metavar="NAME|FILE", help="blazepose, or an ONNX model"
    )
    parser.add_argument(
        "--body-model",
        metavar="FILE",
        help="your own SMPL, SMPL-H or SMPL-X file, .npz, under its licence; else the built-in body",
    )
    parser.add_argument("--keypoints", metavar="FILE", help="people set by hand, as JSON")
    parser.add_argument(
        "--levels", type=int, default=0, help="look for smaller people, 1 to 4; 0: by size (0)"
    )
    parser.add_argument("--height", type=float, metavar="CM", help="of the people, where it is known")
    parser.add_argument("--focal", type=float, metavar="PIXELS", help="else from EXIF, else a guess")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="of a video: each n-th frame")
    parser.add_argument("--frames", type=int, metavar="N", help="of a video: at most so many")
    parser.add_argument(
        "--export", default="", metavar="LIST", help="obj, ply, stl, glb, bvh, npz; separated by commas"
    )
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder (here)")
    add_json(parser)


def run_recover(options: argparse.Namespace) -> int:
    """Run the command: one job a file; a file that fails does not stop the others."""
    from engine.headless import run_to_folder
    from engine.job import JobSpec
    from engine.progress import ProgressLine

    formats = [name.strip() for name in options.export.split(",") if name.strip()]
    _check_formats(formats)
    names = ("method", "detector", "keypoints", "levels", "height", "focal", "every", "frames")
    params = {name: getattr(options, name) for name in names}
    if options.body_model is not None:
        params["body_model"] = str(Path(options.body_model).resolve())
    told: list[dict[str, Any]] = []
    error: EngineError | None = None
    for path in _files(options.pictures):
        spec = JobSpec("bodies.recover", params, {"picture": path.resolve()}, device="cpu")
        with StopOnInterrupt() as stop, ProgressLine(sys.stderr) as progress:
            outcome = run_to_folder(spec, options.out, progress.show, stop)
        if outcome.error is not None:
            error = outcome.error
            told.append({"picture": str(path), "error": error.to_json()})
            if not options.json:
                tell(f"triptych: {path.name}: {error}")
            if stop():
                break
            continue
        told.append(_tell(path, outcome, options, formats))
    if options.json:
        write_json({"pictures": told})
    return OK if error is None else FAILED


def _files(given: list[Path]) -> Iterator[Path]:
    from engine.suffixes import PHOTO_SUFFIXES, VIDEO_SUFFIXES

    known = PHOTO_SUFFIXES | VIDEO_SUFFIXES
    for path in given:
        if not path.is_dir():
            yield path
            continue
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in known)
        if not found:
            raise bad_file(f"There is no photo or video in {path}; nothing was started.")
        yield from found


def _check_formats(formats: list[str]) -> None:
    from engine.bodies.export import FORMATS

    unknown = sorted(set(formats) - set(FORMATS))
    if unknown:
        raise invalid_input(
            f"Bodies are not written as {', '.join(unknown)}; nothing was started.",
            f"Choose from {', '.join(FORMATS)}.",
        )


def _tell(
    path: Path, outcome: Outcome, options: argparse.Namespace, formats: list[str]
) -> dict[str, Any]:
    """Export, and say what was found; the figures of a photo's people in full."""
    from engine.bodies.export import export_bodies
    from engine.bodies.record import read_recoveries
    from engine.bodies.smpl import load_body

    stored = next(file for file in outcome.files if file.suffix == ".npz")
    recoveries = read_recoveries(stored)
    files = [stored]
    body = load_body(options.body_model)
    if formats:
        fps = float(outcome.metrics.get("fps", 30.0))
        files += export_bodies(recoveries, body, options.out, stored.stem + "-body", formats, fps)
    if not options.json:
        for file in files:
            write(str(file))
        figures = outcome.metrics
        tell(
            f"{path.name}: {figures['people']} recovered, keypoints met within "
            f"{figures['error_px']:.1f} px ({100 * figures['error_share']:.1f} % of the height), "
            f"{figures['seconds']:.1f} s"
        )
        for note in outcome.warnings:
            tell(f"note: {note}")
    return {
        "picture": str(path),
        "files": [str(file) for file in files],
        **outcome.metrics,
        "warnings": outcome.warnings,
        "bodies": _people(recoveries[0], body) if len(recoveries) == 1 else [],
    }


def _people(recovery: Recovery, body: BodyModel) -> list[dict[str, Any]]:
    import torch

    from engine.bodies.joints import JOINT_NAMES
    from engine.bodies.measure import measure

    found = []
    for person in recovery.people:
        measured = measure(body, torch.from_numpy(person.shape.copy())[None])
        joints = {
            name: [round(float(value), 5) for value in place]
            for name, place in zip(JOINT_NAMES, person.joints, strict=True)
        }
        found.append(
            {
                "method": person.method,
                "error_px": round(person.error_px, 3),
                "error_share": round(person.error_share, 5),
                "box": [round(float(value), 1) for value in person.person.box],
                "joints_m": joints,
                "height_m": round(measured.height, 4),
                "girths_m": {name: round(g.length, 4) for name, g in measured.girths.items()},
                "bones_m": {name: round(length, 4) for name, length in measured.bones.items()},
                "notes": list(person.notes),
            }
        )
    return found
