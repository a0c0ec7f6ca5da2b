"""Rewards from well-known models in the user's folders: CLIP, PickScore, HPS, aesthetics, ImageReward.

Nothing is downloaded, no file is unpickled here, and every library is imported when its reward is
chosen; why one cannot be used, and where files belong, is said in full.
"""

from __future__ import annotations

import importlib
import itertools
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import platformdirs
import torch
from torch import Tensor

from engine.device import is_out_of_memory
from engine.errors import EngineError, ErrorCode, bad_file
from engine.images.generators.libraries import library as load_library
from engine.images.rewards.catalogue import Sort
from engine.images.rewards.clip_folder import (
    Clip,
    Preparation,
    cached_clip,
    find_folder,
)
from engine.images.rewards.likeness import text_or_prompt
from engine.images.rewards.options import AestheticOptions, CheckpointOptions, ClipOptions
from engine.images.rewards.protocol import Reward, RewardContext
from engine.model_folders import models_folder
from engine.weight_files import read_safetensors, sha256_of
from engine.weights_conversion import PICKLE_SUFFIXES, convert_checkpoint

IMAGE_REWARD_SIZE = 224
AESTHETIC_WIDTHS = (768, 1024, 128, 64, 16, 1)


@dataclass(frozen=True)
class LearnedReward:
    """A reward that is one function of the pictures, made by somebody else's model."""

    name: str
    title: str
    function: Callable[[Tensor], Tensor]
    kind: Sort = field(default="gradient", init=False)

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        return self.function(x)


def _text_image(name: str, title: str, options: ClipOptions, context: RewardContext) -> Reward:
    """exp(logit scale) times the cosine of the picture's and the text's vectors."""
    text = text_or_prompt(name, options.text, context)
    folder = find_folder(options.folder, name, title)
    tokenizer = find_folder(options.tokenizer, name, title) if options.tokenizer else folder
    clip = cached_clip(folder, tokenizer, context.device, title)
    target, scale = clip.text_vector(text), clip.logit_scale
    return LearnedReward(name, f"{title}: {text!r}", lambda x: scale * (clip.image_vectors(x) @ target))


def clip_similarity(options: ClipOptions, context: RewardContext) -> Reward:
    """Likeness to a text by any CLIP; raises like :func:`~clip_folder.load_clip`."""
    return _text_image("clip", "CLIP similarity", options, context)


def pick_score(options: ClipOptions, context: RewardContext) -> Reward:
    """PickScore (Kirstain et al. 2023), a CLIP ViT-H/14 tuned on people's choices."""
    return _text_image("pickscore", "PickScore", options, context)


def aesthetic(options: AestheticOptions, context: RewardContext) -> Reward:
    """LAION's aesthetic head on the unit vectors of CLIP ViT-L/14.

    Raises
    ------
    EngineError
        Like :func:`~clip_folder.load_clip`; ``bad_file`` when the head is not that stack of layers.
    """
    who = "The aesthetic score"
    folder = find_folder(options.folder, "aesthetic", who)
    head_file = Path(options.head).expanduser() if options.head else folder / "aesthetic.safetensors"
    layers = read_head(head_file)
    clip = cached_clip(folder, folder, context.device, who)
    width = clip.model.config.projection_dim
    taken = layers[0][0].shape[1]
    if taken != width:
        raise bad_file(
            f"The aesthetic head {head_file.name} takes vectors of {taken} numbers, and the CLIP in "
            f"{folder.name!r} makes {width}; nothing was started.",
            "The published head belongs to CLIP ViT-L/14 (768 numbers).",
        )
    weight, bias = _folded(layers)
    weight, bias = weight.to(context.device), bias.to(context.device)

    def score(x: Tensor) -> Tensor:
        vectors = clip.image_vectors(x)
        return (vectors @ weight.to(vectors).T + bias.to(vectors))[:, 0]

    return LearnedReward("aesthetic", "Aesthetic score", score)


def read_head(path: Path) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of a stack of linear layers, first to last.

    Raises
    ------
    EngineError
        ``missing_weights`` or ``bad_file``.
    """
    tensors = _safe_tensors(path, "The aesthetic score", models_folder() / "aesthetic" / path.name)
    places = sorted(
        (int(match[2]), match[1])
        for key in tensors
        if (match := re.fullmatch(r"(.*?)(\d+)\.weight", key))
    )
    try:
        layers = [
            (tensors[f"{prefix}{number}.weight"].float(), tensors[f"{prefix}{number}.bias"].float())
            for number, prefix in places
        ]
        chained = all(a[0].shape[0] == b[0].shape[1] for a, b in itertools.pairwise(layers))
        if not layers or not chained or layers[-1][0].shape[0] != 1 or 2 * len(layers) != len(tensors):
            raise ValueError
    except (KeyError, ValueError, IndexError):
        raise bad_file(
            f"The file {path.name} is no aesthetic head: it should be linear layers "
            f"({'-'.join(map(str, AESTHETIC_WIDTHS))}) and nothing else. Nothing was started.",
            "The published one is sac+logos+ava1-l14-linearMSE.pth.",
        ) from None
    return layers


def _folded(layers: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The one linear layer that a stack without non-linearities is (dropout is off)."""
    weight, bias = layers[0]
    for next_weight, next_bias in layers[1:]:
        weight, bias = next_weight @ weight, next_weight @ bias + next_bias
    return weight, bias


