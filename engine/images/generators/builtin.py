"""The built-in kind of generator: caption words and a class, DiT on latents, own autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.images.autoencoder import Autoencoder, AutoencoderConfig
from engine.images.checkpoints import load_strictly, parameter_bytes
from engine.images.dit import DiT, DiTConfig
from engine.images.generators.class_labels import (
    UNUSED_NEGATIVE,
    LabelCondition,
    label_denoiser,
    require_class,
)
from engine.images.generators.networks import Networks, StaticNetworks, ToldNetworks
from engine.images.generators.protocol import (
    AS_MADE,
    Computing,
    Condition,
    CountingDenoiser,
    own_size_only,
)
from engine.images.params import Spacing
from engine.images.schedule import TimeGrid, make_grid, make_schedule
from engine.images.vocabulary import Vocabulary
from engine.model_memory import dit_evaluation_bytes
from engine.model_recognition import DYNAMIC_FILE
from engine.weight_files import read_safetensors
from engine.weights import ModelInfo, describe_generator


class LatentGenerator:
    """A model in the built-in layout.

    Reads a folder with ``generator.json``, ``transformer.safetensors`` and
    ``autoencoder.safetensors``; with ``dynamic.safetensors`` beside them it can compute less.

    Raises
    ------
    EngineError
        ``bad_file`` when the folder is incomplete, damaged, newer, or of another architecture.
    """

    def __init__(self, info: ModelInfo, device: str) -> None:
        self.info = info
        folder = info.path
        about = describe_generator(folder)
        self.device = torch.device(device)
        self.vocabulary = Vocabulary.from_json(about["vocabulary"])
        self.schedule = make_schedule(about["schedule"])
        self.prediction: str = about["prediction"]
        self.model = DiT(DiTConfig(**about["transformer"]))
        load_strictly(
            self.model, read_safetensors(folder / "transformer.safetensors"), "The transformer"
        )
        self.autoencoder = Autoencoder(AutoencoderConfig.from_json(about["autoencoder"]))
        tensors = read_safetensors(folder / "autoencoder.safetensors")
        load_strictly(self.autoencoder, tensors, "The autoencoder")
        for module in (self.model, self.autoencoder):
            module.eval().requires_grad_(False).to(self.device)
        self.autoencoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        shape = (1, -1, 1, 1)
        self._shift = torch.tensor(about["latent_shift"], device=self.device).view(shape)
        self._scale = torch.tensor(about["latent_scale"], device=self.device).view(shape)
        self.networks: Networks
        if (file := folder / DYNAMIC_FILE).exists():
            self.networks = ToldNetworks(self.model, file, info.title, self.device)
        else:
            self.networks = StaticNetworks(self.model, info.title)
        self.size_bytes = self.networks.size_bytes + parameter_bytes(self.autoencoder)
        sizes = self.model.config
        self.bytes_per_evaluation = dit_evaluation_bytes(sizes.tokens, sizes.hidden_size)
        # The decoder's widest feature maps dominate: a handful alive at once, in float32.
        width = self.autoencoder.config.decoder_widths[-1]
        self.bytes_per_decode = 8 * 4 * width * (self.autoencoder.config.image_size // 2) ** 2

    def latent_shape(self, width: int | None, height: int | None) -> tuple[int, int, int]:
        config = self.autoencoder.config
        return own_size_only(
            self.info.title,
            config.latent_channels,
            config.latent_size,
            config.image_size,
            width,
            height,
        )

    def grid(self, steps: int, spacing: Spacing) -> TimeGrid:
        return make_grid(self.schedule, steps, "spaced" if spacing == "model" else spacing)

    def condition(self, prompt: str, class_name: str | None, negative_prompt: str = "") -> Condition:
        if class_name is not None:
            require_class(class_name, self.vocabulary.class_names)
        meaning = self.vocabulary.parse(prompt, class_name)
        label = self.model.null_label if meaning.label is None else meaning.label
        name = None if meaning.label is None else self.vocabulary.class_names[meaning.label]
        notes = meaning.notes()
        if negative_prompt.strip():
            notes = (*notes, UNUSED_NEGATIVE)
        return LabelCondition(label=label, words=meaning.words, class_name=name, notes=notes)

    def denoiser(
        self, condition: Condition, guidance: float, computing: Computing = AS_MADE
    ) -> CountingDenoiser:
        network = self.networks.choose(computing)
        return label_denoiser(network, self.schedule, self.prediction, guidance, condition)

    @torch.no_grad()
    def decode(self, states: Tensor) -> Tensor:
        return self.decode_with_gradient(states)

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        inputs = pictures.to(self.device, torch.float32).contiguous(memory_format=torch.channels_last)
        mean, _ = self.autoencoder.encode(inputs)
        return (mean - self._shift) / self._scale

    def decode_with_gradient(self, states: Tensor) -> Tensor:
        latents = states.to(self.device, torch.float32) * self._scale + self._shift
        latents = latents.contiguous(memory_format=torch.channels_last)
        # On a CPU a batch is no faster, and convolutions of an odd batch round differently: one at
        # a time, a picture has the same bits however many are made.
        parts = latents.split(1 if self.device.type == "cpu" else len(latents))
        return torch.cat([self.autoencoder.decode(part) for part in parts])
