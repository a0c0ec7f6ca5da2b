"""Stable Diffusion 1.x, 2.x and XL, through diffusers and transformers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.errors import invalid_input
from engine.images.checkpoints import parameter_bytes
from engine.images.diffusion import guide
from engine.images.generators.decoders import VaeDecoder
from engine.images.generators.libraries import load_part
from engine.images.generators.prediction import as_noise
from engine.images.generators.protocol import (
    AS_MADE,
    Computing,
    Condition,
    CountingDenoiser,
    no_encoder,
    require_complete,
)
from engine.images.generators.scheduler_config import Convention, read_convention
from engine.images.generators.text import TextEncoder, encode_together
from engine.images.params import Spacing
from engine.images.schedule import TimeGrid
from engine.model_memory import unet_evaluation_bytes
from engine.model_pipelines import read_pipeline
from engine.weights import ModelInfo


@dataclass(frozen=True, kw_only=True)
class TextCondition(Condition):
    """Encoded texts, each ``(1, L, D)``, and for Stable Diffusion XL pooled vectors ``(1, P)``."""

    positive: Tensor
    negative: Tensor
    pooled: Tensor | None = None
    negative_pooled: Tensor | None = None


class TextDenoiser:
    """Noise prediction of a UNet in the states' dtype; the network runs in its own."""

    def __init__(
        self,
        unet: Any,
        convention: Convention,
        guidance: float,
        condition: TextCondition,
        factor: int,
    ) -> None:
        self._unet, self._convention, self._guidance = unet, convention, guidance
        self._condition, self._factor = condition, factor

    @property
    def evaluations_per_state(self) -> int:
        """Guidance of exactly 1 or 0 needs one branch only."""
        return 1 if self._guidance in (0, 1) else 2

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self._guidance in (0, 1):
            return self._noise(x, t, [self._guidance == 1])
        both = self._noise(torch.cat([x, x]), torch.cat([t, t]), [True, False])
        with_prompt, without = both.chunk(2)
        return guide(with_prompt, without, self._guidance)

    def _noise(self, x: Tensor, t: Tensor, positive: list[bool]) -> Tensor:
        """Noise prediction, the rows in equal parts for the prompt and the negative prompt."""
        unet, condition, rows = self._unet, self._condition, len(x) // len(positive)
        texts = [condition.positive if yes else condition.negative for yes in positive]
        dtype = unet.dtype
        output = unet(
            x.to(dtype, memory_format=torch.channels_last),
            t.float(),
            encoder_hidden_states=_repeated(texts, rows).to(dtype),
            added_cond_kwargs=self._added(x, positive, rows),
        ).sample.to(x.dtype)
        convention = self._convention
        return as_noise(output, x, t, convention.schedule, convention.prediction)

    def _added(self, x: Tensor, positive: list[bool], rows: int) -> dict[str, Tensor] | None:
        """Stable Diffusion XL's pooled texts and sizes: made for this size, cut at no side."""
        condition = self._condition
        if condition.pooled is None or condition.negative_pooled is None:
            return None
        pooled = [condition.pooled if yes else condition.negative_pooled for yes in positive]
        size = [self._factor * x.shape[-2], self._factor * x.shape[-1]]
        sizes = torch.tensor([[*size, 0, 0, *size]], device=x.device, dtype=torch.float32)
        return {
            "text_embeds": _repeated(pooled, rows).to(self._unet.dtype),
            "time_ids": sizes.expand(len(x), -1),
        }


def _repeated(parts: list[Tensor], rows: int) -> Tensor:
    return torch.cat([part.expand(rows, *part.shape[1:]) for part in parts])


