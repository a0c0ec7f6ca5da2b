"""From a model's description to the loaded model."""

from __future__ import annotations

from collections.abc import Callable

from engine import extras
from engine.device import MODELS
from engine.errors import EngineError, invalid_input
from engine.images.generators.builtin import LatentGenerator
from engine.images.generators.dit import load_diffusers_dit, load_official_dit
from engine.images.generators.protocol import Generator
from engine.images.generators.stable_diffusion import StableDiffusionGenerator
from engine.weights import ModelInfo, find_model

GENERATORS: dict[str, Callable[[ModelInfo, str], Generator]] = {
    "triptych-generator": LatentGenerator,
    "dit": load_official_dit,
    "diffusers-dit": load_diffusers_dit,
    "stable-diffusion": StableDiffusionGenerator,
    "stable-diffusion-xl": StableDiffusionGenerator,
}
"""Loader of each model kind that :mod:`engine.weights` recognises."""


def cache_key(info: ModelInfo, device: str) -> str:
    """Name of a loaded model in :data:`engine.device.MODELS`: all that its pictures depend on."""
    try:
        decoder = find_model(info.vae).sha256 if info.vae else ""
    except EngineError:  # loading says what is wrong with it
        decoder = info.vae
    return f"{info.sha256}/{info.num_heads}/{decoder}/{info.compute}@{device}"


def load_generator(info: ModelInfo, device: str) -> Generator:
    """Load a model onto a device (``cpu``, ``cuda:0``, ...).

    Raises
    ------
    EngineError
        ``invalid_input`` when it makes no pictures; ``missing_weights`` when a part or an extra is
        not installed; ``bad_file`` when its files are damaged or do not fit each other.
    """
    if info.kind not in GENERATORS:
        raise invalid_input(
            f"{info.name} does not make pictures ({info.architecture}); nothing was started.",
            "A VAE decodes the latents of another model: choose that model.",
        )
    for extra in info.needs:
        extras.require(extra, info.title)
    return GENERATORS[info.kind](info, device)


def cached_generator(info: ModelInfo, device: str) -> Generator:
    """The model on a device, loaded unless it still is; see :data:`engine.device.MODELS`."""
    return MODELS.get(
        cache_key(info, device),
        lambda: load_generator(info, device),
        lambda model: model.size_bytes,
        device,
    )
