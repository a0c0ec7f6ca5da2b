"""From clean states to pixels: directly, through an AutoencoderKL, or roughly without one."""

from __future__ import annotations

import logging
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.device import is_out_of_memory, memory_budget
from engine.errors import bad_file
from engine.images.checkpoints import parameter_bytes
from engine.images.generators.libraries import load_part
from engine.images.tiles import SMALLEST_TILE, decode_in_tiles
from engine.model_memory import vae_decode_bytes
from engine.model_pipelines import Part, vae_factor, vae_widths

log = logging.getLogger("triptych.images")

ROUGH_NOTE = (
    "No autoencoder (VAE) is installed for this model; its latents are shown as rough colours, "
    "enlarged. Add a VAE folder to see real pictures."
)
_ROUGH_COLOURS = (
    (0.298, 0.207, 0.208),
    (0.187, 0.286, 0.173),
    (-0.158, 0.189, 0.264),
    (-0.184, -0.271, -0.473),
)
"""A least-squares fit of RGB in [-1, 1] to the four latent channels of Stable Diffusion 1's VAE."""


class Decoder(Protocol):
    """Turns states into pictures.

    Attributes
    ----------
    factor
        Pixels a position of the state along one side.
    size_bytes
        Memory of its weights.
    notes
        What the user should know about pictures decoded so.
    """

    factor: int
    size_bytes: int
    notes: tuple[str, ...]

    def bytes_for(self, height: int, width: int) -> int:
        """Rough peak of decoding one state ``(C, height, width)``."""
        ...

    def __call__(self, states: Tensor) -> Tensor:
        """Pixels ``(B, 3, H, W)`` float32, nominally in [-1, 1]."""
        ...


class PixelDecoder:
    """For models whose states are pictures."""

    factor, size_bytes = 1, 0
    notes: tuple[str, ...] = ()

    def bytes_for(self, height: int, width: int) -> int:
        return 4 * 3 * height * width

    def __call__(self, states: Tensor) -> Tensor:
        return states.float()


class RoughDecoder:
    """A fixed linear map of four latent channels to colours, enlarged eightfold."""

    factor, size_bytes = 8, 0
    notes: tuple[str, ...] = (ROUGH_NOTE,)

    def bytes_for(self, height: int, width: int) -> int:
        return 4 * 3 * height * width * (1 + self.factor**2)

    def __call__(self, states: Tensor) -> Tensor:
        colours = torch.tensor(_ROUGH_COLOURS, device=states.device)
        small = torch.einsum("bchw,cr->brhw", states.float(), colours)
        return F.interpolate(small, scale_factor=float(self.factor), mode="bilinear")


class VaeDecoder:
    """An AutoencoderKL of diffusers, always in float32: in half precision some overflow.

    Pictures are decoded one at a time; one that is larger than the memory allows, in tiles.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, part: Part, device: torch.device, who: str) -> None:
        model: Any = load_part("diffusers", "AutoencoderKL", part, who)
        self.device = device
        # Only the decoder is ever used.
        model.encoder, model.quant_conv = None, None
        # Convolutions are a fifth faster with the channels last.
        self._model = model.to(device, memory_format=torch.channels_last)
        self.factor = vae_factor(part.config)
        self.size_bytes = parameter_bytes(self._model)
        self._widths = vae_widths(part.config)
        channels = int(part.config["latent_channels"])
        self._scale, self._shift = _normalisation(part.config, channels, who)

    def bytes_for(self, height: int, width: int) -> int:
        return vae_decode_bytes(self.factor**2 * height * width, self._widths)

    def __call__(self, states: Tensor) -> Tensor:
        latents = states.to(self.device, torch.float32)
        latents = latents * self._scale.to(latents) + self._shift.to(latents)
        return torch.cat([self._decode_one(one) for one in latents.split(1)])

    def _decode_one(self, latents: Tensor) -> Tensor:
        height, width = latents.shape[-2:]
        if self.bytes_for(height, width) <= memory_budget(str(self.device)):
            try:
                return self._plain(latents)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or max(height, width) <= SMALLEST_TILE:
                    raise
        # Outside the except clause, whose traceback keeps the failed attempt's tensors alive.
        return self._decode_tiled(latents)

    def _decode_tiled(self, latents: Tensor) -> Tensor:
        height, width = latents.shape[-2:]
        tile = self._largest_tile(max(height, width))
        while True:
            log.info("decoding %d x %d latents in tiles of %d", width, height, tile)
            try:
                return decode_in_tiles(self._plain, latents, tile, self.factor)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or tile <= SMALLEST_TILE:
                    raise
            tile = max(SMALLEST_TILE, tile // 2)

    def _largest_tile(self, side: int) -> int:
        """The largest half, quarter, ... of the picture's side that fits."""
        budget = memory_budget(str(self.device))
        tile = max(SMALLEST_TILE, -(-side // 2))
        while tile > SMALLEST_TILE and self.bytes_for(tile, tile) > budget:
            tile = max(SMALLEST_TILE, tile // 2)
        return tile

    def _plain(self, latents: Tensor) -> Tensor:
        latents = latents.contiguous(memory_format=torch.channels_last)
        pixels: Tensor = self._model.decode(latents).sample
        return pixels


def _normalisation(config: Any, channels: int, who: str) -> tuple[Tensor, Tensor]:
    """What states are multiplied by and shifted by to become the VAE's latents, ``(C, 1, 1)``."""
    scaling = float(config.get("scaling_factor") or 1.0)
    scale = torch.full((channels, 1, 1), 1 / scaling, dtype=torch.float32)
    shift = torch.full((channels, 1, 1), float(config.get("shift_factor") or 0.0))
    means, deviations = config.get("latents_mean"), config.get("latents_std")
    if means is not None and deviations is not None:
        if len(means) != channels or len(deviations) != channels:
            raise bad_file(
                f"The autoencoder of {who} names {len(means)} means for its {channels} channels."
            )
        scale = scale * torch.tensor(deviations, dtype=torch.float32).view(-1, 1, 1)
        shift = shift + torch.tensor(means, dtype=torch.float32).view(-1, 1, 1)
    return scale, shift
