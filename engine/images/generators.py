"""Models that make pictures, behind one protocol: condition, denoiser, decode.

Samplers, the parallel solver and alignment work on anything with this shape, whether pictures
are made in pixels or in an autoencoder's latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from engine.errors import invalid_input
from engine.images.autoencoder import Autoencoder, AutoencoderConfig
from engine.images.checkpoints import dit_from_official, load_strictly
from engine.images.diffusion import guide
from engine.images.dit import DiT, DiTConfig
from engine.images.samplers import Denoiser
from engine.images.schedule import NoiseSchedule, make_schedule
from engine.images.vocabulary import Vocabulary
from engine.weight_files import read_safetensors
from engine.weights import ModelInfo, describe_generator


@dataclass(frozen=True)
class Condition:
    """What one picture should show, in a model's own terms.

    Attributes
    ----------
    label
        Row of the label table; the "no label" row when no class applies.
    words
        Rows of the word table.
    class_name
        The class in words, or ``None``.
    notes
        What the user should know about how the prompt was understood.
    """

    label: int
    words: tuple[int, ...] = ()
    class_name: str | None = None
    notes: tuple[str, ...] = ()


class Generator(Protocol):
    """A loaded model that makes pictures.

    Attributes
    ----------
    latent_shape
        ``(C, h, w)`` of one state.
    schedule
        The noise levels it was trained on.
    size_bytes
        Memory of its weights.
    bytes_per_image
        Rough peak of the activations of one guided evaluation or one decode.
    """

    info: ModelInfo
    latent_shape: tuple[int, int, int]
    schedule: NoiseSchedule
    size_bytes: int
    bytes_per_image: int

    def condition(self, prompt: str, class_name: str | None) -> Condition:
        """Understand a prompt; raises ``invalid_input`` for an unknown class."""
        ...

    def denoiser(self, condition: Condition, guidance: float) -> CountingDenoiser:
        """Guided noise prediction for this condition."""
        ...

    def decode(self, states: Tensor) -> Tensor:
        """Pixels ``(B, 3, H, W)`` float32, nominally in [-1, 1], of clean states ``(B, C, h, w)``."""
        ...


class CountingDenoiser:
    """A :data:`~engine.images.samplers.Denoiser` that counts network evaluations.

    ``evaluations`` grows by one for each state and each condition, so a guided step costs two.
    """

    def __init__(self, predict: Denoiser, evaluations_per_state: int) -> None:
        self._predict = predict
        self._per_state = evaluations_per_state
        self.evaluations = 0

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.evaluations += len(x) * self._per_state
        return self._predict(x, t)


class _DiTDenoiser:
    """Noise prediction of a DiT in the states' dtype; the network runs in its own."""

    def __init__(
        self,
        model: DiT,
        schedule: NoiseSchedule,
        prediction: str,
        guidance: float,
        condition: Condition,
        guided_channels: int | None = None,
    ) -> None:
        self.model, self.schedule, self.prediction = model, schedule, prediction
        self.guidance, self.condition = guidance, condition
        self.guided_channels = guided_channels

    @property
    def evaluations_per_state(self) -> int:
        """Guidance of exactly 1 or 0 needs one branch only."""
        return 1 if self.guidance in (0, 1) else 2

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self.guidance == 1:
            return self._noise(x, t, [True])
        if self.guidance == 0:
            return self._noise(x, t, [False])
        both = self._noise(torch.cat([x, x]), torch.cat([t, t]), [True, False])
        with_condition, without = both.chunk(2)
        return guide(with_condition, without, self.guidance, self.guided_channels)

    def _noise(self, x: Tensor, t: Tensor, conditional: list[bool]) -> Tensor:
        """Noise prediction, the rows in equal parts with and without the condition."""
        model, batch = self.model, len(x) // len(conditional)
        rows = torch.tensor(conditional, device=x.device).repeat_interleave(batch)
        null = model.null_label if not all(conditional) else self.condition.label
        labels = torch.where(rows, self.condition.label, null)
        words = None
        if self.condition.words:
            spelled = torch.tensor(self.condition.words, device=x.device)
            words = torch.where(rows[:, None], spelled, -1)
        dtype = model.x_embedder.proj.weight.dtype
        output = model(x.to(dtype), t, labels, words)[:, : x.shape[1]].to(x.dtype)
        if self.prediction == "eps":
            return output
        # v = alpha eps - sigma x_0, so eps = alpha v + sigma x_t.
        alpha_bar = self.schedule.alpha_bar_at(t.double().cpu().numpy())
        level = torch.from_numpy(alpha_bar).to(x).view(-1, 1, 1, 1)
        return level.sqrt() * output + (1 - level).sqrt() * x


