"""Sheets of samples, to look at what a generator has learnt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from engine.images.generators import LatentGenerator, initial_noise, to_pixels
from engine.images.params import DdimParams
from engine.images.samplers import Denoiser, ddim
from engine.images.schedule import make_grid

SHEET_PROMPTS = (
    "grinning face", "red heart", "dog face", "cat", "pizza", "red apple", "rocket", "house",
    "crown", "woman teacher", "thumbs up", "soccer ball", "guitar", "sun", "airplane", "snowman",
)  # fmt: skip


def clean_state(
    model: LatentGenerator,
    predict: Denoiser,
    seed: int,
    steps: int,
    on_step: Callable[[], None] = lambda: None,
) -> Tensor:
    """Clean state ``(1, C, h, w)`` of one DDIM run; ``on_step`` is called after each step."""
    noise, _ = initial_noise([seed], model.latent_shape(None, None), steps, with_steps=False)
    x_T, grid = noise.double().to(model.device), make_grid(model.schedule, steps)
    return ddim(predict, x_T, grid, (), DdimParams(), lambda done, total, clean: on_step())


def sample(
    model: LatentGenerator,
    prompts: list[tuple[str, str | None]],
    seeds: list[int],
    steps: int,
    guidance: float,
) -> Tensor:
    """Pictures ``(n, 3, S, S)`` in [-1, 1], one a prompt ``(text, class)`` and seed, by DDIM."""
    pictures = []
    for (text, class_name), seed in zip(prompts, seeds, strict=True):
        predict = model.denoiser(model.condition(text, class_name), guidance)
        x_0 = clean_state(model, predict, seed, steps)
        pictures.append(model.decode(x_0)[0].clamp(-1, 1))
    return torch.stack(pictures)


def save_sheet(images: Tensor, columns: int, path: Path) -> None:
    """Write pictures ``(B, 3, S, S)`` in [-1, 1] as one PNG, ``columns`` a row."""
    size = images.shape[-1]
    rows = -(-len(images) // columns)
    sheet = torch.ones(3, rows * size, columns * size)
    for index, image in enumerate(images.detach().float().cpu()):
        y, x = divmod(index, columns)
        sheet[:, y * size : (y + 1) * size, x * size : (x + 1) * size] = image
    Image.fromarray(to_pixels(sheet[None])[0]).save(path)
