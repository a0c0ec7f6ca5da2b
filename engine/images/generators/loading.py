"""From a model's description to the loaded model."""

from __future__ import annotations

from collections.abc import Callable

from engine.errors import invalid_input
from engine.images.generators.builtin import LatentGenerator
from engine.images.generators.dit import DiTCheckpointGenerator
from engine.images.generators.protocol import Generator
from engine.weights import ModelInfo

GENERATORS: dict[str, Callable[[ModelInfo, str], Generator]] = {
    "triptych-generator": LatentGenerator,
    "dit": DiTCheckpointGenerator,
}
"""Loader of each model kind that :mod:`engine.weights` recognises."""


def cache_key(info: ModelInfo, device: str) -> str:
    """Name of a loaded model in :data:`engine.device.MODELS`: all that its pictures depend on."""
    return f"{info.sha256}/{info.num_heads}/{info.vae}@{device}"


def load_generator(info: ModelInfo, device: str) -> Generator:
    """Load a model onto a device (``cpu``, ``cuda:0``, ...)."""
    if info.kind not in GENERATORS:
        raise invalid_input(f"{info.name} is a {info.kind}; it does not make pictures.")
    return GENERATORS[info.kind](info, device)