class LatentGenerator:
    """The built-in kind: caption words and class, DiT on latents, own autoencoder.

    Reads a folder with ``generator.json``, ``transformer.safetensors`` and
    ``autoencoder.safetensors``.

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
        side = self.autoencoder.config.latent_size
        self.latent_shape = (self.autoencoder.config.latent_channels, side, side)
        self.size_bytes = _parameter_bytes(self.model) + _parameter_bytes(self.autoencoder)
        # The decoder's widest feature maps dominate: a handful alive at once, in float32.
        width = self.autoencoder.config.decoder_widths[-1]
        self.bytes_per_image = 8 * 4 * width * (self.autoencoder.config.image_size // 2) ** 2

    def condition(self, prompt: str, class_name: str | None) -> Condition:
        if class_name is not None:
            _require_class(class_name, self.vocabulary.class_names)
        meaning = self.vocabulary.parse(prompt, class_name)
        label = self.model.null_label if meaning.label is None else meaning.label
        name = None if meaning.label is None else self.vocabulary.class_names[meaning.label]
        return Condition(label, meaning.words, name, meaning.notes())

    def denoiser(self, condition: Condition, guidance: float) -> CountingDenoiser:
        predict = _DiTDenoiser(self.model, self.schedule, self.prediction, guidance, condition)
        return CountingDenoiser(predict, predict.evaluations_per_state)

    @torch.no_grad()
    def decode(self, states: Tensor) -> Tensor:
        latents = states.to(self.device, torch.float32) * self._scale + self._shift
        latents = latents.contiguous(memory_format=torch.channels_last)
        # On a CPU a batch is no faster, and convolutions of an odd batch round differently: one at
        # a time, a picture has the same bits however many are made.
        parts = latents.split(1 if self.device.type == "cpu" else len(latents))
        return torch.cat([self.autoencoder.decode(part) for part in parts])


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
        self.latent_shape = (3, config.input_size, config.input_size)
        self.size_bytes = _parameter_bytes(self.model)
        self.bytes_per_image = 2 * 4 * config.tokens * (8 * config.hidden_size + config.tokens)
        self.class_names = tuple(str(index) for index in range(config.num_classes))

    def condition(self, prompt: str, class_name: str | None) -> Condition:
        notes: tuple[str, ...] = ()
        if prompt.strip():
            notes = ("This model knows classes only; the prompt was not used.",)
        if class_name is None:
            return Condition(self.model.null_label, notes=notes)
        _require_class(class_name, self.class_names)
        return Condition(int(class_name), (), class_name, notes)

    def denoiser(self, condition: Condition, guidance: float) -> CountingDenoiser:
        predict = _DiTDenoiser(self.model, self.schedule, "eps", guidance, condition)
        return CountingDenoiser(predict, predict.evaluations_per_state)

    def decode(self, states: Tensor) -> Tensor:
        return states.float()


def _require_class(name: str, known: Sequence[str]) -> None:
    if name not in known:
        listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise invalid_input(
            f"This model has no class {name!r}; nothing was started.", f"Known: {listed}."
        )


def _parameter_bytes(module: torch.nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())


GENERATORS: dict[str, Callable[[ModelInfo, str], Generator]] = {
    "triptych-generator": LatentGenerator,
    "dit": DiTCheckpointGenerator,
}
"""Loader of each model kind that :mod:`engine.weights` recognises."""


def load_generator(info: ModelInfo, device: str) -> Generator:
    """Load a model onto a device (``cpu``, ``cuda:0``, ...)."""
    if info.kind not in GENERATORS:
        raise invalid_input(f"{info.name} is a {info.kind}; it does not make pictures.")
    return GENERATORS[info.kind](info, device)


def initial_noise(
    seeds: Sequence[int], shape: tuple[int, int, int], steps: int, with_steps: bool
) -> tuple[Tensor, Tensor]:
    """All randomness of some pictures: ``x_T (B, C, h, w)`` and step noises ``(T, B, C, h, w)``.

    Float32 on the CPU, a stream of its own for each seed, so a picture does not depend on its
    neighbours or the device. ``x_T`` is drawn first, then the steps from T - 1 down to 0; without
    ``with_steps`` the second tensor is empty.
    """
    starts, noises = [], []
    for seed in seeds:
        stream = torch.Generator().manual_seed(seed)
        starts.append(torch.randn(shape, generator=stream))
        drawn = [torch.randn(shape, generator=stream) for _ in range(steps if with_steps else 0)]
        noises.append(torch.stack(drawn[::-1]) if drawn else torch.empty(0, *shape))
    return torch.stack(starts), torch.stack(noises, dim=1)


def to_pixels(decoded: Tensor) -> NDArray[np.uint8]:
    """8-bit RGB ``(B, H, W, 3)`` of decoded pictures ``(B, 3, H, W)`` in [-1, 1]."""
    scaled = (decoded.float().clamp(-1, 1) + 1) * 127.5
    pixels: NDArray[np.uint8] = scaled.round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return pixels


def images_that_fit(generator: Generator, budget: int, wanted: int) -> int:
    """How many pictures at once stay within ``budget`` bytes of free memory; at least 1."""
    return max(1, min(wanted, math.floor(budget / generator.bytes_per_image)))
