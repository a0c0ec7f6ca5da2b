"""Folders in the layout of diffusers: which model they are, whether all is there, what is refused.

Reads JSON and the headers of safetensors only; needs neither torch nor diffusers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import extras
from engine.errors import EngineError, ErrorCode, bad_file
from engine.model_folders import damage_named, read_object
from engine.model_memory import (
    FLOAT32,
    dit_evaluation_bytes,
    unet_evaluation_bytes,
    vae_decode_bytes,
)
from engine.model_recognition import Recognised, dit_title
from engine.weight_sets import WeightSet, find_weights

INDEX = "model_index.json"
VAE_CLASS = "AutoencoderKL"
LATENT_CHANNELS = 4
KINDS = {
    "DiTPipeline": "diffusers-dit",
    "StableDiffusionPipeline": "stable-diffusion",
    "StableDiffusionXLPipeline": "stable-diffusion-xl",
}
PARTS = {
    "diffusers-dit": ("transformer", "scheduler", "vae"),
    "stable-diffusion": ("unet", "text_encoder", "tokenizer", "scheduler", "vae"),
    "stable-diffusion-xl": (
        "unet", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler", "vae",
    ),
}  # fmt: skip
"""What is read of each kind; the rest of a folder (a safety checker, for example) is not used."""

_CONFIGS = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}
_USABLE = "Triptych uses folders of DiT, Stable Diffusion 1.x and 2.x, and Stable Diffusion XL (base)."


@dataclass(frozen=True)
class Part:
    """One part of a pipeline; ``weights`` is ``None`` for tokenizers and schedulers."""

    folder: Path
    config: Mapping[str, Any]
    weights: WeightSet | None

    def files(self) -> Iterator[Path]:
        """All files that its results depend on."""
        for file in sorted(self.folder.iterdir()):
            if file.suffix in (".json", ".txt") and ".index." not in file.name:
                yield file
        if self.weights:
            yield from self.weights.all_files


@dataclass(frozen=True)
class Pipeline:
    """A checked folder: its kind, the index, and its parts by name."""

    kind: str
    folder: Path
    index: Mapping[str, Any]
    parts: Mapping[str, Part]

    def files(self) -> Iterator[Path]:
        """All files that its pictures depend on."""
        yield self.folder / INDEX
        for name in sorted(self.parts):
            yield from self.parts[name].files()

    @property
    def pickled(self) -> bool:
        """Whether some weights have to be converted first."""
        return any(part.weights and part.weights.pickled for part in self.parts.values())


def read_pipeline(folder: Path) -> Pipeline:
    """Check a folder with ``model_index.json``.

    Raises
    ------
    EngineError
        ``missing_weights`` naming parts that are not there; ``bad_file`` for a pipeline or variant
        that this version does not have, with the reason.
    """
    index = read_object(folder / INDEX)
    class_name = str(index.get("_class_name"))
    if class_name not in KINDS:
        raise _refused(folder, _why_not(class_name))
    kind = KINDS[class_name]
    absent = [name for name in PARTS[kind] if not (folder / name).is_dir()]
    if absent and kind == "stable-diffusion-xl" and "text_encoder" in absent:
        raise _refused(folder, "it is the refiner of Stable Diffusion XL, or lacks a text encoder")
    if absent:
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"{folder.name} is not complete: the part {', '.join(absent)} is missing. Nothing was "
            "loaded.",
            f"Get the whole folder again ({folder}).",
        )
    parts = {name: _read_part(folder / name) for name in PARTS[kind]}
    pipeline = Pipeline(kind, folder, index, parts)
    with damage_named(folder):
        reason = _obstacle(pipeline)
    if reason:
        raise _refused(folder, reason)
    return pipeline


def _read_part(folder: Path) -> Part:
    kind = folder.name.removesuffix("_2")
    config = read_object(folder / _CONFIGS.get(kind, "config.json"))
    return Part(folder, config, None if kind in _CONFIGS else find_weights(folder))


def _refused(folder: Path, reason: str) -> EngineError:
    return bad_file(f"{folder.name} cannot be used: {reason}. It was not loaded.", _USABLE)


def _why_not(class_name: str) -> str:
    for sign, what in (
        ("Inpaint", "it is an inpainting model"),
        ("XLImg2Img", "it is the refiner of Stable Diffusion XL"),
        ("ControlNet", "it is a ControlNet"),
        ("StableDiffusion3", "it is Stable Diffusion 3, which works in another way"),
        ("Flux", "it is Flux, which works in another way"),
        ("Upscale", "it enlarges pictures"),
        ("Img2Img", "it changes pictures"),
    ):
        if sign in class_name:
            return f"{what} ({class_name})"
    return f"this version does not have its pipeline ({class_name})"


def _obstacle(pipeline: Pipeline) -> str:
    """Why a folder of a known pipeline cannot be used; empty when it can."""
    configs = {name: part.config for name, part in pipeline.parts.items()}
    vae, scheduler = configs["vae"], configs["scheduler"]
    if vae.get("_class_name") != VAE_CLASS:
        return f"its autoencoder is a {vae.get('_class_name')}, not an {VAE_CLASS}"
    if "Flow" in str(scheduler.get("_class_name")) or "flow" in str(scheduler.get("prediction_type")):
        return "it is a flow-matching model, which has no noise schedule"
    if scheduler.get("thresholding"):
        return "its scheduler clips predictions (thresholding), which latent models must not do"
    network = configs.get("unet") or configs["transformer"]
    if network.get("in_channels") != vae.get("latent_channels"):
        return _about_channels(network.get("in_channels"), vae.get("latent_channels"))
    return "" if pipeline.kind == "diffusers-dit" else _unet_obstacle(pipeline.kind, configs)


def _about_channels(network: Any, vae: Any) -> str:
    meant = {9: "an inpainting model", 8: "a model that edits pictures", 5: "a depth model",
             7: "an upscaler"}.get(network, "another kind of model")  # fmt: skip
    return f"it is {meant}: its network takes {network} channels, and its latents have {vae}"


def _unet_obstacle(kind: str, configs: Mapping[str, Mapping[str, Any]]) -> str:
    unet = configs["unet"]
    if unet.get("_class_name") != "UNet2DConditionModel":
        return f"its network is a {unet.get('_class_name')}, not a UNet2DConditionModel"
    if unet.get("time_cond_proj_dim") is not None:
        return "it is a latent consistency model, whose network takes the guidance as input"
    if unet.get("class_embed_type") is not None or unet.get("num_class_embeds") is not None:
        return "its network also takes picture embeddings or noise levels"
    added = "text_time" if kind == "stable-diffusion-xl" else None
    if unet.get("addition_embed_type") != added:
        return f"its network has the added condition {unet.get('addition_embed_type')!r}"
    encoders = [name for name in ("text_encoder", "text_encoder_2") if name in configs]
    widths = [int(configs[name].get("hidden_size", 0)) for name in encoders]
    wanted = unet.get("cross_attention_dim")
    if wanted != sum(widths):
        found = " + ".join(map(str, widths))
        return f"its network expects texts of width {wanted}, and its text encoders give {found}"
    return ""


# --- what the models list shows -------------------------------------------------------------------


def recognise_folder(folder: Path) -> Recognised:
    """A diffusers folder that can be used as it is: a pipeline, or an autoencoder alone.

    Raises
    ------
    EngineError
        Like :func:`read_pipeline`; ``bad_file`` also when a description lacks what it must say.
    """
    with damage_named(folder):
        return _recognise_pipeline(folder) if (folder / INDEX).exists() else _recognise_vae(folder)


def _recognise_pipeline(folder: Path) -> Recognised:
    pipeline = read_pipeline(folder)
    if pipeline.pickled:
        raise bad_file(
            f"{folder.name} has weights as PyTorch files (.bin), which are only read by converting "
            "them.",
            "Add it: `triptych models add` makes safetensors copies in a separate process.",
        )
    numbers = sum(
        head.numbers
        for part in pipeline.parts.values()
        if part.weights
        for head in part.weights.heads().values()
    )
    pixels = own_pixels(pipeline)
    decode = vae_decode_bytes(pixels**2, vae_widths(pipeline.parts["vae"].config))
    return Recognised(
        kind=pipeline.kind,
        path=folder,
        files=tuple(pipeline.files()),
        architecture=_architecture(pipeline, pixels),
        parameters=numbers,
        memory_bytes=FLOAT32 * numbers + max(_evaluation_bytes(pipeline), decode),
        conditions="class" if pipeline.kind == "diffusers-dit" else "text",
        needs=extras.missing("diffusers"),
    )


def own_pixels(pipeline: Pipeline) -> int:
    """Side of the pictures that the model was made for."""
    network = pipeline.parts.get("unet") or pipeline.parts["transformer"]
    return int(network.config["sample_size"]) * vae_factor(pipeline.parts["vae"].config)


def vae_widths(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Channels of an AutoencoderKL's levels, the finest first."""
    return tuple(config["block_out_channels"])