def _safe_tensors(path: Path, who: str, usual: Path) -> dict[str, Tensor]:
    """Tensors of safetensors, or of a pickle by way of the conversion child and a kept copy."""
    if not path.is_file():
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"{who} lacks its weights {path.name}; nothing was started.",
            f"Looked for {path}. Put the file at {usual}, or give its path.",
        )
    if path.suffix not in PICKLE_SUFFIXES:
        return read_safetensors(path)
    folder = platformdirs.user_cache_path("triptych", appauthor=False) / "reward-weights"
    copy = folder / f"{sha256_of(path)[:32]}.safetensors"
    if not copy.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = copy.with_suffix(".partial")
        convert_checkpoint(path, partial)
        partial.replace(copy)
    return read_safetensors(copy)


def _other_library(module: str, package: str, who: str) -> ModuleType:
    """A library that is not installed with Triptych; raises ``missing_weights`` with the reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(module)
    except Exception as error:  # broken installations fail in many ways, not only by ImportError
        absent = isinstance(error, ModuleNotFoundError) and error.name == module
        reason = "is not installed" if absent else f"cannot be used here ({error})"
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"{who} needs the library {module}, which {reason}; nothing was started.",
            f"Install it into this environment: pip install {package}. It needs torchvision of the "
            "same build as torch.",
            f"{type(error).__name__}: {error}",
        ) from error


def _loaded(who: str, path: Path, build: Callable[[], Any]) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return build()
    except Exception as error:  # the libraries raise whatever their parts raise
        if is_out_of_memory(error) or isinstance(error, EngineError):
            raise
        raise bad_file(
            f"{who} cannot be loaded from {path.name}: {type(error).__name__}: {error}. Nothing was "
            "started.",
            f"Get the file again ({path}).",
        ) from error


def hps(options: CheckpointOptions, context: RewardContext) -> Reward:
    """HPS v2 (Wu et al. 2023): a checkpoint for OpenCLIP's ViT-H-14, or a CLIP folder of it.

    Raises
    ------
    EngineError
        ``missing_weights`` when a file or open_clip is not there; ``bad_file``.
    """
    who = "HPS v2"
    text = text_or_prompt("hpsv2", options.text, context)
    given = Path(options.file).expanduser() if options.file else models_folder() / "hpsv2"
    if given.is_dir() and (given / "config.json").exists():
        clip = cached_clip(given.resolve(), given.resolve(), context.device, who)
        return _scored("hpsv2", who, text, clip)
    usual = models_folder() / "hpsv2" / "HPS_v2.1_compressed.pt"
    path = usual if given.is_dir() or not options.file else given
    tensors = _safe_tensors(path, who, usual)
    library = _other_library("open_clip", "open_clip_torch", who)

    def build() -> tuple[Any, Tensor]:
        model = library.create_model("ViT-H-14", pretrained=None, device="cpu")
        model.load_state_dict(tensors)
        model = model.float().eval().requires_grad_(False).to(context.device)
        tokens = library.get_tokenizer("ViT-H-14")([text]).to(context.device)
        with torch.no_grad():
            return model, torch.nn.functional.normalize(model.encode_text(tokens), dim=-1)[0]

    model, target = _loaded(who, path, build)
    prepare = Preparation(224)

    def score(x: Tensor) -> Tensor:
        vectors = torch.nn.functional.normalize(model.encode_image(prepare(x.to(target))), dim=-1)
        return vectors @ target

    return LearnedReward("hpsv2", f"{who}: {text!r}", score)


def _scored(name: str, who: str, text: str, clip: Clip) -> Reward:
    target = clip.text_vector(text)
    return LearnedReward(name, f"{who}: {text!r}", lambda x: clip.image_vectors(x) @ target)


def image_reward(options: CheckpointOptions, context: RewardContext) -> Reward:
    """ImageReward (Xu et al. 2023): a checkpoint and ``med_config.json`` beside it.

    Its library takes the words' tokens from ``bert-base-uncased`` in the cache of Hugging Face.

    Raises
    ------
    EngineError
        ``missing_weights`` when a file or the library is not there; ``bad_file``.
    """
    who = "ImageReward"
    text = text_or_prompt("imagereward", options.text, context)
    usual = models_folder() / "imagereward" / "ImageReward.pt"
    path = Path(options.file).expanduser() if options.file else usual
    tensors = _safe_tensors(path, who, usual)
    settings = path.parent / "med_config.json"
    if not settings.is_file():
        raise EngineError(
            ErrorCode.MISSING_WEIGHTS,
            f"{who} lacks the file med_config.json; nothing was started.",
            f"Put it beside the checkpoint, at {settings}.",
        )
    load_library("transformers", who)  # quiet and offline, before somebody else imports it
    library = _other_library("ImageReward.ImageReward", "image-reward --no-deps", who)

    def build() -> tuple[Any, Any]:
        model = library.ImageReward(device=context.device, med_config=str(settings))
        told = model.load_state_dict(tensors, strict=False)
        if told.missing_keys:
            raise ValueError(f"it lacks {', '.join(told.missing_keys[:6])}")
        model = model.float().eval().requires_grad_(False).to(context.device)
        tokens = model.blip.tokenizer(
            text, padding="max_length", truncation=True, max_length=35, return_tensors="pt"
        ).to(context.device)
        return model, tokens

    model, tokens = _loaded(who, path, build)
    prepare = Preparation(IMAGE_REWARD_SIZE)

    def score(x: Tensor) -> Tensor:
        # From the parts that every version has: its own functions take files, without gradients.
        seen = model.blip.visual_encoder(prepare(x.float()))
        read = model.blip.text_encoder(
            tokens.input_ids.expand(len(x), -1),
            attention_mask=tokens.attention_mask.expand(len(x), -1),
            encoder_hidden_states=seen,
            encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long, device=seen.device),
            return_dict=True,
        ).last_hidden_state[:, 0]
        return (model.mlp(read.float())[:, 0] - model.mean) / model.std

    return LearnedReward("imagereward", f"{who}: {text!r}", score)
