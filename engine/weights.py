"""Weights on disk: find, check, add and read the models of this computer.

A model is a folder. The embedded one is ``resources/weights/builtin``, the user's are below
:func:`models_folder`. There are two kinds::

    triptych-generator    generator.json  transformer.safetensors  autoencoder.safetensors
    dit                   model.safetensors, with the key names of the original DiT program

beside optional files: ``MODEL_CARD.md``, ``model.json`` (title, licence, source, heads) and
``SHA256SUMS`` in the format of the program sha256sum, which :func:`verify_model` compares with.

Nothing is unpickled here; see :mod:`engine.weights_conversion`.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import json
import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

from engine.errors import EngineError, ErrorCode, bad_file, invalid_input
from engine.model_info import PARALLEL, SEQUENTIAL, ModelInfo
from engine.weight_files import (
    digest_of,
    explain_mismatch,
    read_safetensors,
    require_dit,
    sha256_of,
    tensor_names,
    unavailable,
    unreadable,
)
from engine.weights_conversion import PICKLE_SUFFIXES, convert_checkpoint

__all__ = [
    "ModelInfo",
    "add_model",
    "explain_mismatch",
    "find_model",
    "inspect_model",
    "list_broken",
    "list_models",
    "models_folder",
    "read_safetensors",
    "sha256_of",
    "verify_model",
    "write_checksums",
]

log = logging.getLogger("triptych.weights")

BUILTIN = "builtin"
BUILTIN_FOLDER = Path(__file__).resolve().parents[1] / "resources" / "weights" / BUILTIN
GENERATOR_FILES = ("generator.json", "autoencoder.safetensors", "transformer.safetensors")
DIT_FILE = "model.safetensors"
CHECKSUMS = "SHA256SUMS"
ABOUT = "model.json"

_EXTRA_FILES = ("MODEL_CARD.md", "LICENSE", ABOUT)


# --- installed models -----------------------------------------------------------------------------


def models_folder() -> Path:
    """Where the user's models are; it may not exist yet."""
    return platformdirs.user_data_path("triptych", appauthor=False) / "models"


def list_models() -> list[ModelInfo]:
    """All usable models, the embedded one first; what is wrong with others is logged."""
    usable, broken = _survey()
    for name, error in broken:
        log.warning("The model %s is left out: %s", name, error)
    return usable


def list_broken() -> list[tuple[str, EngineError]]:
    """Models that cannot be used, by name, each with the reason."""
    return _survey()[1]


def _survey() -> tuple[list[ModelInfo], list[tuple[str, EngineError]]]:
    usable, broken = [], []
    for name, folder in _model_folders().items():
        try:
            usable.append(inspect_model(folder, name))
        except EngineError as error:
            broken.append((name, error))
    return usable, broken


def find_model(name: str) -> ModelInfo:
    """The model called ``name``.

    Raises
    ------
    EngineError
        ``invalid_input`` when there is none (naming the nearest), ``missing_weights`` or
        ``bad_file`` when its files are incomplete or damaged.
    """
    folders = _model_folders()
    if name in folders:
        return inspect_model(folders[name], name)
    if name == BUILTIN:
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            "The built-in model is not in this installation; nothing was started.",
            f"Install Triptych again, or check that {BUILTIN_FOLDER} is there.",
        )
    near = difflib.get_close_matches(name, folders, n=3, cutoff=0.5)
    raise invalid_input(
        f"There is no model called {name!r}; nothing was started.",
        f"{'Did you mean' if near else 'Known'}: {', '.join(near or folders) or 'none'}. "
        "`triptych models add FILE` adds one.",
    )


