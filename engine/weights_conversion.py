"""Foreign checkpoints to safetensors, in a child process with limits.

``python -m engine.weights_conversion IN OUT``

The files that ``torch.save`` writes are pickles, and a pickle can ask to run code. Torch's
weights-only reader refuses that, but it had holes before; so the file is opened only here, in a
process of its own with limited memory and time, and only the converted copy is ever used. There is
no way around it: a file that the weights-only reader refuses is not converted.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import child
from engine.device import is_out_of_memory
from engine.errors import EngineError, bad_file, invalid_input

if TYPE_CHECKING:
    from torch import Tensor

PICKLE_SUFFIXES = (".pt", ".pth", ".ckpt", ".bin")
TIME_LIMIT = 900.0
WAIT = 0.2
"""Seconds between two calls of ``on_wait``."""
MEMORY_RESERVE = 2**30
"""Bytes on top of four times the file: what reading and writing it may take."""

_STATES = ("ema", "state_dict", "model")
_WRAPPERS = ("module.", "_orig_mod.")


def convert_checkpoint(
    source: Path,
    target: Path,
    *,
    timeout: float = TIME_LIMIT,
    on_wait: Callable[[], None] | None = None,
) -> None:
    """Write the tensors of a ``.pt``, ``.pth``, ``.ckpt`` or ``.bin`` file as safetensors.

    Of a training checkpoint it takes the moving average (``ema``) if there is one, else
    ``state_dict`` or ``model``. Blocks until the child process is done; ``on_wait`` is called
    several times a second meanwhile, and what it raises ends the child and comes out here.

    Raises
    ------
    EngineError
        ``bad_file`` when the file is damaged, holds no tensors, or wants to run code;
        ``invalid_input`` when it needs too much time or memory. ``target`` does not exist then.
    """
    arguments = child.command("engine.weights_conversion", str(source), str(target))
    try:
        code, said, complained = _run(arguments, timeout, on_wait or (lambda: None))
    except subprocess.TimeoutExpired as error:
        target.unlink(missing_ok=True)
        raise invalid_input(
            f"Converting {source.name} took longer than {timeout:.0f} seconds and was stopped; "
            "nothing was added.",
            "Close other programs and try again, or get the model as safetensors.",
        ) from error
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    if code == 0:
        return
    target.unlink(missing_ok=True)
    try:
        raise EngineError.from_json(json.loads(said))
    except (ValueError, KeyError, TypeError):
        raise bad_file(
            f"Converting {source.name} failed (the child process ended with {code}); nothing was "
            "added.",
            "The file may be damaged: get it again, if possible as safetensors.",
            complained.decode("utf-8", "replace")[-4000:],
        ) from None


def _run(arguments: list[str], timeout: float, on_wait: Callable[[], None]) -> tuple[int, bytes, bytes]:
    """Exit code and both outputs of a child that does not outlive this call."""
    deadline = time.monotonic() + timeout
    with subprocess.Popen(
        arguments,
        env=child.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    ) as process:
        try:
            while True:
                left = deadline - time.monotonic()
                try:
                    said, complained = process.communicate(timeout=max(0.0, min(WAIT, left)))
                    return process.returncode, said, complained
                except subprocess.TimeoutExpired:
                    if left <= WAIT:
                        raise
                on_wait()
        except BaseException:
            process.kill()
            raise


def strip_wrappers(keys: Iterable[str]) -> list[str]:
    """Keys without the prefixes of data-parallel and compiled modules, in the same order."""
    return [re.sub(rf"^(?:{'|'.join(map(re.escape, _WRAPPERS))})+", "", key) for key in keys]


# --- in the child ---------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Convert one file; an error goes to standard output as JSON. The exit code."""
    parser = argparse.ArgumentParser(prog="engine.weights_conversion")
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    # Standard output is for the answer alone, whatever a library prints.
    answer = os.dup(1)
    os.dup2(2, 1)
    try:
        _convert(options.source, options.target)
    except EngineError as error:
        os.write(answer, json.dumps(error.to_json()).encode())
        return 1
    return 0


def _convert(source: Path, target: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        with source.open("rb"):
            allowed = 4 * source.stat().st_size + MEMORY_RESERVE
    except OSError as error:
        raise invalid_input(
            f"{source.name} cannot be read: {error.strerror}. Nothing was added.",
            "Check that the file is there and may be read.",
        ) from error
    importlib.import_module("torch")  # before the limit, which is for the file alone
    _limit_resources(allowed)
    try:
        tensors = _read(source)
        save_file(tensors, target, metadata={"converted_from": source.name})
    except (OSError, SafetensorError) as error:
        raise invalid_input(
            f"The converted copy of {source.name} cannot be written: {error}. Nothing was added.",
            "Check that the disk has room for another copy.",
        ) from error
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise invalid_input(
            f"Converting {source.name} wants more memory than such a file should need "
            f"({allowed >> 20} MiB); it was stopped and nothing was added.",
            "The file may be made to do harm. Get it from its maker, if possible as safetensors.",
        ) from error


def _read(source: Path) -> dict[str, Tensor]:
    """Named tensors of a pickle, by the reader that knows nothing but tensors."""
    import pickle

    import torch

    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            content = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refused(source, str(error)) from error
    except Exception as error:  # a damaged file makes the reader fail in a hundred ways
        if is_out_of_memory(error):
            raise
        raise _damaged(source, f"{type(error).__name__}: {error}") from error
    return _separate(_state_dict(content, source))


def _limit_resources(allowed: int) -> None:
    """Let this process take only ``allowed`` more bytes of memory, and write no more to a file."""
    if sys.platform != "linux":
        return  # elsewhere there is no such limit, or the system does not enforce it
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    ceiling = pages * resource.getpagesize() + allowed
    resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    resource.setrlimit(resource.RLIMIT_FSIZE, (allowed, allowed))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _state_dict(content: Any, source: Path) -> dict[str, Tensor]:
    import torch

    if isinstance(content, Mapping):
        nested = [content[name] for name in _STATES if isinstance(content.get(name), Mapping)]
        for state in (*nested, content):
            tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
            if tensors:
                return dict(zip(strip_wrappers(map(str, tensors)), tensors.values(), strict=True))
    raise bad_file(
        f"{source.name} holds no named tensors, so it is not a model; nothing was added.",
        "Choose a file that has the weights (a state dict).",
    )


def _separate(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors that share no memory, as the format wants them."""
    seen: set[int] = set()
    separate = {}
    for key, tensor in tensors.items():
        whole = tensor.detach().contiguous()
        address = whole.untyped_storage().data_ptr()
        separate[key] = whole.clone() if address in seen else whole
        seen.add(address)
    return separate


def _refused(source: Path, text: str) -> EngineError:
    wanted = re.search(r"GLOBAL ([\w.]+)", text)
    if wanted is None:
        return _damaged(source, text)
    return bad_file(
        f"{source.name} wants to run code when it is opened ({wanted[1]}), which weights need not. "
        "It was refused; nothing of it was run and nothing was added.",
        "Get the weights as safetensors, or as a plain state dict, from a source you trust.",
        text,
    )


def _damaged(source: Path, text: str) -> EngineError:
    return bad_file(
        f"{source.name} is damaged or not a PyTorch checkpoint; nothing was added.",
        "Get the file again and compare its size or checksum.",
        text,
    )


if __name__ == "__main__":
    sys.exit(main())
