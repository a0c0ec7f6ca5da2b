"""Pictures and settings on their way in and out of the project. Doing only; no dialogs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from desktop.images.specs import check_params, settings_of
from desktop.whole_file import write_whole
from desktop.widgets.gallery_model import export_name
from engine.job import JobSpec

if TYPE_CHECKING:
    from engine.project import Project

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def looks_like_picture(path: Path) -> bool:
    """Whether a file calls itself a picture, or is a PNG under another name."""
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(PNG_SIGNATURE)) == PNG_SIGNATURE
    except OSError:
        return False


def read_settings(path: Path) -> dict[str, Any]:
    """The settings inside a PNG of ours, checked against what this version accepts.

    Raises
    ------
    EngineError
        ``bad_file`` when it carries none or cannot be read, ``invalid_input`` when this version
        does not accept them.
    """
    # Not at the top: the window starts without Pillow.
    from engine.images.metadata import read_manifest

    settings = settings_of(read_manifest(path))
    seed = settings.pop("seed")
    return {**check_params(settings), "seed": seed}


def settings_text(manifest: Mapping[str, Any]) -> str:
    """The job of a picture as JSON, in the form that ``triptych run`` takes."""
    return json.dumps(JobSpec.from_json(manifest["spec"]).to_json(), indent=2, ensure_ascii=False)


def save_copy(project: Project, result: int, target: Path) -> Path:
    """Copy a result's file to ``target``, whole or not at all.

    Raises
    ------
    EngineError
        The stored file is damaged, or the target cannot be written (full, read-only).
    """
    return write_whole(target, project.store.read(project.result(result).artifact))


def save_copies(project: Project, results: Sequence[int], folder: Path) -> list[Path]:
    """Copy several results into a folder under readable names; see :func:`save_copy`."""
    return [
        save_copy(project, result, folder / export_name(project.result(result))) for result in results
    ]
