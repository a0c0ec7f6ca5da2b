"""The training data of the built-in generator: Noto Emoji pictograms with captions and classes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from engine.errors import bad_file
from engine.images.vocabulary import Vocabulary

DIRECTIONAL_WORDS = frozenset({"left", "right", "facing"})


@dataclass(frozen=True)
class Pictograms:
    """The data set in memory.

    Attributes
    ----------
    images
        ``(n, 128, 128, 3)`` uint8, composited on white.
    labels
        ``(n,)`` class index.
    captions
        Lower-case names, one a picture.
    keywords
        Further words of each picture.
    tone
        ``(n,)`` skin tone, 0 for none.
    held_out
        ``(n,)`` bool; these rows are never trained on.
    mirrorable
        ``(n,)`` bool; false for class symbols and for captions that say left, right or facing.
    weights
        ``(n,)`` float64, how often a picture is drawn relative to the others.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    captions: tuple[str, ...]
    keywords: tuple[tuple[str, ...], ...]
    tone: NDArray[np.uint8]
    held_out: NDArray[np.bool_]
    mirrorable: NDArray[np.bool_]
    weights: NDArray[np.float64]

    def rows(self, held_out: bool, toned: bool = True) -> NDArray[np.int64]:
        """Indices of the training or the held-out part, with or without the skin-tone variants."""
        chosen = self.held_out == held_out
        if not toned:
            chosen &= self.tone == 0
        return np.flatnonzero(chosen)

    def pixels(self, rows: NDArray[np.int64]) -> Tensor:
        """Pictures ``(B, 3, 128, 128)`` float32 in [-1, 1]."""
        chosen = torch.from_numpy(self.images[rows])
        return chosen.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)

    def vocabulary(self) -> Vocabulary:
        """Words, classes and captions of the *training* part."""
        rows = self.rows(held_out=False)
        return Vocabulary.from_captions(
            [self.captions[i] for i in rows],
            [self.keywords[i] for i in rows],
            [int(self.labels[i]) for i in rows],
            self.class_names,
        )


def load_pictograms(folder: Path) -> Pictograms:
    """Read ``pictograms64.npz`` and ``pictograms128.npz`` from a folder.

    Raises
    ------
    EngineError
        ``bad_file`` if one is missing, unreadable, or the two do not belong together.
    """
    try:
        with np.load(folder / "pictograms64.npz", allow_pickle=False) as table:
            fields = {name: table[name] for name in table.files if name != "images"}
        with np.load(folder / "pictograms128.npz", allow_pickle=False) as table:
            rgba, codepoints = table["images"], table["codepoints"]
    except (OSError, ValueError, KeyError) as error:
        raise bad_file(
            f"The pictogram data in {folder} cannot be read: {error}.",
            "The folder must hold pictograms64.npz and pictograms128.npz.",
        ) from error
    if not np.array_equal(codepoints, fields["codepoints"]):
        raise bad_file("pictograms64.npz and pictograms128.npz list different pictures.")

    class_names = tuple(str(name) for name in fields["class_names"])
    captions = tuple(str(caption) for caption in fields["captions"])
    labels = fields["labels"].astype(np.int64)
    symbols, people = class_names.index("symbols"), class_names.index("people")
    tone = fields["tone"]
    directional = np.array([bool(DIRECTIONAL_WORDS & set(c.split())) for c in captions])
    # What users ask for first should be seen most: not the hundreds of near-identical people.
    weights = np.ones(len(labels))
    weights[labels == symbols] = 0.5
    weights[labels == people] = 0.4
    weights[tone > 0] = 0.03
    return Pictograms(
        images=_on_white(rgba),
        labels=labels,
        class_names=class_names,
        captions=captions,
        keywords=tuple(tuple(filter(None, str(k).split("|"))) for k in fields["keywords"]),
        tone=tone,
        held_out=fields["split"] == 1,
        mirrorable=(labels != symbols) & ~directional,
        weights=weights,
    )


def _on_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[..., 3:].astype(np.float32) / 255
    return np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


def move_and_scale(
    images: Tensor, shift: float, scale: tuple[float, float], generator: torch.Generator
) -> Tensor:
    """Randomly shift (at most ``shift`` pixels) and scale pictures on their white ground.

    ``images`` is ``(B, 3, S, S)`` in [-1, 1]; the result has the same shape.
    """
    batch, size = len(images), images.shape[-1]
    factor = torch.empty(batch).uniform_(*scale, generator=generator)
    offset = torch.empty(batch, 2).uniform_(-shift, shift, generator=generator) * 2 / size
    transform = torch.zeros(batch, 2, 3)
    transform[:, 0, 0] = transform[:, 1, 1] = 1 / factor
    transform[:, :, 2] = offset
    grid = F.affine_grid(transform, list(images.shape), align_corners=False)
    # grid_sample pads with zeros, so white has to be zero while sampling.
    return 1 - F.grid_sample(1 - images, grid, align_corners=False)
