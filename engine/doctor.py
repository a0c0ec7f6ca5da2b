"""What ``triptych doctor`` looks at: can Triptych run here, and if not, what is missing?

Nothing here imports a window library, so it works on a machine where they cannot be loaded.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from engine import __version__
from engine.errors import EngineError

RESOURCES = Path(__file__).resolve().parents[1] / "resources"
MINIMUM_FREE = 2 << 30
"""Bytes of memory and of disk below which a warning is given."""

PACKAGES = (
    "PIL", "PySide6", "numpy", "platformdirs", "psutil", "pydantic", "pyqtgraph", "qtawesome",
    "safetensors", "torch",
)  # fmt: skip


class State(StrEnum):
    """How a check went. Only a problem keeps the engine from working."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; ``hint`` says what to do when it is not in order."""

    name: str
    state: State
    text: str
    hint: str = ""

    def to_json(self) -> dict[str, str]:
        """JSON-ready dictionary."""
        return asdict(self)


def projects_folder() -> Path:
    """Where projects are that were not put anywhere else."""
    return Path.home() / "Triptych"


def diagnose(*, quick: bool = False) -> Iterator[Check]:
    """Look at everything, in the order in which it is needed.

    Parameters
    ----------
    quick
        Leave out what takes long: loading torch and reading all weights.
    """
    yield _python()
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    yield _packages(missing)
    if "torch" not in missing:
        yield _torch(quick)
    if "psutil" not in missing:
        yield _memory()
    yield from _folder(projects_folder())
    if not set(missing) & {"numpy", "platformdirs", "safetensors"}:
        yield from _models(quick)
    yield from _window()


def window_obstacle() -> str | None:
    """Why no window can be opened here; ``None`` when one can."""
    if not sys.platform.startswith("linux"):
        return None
    missing = missing_libraries()
    if missing:
        return f"The window needs system libraries that are missing: {', '.join(missing)}."
    return None if display() else "There is no display to open a window on."


def display() -> str | None:
    """The display that Qt would use, if it answers."""
    environment = os.environ
    chosen = environment.get("QT_QPA_PLATFORM", "")
    if chosen.partition(":")[0] not in ("", "xcb", "wayland", "wayland-egl"):
        return chosen  # offscreen, vnc, ...: needs no server
    name = environment.get("WAYLAND_DISPLAY")
    if name and (Path(environment.get("XDG_RUNTIME_DIR", "")) / name).is_socket():
        return name
    name = environment.get("DISPLAY")
    return name if name and _x_server_answers() else None


def _x_server_answers() -> bool:
    try:
        xcb = ctypes.CDLL("libxcb.so.1")
    except OSError:
        return False
    xcb.xcb_connect.restype = ctypes.c_void_p
    xcb.xcb_connect.argtypes = [ctypes.c_char_p, ctypes.c_void_p]
    xcb.xcb_connection_has_error.argtypes = [ctypes.c_void_p]
    xcb.xcb_disconnect.argtypes = [ctypes.c_void_p]
    connection = xcb.xcb_connect(None, None)
    try:
        return not xcb.xcb_connection_has_error(connection)
    finally:
        xcb.xcb_disconnect(connection)


def missing_libraries() -> dict[str, str]:
    """Shared libraries that the window needs and the system lacks, each with its Debian package."""
    lines = (RESOURCES / "system-libraries.txt").read_text(encoding="utf-8").splitlines()
    needed = dict(line.split() for line in lines if line and not line.startswith("#"))
    return {library: package for library, package in needed.items() if not _loads(library)}


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _python() -> Check:
    text = f"{platform.python_version()}, {platform.platform()}; Triptych {__version__}"
    return Check("python", State.OK, text)


def _packages(missing: list[str]) -> Check:
    if not missing:
        return Check("packages", State.OK, "all installed")
    hint = "Run installers/run.sh again, or: pip install --editable ."
    return Check("packages", State.PROBLEM, f"missing: {', '.join(missing)}", hint)


def _torch(quick: bool) -> Check:
    from engine import device

    try:
        if quick:
            return Check("torch", State.OK, f"{device.torch_version()} (not loaded)")
        found = device.describe()
    except Exception as error:  # a torch that is half there fails in many ways
        hint = "Delete the environment (.venv) and run installers/run.sh again."
        return Check("torch", State.PROBLEM, f"{type(error).__name__}: {error}", hint)
    others = [item["device"] for item in found["devices"] if item["device"] != found["device"]]
    text = f"{found['torch']} computes on {found['device']}: {found['device_name']}"
    text += f" with {_size(found['memory_bytes'])}, {found['threads']} threads"
    return Check("torch", State.OK, text + (f"; also {', '.join(others)}" if others else ""))


def _memory() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    text = f"{_size(memory.available)} free of {_size(memory.total)}"
    if memory.available >= MINIMUM_FREE:
        return Check("memory", State.OK, text)
    return Check("memory", State.WARNING, text, "Close other programs before large jobs.")


def _folder(folder: Path) -> Iterator[Check]:
    existing = next(path for path in (folder, *folder.parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    enough = free >= MINIMUM_FREE
    hint = "" if enough else "Results are saved as they are made; free some space."
    yield Check("disk", State.OK if enough else State.WARNING, f"{_size(free)} free", hint)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        hint = f"Allow writing to {existing}, or keep projects elsewhere (--project DIR)."
        yield Check("projects", State.PROBLEM, f"{folder}: {error.strerror}", hint)
    else:
        yield Check("projects", State.OK, f"{folder} can be written")


def _models(quick: bool) -> Iterator[Check]:
    from engine import weights

    names = dict.fromkeys((weights.BUILTIN, *(model.name for model in weights.list_models())))
    for name in names:
        try:
            model = weights.find_model(name) if quick else weights.verify_model(name)
        except EngineError as error:
            yield Check(f"model {name}", State.PROBLEM, error.message, error.hint)
        else:
            verified = "not verified now" if quick else "verified"
            text = f"{model.title}, {_size(model.size)}, {verified}"
            yield Check(f"model {name}", State.OK, text)


def _window() -> Iterator[Check]:
    if not sys.platform.startswith("linux"):
        return
    missing = missing_libraries()
    if missing:
        hint = f"sudo apt-get install {' '.join(missing.values())}"
        text = f"missing: {', '.join(missing)}; without them there is no window, only `triptych ...`"
        yield Check("window libraries", State.WARNING, text, hint)
    else:
        yield Check("window libraries", State.OK, "all there")
    shown = display()
    if shown:
        yield Check("display", State.OK, shown)
    else:
        hint = "Windows need one; everything else works, see `triptych --help`."
        yield Check("display", State.WARNING, "none", hint)
    if not set(missing) & {"libGL.so.1", "libEGL.so.1"}:
        hardware = Path("/dev/dri").is_dir() or Path("/dev/nvidiactl").exists()
        yield Check("OpenGL", State.OK, "hardware" if hardware else "in software")


def report(checks: list[Check]) -> dict[str, Any]:
    """All checks as one JSON object; ``ok`` unless there is a problem."""
    return {
        "ok": all(check.state is not State.PROBLEM for check in checks),
        "checks": [check.to_json() for check in checks],
    }


def _size(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"
