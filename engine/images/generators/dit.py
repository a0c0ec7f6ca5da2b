"""Class-conditional DiT checkpoints as generators: official files and diffusers folders."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engine.errors import EngineError, ErrorCode, invalid_input
from engine.images.checkpoints import dit_from_diffusers, dit_from_official
from engine.images.dit import DiT
from engine.images.dynamic_dit import DynamicDiT
from engine.images.dynamic_files import dynamic_from_official
from engine.images.generators.class_labels import (
    UNUSED_NEGATIVE,
    LabelCondition,
    label_denoiser,
    require_class,
)
from engine.images.generators.decoders import Decoder, PixelDecoder, RoughDecoder, VaeDecoder
from engine.images.generators.networks import FixedNetworks, Networks, StaticNetworks
from engine.images.generators.protocol import (
    AS_MADE,
    Computing,
    Condition,
    CountingDenoiser,
    no_encoder,
    own_size_only,
)
from engine.images.generators.scheduler_config import Convention, read_convention
from engine.images.params import Spacing
from engine.images.schedule import TimeGrid, make_schedule
from engine.model_memory import dit_evaluation_bytes
from engine.model_pipelines import read_pipeline, read_vae, vae_channels
from engine.model_recognition import PIXEL_CHANNELS, read_dit
from engine.weight_files import read_safetensors
from engine.weights import ModelInfo, class_names, find_model

ROUGH_CHANNELS = 4


class DiTGenerator:
    """A DiT that knows classes, with what decodes its states.

    Parameters
    ----------
    info, device
        See :func:`engine.images.generators.load_generator`.
    model
        The network, on the CPU.
    convention
        Noise levels, prediction, and the steps that the model asks for.
    decoder
        From states to pictures.
    classes
        Names of the rows of the label table.
    """

    def __init__(
        self,
        info: ModelInfo,
        device: str,
        model: DiT,
        convention: Convention,
        decoder: Decoder,
        classes: Sequence[str],
    ) -> None:
        self.info, self.convention, self.decoder = info, convention, decoder
        self.device = torch.device(device)
        self.model = model.requires_grad_(False).to(self.device)
        self.schedule = convention.schedule
        self.class_names = tuple(classes)
        config = model.config
        self.networks: Networks = (
            FixedNetworks(model, info.title)
            if isinstance(model, DynamicDiT)
            else StaticNetworks(model, info.title)
        )
        self.size_bytes = self.networks.size_bytes + decoder.size_bytes
        self.bytes_per_evaluation = dit_evaluation_bytes(config.tokens, config.hidden_size)
        self.bytes_per_decode = decoder.bytes_for(config.input_size, config.input_size)

    def latent_shape(self, width: int | None, height: int | None) -> tuple[int, int, int]:
        config = self.model.config
        pixels = self.decoder.factor * config.input_size
        return own_size_only(
            self.info.title, config.in_channels, config.input_size, pixels, width, height
        )

    def grid(self, steps: int, spacing: Spacing) -> TimeGrid:
        return self.convention.grid(steps, spacing)

    def condition(self, prompt: str, class_name: str | None, negative_prompt: str = "") -> Condition:
        notes = [*self.convention.notes, *self.decoder.notes]
        if prompt.strip():
            notes.append("This model knows classes only; the prompt was not used.")
        if negative_prompt.strip():
            notes.append(UNUSED_NEGATIVE)
        if class_name is None:
            return LabelCondition(label=self.model.null_label, notes=tuple(notes))
        require_class(class_name, self.class_names)
        label = self.class_names.index(class_name)
        return LabelCondition(label=label, class_name=class_name, notes=tuple(notes))

    def denoiser(
        self, condition: Condition, guidance: float, computing: Computing = AS_MADE
    ) -> CountingDenoiser:
        network, prediction = self.networks.choose(computing), self.convention.prediction
        return label_denoiser(network, self.schedule, prediction, guidance, condition)

    @torch.no_grad()
    def decode(self, states: Tensor) -> Tensor:
        return self.decoder(states)

    def decode_with_gradient(self, states: Tensor) -> Tensor:
        return self.decoder(states)

    def encode(self, pictures: Tensor) -> Tensor:
        if not isinstance(self.decoder, PixelDecoder):
            raise no_encoder(self.info.title)
        return pictures.to(self.device, torch.float32)


def load_official_dit(info: ModelInfo, device: str) -> DiTGenerator:
    """A file in the original program's layout.

    Pixel models (3 channels) decode directly; latent ones through the VAE that their description
    names, else roughly.

    Raises
    ------
    EngineError
        ``bad_file`` when it is not a DiT, ``missing_weights`` when its VAE is not installed,
        ``invalid_input`` when its heads are not known or nothing can decode it.
    """
    tensors, found = read_safetensors(info.path), read_dit(info.path)
    if found.dynamic:
        model: DiT = dynamic_from_official(tensors, found.dynamic)
    else:
        model = dit_from_official(tensors, info.num_heads)
    decoder = _decoder_for(info, model.config.in_channels, torch.device(device))
    convention = Convention(make_schedule("linear"))
    return DiTGenerator(info, device, model, convention, decoder, class_names(info))


def load_diffusers_dit(info: ModelInfo, device: str) -> DiTGenerator:
    """A folder of diffusers' ``DiTPipeline``; raises like :func:`load_official_dit`."""
    pipeline = read_pipeline(info.path)
    transformer = pipeline.parts["transformer"]
    assert transformer.weights is not None, "a transformer has weights"
    tensors: dict[str, Tensor] = {}
    for file in transformer.weights.files:
        tensors |= read_safetensors(file)
    model = dit_from_diffusers(transformer.folder, tensors)
    convention = read_convention(pipeline.parts["scheduler"].config, info.title)
    decoder = VaeDecoder(pipeline.parts["vae"], torch.device(device), info.title)
    return DiTGenerator(info, device, model, convention, decoder, class_names(info))


def _decoder_for(info: ModelInfo, channels: int, device: torch.device) -> Decoder:
    if channels == PIXEL_CHANNELS:
        return PixelDecoder()
    if info.vae:
        vae = _find_vae(info, channels)
        return VaeDecoder(read_vae(vae.path), device, vae.title)
    if channels != ROUGH_CHANNELS:
        raise invalid_input(
            f"{info.title} makes latents of {channels} channels, and no autoencoder (VAE) for them is "
            "installed; nothing was started.",
            "Add the folder of its VAE with `triptych models add`.",
        )
    return RoughDecoder()


def _find_vae(info: ModelInfo, channels: int) -> ModelInfo:
    try:
        vae = find_model(info.vae)
        fits = vae.kind == "vae" and vae_channels(vae.path) == channels
    except EngineError as error:
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"{info.title} is decoded by the VAE {info.vae}, which cannot be used: {error.message}",
            "Add that VAE again, or remove the model and add it again with another one.",
        ) from error
    if not fits:
        raise invalid_input(
            f"{info.vae} is not a VAE with {channels} latent channels, which {info.title} needs; "
            "nothing was started.",
            "Choose another one in the models panel.",
        )
    return vae
