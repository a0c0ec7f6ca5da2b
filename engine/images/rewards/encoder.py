"""The small image and text encoder that ships with Triptych.

It makes three kinds of rewards real without a download: likeness to words, closeness to a picture,
and taste. Trained by :mod:`engine.images.rewards.encoder_training`; its figures are on its card.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.device import MODELS
from engine.errors import bad_file
from engine.images.checkpoints import load_strictly, parameter_bytes
from engine.images.rewards.scales import FOLDER
from engine.images.vocabulary import WORD
from engine.weight_files import read_safetensors, sha256_of

FORMAT = "triptych-reward-encoder"
INPUT_SIZE = 48
SHIFTS = ((0, 0), (2, -1), (-1, 3), (-3, -2))
"""Pixels (down, right) by which a rated picture is moved; the mean over them is the reward, so that
patterns that only work at one place win little."""


@dataclass(frozen=True)
class EncoderConfig:
    """Sizes and words.

    Attributes
    ----------
    words
        Words with a vector of their own; others have those of their letters, three at a time.
    class_names
        What the classifier tells apart.
    letter_rows
        Rows that the groups of three letters are hashed to.
    """

    words: tuple[str, ...]
    class_names: tuple[str, ...]
    letter_rows: int = 4096
    widths: tuple[int, ...] = (32, 64, 128, 192)
    size: int = 128

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> EncoderConfig:
        """Rebuild from :meth:`to_json`."""
        lists = {key: tuple(data[key]) for key in ("words", "class_names", "widths")}
        return cls(**lists, letter_rows=int(data["letter_rows"]), size=int(data["size"]))

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary."""
        return asdict(self)


class ImageTower(nn.Module):
    """Four stages of two convolutions on 48 px pictures, mean pool, 128 numbers."""

    def __init__(self, widths: Sequence[int], size: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList()
        before = 3
        for width in widths:
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(before, width, 3, stride=2, padding=1),
                    nn.GroupNorm(8, width),
                    nn.SiLU(),
                    nn.Conv2d(width, width, 3, padding=1),
                    nn.GroupNorm(8, width),
                    nn.SiLU(),
                )
            )
            before = width
        self.head = nn.Linear(before, size)

    def features(self, x: Tensor) -> list[Tensor]:
        """Maps ``(B, C_s, 24 / 2^s, 24 / 2^s)`` of each stage; ``x`` is in [0, 1], of any size."""
        x = to_input_size(x) * 2 - 1
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x)[-1].mean(dim=(2, 3)))


class TextTower(nn.Module):
    """Sum of word and letter vectors, then a perceptron of two layers."""

    def __init__(self, rows: int, size: int) -> None:
        super().__init__()
        self.table = nn.EmbeddingBag(rows, size, mode="sum")
        nn.init.normal_(self.table.weight, std=0.3)
        self.layers = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, 2 * size), nn.SiLU(), nn.Linear(2 * size, size)
        )

    def forward(self, rows: Sequence[Sequence[int]]) -> Tensor:
        device = self.table.weight.device
        lengths = torch.tensor([0, *(len(text) for text in rows[:-1])])
        flat = torch.tensor([row for text in rows for row in text], dtype=torch.long)
        return self.layers(self.table(flat.to(device), lengths.cumsum(0).to(device)))


