"""What commands share: exit codes, writing, and stopping on Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from types import FrameType
from typing import Any

OK, BAD_INPUT, FAILED, CANCELLED = 0, 2, 3, 130


def write(text: str) -> None:
    """Write a line of the result."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Write a line that is not the result."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def write_json(value: dict[str, Any]) -> None:
    """Write a result for programs."""
    write(json.dumps(value, indent=2))


class StopOnInterrupt:
    """Within it, the first Ctrl-C (or SIGTERM) asks to stop; the second ends the process at once.

    Ending at once is safe: results are whole files from the moment they exist.
    """

    def __init__(self) -> None:
        self._asked = False
        self._previous: dict[int, Any] = {}

    def __call__(self) -> bool:
        """Whether the user wants to stop."""
        return self._asked

    def __enter__(self) -> StopOnInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(CANCELLED)
        self._asked = True


def add_json(parser: argparse.ArgumentParser) -> None:
    """Let a command write one JSON object."""
    parser.add_argument("--json", action="store_true", help="write one JSON object")
