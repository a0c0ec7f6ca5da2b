"""``triptych scene make``: a synthetic camera network in a folder, and its truth beside it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from engine.errors import cancelled
from engine.terminal import OK, StopOnInterrupt, add_json, tell, write, write_json


def configure_scene(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("what", choices=("make",))
    parser.add_argument(
        "--preset", default="hard", metavar="NAME",
        help="easy, medium, hard; handover, twins, queue, u_turn, clock_off, missing_camera, overlap",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--minutes", type=float, default=3.0, help="of easy, medium and hard; default 3"
    )
    parser.add_argument("--cameras", type=int, default=6, help="of the same; default 6")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder")
    parser.add_argument("--video", action="store_true", help="draw the pictures as well")
    add_json(parser)


def run_scene(options: argparse.Namespace) -> int:
    """Make ``DIR/scene``, which is what a tracker gets, and ``DIR/truth.txt`` (AI City)."""
    from engine.tracks.formats import TrackFile, write_tracks
    from engine.tracks.scene import Scene
    from engine.tracks.synthetic import make_scene

    made = make_scene(
        options.preset, options.seed, seconds=60 * options.minutes, cameras=options.cameras
    )
    cameras = made.cameras
    if options.video:
        from engine.artifacts import storage_error
        from engine.tracks.synthetic_video import write_video

        names = [f"videos/{camera.name}.mp4" for camera in cameras]
        videos = options.out / "scene" / "videos"
        try:
            videos.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, videos, "No scene was made") from error
        with StopOnInterrupt() as stop:

            def check() -> None:
                if stop():
                    raise cancelled()

            for at, name in enumerate(names):
                write_video(made, at, options.out / "scene" / name, seed=options.seed, check=check)
        cameras = tuple(
            replace(camera, video=name) for camera, name in zip(cameras, names, strict=True)
        )
    with Scene.create(options.out / "scene", cameras) as scene:
        scene.name_classes({0: "vehicle"})
        scene.add_detections(made.detections, f"synthetic {options.preset}, seed {options.seed}")
    truth = options.out / "truth.txt"
    write_tracks(TrackFile(made.truth, made.cameras), truth, "aicity")
    said = {
        "scene": str(options.out / "scene"),
        "truth": str(truth),
        "cameras": len(made.cameras),
        "true_boxes": len(made.truth),
        "true_ids": len(set(made.truth.tracks.tolist())),
        "detections": len(made.detections),
    }
    if options.json:
        write_json(said)
        return OK
    write(said["scene"])  # type: ignore[arg-type]
    write(said["truth"])  # type: ignore[arg-type]
    tell(
        f"{said['true_ids']} vehicles at {said['cameras']} cameras: {said['true_boxes']} boxes, "
        f"{said['detections']} detections."
    )
    return OK