class Encoder(nn.Module):
    """Two towers into one space of 128 numbers, and a classifier on top of the pictures' part."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.image = ImageTower(config.widths, config.size)
        self.text = TextTower(len(config.words) + config.letter_rows, config.size)
        self.classifier = nn.Linear(config.size, len(config.class_names))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(0.07)))

    @property
    def size_bytes(self) -> int:
        """Memory of its weights."""
        return parameter_bytes(self)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {word: row for row, word in enumerate(self.config.words)}

    def word_rows(self, word: str) -> tuple[int | None, list[int]]:
        """Row of a word's own vector, if it has one, and of its groups of three letters."""
        first = len(self.config.words)
        marked = f"<{word}>"
        groups = [marked[i : i + 3] for i in range(len(marked) - 2)]
        letters = [first + zlib.crc32(g.encode()) % self.config.letter_rows for g in groups]
        return self._index.get(word), letters

    def is_known(self, word: str) -> bool:
        """Whether a word was in the training captions, and not only its letters."""
        return word in self._index

    def embed_images(self, x: Tensor) -> Tensor:
        """Unit vectors ``(B, 128)`` of pictures ``(B, 3, H, W)`` in [0, 1]."""
        return F.normalize(self.image(x), dim=1)

    def embed_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors ``(B, 128)`` of texts."""
        rows: list[list[int]] = []
        for text in texts:
            rows.append([])
            for word in WORD.findall(text.lower()):
                own, letters = self.word_rows(word)
                rows[-1] += letters if own is None else [own, *letters]
        return F.normalize(self.text(rows), dim=1)

    def classify(self, x: Tensor) -> Tensor:
        """Logits ``(B, classes)`` of pictures."""
        return self.classifier(self.image(x))

    def distance(self, maps: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
        """Feature distance ``(B,)`` in 0..4 between two results of ``image.features``.

        At each stage the squared difference of the channel vectors scaled to unit length, mean over
        positions; mean over stages (after LPIPS, Zhang et al. 2018, with equal weights).
        """
        parts = [
            (_unit(a) - _unit(b)).square().sum(dim=1).mean(dim=(1, 2))
            for a, b in zip(maps, others, strict=True)
        ]
        return torch.stack(parts).mean(dim=0)


def _unit(maps: Tensor) -> Tensor:
    return maps * (maps.square().sum(dim=1, keepdim=True) + 1e-8).rsqrt()


def to_input_size(x: Tensor) -> Tensor:
    """Pictures at 48 x 48: areas averaged where they are larger, interpolated where smaller."""
    height, width = x.shape[-2:]
    if (height, width) == (INPUT_SIZE, INPUT_SIZE):
        return x
    x = F.adaptive_avg_pool2d(x, (min(height, INPUT_SIZE), min(width, INPUT_SIZE)))
    return F.interpolate(x, (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)


def shifted(x: Tensor) -> list[Tensor]:
    """The pictures moved by each of :data:`SHIFTS`, mirrored at the edge."""
    reach = min(3, x.shape[-1] - 1, x.shape[-2] - 1)
    padded = F.pad(x, (reach,) * 4, mode="reflect")
    height, width = x.shape[-2:]
    moved = []
    for down, right in SHIFTS:
        top, left = (reach + max(-reach, min(reach, by)) for by in (down, right))
        moved.append(padded[..., top : top + height, left : left + width])
    return moved


def read_encoder(folder: Path) -> Encoder:
    """An encoder from ``encoder.json`` and ``encoder.safetensors``, frozen, float32.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file``.
    """
    tensors = read_safetensors(folder / "encoder.safetensors")
    try:
        about = json.loads((folder / "encoder.json").read_text(encoding="utf-8"))
        if about.get("format") != FORMAT or about.get("version") != 1:
            raise ValueError("it describes something else, or is newer than this program")
        model = Encoder(EncoderConfig.from_json(about))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise bad_file(
            f"The description of the reward encoder cannot be read: {error}. Nothing was started.",
            f"It belongs at {folder / 'encoder.json'}; install Triptych again.",
        ) from error
    load_strictly(model, tensors, "The reward encoder")
    return model.eval().requires_grad_(False)


def cached_encoder(device: str, folder: Path = FOLDER) -> Encoder:
    """The shipped encoder on a device, loaded unless it still is."""
    key = f"reward-encoder/{sha256_of(folder / 'encoder.safetensors')}@{device}"
    return MODELS.get(
        key, lambda: read_encoder(folder).to(device), lambda model: model.size_bytes, device
    )
