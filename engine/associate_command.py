"""``triptych associate``: the same objects in several cameras of a scene, without the window."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.terminal import add_json


def configure_associate(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("scene", type=Path, metavar="SCENE_DIR", help="the folder of a scene")
    parser.add_argument("--result", default="", metavar="NAME", help="of the scene; the newest")
    parser.add_argument(
        "--zones",
        choices=("auto", "on", "off"),
        default="auto",
        help="whether zones say where things go; auto: where any leads to a camera",
    )
    parser.add_argument(
        "--least", type=float, metavar="S", help="seconds from camera to camera; 0; negative: overlap"
    )
    parser.add_argument("--most", type=float, metavar="S", help="the same, at most; 120")
    parser.add_argument(
        "--distance", type=float, metavar="X", help="of looks, for one object; 0.6, without zones 0.3"
    )
    parser.add_argument(
        "--learn", action=argparse.BooleanOptionalAction, default=True,
        help="learn travel times from what is sure",
    )  # fmt: skip
    parser.add_argument("--name", default="", help="of the new result in the scene")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder for the links")
    add_json(parser)


def run_associate(options: argparse.Namespace) -> int:
    """Run the job ``tracks.associate``; the links go into a JSON file as well."""
    from engine.job import JobSpec
    from engine.job_command import run_and_tell

    given = {
        "least_seconds": options.least,
        "most_seconds": options.most,
        "most_distance": options.distance,
    }
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings |= {"zones": options.zones, "learn": options.learn}
    params = {"result": options.result, "options": settings, "name": options.name}
    spec = JobSpec("tracks.associate", params, {"scene": options.scene.resolve()}, device="cpu")
    return run_and_tell(spec, options.out, options.json, _words)


def _words(figures: Mapping[str, Any]) -> str:
    return (
        f"{figures['tracklets']} tracklets are {figures['identities']} objects, "
        f"{figures['in_several_cameras']} of them in several cameras; {figures['unsure']} of "
        f"{figures['links']} links are unsure, {figures['missing']} times one is missing where it "
        f"should be; {figures['left_out']} were left out: no other camera can have seen them. "
        f"The scene has them as {figures['name']!r}."
    )
