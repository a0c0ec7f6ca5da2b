"""What commands that run one job share: run it, list its files, say what came of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from engine.errors import ErrorCode
from engine.job import JobSpec
from engine.terminal import FAILED, OK, StopOnInterrupt, tell, write, write_json


def run_and_tell(
    spec: JobSpec, out: Path, as_json: bool, words: Callable[[Mapping[str, Any]], str]
) -> int:
    """Run a job into a folder and return the exit code.

    Parameters
    ----------
    spec, out
        What to run, and where its files go.
    as_json
        Write one JSON object instead of lines.
    words
        Says in a sentence what the job's metrics mean.

    Raises
    ------
    EngineError
        What the job raised, unless it is told as JSON.
    """
    from engine.headless import run_to_folder
    from engine.progress import ProgressLine

    with StopOnInterrupt() as stop, ProgressLine(sys.stderr) as progress:
        outcome = run_to_folder(spec, out, progress.show, stop)
    if outcome.error is not None:
        if outcome.error.code is ErrorCode.CANCELLED or not as_json:
            raise outcome.error
        write_json({"error": outcome.error.to_json()})
        return FAILED
    files = [str(path) for path in outcome.files]
    if as_json:
        write_json({"files": files, "warnings": outcome.warnings, **outcome.metrics})
        return OK
    for path in files:
        write(path)
    for note in outcome.warnings:
        tell(f"note: {note}")
    tell(words(outcome.metrics))
    return OK
