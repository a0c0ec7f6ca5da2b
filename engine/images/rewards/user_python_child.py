"""The process in which a reward written by the user runs: ``python -m ... FILE``.

Pictures come in on standard input, numbers go out on standard output. Each message in is 4 bytes
(little endian) of length, a JSON text ``{"shape": [B, H, W, 3]}`` and the pixels; each message out
is the same length and a JSON text. What the user's code prints goes to standard error. When standard
input ends, or the parent, the process ends. Standard library and numpy only, so that it starts quickly.
"""

from __future__ import annotations

import json
import math
import os
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

LENGTH = struct.Struct("<I")
WATCH_SECONDS = 0.5


def load(path: Path) -> Callable[[list[Any]], Any]:
    """The function ``reward`` of a file; raises whatever the file raises, or ``ValueError``."""
    space: dict[str, Any] = {"__name__": "reward", "__file__": str(path)}
    sys.path.append(str(path.parent))  # its neighbours can be imported
    code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
    exec(code, space)
    found = space.get("reward")
    if not callable(found):
        raise ValueError("it has no function reward(images)")  # noqa: TRY004 - told to the user
    function: Callable[[list[Any]], Any] = found
    return function


def values_of(function: Callable[[list[Any]], Any], images: list[Any]) -> list[float | None]:
    """One number an image; what is not finite is ``None``. Raises ``ValueError`` for other shapes."""
    returned = function(images)
    try:
        values = [float(value) for value in returned]
    except TypeError:
        raise ValueError(f"it returned {type(returned).__name__}, not a list of numbers") from None
    if len(values) != len(images):
        raise ValueError(f"it returned {len(values)} number(s) for {len(images)} picture(s)")
    return [value if math.isfinite(value) else None for value in values]


def explain(error: BaseException, path: Path) -> dict[str, str]:
    """What went wrong, with the line of the user's file, for the other side."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines = [error.lineno]
    place = f" (line {lines[-1]})" if lines else ""
    said = (
        str(error)
        if isinstance(error, ValueError) and not lines
        else f"{type(error).__name__}: {error}"
    )
    return {"error": f"{said}{place}", "detail": "".join(traceback.format_exception(error))}


def _read(stream: BinaryIO, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise EOFError
    return data


def _answer(fd: int, message: dict[str, Any]) -> None:
    text = json.dumps(message).encode()
    data = LENGTH.pack(len(text)) + text
    while data:
        data = data[os.write(fd, data) :]


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, whatever the user's code is doing then."""
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until standard input ends; the exit code."""
    path = Path((sys.argv[1:] if arguments is None else arguments)[0])
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    # Standard output is for answers alone, whatever the user's code prints.
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        function = load(path)
    except BaseException as error:  # also what calls sys.exit
        _answer(answers, explain(error, path))
        return 1
    _answer(answers, {"ready": True})
    stream = sys.stdin.buffer
    while True:
        try:
            head = json.loads(_read(stream, LENGTH.unpack(_read(stream, LENGTH.size))[0]))
            shape = tuple(head["shape"])
            pixels = np.frombuffer(_read(stream, math.prod(shape)), np.uint8).reshape(shape)
        except EOFError:
            return 0
        try:
            message: dict[str, Any] = {"values": values_of(function, [p.copy() for p in pixels])}
        except BaseException as error:
            message = explain(error, path)
        _answer(answers, message)


if __name__ == "__main__":
    sys.exit(main())
