"""``triptych taste``: teach the reward ``taste`` which pictures you like, without the window."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import invalid_input
from engine.terminal import OK, StopOnInterrupt, add_json, tell, write, write_json

if TYPE_CHECKING:
    from engine.job import JobSpec


def configure_taste(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the command."""
    for flag, text in (("--like", "pictures you like"), ("--dislike", "pictures you do not like")):
        parser.add_argument(flag, nargs="+", type=Path, default=[], metavar="FILE", help=text)
    parser.add_argument(
        "--prefer",
        nargs=2,
        type=Path,
        action="append",
        default=[],
        metavar=("BETTER", "WORSE"),
        help="two pictures, the better one first; may be given several times",
    )
    parser.add_argument(
        "--device", default="auto", metavar="NAME", help="auto, cpu, cuda, ...; default auto"
    )
    add_json(parser)


def taste_spec(options: argparse.Namespace) -> JobSpec:
    """The job that the flags describe; raises ``invalid_input`` without any picture."""
    from engine.job import JobSpec

    pairs: list[list[Path]] = options.prefer
    files = [*options.like, *options.dislike, *(file for pair in pairs for file in pair)]
    if not files:
        raise invalid_input(
            "No pictures were given; your taste stays as it was.",
            "Name some with --like and some with --dislike, or pairs with --prefer.",
        )
    votes = {
        "liked": [str(file) for file in options.like],
        "disliked": [str(file) for file in options.dislike],
        "chosen": [[str(better), str(worse)] for better, worse in pairs],
    }
    inputs = {str(file): file for file in files}
    return JobSpec("images.learn_taste", votes, inputs, device=options.device)


def learn_taste(options: argparse.Namespace) -> int:
    """Run the command; the taste from before stays where it fails."""
    from engine.headless import run_to_folder
    from engine.progress import ProgressLine

    spec = taste_spec(options)
    # The job keeps the taste in the user's data folder and makes no files of its own.
    with (
        tempfile.TemporaryDirectory() as folder,
        StopOnInterrupt() as stop,
        ProgressLine(sys.stderr) as progress,
    ):
        outcome = run_to_folder(spec, Path(folder), progress.show, stop)
    if outcome.error is not None:
        raise outcome.error
    if options.json:
        write_json({**outcome.metrics, "warnings": outcome.warnings})
        return OK
    metrics = outcome.metrics
    write(
        f"Learnt from {metrics['votes']} votes; {metrics['accuracy']:.0%} of them are foretold rightly."
    )
    for note in outcome.warnings:
        tell(f"note: {note}")
    tell("Use it with `triptych align PICTURE --reward taste=1`.")
    return OK
