"""Backbones from files: vision transformers of timm, of Hugging Face, of DyT, and the built-in one."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine.adapt.backbone import FILE, load_builtin_backbone
from engine.adapt.backbone_keys import Weights, config_of, merged_lora, our_names, resized
from engine.adapt.vit import ViT
from engine.errors import bad_file, invalid_input
from engine.weight_files import explain_mismatch, read_safetensors
from engine.weights_conversion import convert_checkpoint

BUILTIN = "builtin"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
_NAMES = ("model.safetensors", "pytorch_model.bin", "model.bin")
_PICKLES = (".pt", ".pth", ".bin", ".ckpt")

Channels = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Backbone:
    """A vision transformer without a head, and how it wants pictures.

    Attributes
    ----------
    name
        For people: of its file or folder.
    digest
        SHA-256 of its tensors, so that what was tuned on it is never used with another.
    model
        Frozen, on the CPU.
    mean, deviation
        Taken off, then divided by, for pictures from 0 to 1.
    tuned
        What a file of DyT or AdaptFormer adds; empty for others.
    """

    name: str
    digest: str
    model: ViT
    mean: Channels
    deviation: Channels
    tuned: Weights

    def prepared(self, pictures: Tensor) -> Tensor:
        """``(B, S, S, 3)`` uint8 RGB to ``(B, 3, S, S)`` as the model takes them."""
        scaled = pictures.permute(0, 3, 1, 2).float() / 255
        mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (self.mean, self.deviation))
        return (scaled - mean) / deviation


def load_backbone(
    source: str | Path,
    *,
    image_size: int | None = None,
    heads: int | None = None,
    colours: tuple[Channels, Channels] | None = None,
) -> Backbone:
    """Load a backbone.

    Parameters
    ----------
    source
        ``builtin``, a file of weights (safetensors, .pth, .bin), or a folder of Hugging Face or of
        timm's hub with ``config.json``, or of PEFT with ``adapter_config.json`` beside the model's.
    image_size
        Of a side; another than the model's resamples its position table.
    heads
        Where no file says how many attention heads there are and the width is of no standard size.
    colours
        Mean and deviation of the pictures it was trained on, where no file says: those of AugReg and
        the original ViT are 0.5 and 0.5 (taken without this), of DeiT, DINO and MAE ImageNet's.

    Raises
    ------
    EngineError
        ``missing_weights``, ``bad_file`` or ``invalid_input``: what is wrong with it, what is missing.
    """
    if str(source) == BUILTIN:
        return Backbone(
            "built-in", tensors_digest(read_safetensors(FILE)), load_builtin_backbone(), *HALF, {}
        )
    path = Path(source)
    folder = path if path.is_dir() else path.parent
    settings = _json(folder / "config.json")
    raw = _tensors(_weights_file(path))
    if (adapter := folder / "adapter_config.json").exists() and path.is_dir():
        said = _json(adapter)
        low_rank = read_safetensors(folder / "adapter_model.safetensors")
        raw = merged_lora(raw, low_rank, int(said.get("r", 8)), float(said.get("lora_alpha", 8)))
    weights, tuned = our_names(raw)
    digest = tensors_digest(weights)
    pretrained = settings.get("pretrained_cfg") or {}
    config = config_of(weights, heads, settings)
    weights, config = resized(weights, config, image_size or config.image_size)
    model = ViT(config)
    problem = explain_mismatch(model.state_dict(), weights)
    if problem:
        raise bad_file(
            f"{path.name} is a vision transformer that is built otherwise: {problem}. Nothing was "
            "loaded.",
            "Plain ViT models with the names of timm or of Hugging Face's ViTModel can be tuned.",
        )
    model.load_state_dict({key: value.float() for key, value in weights.items()})
    mean, deviation = colours or _colours(folder, pretrained)
    return Backbone(path.stem, digest, model.eval().requires_grad_(False), mean, deviation, tuned)


def tensors_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, shapes and float32 values, in the order of the names."""
    digest = sha256()
    for name in sorted(weights):
        value = weights[name].detach().float().contiguous().cpu()
        digest.update(f"{name} {tuple(value.shape)}\n".encode())
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    for name in _NAMES:
        if (path / name).exists():
            return path / name
    raise invalid_input(
        f"In {path} there is none of {', '.join(_NAMES)}; nothing was loaded.",
        "Choose the file of the weights itself.",
    )


def _tensors(path: Path) -> Weights:
    if path.suffix.lower() not in _PICKLES:
        return read_safetensors(path)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "converted.safetensors"
        convert_checkpoint(path, target)
        return read_safetensors(target)


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise bad_file(f"{path} cannot be read as JSON ({error}); nothing was loaded.") from error
    if not isinstance(content, dict):
        raise bad_file(f"{path} holds no JSON object; nothing was loaded.")
    return content


def _colours(folder: Path, pretrained: Mapping[str, Any]) -> tuple[Channels, Channels]:
    """Mean and deviation by the files beside the weights; 0.5 and 0.5 without."""
    said = _json(folder / "preprocessor_config.json")
    mean = said.get("image_mean", pretrained.get("mean", HALF[0]))
    deviation = said.get("image_std", pretrained.get("std", HALF[1]))
    red, green, blue = (float(value) for value in mean)
    by_red, by_green, by_blue = (float(value) for value in deviation)
    return (red, green, blue), (by_red, by_green, by_blue)
