"""What Tracks sees in pixels: detections, appearance, and what trackers make of them; how fast.

``python tests/benchmarks/bench_tracks_detect.py [--seeds 201 202 203] [--minutes 1] [--cameras 3]``:
scenes of the preset hard are drawn as videos (kept in ``--folder``, if one is given) and looked at with
nothing but their pixels. ``--clips FOLDER --sheet FILE.png`` draws what is found in real clips instead.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from engine.tracks.appearance.catalogue import load_appearance
from engine.tracks.boxes import FEATURES, Boxes, concatenate
from engine.tracks.detect import crop, drawn, watch
from engine.tracks.detection.catalogue import load_detector
from engine.tracks.detection.found import Found
from engine.tracks.evaluate import evaluate
from engine.tracks.evaluate_detections import evaluate_detections
from engine.tracks.synthetic import SyntheticScene, make_scene
from engine.tracks.synthetic_video import write_video
from engine.tracks.trackers import track
from engine.video import Frame, VideoFile

CLEAR = 0.6
EVERY = 3
"""Appearance is measured on true boxes that are visible to this share, in each n-th frame."""
JITTER = 0.02


def drawn_videos(scene: SyntheticScene, folder: Path, seed: int) -> list[Path]:
    """A video for each camera; those that are there are taken as they are."""
    paths = [folder / f"{seed}-{camera.name}.mp4" for camera in scene.cameras]
    for at, path in enumerate(paths):
        if not path.exists():
            write_video(scene, at, path, seed=seed)
    return paths


def seen(scene: SyntheticScene, paths: list[Path]) -> tuple[Boxes, dict[str, float]]:
    """Detections with features from pixels, and seconds of the processor."""
    seconds = {"decoding": 0.0, "detection": 0.0, "with appearance": 0.0}
    parts = []
    for at, path in enumerate(paths):
        started = time.process_time()
        with VideoFile(path) as video:
            for _ in video.frames():
                pass
        seconds["decoding"] += time.process_time() - started
        started = time.process_time()
        watch(path, load_detector("moving"))
        seconds["detection"] += time.process_time() - started
        started = time.process_time()
        look = load_appearance("built-in")
        parts.append(watch(path, load_detector("moving"), look, position=at, least_score=0.1))
        seconds["with appearance"] += time.process_time() - started
    return concatenate(parts), seconds


def true_appearance(scene: SyntheticScene, paths: list[Path], every: int, clear: float) -> Boxes:
    """True boxes, a little moved as a detector would, with features from pixels."""
    rng = np.random.default_rng(0)
    look = load_appearance("built-in")
    parts = []
    for at, path in enumerate(paths):
        truth = scene.truth.select(scene.truth.cameras == at)
        truth = truth.select((truth.frames % every == 0) & (truth.extra["visibility"] > clear))
        truth = truth.select(np.argsort(truth.frames, kind="stable"))
        corners = truth.xyxy()
        sizes = np.tile(corners[:, 2:] - corners[:, :2], 2)
        corners += rng.normal(0, JITTER, corners.shape) * sizes
        features = np.zeros((len(truth), look.dimension), np.float32)
        with VideoFile(path) as video:
            for frame in video.frames(0, None, every):
                rows = np.flatnonzero(truth.frames == frame.index)
                features[rows] = look.describe([crop(frame.pixels, corners[row]) for row in rows])
        parts.append(truth.with_extra(features=features))
    return concatenate(parts)


def area_under_roc(same: np.ndarray, different: np.ndarray) -> float:
    """How often a pair of one thing is more alike than a pair of two; NaN without such pairs."""
    if not len(same) or not len(different):
        return float("nan")
    ranks = np.argsort(np.argsort(np.concatenate([same, different]))) + 1.0
    return (ranks[: len(same)].sum() - len(same) * (len(same) + 1) / 2) / (len(same) * len(different))


def separation(boxes: Boxes, kinds: np.ndarray) -> dict[str, float]:
    """How well features tell vehicles apart within and across cameras."""
    features = boxes.extra[FEATURES]
    upper = np.triu_indices(len(boxes), 1)
    alike = (features @ features.T)[upper]
    same, one_camera, near, one_kind = (
        (column[:, None] == column)[upper]
        for column in (boxes.tracks, boxes.cameras, boxes.frames // 10, kinds[boxes.tracks])
    )
    across = ~one_camera
    figures = {
        "AUC within": area_under_roc(alike[one_camera & same & ~near], alike[one_camera & ~same]),
        "AUC across": area_under_roc(alike[across & same], alike[across & ~same]),
        "AUC across, alike": area_under_roc(alike[across & same], alike[across & ~same & one_kind]),
        "cosine same": float(alike[same].mean()),
        "cosine different": float(alike[~same].mean()),
    }
    passages = np.unique(np.stack([boxes.cameras, boxes.tracks], axis=1), axis=0)
    means = np.stack(
        [features[(boxes.cameras == c) & (boxes.tracks == t)].mean(axis=0) for c, t in passages]
    )
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    hits = []
    for at, (camera, name) in enumerate(passages):
        others = np.flatnonzero(passages[:, 0] != camera)
        if (passages[others, 1] == name).any():
            best = others[np.argmax(means[others] @ means[at])]
            hits.append(passages[best, 1] == name)
    first = float(np.mean(hits)) if hits else float("nan")
    return figures | {"rank-1": first, "queries": len(hits)}


def tracked(detections: Boxes, truth: Boxes, tracker: str) -> dict[str, float]:
    """Figures of a tracker, means over the cameras."""
    found = track(detections, tracker)
    linked = detections.select(found.rows).replace(tracks=found.tracklets)
    rows = [
        evaluate(truth.select(truth.cameras == at), linked.select(linked.cameras == at)).figures
        for at in np.unique(truth.cameras)
    ]
    return {name: float(np.mean([row[name] for row in rows])) for name in ("HOTA", "IDF1", "MOTA")}


def one_scene(seed: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything about one scene."""
    scene = make_scene("hard", seed, seconds=60 * options.minutes, cameras=options.cameras)
    paths = drawn_videos(scene, folder, seed)
    detections, seconds = seen(scene, paths)
    frames = sum(camera.frames for camera in scene.cameras)
    clear = true_appearance(scene, paths, EVERY, CLEAR)
    exact = true_appearance(scene, paths, 1, 0.0)
    inputs = {
        "pixels": detections,
        "true boxes, features from pixels": exact.replace(tracks=-1),
        "formula": scene.detections,
    }
    return {
        "seed": seed,
        "frames": frames,
        "detection": {
            f"IoU {least}": evaluate_detections(scene.truth, detections, least) for least in (0.5, 0.7)
        },
        "appearance": separation(clear, scene.kinds),
        "tracking": {
            name: {tracker: tracked(boxes, scene.truth, tracker) for tracker in ("jde", "bytetrack")}
            for name, boxes in inputs.items()
        },
        "frames a second": {name: frames / value for name, value in seconds.items()},
        "times decoding": {name: value / seconds["decoding"] for name, value in seconds.items()},
    }


