"""Adding models to this computer and removing them.

What is added is made in a folder of its own, which takes its name only when everything in it was
checked; whatever happens before, nothing is added. The original is only read.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from engine.errors import invalid_input
from engine.model_copying import (
    Meter,
    OnProgress,
    bring,
    plan_files,
    require_no_conversion,
    require_space,
)
from engine.model_decoders import NO_VAE, choose_vae, dit_at, require_unused, serve_waiting
from engine.model_folders import BUILTIN, model_folders, models_folder, read_about, write_about
from engine.model_info import ModelInfo
from engine.model_inspection import (
    find_folder,
    find_model,
    recognise,
    relative_name,
    write_checksum_lines,
)
from engine.model_recognition import require_heads
from engine.weight_files import digest_of, remember_digest

log = logging.getLogger("triptych.weights")


def add_model(
    path: Path,
    name: str | None = None,
    *,
    num_heads: int | None = None,
    vae: str | None = None,
    licence: str | None = None,
    in_place: bool = False,
    on_progress: OnProgress | None = None,
) -> ModelInfo:
    """Bring a model into the user's folder, converted if need be. The original is only read.

    Parameters
    ----------
    path
        Folder of a generator, of a diffusers pipeline or of a VAE; or a DiT checkpoint
        (``.safetensors``, ``.pt``, ``.pth``, ``.ckpt``, ``.bin``).
    name
        What to call it; by default made from the file name.
    num_heads
        Attention heads of a DiT whose width is not one of the published sizes.
    vae
        Installed VAE that decodes for a latent DiT file; ``none`` for none; by default the first
        that fits.
    licence
        As the user knows it; by default what a model card says.
    in_place
        Copy nothing: remember where the files are. Not for files that have to be converted.
    on_progress
        Told of the bytes copied, converted and checked; may raise to cancel.

    Raises
    ------
    EngineError
        ``bad_file`` when it is no model Triptych knows, ``invalid_input`` when the name is taken or
        the disk is full. Nothing is added then.
    """
    path = Path(path).absolute()
    name = _free_name(
        name or re.sub(r"[^A-Za-z0-9._-]+", "-", path.name if path.is_dir() else path.stem)
    )
    try:
        models_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".adding-", dir=models_folder()) as made:
            folder = Path(made) / name
            folder.mkdir()
            steps = list(plan_files(path))
            about = _describe(path, num_heads, licence)
            if not any(step.convert for step in steps):
                _require_known_heads(path, about)
            meter = Meter(steps, on_progress)
            if in_place:
                require_no_conversion(path, steps)
                meter.add(sum(step.size for step in steps))
            else:
                require_space(path, steps)
                for step in steps:
                    bring(step, folder, meter)
            root = path.resolve() if in_place else folder
            _require_known_heads(root, about)
            about |= {"in_place": str(root)} if in_place else {}
            chosen = choose_vae(root, vae)
            write_about(folder, about | ({} if chosen is None else {"vae": chosen}))
            digests = _check(root, folder, meter)
            folder.rename(models_folder() / name)
        installed = models_folder() / name
        for relative, digest in digests.items():
            remember_digest(_file_of(path.resolve() if in_place else installed, relative), digest)
    except OSError as error:
        raise invalid_input(
            f"The model was not added, because a file cannot be read or written: {error}.",
            f"Check {path} and the free space and permissions of {models_folder()}.",
        ) from error
    log.info("added the model %s from %s", name, path)
    serve_waiting(name)
    return find_model(name)


def remove_model(name: str) -> None:
    """Remove a model of the user's; of one added in place, only the memory of where it is.

    Raises
    ------
    EngineError
        ``invalid_input`` for the built-in model, an unknown name, a VAE that others decode with, or
        when the files cannot be removed.
    """
    folder = find_folder(name)
    if name == BUILTIN:
        raise invalid_input(
            "The built-in model belongs to Triptych; it was not removed.", "Remove Triptych instead."
        )
    require_unused(name)
    try:
        # Gone from the lists in one step, also when removing the files is interrupted.
        doomed = folder.with_name(f".removing-{name}")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        raise invalid_input(
            f"The model {name} was not removed completely: {error}.", f"Check {folder.parent}."
        ) from error
    log.info("removed the model %s", name)


def _describe(path: Path, num_heads: int | None, licence: str | None) -> dict[str, Any]:
    """What ``model.json`` is to say; what the source's own says of this computer is left out."""
    known = read_about(path) if path.is_dir() else {}
    about = {key: value for key, value in known.items() if key not in ("in_place", "vae")}
    given = {"num_heads": num_heads, "licence": licence}
    about |= {key: value for key, value in given.items() if value is not None}
    return {**about, "source": str(path.resolve())}


def _require_known_heads(root: Path, about: dict[str, Any]) -> None:
    """Refuse a DiT file that could not be used: early where it can be read before it is copied."""
    dit = dit_at(root)
    if dit is not None:
        require_heads(dit, about.get("num_heads"))


def _free_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}", name):
        raise invalid_input(
            f"{name!r} cannot be the name of a model; nothing was added.",
            "Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    if name in model_folders() or name in (BUILTIN, NO_VAE):
        raise invalid_input(
            f"There is a model called {name!r} already; nothing was added.", "Choose another name."
        )
    return name


def _check(root: Path, folder: Path, meter: Meter) -> dict[str, str]:
    """Recognise what was brought and write its checksums; digests by relative name."""
    found = recognise(root)
    meter.begin("Checking")
    digests = {relative_name(file, found.path): digest_of(file, meter.add) for file in found.files}
    write_checksum_lines(folder, digests)
    return digests


def _file_of(root: Path, relative: str) -> Path:
    return root / relative if root.is_dir() else root
