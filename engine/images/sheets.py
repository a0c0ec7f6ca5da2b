"""Sheets of samples, to look at what a generator has learnt."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from engine.images.generators import LatentGenerator, initial_noise, to_pixels
from engine.images.params import DdimParams
from engine.images.samplers import ddim
from engine.images.schedule import make_grid

SHEET_PROMPTS = (
    "grinning face", "red heart", "dog face", "cat", "pizza", "red apple", "rocket", "house",
    "crown", "woman teacher", "thumbs up", "soccer ball", "guitar", "sun", "airplane", "snowman",
)  # fmt: skip


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
        condition = model.condition(text, class_name)
        noise, _ = initial_noise([seed], model.latent_shape(None, None), steps, with_steps=False)
        x_0 = ddim(
            model.denoiser(condition, guidance),
            noise.double().to(model.device),
            make_grid(model.schedule, steps),
            (),
            DdimParams(),
            lambda done, total, clean: None,
        )
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
