"""Job kinds for the tests of executors: a plug-in, loaded by the child process like a user's own."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from engine.context import RunContext
from engine.registry import JOBS, JobKind


class Params(BaseModel):
    """Shared by all kinds here."""

    model_config = ConfigDict(extra="forbid")

    count: int = Field(3, ge=1, le=100_000)
    seconds: float = Field(0.0, ge=0)
    text: str = ""


def kind(name: str):
    """Register a handler as ``test.NAME``."""

    def register(handler):
        JOBS.add(f"test.{name}", JobKind(Params, handler, name))
        return handler

    return register


@kind("work")
def work(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Progress, previews and outputs; ``seconds`` per unit."""
    generator = np.random.default_rng(ctx.spec.seed)
    for index in range(params.count):
        ctx.progress(index, params.count, "working")
        time.sleep(params.seconds)
        ctx.preview(generator.integers(0, 256, (2, 4, 5, 3), dtype=np.uint8))
        ctx.save(f"result-{index:04}", generator.bytes(100), "application/octet-stream", {"n": index})
    ctx.progress(params.count, params.count)
    ctx.warn("made for a test")
    ctx.log("done")
    return {"units": params.count, "pair": (1, 2)}


@kind("wait")
def wait(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Until cancelled; says that it runs by a progress event."""
    ctx.progress(0, 1, "waiting")
    while True:
        ctx.check()
        time.sleep(0.01)


@kind("ignore")
def ignore(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Never looks whether it is cancelled."""
    ctx.progress(0, 1, "deaf")
    time.sleep(600)
    return {}


@kind("flood")
def flood(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Many progress events, one every ``seconds``, and a few previews."""
    image = np.zeros((8, 8, 3), np.uint8)
    due = time.monotonic()
    for index in range(params.count):
        ctx.progress(index + 1, params.count)
        if index % 100 == 0:
            ctx.preview(image)
        due += params.seconds
        time.sleep(max(0.0, due - time.monotonic()))
    ctx.save("flood", b"flood", "text/plain")
    return {}


@kind("print")
def print_(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Prints in every way there is, also from C."""
    print(params.text)  # noqa: T201
    sys.stdout.flush()
    os.write(1, b"raw bytes \xff\x00 to descriptor 1\n")
    if sys.platform != "win32":
        libc = ctypes.CDLL(None)
        libc.puts(b"from C")
        libc.fflush(None)
    ctx.save("printed", params.text.encode(), "text/plain")
    return {"read": sys.stdin.read() if "worker" in sys.argv[0] else ""}


@kind("raise")
def raise_(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Fails like a programming mistake, after one result."""
    ctx.save("before", b"before", "text/plain")
    raise ZeroDivisionError(params.text)


@kind("quit")
def quit_(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Tries to end the process."""
    sys.exit(3)


@kind("crash")
def crash(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Ends the process without a word to anybody, after one result."""
    ctx.save("before", b"before", "text/plain")
    sys.stderr.write("about to crash\n")
    sys.stderr.flush()
    os.abort()


@kind("garbage")
def garbage(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Writes what is not a message into the event pipe, then waits."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        descriptor = int(name)
        try:
            is_pipe = Path(f"/proc/self/fd/{name}").readlink().name.startswith("pipe:")
            if is_pipe and descriptor > 2:
                os.write(descriptor, params.text.encode("latin-1"))
        except OSError:
            continue  # the read end, or a descriptor of the listing itself
    if params.seconds == 0:
        os._exit(0)
    time.sleep(params.seconds)
    return {}


@kind("hungry")
def hungry(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Runs out of memory, a little further every attempt; ``count`` is the attempt that fits."""
    if params.text == "never":
        ctx.save("before", b"before", "text/plain")
        raise MemoryError
    for index in range(4):
        ctx.progress(index, 4)
        if index > ctx.attempt and ctx.attempt < params.count:
            if params.text == "torch":
                raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
            raise MemoryError
        ctx.save(f"part-{index}", f"{index} {ctx.attempt}".encode(), "text/plain")
    return {"attempt": ctx.attempt}


@kind("inputs")
def inputs_(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Returns the contents of its inputs."""
    return {name: Path(path).read_text() for name, path in inputs.items()}


@kind("random")
def random_(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Numbers of generators nobody seeded."""
    import random

    return {"random": random.random(), "numpy": float(np.random.random())}


@kind("numbers")
def numbers(params: Params, inputs: dict[str, Any], ctx: RunContext) -> dict[str, Any]:
    """Uses other number types than Python's, and paints over a preview it has shown."""
    ctx.progress(np.float32(0.25), np.int64(1))  # type: ignore[arg-type]
    image = np.full((2, 2, 3), 7, np.uint8)
    ctx.preview(image)
    image[:] = 9
    if params.text == "metrics":
        return {"value": object()}
    if params.text == "preview":
        ctx.preview(image.astype(np.float32))  # type: ignore[arg-type]
    return {}
