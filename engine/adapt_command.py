"""``triptych adapt train``: teach Triptych how your things look, from labelled pictures."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.terminal import add_json


def configure_adapt(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    parser.add_argument("what", choices=("train",))
    parser.add_argument(
        "data", type=Path, metavar="FOLDER|TABLE",
        help="a folder a class (in it perhaps a folder a camera), files with names like "
        "0001_c2_x.jpg, or a CSV or JSONL file with the columns path, label and perhaps domain, track, "
        "split, box",
    )  # fmt: skip
    parser.add_argument(
        "--goal", default="identities", choices=("identities", "classes"),
        help="identities: find again whom it was never taught, in other cameras (default); classes: "
        "tell apart those that it was taught",
    )  # fmt: skip
    parser.add_argument("--labels", default="auto", choices=("auto", "folders", "names", "table"))
    parser.add_argument("--pattern", metavar="REGEX", help="of file names: groups label, domain, track")
    parser.add_argument(
        "--backbone", default="builtin", metavar="FILE|FOLDER",
        help="a vision transformer of timm or Hugging Face instead of the built-in one",
    )  # fmt: skip
    parser.add_argument(
        "--heads", type=int, default=0, metavar="N", help="of its attention, if unknown"
    )
    parser.add_argument(
        "--robust", action="store_true", help="hold up in the worst camera (or other domain)"
    )
    parser.add_argument("--no-metric", action="store_true", help="the backbone alone, to compare with")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the model goes")
    add_json(parser)


def run_adapt(options: argparse.Namespace) -> int:
    """Run the command."""
    from engine.job import JobSpec
    from engine.job_command import run_and_tell

    params: dict[str, Any] = {
        "goal": options.goal,
        "source": options.labels,
        "backbone": _local(options.backbone),
        "heads": options.heads,
        "domains": "robust" if options.robust else "off",
        "learn": not options.no_metric,
    }
    if options.pattern is not None:
        params["pattern"] = options.pattern
    spec = JobSpec(
        "adapt.train", params, {"data": options.data.resolve()}, seed=options.seed, device="cpu"
    )
    return run_and_tell(spec, options.out, options.json, _words)


def _local(backbone: str) -> str:
    return backbone if backbone == "builtin" else str(Path(backbone).resolve())


def _words(metrics: Mapping[str, Any]) -> str:
    before, after = metrics["before"], metrics["after"]
    said = f"{metrics['pictures']:,} pictures of {metrics['classes']:,} classes"
    if not after:
        return f"{said}; none was left to test with, so how good it is is not known."
    if "rank1" in after:
        if after["rank1"] is None:
            return f"{said}; nobody of the test part is in two cameras, so it could not be measured."
        worst = after["pairs"][0]
        return (
            f"{said}. Unseen ones are found again in another camera at once in {after['rank1']:.1%} of "
            f"cases (by the backbone alone {before['rank1']:.1%}), worst from {worst['query']} to "
            f"{worst['gallery']}: {worst['rank1']:.1%}."
        )
    worst = after["domains"][0]
    where = f", worst in {worst['name']}: {worst['accuracy']:.1%}" if worst["name"] else ""
    low, high = after["interval"]
    return (
        f"{said}. {after['accuracy']:.1%} of {after['count']:,} others are told right ({low:.1%} to "
        f"{high:.1%}; by the backbone alone {before['accuracy']:.1%}){where}."
    )
