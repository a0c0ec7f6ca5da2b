"""The built-in generator's autoencoder: 128 px RGB pictures to 16 x 16 x 4 latents and back.

Built like the autoencoders of latent diffusion (Rombach et al. 2022), only small enough that a
picture decodes in some tens of milliseconds on a CPU: pixel-unshuffle instead of the first
convolutions, four residual stages, pixel-shuffle at the end.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class AutoencoderConfig:
    """Sizes of an :class:`Autoencoder`; ``image_size`` and ``latent_size`` are in pixels."""

    image_size: int = 128
    latent_channels: int = 4
    encoder_widths: tuple[int, int] = (96, 128)
    decoder_widths: tuple[int, int, int] = (160, 112, 56)

    @property
    def latent_size(self) -> int:
        """Side of the latent grid: an eighth of the picture's."""
        return self.image_size // 8

    def to_json(self) -> dict[str, object]:
        """JSON-ready dictionary; the inverse of ``AutoencoderConfig.from_json``."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, object]) -> AutoencoderConfig:
        """Rebuild from :meth:`to_json` (lists become tuples again)."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})  # type: ignore[arg-type]


class ResidualBlock(nn.Module):
    """Group norm, SiLU, 3x3 convolution, twice, added to the input; channels stay."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        # The last convolution starts at zero, so that the block starts as the identity.
        *_, weight, _ = self.body.parameters()
        nn.init.zeros_(weight)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Autoencoder(nn.Module):
    """Variational autoencoder with an 8-fold smaller latent grid.

    ``encode`` maps ``(B, 3, S, S)`` in [-1, 1] to the mean and log variance of the latent, each
    ``(B, C, S/8, S/8)``; ``decode`` maps latents back to pixels (not clipped).
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        first, second = config.encoder_widths
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, first, 3, padding=1),
            ResidualBlock(first),
            nn.Conv2d(first, second, 3, stride=2, padding=1),
            ResidualBlock(second),
            ResidualBlock(second),
            nn.GroupNorm(8, second),
            nn.SiLU(),
            nn.Conv2d(second, 2 * config.latent_channels, 3, padding=1),
        )
        low, middle, high = config.decoder_widths
        self.decoder = nn.Sequential(
            nn.Conv2d(config.latent_channels, low, 3, padding=1),
            ResidualBlock(low),
            ResidualBlock(low),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(low, middle, 3, padding=1),
            ResidualBlock(middle),
            ResidualBlock(middle),
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(middle, high, 3, padding=1),
            ResidualBlock(high),
            nn.GroupNorm(8, high),
            nn.SiLU(),
            nn.Conv2d(high, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (clamped to [-12, 4]) of the latent posterior."""
        mean, log_variance = self.encoder(images).chunk(2, dim=1)
        return mean, log_variance.clamp(-12.0, 4.0)

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels ``(B, 3, S, S)``, nominally in [-1, 1], not clipped."""
        return self.decoder(latents)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction from one posterior draw, and the posterior's mean and log variance."""
        mean, log_variance = self.encode(images)
        latents = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        return self.decode(latents), mean, log_variance
