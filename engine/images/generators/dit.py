"""Class-conditional DiT checkpoints as generators."""

from __future__ import annotations

import torch
from torch import Tensor

from engine.errors import invalid_input
from engine.images.checkpoints import dit_from_official, parameter_bytes
from engine.images.generators.class_labels import (
    UNUSED_NEGATIVE,
    LabelCondition,
    label_denoiser,
    require_class,
)
from engine.images.generators.protocol import Condition, CountingDenoiser, own_size_only
from engine.images.params import Spacing
from engine.images.schedule import TimeGrid, make_grid, make_schedule
from engine.model_memory import dit_evaluation_bytes
from engine.weight_files import read_safetensors
from engine.weights import ModelInfo


class DiTCheckpointGenerator:
    """A class-conditional DiT file in the original program's layout, alone.

    Pixel models (3 channels) decode directly. Latent models need their own autoencoder, which
    such a file does not hold; they are refused.
    """

    def __init__(self, info: ModelInfo, device: str) -> None:
        self.info = info
        self.device = torch.device(device)
        self.model = dit_from_official(read_safetensors(info.path), info.num_heads)
        self.model.requires_grad_(False).to(self.device)
        config = self.model.config
        if config.in_channels != 3:
            raise invalid_input(
                f"{info.name} makes latents of {config.in_channels} channels, and the autoencoder "
                "that turns them into pictures is not in the file.",
                "This version generates with pixel models (3 channels) and with its own models.",
            )
        self.schedule = make_schedule("linear")
        self.size_bytes = parameter_bytes(self.model)
        self.bytes_per_evaluation = dit_evaluation_bytes(config.tokens, config.hidden_size)
        self.bytes_per_decode = 4 * 3 * config.input_size**2
        self.class_names = tuple(str(index) for index in range(config.num_classes))

    def latent_shape(self, width: int | None, height: int | None) -> tuple[int, int, int]:
        side = self.model.config.input_size
        return own_size_only(self.info.title, 3, side, side, width, height)

    def grid(self, steps: int, spacing: Spacing) -> TimeGrid:
        return make_grid(self.schedule, steps, "spaced" if spacing == "model" else spacing)

    def condition(self, prompt: str, class_name: str | None, negative_prompt: str = "") -> Condition:
        notes: tuple[str, ...] = ()
        if prompt.strip():
            notes = ("This model knows classes only; the prompt was not used.",)
        if negative_prompt.strip():
            notes = (*notes, UNUSED_NEGATIVE)
        if class_name is None:
            return LabelCondition(label=self.model.null_label, notes=notes)
        require_class(class_name, self.class_names)
        return LabelCondition(label=int(class_name), class_name=class_name, notes=notes)

    def denoiser(self, condition: Condition, guidance: float) -> CountingDenoiser:
        return label_denoiser(self.model, self.schedule, "eps", guidance, condition)

    def decode(self, states: Tensor) -> Tensor:
        return states.float()
