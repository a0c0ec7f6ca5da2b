"""How this program starts another of its own programs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO


def command(module: str, *arguments: str) -> list[str]:
    """Command line that runs one of our modules in this interpreter's environment.

    Whatever the folder is in which the user works (``-P``): it may contain another ``engine``.
    """
    return [sys.executable, "-P", "-m", module, *arguments]


def environment() -> dict[str, str]:
    """Environment in which the engine is importable, also from a checkout that is not installed."""
    checkout = str(Path(__file__).resolve().parents[1])
    paths = [checkout, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        # Torch's threads that spin while they wait for each other are slow on a busy machine.
        "OMP_WAIT_POLICY": "PASSIVE",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
    }


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the two pipes to ourselves.

    Afterwards reading standard input finds nothing, and what anybody prints goes to standard
    error, so that a stray ``print`` in a library cannot corrupt the protocol.
    """
    commands = os.fdopen(os.dup(0), "rb", buffering=0)
    events = os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return commands, events