def vae_factor(config: Mapping[str, Any]) -> int:
    """Pixels along one side of a latent: each level but the last halves the grid."""
    return int(2 ** (len(vae_widths(config)) - 1))


def _evaluation_bytes(pipeline: Pipeline) -> int:
    if pipeline.kind == "diffusers-dit":
        config = pipeline.parts["transformer"].config
        width = config["num_attention_heads"] * config["attention_head_dim"]
        return dit_evaluation_bytes((config["sample_size"] // config["patch_size"]) ** 2, width)
    config = pipeline.parts["unet"].config
    return unet_evaluation_bytes(config["sample_size"] ** 2, config["block_out_channels"][0])


def _architecture(pipeline: Pipeline, pixels: int) -> str:
    if pipeline.kind == "stable-diffusion-xl":
        return "Stable Diffusion XL"
    if pipeline.kind == "stable-diffusion":
        version = {768: "1.x", 1024: "2.x"}.get(pipeline.parts["unet"].config["cross_attention_dim"])
        return f"Stable Diffusion {version or 'of its own size'}"
    config = pipeline.parts["transformer"].config
    width = config["num_attention_heads"] * config["attention_head_dim"]
    return dit_title(width, config["num_layers"], config["patch_size"], pixels, latent=True)


def class_labels(index: Mapping[str, Any], count: int) -> tuple[str, ...]:
    """Names of a DiT pipeline's classes in order; ones that occur twice carry their number."""
    given = index.get("id2label") or {}
    names = [str(given.get(str(number)) or number) for number in range(count)]
    often = Counter(names)
    return tuple(
        name if often[name] == 1 else f"{name} ({number})" for number, name in enumerate(names)
    )


# --- autoencoders alone ---------------------------------------------------------------------------


def is_vae_folder(folder: Path) -> bool:
    """Whether a folder's ``config.json`` is that of an AutoencoderKL."""
    path = folder / "config.json"
    return path.is_file() and read_object(path).get("_class_name") == VAE_CLASS


def read_vae(folder: Path) -> Part:
    """The AutoencoderKL in a folder; raises ``missing_weights`` or ``bad_file``."""
    return _read_part(folder)


def _recognise_vae(folder: Path) -> Recognised:
    part = read_vae(folder)
    weights = part.weights
    assert weights is not None, "only tokenizers and schedulers have no weights"
    if weights.pickled:
        raise bad_file(
            f"{folder.name} has its weights as a PyTorch file (.bin), which is only read by "
            "converting it.",
            "Add it: `triptych models add` makes a safetensors copy in a separate process.",
        )
    numbers = sum(head.numbers for head in weights.heads().values())
    side = part.config.get("sample_size") or 256
    decode = vae_decode_bytes(int(side) ** 2, vae_widths(part.config))
    return Recognised(
        kind="vae",
        path=folder,
        files=(folder / "config.json", *weights.all_files),
        architecture=f"{VAE_CLASS}, {part.config.get('latent_channels')} channels",
        parameters=numbers,
        memory_bytes=FLOAT32 * numbers + decode,
        alignment=False,
        needs=extras.missing("diffusers"),
        generates=False,
    )


def vae_channels(folder: Path) -> int:
    """Latent channels of the AutoencoderKL in a folder."""
    return int(read_object(folder / "config.json").get("latent_channels", LATENT_CHANNELS))
