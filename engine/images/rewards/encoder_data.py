"""What the reward encoder is trained on: pictograms and tiles with words, varied at every draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.errors import bad_file
from engine.images.pictograms import DIRECTIONAL_WORDS
from engine.images.rewards.encoder import INPUT_SIZE
from engine.images.vocabulary import WORD

TILE_SHARE = 0.15
"""Share of the draws that are tiles."""


@dataclass(frozen=True)
class EncoderData:
    """Both data sets in memory; pictograms first.

    Attributes
    ----------
    images
        ``(n, 4, 64, 64)`` uint8, red, green, blue times alpha, and alpha.
    words
        Those of the caption, then of the keywords.
    caption_lengths
        How many of the words are the caption's.
    labels
        Class of a pictogram, -1 for a tile.
    families
        Equal for pictures that should not repel one another.
    """

    images: Tensor
    words: tuple[tuple[str, ...], ...]
    caption_lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    families: NDArray[np.int64]
    held_out: NDArray[np.bool_]
    toned: NDArray[np.bool_]
    mirrorable: NDArray[np.bool_]
    chance: NDArray[np.float64]
    class_names: tuple[str, ...]

    def on_white(self, rows: NDArray[np.int64]) -> Tensor:
        """Pictures ``(B, 3, 64, 64)`` float32 in [0, 1]."""
        return _on_ground(self.images[rows].float() / 255, torch.ones(len(rows), 3))

    def draw(self, rows: NDArray[np.int64], generator: torch.Generator) -> Tensor:
        """The pictures varied as :func:`vary` does."""
        return vary(self.images[rows].float() / 255, torch.from_numpy(self.mirrorable[rows]), generator)


def load_encoder_data(folder: Path) -> EncoderData:
    """Read ``pictograms64.npz``, ``pictograms128.npz`` and ``tiles32.npz``; raises ``bad_file``."""
    try:
        with np.load(folder / "pictograms64.npz", allow_pickle=False) as table:
            fields = {name: table[name] for name in table.files if name != "images"}
        with np.load(folder / "pictograms128.npz", allow_pickle=False) as table:
            large = _premultiplied(table["images"])
        with np.load(folder / "tiles32.npz", allow_pickle=False) as table:
            tiles = {name: table[name] for name in table.files}
    except (OSError, ValueError, KeyError) as error:
        raise bad_file(
            f"The training data in {folder} cannot be read: {error}.",
            "It consists of pictograms64.npz, pictograms128.npz and tiles32.npz.",
        ) from error
    pictograms = F.avg_pool2d(large.float(), 2).round().byte()
    small = _premultiplied(tiles["images"])
    captions = [WORD.findall(str(text).lower()) for text in (*fields["captions"], *tiles["captions"])]
    keywords = [WORD.findall(str(text).lower()) for text in fields["keywords"]]
    keywords += [[] for _ in tiles["captions"]]
    symbols = fields["class_names"].tolist().index("symbols")
    count, others = len(pictograms), len(small)
    # Tiles of one name are one family.
    _, names = np.unique([" ".join(c) for c in captions[count:]], return_inverse=True)
    mirrorable = np.array([not DIRECTIONAL_WORDS & set(words) for words in captions])
    mirrorable[:count] &= fields["labels"] != symbols
    chance = np.concatenate([fields["weight"].astype(np.float64), np.ones(others)])
    chance[:count] *= (1 - TILE_SHARE) / chance[:count].sum()
    chance[count:] *= TILE_SHARE / others
    return EncoderData(
        images=torch.cat([pictograms, small.repeat_interleave(2, 2).repeat_interleave(2, 3)]),
        words=tuple(
            (*caption, *dict.fromkeys(word for word in more if word not in caption))
            for caption, more in zip(captions, keywords, strict=True)
        ),
        caption_lengths=np.array([len(caption) for caption in captions]),
        labels=np.concatenate([fields["labels"].astype(np.int64), np.full(others, -1)]),
        families=np.concatenate([fields["family"].astype(np.int64), 100_000 + names]),
        held_out=np.concatenate([fields["split"] == 1, tiles["split"] == 1]),
        toned=np.concatenate([fields["tone"] > 0, np.zeros(others, bool)]),
        mirrorable=mirrorable,
        chance=chance,
        class_names=tuple(str(name) for name in fields["class_names"]),
    )


def _premultiplied(rgba: NDArray[np.uint8]) -> Tensor:
    """``(n, 4, S, S)`` uint8."""
    pixels = torch.from_numpy(rgba).permute(0, 3, 1, 2)
    alpha = pixels[:, 3:].float() / 255
    return torch.cat([(pixels[:, :3] * alpha).round().byte(), pixels[:, 3:]], dim=1)


def _on_ground(premultiplied: Tensor, colours: Tensor) -> Tensor:
    return premultiplied[:, :3] + (1 - premultiplied[:, 3:]) * colours[:, :, None, None]


def vary(premultiplied: Tensor, mirrorable: Tensor, generator: torch.Generator) -> Tensor:
    """Crops, mirrors, grounds, brightness, and with probability 0.5 noise or blur.

    Parameters
    ----------
    premultiplied
        ``(B, 4, S, S)`` in [0, 1].
    mirrorable
        ``(B,)`` bool.
    generator
        All randomness.

    Returns
    -------
    ``(B, 3, 48, 48)`` in [0, 1].
    """
    count = len(premultiplied)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(count, *shape).uniform_(low, high, generator=generator)

    part = uniform(0.75, 1.0)
    room = (1 - part)[:, None] * uniform(-1.0, 1.0, 2)
    mirror = torch.where(mirrorable & (uniform(0, 1) < 0.5), -1.0, 1.0)
    transform = torch.zeros(count, 2, 3)
    transform[:, 0, 0], transform[:, 1, 1], transform[:, :, 2] = part * mirror, part, room
    grid = F.affine_grid(transform, [count, 4, INPUT_SIZE, INPUT_SIZE], align_corners=False)
    moved = F.grid_sample(premultiplied, grid, padding_mode="border", align_corners=False)
    white = uniform(0, 1) < 0.5
    ground = torch.where(white[:, None], 1.0, uniform(0, 1, 3))
    pictures = _on_ground(moved, ground) * uniform(0.8, 1.15, 1, 1, 1)
    choice = uniform(0, 1)
    noise = torch.randn(pictures.shape, generator=generator) * uniform(0, 0.1, 1, 1, 1)
    kernel = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16
    rows = F.conv2d(pictures, kernel.view(1, 1, 1, 5).repeat(3, 1, 1, 1), padding=(0, 2), groups=3)
    blurred = F.conv2d(rows, kernel.view(1, 1, 5, 1).repeat(3, 1, 1, 1), padding=(2, 0), groups=3)
    is_noisy, is_blurred = (
        test[:, None, None, None] for test in (choice < 0.25, (choice >= 0.25) & (choice < 0.5))
    )
    pictures = torch.where(is_noisy, pictures + noise, pictures)
    return torch.where(is_blurred, blurred, pictures).clamp(0, 1)


def training_words(data: EncoderData, rows: NDArray[np.int64]) -> tuple[str, ...]:
    """The words of these pictures, sorted."""
    return tuple(sorted({word for row in rows for word in data.words[row]}))


def kept_words(words: Sequence[str], draws: np.random.Generator, keep: float) -> list[str]:
    """Each word with a probability, at least one of them."""
    chosen = [word for word in words if draws.random() < keep]
    return chosen or ([words[int(draws.integers(len(words)))]] if words else [])
