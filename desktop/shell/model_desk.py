"""Everything the Models page asks of the engine. Called on threads; nothing here knows a widget.

The engine's modules are imported when they are first needed: the window starts without them.
"""

from __future__ import annotations

import re
import shutil
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from desktop.shell.model_facts import BUILTIN, PICKLE_SUFFIXES, InstalledModel, Memory
from engine.errors import EngineError, ErrorCode

if TYPE_CHECKING:
    from engine.weights import ModelInfo

# Names under which programs save weights; the folder around them tells more.
PLAIN_NAMES = frozenset({"model", "diffusion_pytorch_model", "pytorch_model"})


class Meter:
    """How far slow work is, and whether it shall stop: shared by its thread and the window."""

    def __init__(self) -> None:
        self.progress: tuple[float, float, str] = (0.0, 0.0, "")
        self.lines: deque[str] = deque()
        self._cancelled = False

    @property
    def cancelled(self) -> bool:
        """Whether the user wants it to stop."""
        return self._cancelled

    def cancel(self) -> None:
        """Stop at the next report."""
        self._cancelled = True

    def report(self, done: float, total: float, stage: str) -> None:
        """Called by the work; raises ``cancelled`` when it shall stop."""
        self.progress = (done, total, stage)
        if self._cancelled:
            raise EngineError(ErrorCode.CANCELLED, "This was cancelled; nothing was changed.")


@dataclass(frozen=True)
class Survey:
    """What there is to know of a file or folder before it is added.

    Attributes
    ----------
    size
        Bytes of all its files.
    free
        Bytes free where copies go.
    name
        What it could be called.
    pickle
        Whether it must be converted, so that it cannot stay where it is.
    """

    path: Path
    size: int
    free: int
    name: str
    pickle: bool


@dataclass(frozen=True)
class Wish:
    """What the user asked for when adding a model; ``None`` leaves it to the engine."""

    path: Path
    name: str
    num_heads: int | None = None
    vae: str | None = None
    in_place: bool = False


@dataclass(frozen=True)
class Offer:
    """An optional part of Triptych that can be installed.

    Attributes
    ----------
    purpose
        What it is needed for.
    command
        What is run to install it, as it would be typed.
    """

    name: str
    purpose: str
    command: str


class ModelDesk:
    """The engine's side of the Models page; tests replace parts of it."""

    def read(self) -> list[InstalledModel]:
        """All models of this computer, also those that cannot be used, the built-in one first."""
        from engine.weights import list_broken, list_models

        models = [InstalledModel(info.name, info) for info in list_models()]
        models += [InstalledModel(name, error=error) for name, error in list_broken()]
        return sorted(models, key=lambda model: model.name != BUILTIN)

    def memory(self) -> Memory:
        """Memory of this machine now."""
        import psutil

        state = psutil.virtual_memory()
        return Memory("this machine", int(state.total), int(state.available))

    def survey(self, path: Path) -> Survey:
        """Look at a file or folder; raises ``invalid_input`` when it is not there."""
        from engine.errors import invalid_input
        from engine.weights import models_folder

        try:
            files = [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]
            size = sum(file.stat().st_size for file in files)
            home = models_folder()
            there = next(folder for folder in (home, *home.parents) if folder.is_dir())
            free = shutil.disk_usage(there).free
        except OSError as error:
            raise invalid_input(
                f"{path.name} cannot be read: {error.strerror or error}. Nothing was added.",
                "Check that it is there and may be read.",
            ) from error
        stem = path.name if path.is_dir() else path.stem
        if stem in PLAIN_NAMES and path.parent.name:
            stem = path.parent.name
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.")[:64] or "model"
        pickle = path.is_file() and path.suffix.lower() in PICKLE_SUFFIXES
        return Survey(path, size, free, name, pickle)

    def add(self, wish: Wish, meter: Meter) -> ModelInfo:
        """Add a model; raises what :func:`engine.weights.add_model` raises."""
        from engine.weights import add_model

        return add_model(
            wish.path,
            wish.name,
            num_heads=wish.num_heads,
            vae=wish.vae,
            in_place=wish.in_place,
            on_progress=meter.report,
        )

    def verify(self, name: str, meter: Meter) -> ModelInfo:
        """Compare a model's files with their checksums."""
        from engine.weights import verify_model

        return verify_model(name, meter.report)

    def describe(self, name: str, *, licence: str | None = None, vae: str | None = None) -> ModelInfo:
        """Write a licence or an autoencoder into the description of one of the user's models."""
        from engine.weights_editing import describe_model

        return describe_model(name, licence=licence, vae=vae)

    def set_aside(self, name: str) -> Path:
        """Take a model out of the list; its files wait where :meth:`put_back` finds them."""
        from engine.weights_editing import set_aside_model

        return set_aside_model(name)

    def put_back(self, folder: Path) -> None:
        """Undo :meth:`set_aside`."""
        from engine.weights_editing import put_back_model

        put_back_model(folder)

    def delete(self, folder: Path | None = None) -> None:
        """Delete what was set aside; without a folder, what other runs left behind."""
        from engine.weights_editing import delete_set_aside

        delete_set_aside(folder)

    def folder(self, model: InstalledModel) -> Path:
        """Where a model's files are, to be shown."""
        from engine.weights import models_folder

        path = model.info.path if model.info else models_folder() / model.name
        return path if path.is_dir() else path.parent

    def offer(self, name: str) -> Offer:
        """What an optional part of Triptych is for, and how it is installed."""
        from engine.extras import command_text, find_extra

        return Offer(name, find_extra(name).purpose, command_text(name))

    def install(self, name: str, on_line: Callable[[str], None], meter: Meter) -> None:
        """Install an optional part; raises what :func:`engine.extras.install_extra` raises."""
        from engine.extras import install_extra

        install_extra(name, on_line, lambda: meter.cancelled)
