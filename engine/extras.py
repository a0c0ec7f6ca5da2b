"""Optional parts of Triptych: what each is for, whether it is here, and how to get it.

Libraries that only some models need are not installed with Triptych. A model that lacks one is
listed all the same; using it says what to install, and the models panel offers to do so.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import queue
import shlex
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from engine import child
from engine.errors import EngineError, ErrorCode, bad_file, invalid_input

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "installers" / "constraints.txt"
PATIENCE = 5.0
"""Seconds that a stopped installation has to end by itself."""

_OFFLINE = (
    "name resolution",
    "Name or service not known",
    "getaddrinfo",
    "Network is unreachable",
    "NewConnectionError",
    "Connection refused",
    "ConnectTimeout",
    "ProxyError",
)


@dataclass(frozen=True)
class Extra:
    """An optional part.

    Attributes
    ----------
    modules
        The importable names that must be there.
    purpose
        What it is for, to complete "It is needed for ...".
    """

    name: str
    modules: tuple[str, ...]
    purpose: str


EXTRAS = {
    extra.name: extra
    for extra in (
        Extra(
            "diffusers",
            ("diffusers", "transformers", "accelerate"),
            "Stable Diffusion, folders in the layout of diffusers, and autoencoders (VAEs)",
        ),
        Extra("ray", ("ray",), "running jobs on other machines"),
    )
}


def find_extra(name: str) -> Extra:
    """The extra called ``name``; raises ``invalid_input`` when there is none."""
    if name not in EXTRAS:
        raise invalid_input(f"There is no extra called {name!r}.", f"Known: {', '.join(EXTRAS)}.")
    return EXTRAS[name]


def is_installed(name: str) -> bool:
    """Whether all modules of an extra can be found; none is imported."""
    return all(importlib.util.find_spec(module) for module in find_extra(name).modules)


def missing(*names: str) -> tuple[str, ...]:
    """Those of the named extras that are not installed."""
    return tuple(name for name in names if not is_installed(name))


def require(name: str, who: str) -> None:
    """Raise ``missing_weights``, saying how to install it, unless an extra is installed.

    ``who`` needs it, in the words of the user.
    """
    if not is_installed(name):
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"{who} needs the extra {name!r}, which is not installed; nothing was started.",
            f"The models panel installs it, or run: {command_text(name)}",
        )


def requirements(name: str) -> list[str]:
    """What pip has to install for an extra, for example ``diffusers>=0.35``.

    Raises
    ------
    EngineError
        ``bad_file`` when this installation does not say.
    """
    find_extra(name)
    try:
        declared = importlib.metadata.requires("triptych") or []
    except importlib.metadata.PackageNotFoundError:
        declared = [f"{item}; extra == '{name}'" for item in _from_checkout(name)]
    marker = f"extra == '{name}'"
    found = [item for item in declared if marker in item.replace('"', "'").partition(";")[2]]
    if not found:
        raise bad_file(
            f"This installation does not say what the extra {name!r} consists of.",
            "Install Triptych again.",
        )
    return [item.partition(";")[0].strip() for item in found]


def _from_checkout(name: str) -> list[str]:
    try:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return list(project["optional-dependencies"][name])
    except (OSError, ValueError, KeyError):
        return []


def install_command(name: str) -> list[str]:
    """The exact command that installs an extra into this environment.

    It names the versions that were checked together, where the list of them is at hand; torch and
    numpy stay as they are.
    """
    checked = ["--constraint", str(CONSTRAINTS)] if CONSTRAINTS.is_file() else []
    return [sys.executable, "-m", "pip", "install", *checked, *requirements(name)]


def command_text(name: str) -> str:
    """:func:`install_command` as it would be typed."""
    return shlex.join(install_command(name))


def install_extra(name: str, on_line: Callable[[str], None], cancelled: Callable[[], bool]) -> None:
    """Install an extra now, in a child process; blocks until it is done.

    Parameters
    ----------
    name
        One of :data:`EXTRAS`.
    on_line
        Takes each line that pip says.
    cancelled
        Asked several times a second; true stops the installation.

    Raises
    ------
    EngineError
        ``cancelled``, or ``invalid_input`` when pip failed; installed models and projects are not
        affected then, and it can be tried again.
    """
    quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    command = install_command(name) + quiet
    try:
        process = subprocess.Popen(
            command,
            env=child.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        raise invalid_input(
            f"The extra {name!r} was not installed: Python's installer cannot be started ({error}).",
            f"Run it yourself: {command_text(name)}",
        ) from error
    said: list[str] = []
    try:
        for line in _lines_while_running(process, cancelled):
            said.append(line)
            on_line(line)
    finally:
        _end(process)
    importlib.invalidate_caches()
    if process.returncode or not is_installed(name):
        raise _failed(name, said)


def _lines_while_running(
    process: subprocess.Popen[str], cancelled: Callable[[], bool]
) -> Iterator[str]:
    lines: queue.Queue[str | None] = queue.Queue()
    assert process.stdout is not None
    # Reads, and closes the pipe, on a thread of its own: an installer may be silent for minutes.
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    while True:
        if cancelled():
            raise EngineError(
                ErrorCode.CANCELLED,
                "The installation was stopped. What pip had not finished is not used; models and "
                "projects are as before.",
            )
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            continue
        if line is None:
            process.wait()
            return
        yield line


def _read(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    with stream:
        for line in stream:
            lines.put(line.rstrip())
    lines.put(None)


def _end(process: subprocess.Popen[str]) -> None:
    """Stop a process that is still running, gently at first."""
    deadline = time.monotonic() + PATIENCE
    if process.poll() is None:
        process.terminate()
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    if process.poll() is None:
        process.kill()
    process.wait()


def _failed(name: str, said: list[str]) -> EngineError:
    text = "\n".join(said[-40:])
    if any(sign in text for sign in _OFFLINE):
        reason = "the package index cannot be reached (no connection to the internet?)"
    else:
        errors = [line for line in said if line.lower().startswith("error")]
        reason = errors[-1].partition(":")[2].strip() if errors else "pip failed"
    return EngineError(
        ErrorCode.INVALID_INPUT,
        f"The extra {name!r} was not installed: {reason}. Models, projects and everything else are "
        "as before.",
        f"Try again with a connection, or run: {command_text(name)}",
        text,
    )
