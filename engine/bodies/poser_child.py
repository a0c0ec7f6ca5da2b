"""The process in which bodies are posed for the window: ``python -m engine.bodies.poser_child``.

Requests come in on standard input and each is answered on standard output, both as frames of
:mod:`engine.pipe` with the values of :mod:`engine.bodies.poser_messages`. An answer has ``"ok"``: true
with the values, or false with ``"error"``, an :class:`~engine.errors.EngineError`. When standard input
ends, the process ends.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from typing import Any

from engine.bodies.poser_messages import pack, unpack
from engine.child import take_pipes
from engine.errors import EngineError, ErrorCode
from engine.pipe import PipeError, read_frame, write_frame


def main() -> int:
    """Answer until standard input ends; the exit code."""
    # An interrupt from the terminal is for the program that started us; it closes our input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    faulthandler.enable()
    requests, answers = take_pipes()

    import torch

    from engine.bodies.poser import Poser

    # Posing is many small steps: a second thread makes it slower, and takes a core from the jobs.
    torch.set_num_threads(1)
    poser: Poser | None = None
    try:
        while (frame := read_frame(requests)) is not None:
            try:
                poser = Poser() if poser is None else poser
                answer: dict[str, Any] = {"ok": True, **poser.answer(unpack(*frame))}
            except EngineError as error:
                answer = {"ok": False, "error": error.to_json()}
            except Exception as error:
                mistake = EngineError(
                    ErrorCode.INTERNAL,
                    f"The body could not be shown ({type(error).__name__}: {error}). Your "
                    "corrections are kept.",
                    "The log has the details.",
                    traceback.format_exc(),
                )
                answer = {"ok": False, "error": mistake.to_json()}
            write_frame(answers, *pack(answer))
    except PipeError as error:
        sys.stderr.write(f"the poser stops, because its requests are unreadable: {error}\n")
        return 1
    except BrokenPipeError:
        return 1
    return 0


if __name__ == "__main__":
    # Without the libraries' farewells, which take long and save nothing.
    os._exit(main())