def means(rows: list[Any]) -> Any:
    """Means of equal nested tables of numbers, over those that are there."""
    if isinstance(rows[0], dict):
        return {name: means([row[name] for row in rows]) for name in rows[0]}
    return round(float(np.nanmean(rows)), 4)


def sheet(clips: Path, file: Path, count: int = 24, across: int = 6) -> None:
    """A picture of frames of real clips with what moves in them, to look at."""
    rows = []
    for path in sorted(clips.glob("*.mp4")):
        shown: list[np.ndarray] = []

        def keep(frame: Frame, found: Found, shown: list[np.ndarray] = shown) -> None:
            shown.append(cv2.resize(drawn(frame, found), (480, 270)))

        boxes = watch(path, load_detector("moving"), listener=keep)
        per_frame = np.bincount(boxes.frames, minlength=len(shown))
        print(path.name, len(shown), "frames; frames with 0, 1, 2, ... boxes:", np.bincount(per_frame))
        some = [shown[at] for at in np.linspace(0, len(shown) - 1, count).astype(int)]
        rows += [np.hstack(some[at : at + across]) for at in range(0, count, across)]
    cv2.imwrite(str(file), np.vstack(rows)[..., ::-1])


def main() -> None:
    """Measure and print JSON: each scene, and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[201, 202, 203])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--cameras", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the videos are kept")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--sheet", type=Path, default=Path("sheet.png"))
    options = parser.parse_args()
    if options.clips is not None:
        sheet(options.clips, options.sheet)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        scenes = [one_scene(seed, options, folder) for seed in options.seeds]
    print(json.dumps({"scenes": scenes, "means": means(scenes)}, indent=1))


if __name__ == "__main__":
    main()