def add_model(path: Path, name: str | None = None, *, num_heads: int | None = None) -> ModelInfo:
    """Copy a model into the user's folder, converted if need be. The original is only read.

    Parameters
    ----------
    path
        Folder of a generator, or a DiT checkpoint (``.safetensors``, ``.pt``, ``.pth``, ``.ckpt``,
        ``.bin``).
    name
        What to call it; by default made from the file name.
    num_heads
        Attention heads of a DiT whose width is not one of the published sizes.

    Raises
    ------
    EngineError
        ``bad_file`` when it is no model Triptych knows, ``invalid_input`` when the name is taken or
        the disk is full. Nothing is added then.
    """
    path = Path(path)
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", path.name if path.is_dir() else path.stem)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name):
        raise invalid_input(
            f"{name!r} cannot be the name of a model; nothing was added.",
            "Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    if name in _model_folders() or name == BUILTIN:
        raise invalid_input(
            f"There is a model called {name!r} already; nothing was added.", "Choose another name."
        )
    try:
        models_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=models_folder()) as made:
            folder = Path(made) / name
            folder.mkdir()
            _copy_model(path, folder)
            about = {**_read_about(folder), "source": str(path.resolve()), "num_heads": num_heads}
            (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")
            inspect_model(folder, name)
            write_checksums(folder)
            folder.rename(models_folder() / name)
    except OSError as error:
        raise invalid_input(
            f"The model was not added, because a file cannot be read or written: {error}.",
            f"Check {path} and the free space and permissions of {models_folder()}.",
        ) from error
    log.info("added the model %s from %s", name, path)
    return find_model(name)


def verify_model(name: str) -> ModelInfo:
    """Read all files of a model and compare them with their checksums.

    Raises
    ------
    EngineError
        ``bad_file`` naming the damaged files.
    """
    info = find_model(name)
    folder = info.path if info.path.is_dir() else info.path.parent
    for file in _weight_files(folder):
        if file.suffix == ".safetensors":
            tensor_names(file)
    damaged = []
    for expected, file in _read_checksums(folder):
        try:
            if digest_of(file) != expected:
                damaged.append(file.name)
        except OSError:
            damaged.append(file.name)
    if damaged:
        raise bad_file(
            f"The model {name} is damaged: {', '.join(damaged)} is not what was installed. Pictures "
            "made with it may differ from what their settings say.",
            "Install Triptych again." if name == BUILTIN else f"Remove {folder} and add it again.",
        )
    return info


def inspect_model(path: Path, name: str | None = None) -> ModelInfo:
    """What the model at ``path`` is, installed or not.

    Raises
    ------
    EngineError
        ``missing_weights`` when a file is missing, ``bad_file`` when it is no model Triptych knows;
        for a checkpoint of another architecture, with the keys that differ.
    """
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    if path.is_dir() and not (path / DIT_FILE).exists():
        about = {**describe_generator(path), **_read_about(path)}
        files, kind = [path / file for file in GENERATOR_FILES], "triptych-generator"
        lines = "".join(f"{sha256_of(file)}  {file.name}\n" for file in files)
        digest = hashlib.sha256(lines.encode()).hexdigest()
    else:
        about = _read_about(path) if path.is_dir() else {}
        path = path / DIT_FILE if path.is_dir() else path
        files, kind = [path], "dit"
        require_dit(path)
        digest = sha256_of(path)
    name = name or (folder.name if path in (folder, folder / DIT_FILE) else path.stem)
    card = _read_card(folder)
    return ModelInfo(
        name=name,
        title=str(about.get("title") or card.get("title") or name),
        kind=kind,
        path=path,
        sha256=digest,
        size=sum(file.stat().st_size for file in files),
        licence=str(about.get("licence") or card.get("license") or ""),
        source=str(about.get("source") or ""),
        num_heads=about.get("num_heads"),
        conditions="words" if kind == "triptych-generator" else "class",
        samplers=(SEQUENTIAL, PARALLEL),
        alignment=True,
    )


def write_checksums(folder: Path) -> Path:
    """Write ``SHA256SUMS`` for the weights in a model's folder."""
    lines = [f"{digest_of(file)}  {file.name}\n" for file in _weight_files(folder)]
    target = folder / CHECKSUMS
    target.write_text("".join(lines), encoding="utf-8")
    return target


# --- model folders --------------------------------------------------------------------------------


def _model_folders() -> dict[str, Path]:
    folders = {BUILTIN: BUILTIN_FOLDER} if BUILTIN_FOLDER.is_dir() else {}
    with contextlib.suppress(OSError):
        for folder in sorted(models_folder().iterdir()):
            if folder.is_dir() and not folder.name.startswith("."):
                folders.setdefault(folder.name, folder)
    return folders


def _copy_model(source: Path, folder: Path) -> None:
    if source.is_dir():
        present = [file for file in (*GENERATOR_FILES, DIT_FILE) if (source / file).exists()]
        for file in (*present, *(extra for extra in _EXTRA_FILES if (source / extra).exists())):
            shutil.copyfile(source / file, folder / file)
    elif source.suffix.lower() in PICKLE_SUFFIXES:
        convert_checkpoint(source, folder / DIT_FILE)
    else:
        require_dit(source)
        shutil.copyfile(source, folder / DIT_FILE)


def _weight_files(folder: Path) -> list[Path]:
    return [f for name in (*GENERATOR_FILES, DIT_FILE) if (f := folder / name).exists()]


def _read_checksums(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise bad_file(f"The checksums of {folder.name} cannot be read: {error}.") from error
    for line in lines:
        digest, _, name = line.partition("  ")
        # Only names: a list of checksums must not make us read other places.
        yield digest, folder / Path(name).name


def describe_generator(folder: Path) -> dict[str, Any]:
    """The checked ``generator.json`` of a model folder; raises ``bad_file``."""
    about = _read_object(folder / "generator.json")
    if about.get("format") != "triptych-generator":
        raise bad_file(
            f"{folder.name} is not a Triptych generator; it was not loaded.",
            f"Such a folder has the files {', '.join(GENERATOR_FILES)}.",
        )
    if about.get("version") != 1:
        raise bad_file(
            f"The model {folder.name} was made for a newer Triptych.", "Update Triptych to use it."
        )
    return about


def _read_about(folder: Path) -> dict[str, Any]:
    return _read_object(folder / ABOUT) if (folder / ABOUT).exists() else {}


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise unavailable(path, error) from error
    except ValueError as error:
        raise unreadable(path, f"it is not JSON ({error})") from error
    if not isinstance(value, dict):
        raise unreadable(path, "it is not a JSON object")
    return value


def _read_card(folder: Path) -> dict[str, str]:
    """Title (first heading) and licence (``license:`` line) of a model card."""
    try:
        lines = (folder / "MODEL_CARD.md").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    titles = [line[2:].strip() for line in lines if line.startswith("# ")]
    licences = [line.partition(":")[2].strip() for line in lines if line.startswith("license:")]
    return {"title": titles[0] if titles else "", "license": licences[0] if licences else ""}