class StableDiffusionGenerator:
    """A folder in the layout of diffusers with a UNet and one or two CLIP text encoders.

    On a GPU the UNet runs in half precision; everything else is float32.

    Raises
    ------
    EngineError
        ``missing_weights`` when the libraries or a part are missing, ``bad_file`` when a part does not
        fit its description.
    """

    def __init__(self, info: ModelInfo, device: str) -> None:
        self.info = info
        self.device = torch.device(device)
        pipeline = read_pipeline(info.path)
        parts, who = pipeline.parts, info.title
        self._is_xl = pipeline.kind == "stable-diffusion-xl"
        self._zero_if_empty = bool(pipeline.index.get("force_zeros_for_empty_prompt", True))
        self.convention = read_convention(parts["scheduler"].config, who)
        self.schedule = self.convention.schedule
        self._encoders = [
            TextEncoder(parts[f"tokenizer{number}"], parts[f"text_encoder{number}"], self._is_xl, who)
            for number in (["", "_2"] if self._is_xl else [""])
        ]
        for encoder in self._encoders:
            encoder.model.to(self.device)
        dtype = _network_dtype(self.device, bool(parts["unet"].config.get("upcast_attention")))
        self.unet: Any = load_part("diffusers", "UNet2DConditionModel", parts["unet"], who, dtype)
        # Convolutions are a third faster with the channels last.
        self.unet.to(self.device, memory_format=torch.channels_last)
        self.decoder = VaeDecoder(parts["vae"], self.device, who)
        networks = [self.unet, *(encoder.model for encoder in self._encoders)]
        self.size_bytes = self.decoder.size_bytes + sum(parameter_bytes(item) for item in networks)
        self._side = int(self.unet.config.sample_size)
        self._channels = int(self.unet.config.in_channels)
        width = int(self.unet.config.block_out_channels[0])
        self.bytes_per_evaluation = unet_evaluation_bytes(self._side**2, width, dtype.itemsize)
        self.bytes_per_decode = self.decoder.bytes_for(self._side, self._side)

    def latent_shape(self, width: int | None, height: int | None) -> tuple[int, int, int]:
        factor = self.decoder.factor
        own = factor * self._side
        wide, high = width or own, height or own
        if wide % factor or high % factor or min(wide, high) < factor:
            raise invalid_input(
                f"{self.info.title} makes pictures whose width and height are multiples of {factor} "
                f"pixels, not {wide} x {high}; nothing was started.",
                f"It was made for {own} x {own}; empty fields mean that.",
            )
        return self._channels, high // factor, wide // factor

    def grid(self, steps: int, spacing: Spacing) -> TimeGrid:
        return self.convention.grid(steps, spacing)

    def condition(self, prompt: str, class_name: str | None, negative_prompt: str = "") -> Condition:
        if class_name is not None:
            raise invalid_input(
                f"{self.info.title} reads texts and has no classes; nothing was started.",
                "Write what you want into the prompt, and leave the class empty.",
            )
        encoded, windows = encode_together(self._encoders, [prompt, negative_prompt])
        (positive, pooled), (negative, negative_pooled) = encoded
        notes = self.convention.notes
        if windows > 1:
            room = self._encoders[0].length - 2
            notes = (
                *notes,
                f"The prompt is longer than the model reads at once ({room} tokens); it was read in "
                f"{windows} parts, the later ones with less effect.",
            )
        if self._is_xl and self._zero_if_empty and not negative_prompt:
            negative = torch.zeros_like(positive)
            negative_pooled = None if pooled is None else torch.zeros_like(pooled)
        return TextCondition(
            notes=notes,
            positive=positive,
            negative=negative,
            pooled=pooled,
            negative_pooled=negative_pooled,
        )

    def denoiser(
        self, condition: Condition, guidance: float, computing: Computing = AS_MADE
    ) -> CountingDenoiser:
        require_complete(self.info.title, computing)
        assert isinstance(condition, TextCondition), "a model takes its own conditions"
        factor = self.decoder.factor
        predict = TextDenoiser(self.unet, self.convention, guidance, condition, factor)
        return CountingDenoiser(predict, predict.evaluations_per_state)

    @torch.no_grad()
    def decode(self, states: Tensor) -> Tensor:
        return self.decoder(states)

    def decode_with_gradient(self, states: Tensor) -> Tensor:
        return self.decoder(states)

    def encode(self, pictures: Tensor) -> Tensor:
        raise no_encoder(self.info.title)


def _network_dtype(device: torch.device, delicate: bool) -> torch.dtype:
    """Half precision on CUDA; bfloat16 where a model's attention is known to overflow float16."""
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if delicate and torch.cuda.is_bf16_supported() else torch.float16
