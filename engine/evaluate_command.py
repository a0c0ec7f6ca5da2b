"""``triptych evaluate``: compare tracks with the truth, without the window."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.terminal import OK, add_json, tell, write, write_json

if TYPE_CHECKING:
    from engine.tracks.formats import TrackFile

_FORMATS = ("auto", "mot", "aicity", "tao", "coco_vid", "cvat", "csv")
_SHOWN = (
    "HOTA",
    "DetA",
    "AssA",
    "MOTA",
    "IDF1",
    "IDP",
    "IDR",
    "IDSW",
    "Frag",
    "true_ids",
    "predicted_ids",
)


def configure_evaluate(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("truth", type=Path, help="file, or folder with a file a camera")
    parser.add_argument("result", type=Path, help="the tracks to be measured, likewise")
    parser.add_argument("--format", choices=_FORMATS, default="auto", help="of the truth; default auto")
    parser.add_argument(
        "--several-cameras-only",
        action="store_true",
        help="leave out ids that one camera alone sees, as AI City does",
    )
    parser.add_argument(
        "--errors", type=int, default=0, metavar="N", help="list the first N errors as well"
    )
    add_json(parser)


def run_evaluate(options: argparse.Namespace) -> int:
    """Run the command."""
    from engine.tracks.formats import read_tracks

    truth = read_tracks(options.truth, options.format)
    # A file of one camera does not say which: then it is the only one of the truth.
    camera = truth.cameras[0].name if len(truth.cameras) == 1 else ""
    result = read_tracks(options.result, camera=camera, reference=truth)
    figures = _tao(truth, result) if truth.format == "tao" else _network(truth, result, options)
    figures["reports"] = {"truth": truth.report.to_json(), "result": result.report.to_json()}
    if options.json:
        write_json(figures)
        return OK
    for name, file in (("truth", truth), ("result", result)):
        for line in file.report.lines():
            tell(f"note: {name}: {line}")
    if "mAP50" in figures:
        write(f"mAP50 {figures['mAP50']:.4f}  mAP {figures['mAP']:.4f}")
    cameras = figures.get("cameras", {})
    for name, row in ({"all": figures} | (cameras if len(cameras) > 1 else {})).items():
        write(f"{name}: " + "  ".join(f"{figure} {row[figure]:.4g}" for figure in _SHOWN))
    for row in figures.get("errors", ()):
        write(" ".join(f"{key} {value}" for key, value in row.items() if key != "box"))
    return OK


def _tao(truth: TrackFile, result: TrackFile) -> dict[str, Any]:
    from engine.tracks.evaluate_tao import evaluate_tao

    return evaluate_tao(truth, result).to_json()


def _network(truth: TrackFile, result: TrackFile, options: argparse.Namespace) -> dict[str, Any]:
    from engine.tracks.evaluate_errors import errors
    from engine.tracks.evaluate_network import evaluate_network

    names = [camera.name for camera in result.cameras]
    names += [camera.name for camera in truth.cameras[len(names) :]]
    compared = evaluate_network(
        truth.boxes, result.boxes, names, several_cameras_only=options.several_cameras_only
    )
    figures = compared.to_json()
    if options.errors:
        listed = errors(compared.network, compared.truth, compared.predicted)
        figures["error_counts"] = listed.counts()
        figures["errors"] = [
            row | {"camera": names[row["camera"]]} for row in listed.rows(options.errors)
        ]
    return figures
