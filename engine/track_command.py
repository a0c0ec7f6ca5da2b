"""``triptych track``: follow objects through the cameras of a scene, without the window."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.errors import invalid_input
from engine.terminal import add_json


def configure_track(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("scene", type=Path, metavar="SCENE_DIR", help="the folder of a scene")
    parser.add_argument(
        "--tracker", default="jde", metavar="NAME", help="jde, aoa (need appearance) or bytetrack; jde"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="a setting of the tracker, as memory=20 or repair=null; may be repeated",
    )  # fmt: skip
    parser.add_argument("--name", default="", help="of the result in the scene; the tracker's")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="folder (here)")
    add_json(parser)


def run_track(options: argparse.Namespace) -> int:
    """Run the job ``tracks.track``; the boxes go into a CSV file as well."""
    from engine.job import JobSpec
    from engine.job_command import run_and_tell

    settings: dict[str, Any] = {}
    for text in options.set:
        name, equals, value = text.partition("=")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            equals = ""
        if not equals:
            raise invalid_input(
                f"{text!r} is no setting; nothing was tracked.", "Write NAME=VALUE, as memory=20."
            )
    params = {"tracker": options.tracker, "options": settings, "name": options.name}
    spec = JobSpec("tracks.track", params, {"scene": options.scene.resolve()}, device="cpu")
    return run_and_tell(spec, options.out, options.json, _words)


def _words(figures: Mapping[str, Any]) -> str:
    return (
        f"{figures['tracklets']} tracklets of {figures['boxes']} boxes in {figures['seconds']:.1f} s; "
        f"the scene has them as {figures['name']!r}."
    )
