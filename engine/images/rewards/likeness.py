"""Likeness to words and to pictures, by the encoder that ships with Triptych."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.errors import invalid_input
from engine.images.rewards.catalogue import Sort
from engine.images.rewards.encoder import Encoder, cached_encoder, shifted
from engine.images.rewards.options import ReferenceOptions, TextOptions
from engine.images.rewards.protocol import Reward, RewardContext
from engine.images.vocabulary import STOP_WORDS, WORD

LAYOUT = 12
"""Cells a side in which the layout of two pictures is compared."""


@dataclass(frozen=True)
class WordLikeness:
    """Cosine of the picture's and the text's vectors, mean over small shifts."""

    encoder: Encoder
    target: Tensor
    text: str
    name: str = "words"
    kind: Sort = field(default="gradient", init=False)

    @property
    def title(self) -> str:
        """The user's words, with the text."""
        return f"Like the words {self.text!r}"

    @property
    def notes(self) -> tuple[str, ...]:
        """Words that it can only guess at, by their letters."""
        guessed = [f"'{word}'" for word in WORD.findall(self.text.lower()) if self._guesses(word)]
        if not guessed:
            return ()
        return (f"The reward 'words' never learnt {', '.join(guessed)}; it guesses by the letters.",)

    def _guesses(self, word: str) -> bool:
        return word not in STOP_WORDS and not self.encoder.is_known(word)

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        moved = [self.encoder.embed_images(part) @ self.target for part in shifted(x.to(self.target))]
        return torch.stack(moved).mean(dim=0)


def words(options: TextOptions, context: RewardContext) -> Reward:
    """Likeness to a text, by default the prompt.

    Raises
    ------
    EngineError
        ``invalid_input`` when there are no words; ``missing_weights`` or ``bad_file`` when the
        encoder is not there.
    """
    text = text_or_prompt("words", options.text, context)
    encoder = cached_encoder(context.device)
    return WordLikeness(encoder, encoder.embed_texts([text])[0].detach(), text)


def text_or_prompt(name: str, text: str, context: RewardContext) -> str:
    """The text, else the prompt; raises ``invalid_input`` when neither has a word."""
    chosen = text.strip() or context.prompt.strip()
    if not WORD.search(chosen.lower()):
        raise invalid_input(
            f"The reward {name!r} compares pictures with words, and there are none; nothing was "
            "started.",
            f"Give the picture a prompt, or the reward a text: {name}:text=red heart=1.",
        )
    return chosen


@dataclass(frozen=True)
class Closeness:
    """Minus half the difference in layout and half the distance of features to a picture.

    Attributes
    ----------
    picture
        ``(1, 3, H, W)`` in [0, 1], on white.
    painted
        Alpha ``(1, 1, H, W)``: of a sketch, only where it is painted the layout counts.
    """

    encoder: Encoder
    picture: Tensor
    painted: Tensor
    _maps: dict[tuple[int, int], list[list[Tensor]]] = field(default_factory=dict, repr=False)
    name: str = "closeness"
    title: str = "Closer to a picture"
    kind: Sort = field(default="gradient", init=False)

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        x = x.to(self.picture)
        apart = [
            self.encoder.distance(self.encoder.image.features(part), maps)
            for part, maps in zip(shifted(x), self._features(x), strict=True)
        ]
        return -(self._layout(x) + torch.stack(apart).mean(dim=0)) / 2

    @torch.no_grad()
    def _features(self, x: Tensor) -> list[list[Tensor]]:
        """Features of the picture for each shift, at the size of the rated pictures."""
        height, width = x.shape[-2:]
        if (height, width) not in self._maps:
            same = F.interpolate(self.picture, (height, width), mode="area")
            self._maps[height, width] = [self.encoder.image.features(part) for part in shifted(same)]
        return self._maps[height, width]

    def _layout(self, x: Tensor) -> Tensor:
        """Mean squared error ``(B,)`` over 12 x 12 cells, weighted by how far they are painted."""
        there = F.interpolate(self.painted, x.shape[-2:], mode="area")
        theirs, cover = _cells(self.picture, self.painted)
        ours, _ = _cells(x, there)
        error = (ours - theirs).square().mean(dim=1, keepdim=True)
        return (error * cover).sum(dim=(1, 2, 3)) / cover.sum()


def _cells(x: Tensor, painted: Tensor) -> tuple[Tensor, Tensor]:
    cover = F.adaptive_avg_pool2d(painted, LAYOUT)
    return F.adaptive_avg_pool2d(x * painted, LAYOUT) / (cover + 1e-6), cover


def closeness(options: ReferenceOptions, context: RewardContext) -> Reward:
    """Closeness to a picture of the context; with alpha it is a sketch.

    Raises
    ------
    EngineError
        ``invalid_input`` when there is no such picture, or nothing is painted on it.
    """
    given = context.references.get(options.reference)
    if given is None:
        known = ", ".join(context.references) or "none"
        raise invalid_input(
            f"There is no picture {options.reference!r} to come close to; nothing was started.",
            f"Choose a picture or draw a sketch for this reward. Given: {known}.",
        )
    if given.ndim != 3 or len(given) not in (3, 4) or 0 in given.shape:
        raise invalid_input(
            f"The picture {options.reference!r} has the shape {tuple(given.shape)}, not (3, H, W) or "
            "(4, H, W), so it cannot be compared; nothing was started.",
            "Choose an ordinary picture in colour.",
        )
    given = given.detach().float().clamp(0, 1).to(context.device)[None]
    painted = given[:, 3:] if given.shape[1] == 4 else torch.ones_like(given[:, :1])
    if painted.max() == 0:
        raise invalid_input(
            f"Nothing is painted on the sketch {options.reference!r}, so there is nothing to come "
            "close to; nothing was started.",
            "Draw something on it, or choose a picture.",
        )
    picture = given[:, :3] * painted + 1 - painted
    return Closeness(cached_encoder(context.device), picture, painted)
