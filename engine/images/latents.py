"""What the built-in generator's transformers are trained on: latents, captions, noise, and the loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.images.autoencoder import Autoencoder
from engine.images.pictograms import Pictograms, move_and_scale
from engine.images.vocabulary import Vocabulary


@dataclass(frozen=True)
class LatentSet:
    """Encoded training pictures: several views of each, as posterior mean and deviation.

    ``mean`` and ``deviation`` are ``(views, n, C, s, s)`` float16, already normalised by ``shift``
    and ``scale`` ``(C,)``: the stored latent is ``(z - shift) / scale``.
    """

    mean: Tensor
    deviation: Tensor
    shift: Tensor
    scale: Tensor


@torch.no_grad()
def encode_all(
    data: Pictograms, model: Autoencoder, device: torch.device, views: int, seed: int = 0
) -> LatentSet:
    """Encode the whole set: view 0 is the picture, 1 its mirror, further ones are moved a little."""
    generator = torch.Generator().manual_seed(seed)
    model = model.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    all_means, all_deviations = [], []
    for view in range(views):
        means, deviations = [], []
        for start in range(0, len(data.labels), 64):
            rows = np.arange(start, min(start + 64, len(data.labels)))
            images = data.pixels(rows)
            if view >= 2:
                images = move_and_scale(images, 3.0, (0.94, 1.02), generator)
            if view % 2:
                mirrored = torch.from_numpy(data.mirrorable[rows])[:, None, None, None]
                images = torch.where(mirrored, images.flip(3), images)
            images = images.to(device, memory_format=torch.channels_last)
            with torch.autocast(device.type, torch.bfloat16):
                mean, log_variance = model.encode(images)
            means.append(mean.float().cpu())
            deviations.append((0.5 * log_variance.float()).exp().cpu())
        all_means.append(torch.cat(means))
        all_deviations.append(torch.cat(deviations))
    mean, deviation = torch.stack(all_means), torch.stack(all_deviations)
    trained = torch.from_numpy(data.rows(held_out=False))
    sample = mean[0, trained]
    shift = sample.mean(dim=(0, 2, 3))
    scale = sample.std(dim=(0, 2, 3))
    mean = (mean - shift[:, None, None]) / scale[:, None, None]
    deviation = deviation / scale[:, None, None]
    return LatentSet(mean.half(), deviation.half(), shift, scale)


class CaptionSampler:
    """Captions as padded word indices, with the dropouts that make guidance possible."""

    def __init__(self, data: Pictograms, vocabulary: Vocabulary) -> None:
        parsed = [vocabulary.parse(caption).words for caption in data.captions]
        self.words = torch.full((len(parsed), max(map(len, parsed))), -1)
        for row, indices in enumerate(parsed):
            self.words[row, : len(indices)] = torch.tensor(indices)
        self.labels = torch.from_numpy(data.labels)
        self.null_label = len(vocabulary.class_names)

    def draw(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Words ``(B, M)``, labels ``(B,)``: class and all words dropped in 10 %, each word in 5 %."""
        words, labels = self.words[rows].clone(), self.labels[rows].clone()
        words[torch.rand(words.shape, generator=generator) < 0.05] = -1
        words[torch.rand(len(rows), generator=generator) < 0.1] = -1
        labels[torch.rand(len(rows), generator=generator) < 0.1] = self.null_label
        return words, labels


def noised(clean: Tensor, at: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """States at continuous times ``at (B,)`` in [0, 1], and their v-targets.

    alpha = cos(pi/2 (0.998 u + 0.001)), v = alpha eps - sigma x_0.
    """
    angle = torch.pi / 2 * (0.998 * at + 0.001)
    alpha, sigma = (part[:, None, None, None] for part in (angle.cos(), angle.sin()))
    return alpha * clean + sigma * noise, alpha * noise - sigma * clean


def diffusion_loss(
    network: Callable[..., Tensor], clean: Tensor, at: Tensor, noise: Tensor, y: Tensor, words: Tensor
) -> Tensor:
    """Mean squared error ``(B,)`` of the v-prediction; see :func:`noised`.

    The network is told 1000 u - 0.5, which are the indices of the tabulated ``cosine_v`` schedule.
    """
    state, target = noised(clean, at, noise)
    predicted = network(state, 1000 * at - 0.5, y, words)
    return (predicted.float() - target).square().mean(dim=(1, 2, 3))


class TrainingSet:
    """Latents with captions, to draw training batches from and to measure on."""

    def __init__(self, data: Pictograms, latents: LatentSet, vocabulary: Vocabulary) -> None:
        self.data, self.latents = data, latents
        self.captions = CaptionSampler(data, vocabulary)
        self._rows = torch.from_numpy(data.rows(held_out=False))
        self._chance = torch.from_numpy(data.weights)[self._rows]

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Clean latents ``(B, C, S, S)``, labels ``(B,)``, words ``(B, M)``."""
        mean, deviation = self.latents.mean, self.latents.deviation
        drawn = torch.multinomial(self._chance, batch, replacement=True, generator=generator)
        picked = self._rows[drawn]
        view = torch.randint(len(mean), (batch,), generator=generator)
        spread = torch.randn(mean[0, picked].shape, generator=generator)
        clean = mean[view, picked].float() + deviation[view, picked] * spread
        words, labels = self.captions.draw(picked, generator)
        return clean, labels, words

    def fixed(self, rows: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """The arguments of :func:`diffusion_loss` after the network, in batches.

        Each of ``rows`` at 8 times, with noise that is always the same.
        """
        count, rows = len(rows), rows.repeat(8)
        at = (torch.arange(8).repeat_interleave(count) + 0.5) / 8
        clean = self.latents.mean[0, rows].float()
        noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
        whole = (clean, at, noise, self.captions.labels[rows], self.captions.words[rows])
        yield from zip(*(tensor.split(128) for tensor in whole), strict=True)
