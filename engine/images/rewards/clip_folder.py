"""CLIP and its fine-tunes from a folder, with preparation that gradients pass through.

transformers loads the weights; its own preparation goes through 8-bit pictures and is not used.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.device import MODELS, is_out_of_memory
from engine.errors import EngineError, ErrorCode, bad_file
from engine.images.checkpoints import parameter_bytes
from engine.images.generators.libraries import library
from engine.model_folders import models_folder
from engine.weight_files import explain_mismatch, read_heads

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
LEAST_TOKENS = 100
"""A tokenizer that knows fewer was not read rightly, whatever the library says."""

_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "open_clip_pytorch_model.bin")
_TOKENIZERS = ("tokenizer.json", "vocab.json")
_LAYOUT = (
    "It needs config.json, model.safetensors, preprocessor_config.json and the tokenizer "
    "(tokenizer.json, or vocab.json and merges.txt)."
)
_COMPUTED_KEYS = ("position_ids",)
"""Ends of tensors in old files that newer libraries compute."""


@dataclass(frozen=True)
class Preparation:
    """How pictures are made what a model takes.

    Attributes
    ----------
    size
        Side of the square in pixels.
    """

    size: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD

    def __call__(self, x: Tensor) -> Tensor:
        """``(B, 3, size, size)`` of pictures in [0, 1]: shorter side, centre, mean and deviation."""
        height, width = x.shape[-2:]
        factor = self.size / min(height, width)
        sides = (max(self.size, round(height * factor)), max(self.size, round(width * factor)))
        if sides != (height, width):
            x = F.interpolate(x, sides, mode="bicubic", antialias=True, align_corners=False)
        top, left = ((side - self.size) // 2 for side in sides)
        x = x[..., top : top + self.size, left : left + self.size]
        mean, std = (
            torch.tensor(v, device=x.device).to(x).view(1, 3, 1, 1) for v in (self.mean, self.std)
        )
        return (x - mean) / std


@dataclass(frozen=True)
class Clip:
    """A loaded model of images and texts, frozen, float32."""

    model: Any
    tokenizer: Any
    prepare: Preparation
    path: Path
    size_bytes: int

    def image_vectors(self, x: Tensor) -> Tensor:
        """Unit vectors ``(B, d)`` of pictures ``(B, 3, H, W)`` in [0, 1]."""
        weight = next(self.model.parameters())
        features = self.model.get_image_features(pixel_values=self.prepare(x.to(weight)))
        return F.normalize(_projected(features), dim=-1)

    @torch.no_grad()
    def text_vector(self, text: str) -> Tensor:
        """Unit vector ``(d,)`` of a text; what is longer than the model reads is cut off."""
        device = next(self.model.parameters()).device
        tokens = self.tokenizer(
            [text],
            truncation=True,
            max_length=self.model.config.text_config.max_position_embeddings,
            return_tensors="pt",
        ).to(device)
        return F.normalize(_projected(self.model.get_text_features(**tokens)), dim=-1)[0]

    @property
    def logit_scale(self) -> float:
        """What cosines are multiplied with."""
        return float(self.model.logit_scale.exp())


def _projected(features: Any) -> Tensor:
    """The vectors of what ``get_..._features`` returns: a tensor in old versions, an object since."""
    return features if isinstance(features, Tensor) else features.pooler_output


def find_folder(given: str, usual: str, who: str) -> Path:
    """The folder of a model: a path, a name in the models folder, or the usual name there.

    Raises
    ------
    EngineError
        ``missing_weights`` saying where it may be put. Nothing is ever downloaded.
    """
    name = given.strip() or usual
    candidates = [Path(name).expanduser(), models_folder() / name]
    for folder in candidates if given.strip() else candidates[1:]:
        if folder.is_dir():
            return folder.resolve()
    hub = (
        " It looks like a name on Hugging Face: download that model there, Triptych does not."
        if name.count("/") == 1 and not name.startswith((".", "~", "/"))
        else ""
    )
    raise EngineError(
        ErrorCode.MISSING_WEIGHTS,
        f"{who} needs the folder of its model, and {name!r} is not there; nothing was started.{hub}",
        f"Put the folder at {models_folder() / usual}, or give its path. {_LAYOUT}",
    )


def cached_clip(folder: Path, tokenizer: Path, device: str, who: str) -> Clip:
    """The model of a folder on a device, loaded unless it still is; raises like :func:`load_clip`."""
    weights = [file for file in (folder / name for name in _WEIGHTS) if file.exists()]
    stamp = "/".join(f"{file.stat().st_size}/{file.stat().st_mtime_ns}" for file in weights)
    key = f"clip/{folder}/{stamp}/{tokenizer}@{device}"
    return MODELS.get(
        key, lambda: load_clip(folder, tokenizer, device, who), lambda clip: clip.size_bytes
    )


def load_clip(folder: Path, tokenizer: Path, device: str, who: str) -> Clip:
    """Load a folder in the layout of transformers.

    Raises
    ------
    EngineError
        ``missing_weights`` when transformers or a file is not there; ``bad_file`` when the folder
        is damaged or of another kind of model.
    """
    config = _config(folder, who)
    kind = config.get("model_type")
    if kind != "clip":
        raise bad_file(
            f"{who} needs a model of images and texts (CLIP), and the folder {folder.name!r} holds "
            f"{_described(kind)}; nothing was started.",
            f"Give the folder of a CLIP model ({folder} is none).",
        )
    _check_files(folder, tokenizer, who)
    transformers = library("transformers", who)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model, told = transformers.CLIPModel.from_pretrained(
                str(folder),
                local_files_only=True,
                use_safetensors=True,
                output_loading_info=True,
                torch_dtype=torch.float32,
            )
            words = transformers.AutoTokenizer.from_pretrained(str(tokenizer), local_files_only=True)
    except Exception as error:  # the library raises whatever its parts raise
        if is_out_of_memory(error) or isinstance(error, EngineError):
            raise
        raise _unusable(folder, who, f"{type(error).__name__}: {error}") from error
    _check_complete(told, folder, who)
    known = len(words)
    if not LEAST_TOKENS <= known <= model.config.text_config.vocab_size:
        raise bad_file(
            f"The tokenizer for {who} knows {known} tokens and the model "
            f"{model.config.text_config.vocab_size}: it is incomplete or another model's. Nothing was "
            "started.",
            f"Get the tokenizer's files again ({tokenizer}).",
        )
    model = model.float().eval().requires_grad_(False).to(device)
    return Clip(model, words, _preparation(folder, tokenizer, model), folder, parameter_bytes(model))


def _described(kind: Any) -> str:
    if isinstance(kind, str) and "text" in kind:
        return f"one of texts only ({kind})"
    return f"another kind ({kind})" if kind else "no known kind"


def _config(folder: Path, who: str) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _absent(file, who) from None
    except (OSError, ValueError) as error:
        raise _unusable(folder, who, str(error)) from error
    return config if isinstance(config, dict) else {}


def _check_files(folder: Path, tokenizer: Path, who: str) -> None:
    if not any((folder / name).exists() for name in _WEIGHTS):
        if any((folder / name).exists() for name in _PICKLES):
            raise bad_file(
                f"The weights for {who} are a PyTorch pickle, which may run code when it is opened; "
                "nothing was started.",
                f"Get them as safetensors and put model.safetensors into {folder}.",
            )
        raise _absent(folder / _WEIGHTS[0], who)
    for file in sorted(folder.glob("model*.safetensors")):
        read_heads(file)  # says what is wrong with one that is cut short
    if not any((tokenizer / name).exists() for name in _TOKENIZERS):
        raise _absent(tokenizer / _TOKENIZERS[0], who, " (or vocab.json and merges.txt)")


def _check_complete(told: dict[str, Any], folder: Path, who: str) -> None:
    def significant(keys: Iterable[str]) -> list[str]:
        return [key for key in keys if not key.endswith(_COMPUTED_KEYS)]

    problems = [
        explain_mismatch(significant(told["missing_keys"]), significant(told["unexpected_keys"]))
    ]
    problems += [f"of another shape: {item}" for item in told["mismatched_keys"]]
    if any(problems):
        raise _unusable(folder, who, "; ".join(filter(None, problems)))


def _preparation(folder: Path, tokenizer: Path, model: Any) -> Preparation:
    """From ``preprocessor_config.json`` of the model, or of the folder of its tokenizer."""
    about: dict[str, Any] = {}
    for place in (folder, tokenizer):
        file = place / "preprocessor_config.json"
        if file.exists():
            try:
                about = json.loads(file.read_text(encoding="utf-8"))
                break
            except (OSError, ValueError) as error:
                raise bad_file(
                    f"The file {file.name} cannot be read: {error}. Nothing was started.",
                    f"Get it again ({file}).",
                ) from error
    mean, std = (
        tuple(map(float, about.get(key) or usual))
        for key, usual in (("image_mean", CLIP_MEAN), ("image_std", CLIP_STD))
    )
    return Preparation(int(model.config.vision_config.image_size), mean, std)


def _absent(file: Path, who: str, more: str = "") -> EngineError:
    return EngineError(
        ErrorCode.MISSING_WEIGHTS,
        f"{who} lacks the file {file.name}{more}; nothing was started.",
        f"Put it at {file}. {_LAYOUT}",
    )


def _unusable(folder: Path, who: str, detail: str) -> EngineError:
    return bad_file(
        f"The folder {folder.name!r} cannot be used for {who}: "
        f"{detail.splitlines()[0][:300] if detail else 'it is damaged'}. Nothing was started.",
        f"Get the folder again ({folder}). {_LAYOUT}",
        detail,
    )
