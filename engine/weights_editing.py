"""Changing what is installed: a model's description, and removing in a way that can be undone.

A removed model waits as a hidden folder beside the others, where :func:`engine.weights.list_models`
does not see it, until it is put back or deleted.
"""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from engine.errors import EngineError, ErrorCode, invalid_input
from engine.model_decoders import choose_vae, require_unused
from engine.model_folders import ABOUT, BUILTIN, models_folder, read_about, write_about
from engine.model_info import ModelInfo
from engine.model_inspection import find_model

_ASIDE = ".removed-"
_ABANDONED_AFTER = 24 * 3600.0
"""Seconds after which nobody can want to undo a removal: its window is closed, or crashed."""


def describe_model(name: str, *, licence: str | None = None, vae: str | None = None) -> ModelInfo:
    """Write what the user knows of a model into its ``model.json``.

    Parameters
    ----------
    name
        One of the models that the user added.
    licence
        In the user's own words; ``None`` leaves it.
    vae
        Name of the installed VAE that shall decode its latents, or ``none``; ``None`` leaves it.

    Raises
    ------
    EngineError
        ``invalid_input`` when it is not the user's, when ``vae`` does not fit, or when the file cannot
        be written. Nothing is changed then.
    """
    folder = _own_folder(name)
    changes: dict[str, Any] = {}
    if licence is not None:
        changes["licence"] = licence.strip()
    if vae is not None:
        changes["vae"] = choose_vae(find_model(name).path, vae) or ""
    try:
        write_about(folder, {**read_about(folder), **changes})
    except OSError as error:
        raise invalid_input(
            f"The description of the model {name} cannot be changed: {error.strerror or error}.",
            f"Check {folder / ABOUT}.",
        ) from error
    return find_model(name)


def set_aside_model(name: str) -> Path:
    """Take one of the user's models out of the list; returns the folder where it waits.

    Raises
    ------
    EngineError
        ``invalid_input`` when it is not the user's, when others are decoded by it, or when it cannot
        be moved. Nothing is changed then.
    """
    folder = _own_folder(name)
    require_unused(name)
    aside = models_folder() / f"{_ASIDE}{time.time_ns()}-{name}"
    try:
        folder.rename(aside)
    except OSError as error:
        raise invalid_input(
            f"The model {name} was not removed: {error.strerror or error}.",
            f"Check the permissions of {folder}; a program may be using its files.",
        ) from error
    return aside


def put_back_model(aside: Path) -> str:
    """Undo :func:`set_aside_model`; returns the model's name.

    Raises
    ------
    EngineError
        ``invalid_input`` when its name is taken meanwhile or its files are gone.
    """
    name = aside.name.removeprefix(_ASIDE).partition("-")[2]
    target = models_folder() / name
    if target.exists():
        raise invalid_input(
            f"The model {name} cannot be brought back, because another one has its name now.",
            f"Remove that one first. The files wait in {aside}.",
        )
    try:
        aside.rename(target)
    except OSError as error:
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"The model {name} cannot be brought back: {error.strerror or error}.",
            "Add it again from where it came.",
        ) from error
    return name


def delete_set_aside(aside: Path | None = None) -> None:
    """Delete a model that was set aside; without one, those that were abandoned long ago.

    Raises
    ------
    EngineError
        ``invalid_input`` when files cannot be deleted.
    """
    if aside is not None:
        folders = [aside]
    else:
        before = time.time() - _ABANDONED_AFTER
        folders = [folder for folder in models_folder().glob(f"{_ASIDE}*") if _time_of(folder) < before]
    try:
        for folder in folders:
            shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise invalid_input(
            f"The files of a removed model cannot be deleted: {error.strerror or error}.",
            f"Check the permissions of {models_folder()}.",
        ) from error


def _own_folder(name: str) -> Path:
    folder = models_folder() / name
    if name == BUILTIN:
        raise invalid_input(
            "The built-in model belongs to Triptych; it cannot be changed or removed.",
            "Add a model of your own.",
        )
    if not folder.is_dir():
        raise invalid_input(
            f"There is no model called {name!r} among yours; nothing was changed.",
            "`triptych models list` shows them.",
        )
    return folder


def _time_of(aside: Path) -> float:
    """When it was set aside, in seconds; unreadable names count as new, so that they stay."""
    digits = aside.name.removeprefix(_ASIDE).partition("-")[0]
    return int(digits) / 1e9 if digits.isdecimal() else time.time()
