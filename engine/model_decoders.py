"""Which installed VAE decodes for which latent DiT file."""

from __future__ import annotations

import logging
from pathlib import Path

from engine.errors import EngineError, invalid_input
from engine.model_folders import BUILTIN, model_folders, read_about, write_about
from engine.model_info import ModelInfo
from engine.model_inspection import find_model, inspect_model, list_models
from engine.model_pipelines import vae_channels
from engine.model_recognition import DIT_FILE, DiTFile, read_dit

log = logging.getLogger("triptych.weights")

NO_VAE = "none"
"""Name that stands for "decode without an autoencoder"."""


def choose_vae(root: Path, wanted: str | None) -> str | None:
    """Name of the VAE for a model, empty for none; ``None`` where the question does not arise.

    Raises
    ------
    EngineError
        ``invalid_input`` when the wanted one is not installed or does not fit.
    """
    dit = dit_at(root)
    if dit is None or not dit.is_latent:
        if wanted and wanted != NO_VAE:
            raise invalid_input(
                "Only DiT files that make latents are decoded by a VAE of your choice; nothing was "
                "changed.",
                "Leave the VAE to Triptych.",
            )
        return None
    if wanted == NO_VAE:
        return ""
    fitting = [info.name for info in _vaes() if vae_channels(info.path) == dit.channels]
    if wanted is None:
        return fitting[0] if fitting else ""
    if wanted not in fitting:
        raise invalid_input(
            f"{wanted!r} is not an installed VAE with {dit.channels} latent channels; nothing was "
            "changed.",
            f"Fitting: {', '.join(fitting) or 'none'}.",
        )
    return wanted


def dit_at(root: Path) -> DiTFile | None:
    """The DiT file that a model is, if it is one."""
    file = root / DIT_FILE if root.is_dir() and (root / DIT_FILE).exists() else root
    return None if file.is_dir() else read_dit(file)


def _vaes() -> list[ModelInfo]:
    return [info for info in list_models() if info.kind == "vae"]


def _vae_of(name: str) -> str:
    """The VAE a model is decoded by; a damaged description names none."""
    try:
        return str(read_about(model_folders()[name]).get("vae") or "")
    except EngineError:
        return ""


def serve_waiting(name: str) -> None:
    """Let a VAE that was just added decode for the DiT files that had none."""
    added = find_model(name)
    if added.kind != "vae":
        return
    for other, folder in model_folders().items():
        if other in (BUILTIN, name):
            continue
        try:
            info = inspect_model(folder, other)
            about = read_about(folder)
            if (
                info.kind == "dit"
                and not info.vae
                and read_dit(info.path).channels == vae_channels(added.path)
            ):
                write_about(folder, {**about, "vae": name})
                log.info("%s is decoded by %s from now on", other, name)
        except (EngineError, OSError) as error:
            log.warning("The model %s was not given the VAE %s: %s", other, name, error)


def require_unused(name: str) -> None:
    """Raise ``invalid_input`` when other models are decoded by this one."""
    users = [other for other in model_folders() if other != name and _vae_of(other) == name]
    if users:
        raise invalid_input(
            f"{name} decodes the pictures of {', '.join(users)}; it was not removed.",
            f"Remove {', '.join(users)} first, or choose another autoencoder for them.",
        )
