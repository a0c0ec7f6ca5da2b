"""Rewards written by the user in Python, in a process of their own.

Off unless the user said so: such a file can do whatever the user can. A call that takes too long, or
a process that dies, is ended and started again once; the application and the run's pictures are not
affected.
"""

from __future__ import annotations

import collections
import contextlib
import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from engine import child
from engine.errors import EngineError, ErrorCode, bad_file, invalid_input
from engine.images.rewards.catalogue import Sort
from engine.images.rewards.options import UserPythonOptions
from engine.images.rewards.protocol import USER_CODE_VARIABLE, Reward, RewardContext
from engine.images.rewards.user_python_child import LENGTH
from engine.images.rewards.value import to_bytes

START_SECONDS = 60.0
"""How long the file may take to be imported."""
ATTEMPTS = 2
_KEPT_LINES = 40


class _BrokenError(Exception):
    """The process hung or died; what happened, in words."""


class UserPython:
    """The function ``reward(images)`` of a file, called in a child process.

    Parameters
    ----------
    path
        The file. ``images`` is a list of uint8 arrays ``(H, W, 3)``; one number each is returned.
    seconds
        How long one call may take.
    """

    name = "python"
    kind: Sort = "value"

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.seconds = path, seconds
        self.title = f"My program {path.name}"
        self.starts = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._said: collections.deque[str] = collections.deque(maxlen=_KEPT_LINES)
        self._start()

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        """Values of pictures; raises ``invalid_input`` with the line of the file that failed."""
        pixels = to_bytes(x)
        head = json.dumps({"shape": pixels.shape}).encode()
        message = LENGTH.pack(len(head)) + head + pixels.tobytes()
        for attempt in range(ATTEMPTS):
            try:
                if self._process is None:
                    self._start()
                values = self._ask(message)["values"]
                return torch.tensor([math.nan if v is None else v for v in values], dtype=torch.float64)
            except _BrokenError as broken:
                self.close()
                if attempt == ATTEMPTS - 1:
                    raise self._error(
                        f"{broken}, and again after it was started anew", "\n".join(self._said)
                    ) from None
        raise AssertionError("unreachable")

    def close(self) -> None:
        """End the process; the next call starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        _kill(process)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __del__(self) -> None:
        self.close()

    def _start(self) -> None:
        self._answers, self._said = queue.Queue(), collections.deque(maxlen=_KEPT_LINES)
        self._process = process = subprocess.Popen(
            child.command("engine.images.rewards.user_python_child", str(self.path)),
            env=child.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            start_new_session=True,
        )
        self.starts += 1
        assert process.stdout is not None
        assert process.stderr is not None
        for target, arguments in (
            (_read_answers, (process.stdout, self._answers)),
            (_read_lines, (process.stderr, self._said)),
        ):
            threading.Thread(target=target, args=arguments, daemon=True).start()
        try:
            self._wait(START_SECONDS, "was not imported")
        except _BrokenError as broken:
            self.close()
            raise self._error(str(broken), "\n".join(self._said)) from None
        except EngineError:
            self.close()
            raise

    def _ask(self, message: bytes) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        stream = self._process.stdin
        # On a thread: a process that hangs does not read either.
        threading.Thread(target=_write, args=(stream, message), daemon=True).start()
        return self._wait(self.seconds, "did not answer")

    def _wait(self, seconds: float, what: str) -> dict[str, Any]:
        try:
            answer = self._answers.get(timeout=seconds)
        except queue.Empty:
            raise _BrokenError(f"{what} within {seconds:g} seconds") from None
        if answer is None:
            assert self._process is not None
            try:
                code: int | str = self._process.wait(timeout=1)
            except subprocess.TimeoutExpired:
                code = "without a code"
            raise _BrokenError(f"ended by itself (exit code {code})")
        if "error" in answer:
            raise self._error(f"failed: {answer['error']}", answer.get("detail", ""))
        return answer

    def _error(self, what: str, detail: str) -> EngineError:
        return EngineError(
            ErrorCode.INVALID_INPUT,
            f"The reward program {self.path.name} {what}. The run stops there; the best picture so far "
            "is kept.",
            f"Correct {self.path}, or leave this reward out. It needs a function reward(images) that "
            "takes a list of uint8 arrays (H, W, 3) and returns one number for each.",
            detail,
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it started: that would keep our pipes open."""
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _read_answers(stream: IO[bytes], answers: queue.Queue[dict[str, Any] | None]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while True:
            head = stream.read(LENGTH.size)
            if len(head) < LENGTH.size:
                break
            answers.put(json.loads(stream.read(LENGTH.unpack(head)[0])))
    answers.put(None)


def _read_lines(stream: IO[bytes], lines: collections.deque[str]) -> None:
    with contextlib.suppress(OSError, ValueError):
        for line in stream:
            lines.append(line.decode("utf-8", "replace").rstrip())


def _write(stream: IO[bytes], message: bytes) -> None:
    with contextlib.suppress(OSError, ValueError):
        stream.write(message)
        stream.flush()


def user_python(options: UserPythonOptions, context: RewardContext) -> Reward:
    """The reward in a Python file.

    Raises
    ------
    EngineError
        ``invalid_input`` when running the user's code was not allowed, no file is given or it
        fails; ``bad_file`` when it is not there.
    """
    if not context.allow_user_code:
        raise invalid_input(
            "Rewards written in Python are switched off, as such a file can do whatever you can; "
            "nothing was started.",
            f"If you trust the file, allow them: start Triptych with {USER_CODE_VARIABLE}=1 in its "
            "environment.",
        )
    if not options.file:
        raise invalid_input(
            "No Python file is given for the reward 'python'; nothing was started.",
            "Choose a file with a function reward(images).",
        )
    path = Path(options.file).expanduser().resolve()
    if not path.is_file():
        raise bad_file(
            f"The reward program {path.name} is not there; nothing was started.",
            f"Looked for {path}. Choose the file again.",
        )
    return UserPython(path, options.seconds)
