"""Where models are on this computer, and the small texts that lie beside their weights."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from engine.errors import bad_file
from engine.weight_files import unavailable, unreadable

BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).resolve().parents[1] / "resources" / "weights" / BUILTIN
ABOUT = "model.json"
CARDS = ("MODEL_CARD.md", "README.md")


def models_folder() -> Path:
    """Where the user's models are; it may not exist yet."""
    return platformdirs.user_data_path("triptych", appauthor=False) / "models"


def model_folders() -> dict[str, Path]:
    """Folders that should hold a model, by name, the embedded one first."""
    folders = {BUILTIN: BUILTIN_FOLDER} if BUILTIN_FOLDER.is_dir() else {}
    with contextlib.suppress(OSError):
        for folder in sorted(models_folder().iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                folders.setdefault(folder.name, folder)
    return folders


def read_about(folder: Path) -> dict[str, Any]:
    """What ``model.json`` says (title, licence, source, heads, VAE, place); empty without one."""
    return read_object(folder / ABOUT) if (folder / ABOUT).exists() else {}


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write ``model.json`` whole or not at all."""
    partial = folder / f".{ABOUT}"
    partial.write_text(json.dumps(about, indent=1), encoding="utf-8")
    partial.replace(folder / ABOUT)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; raises ``missing_weights`` or ``bad_file``."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unavailable(path, error) from error
    except ValueError as error:
        raise unreadable(path, f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise unreadable(path, "it is not a JSON object")
    return value


@contextlib.contextmanager
def damage_named(folder: Path) -> Iterator[None]:
    """Within it, descriptions that lack what they must say, or say nonsense, are ``bad_file``."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as error:
        raise bad_file(
            f"{folder.name} cannot be used: its descriptions are damaged "
            f"({type(error).__name__}: {error}). It was not loaded.",
            "Get the folder again.",
        ) from error


def read_card(folder: Path) -> dict[str, str]:
    """Title (first heading) and licence (``license:`` line) of a model card."""
    for name in CARDS:
        try:
            lines = (folder / name).read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError):
            continue
        titles = [line[2:].strip() for line in lines if line.startswith("# ")]
        licences = [line.partition(":")[2].strip() for line in lines if line.startswith("license:")]
        return {"title": titles[0] if titles else "", "license": licences[0] if licences else ""}
    return {}
