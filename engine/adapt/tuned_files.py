"""Files of tuned models: only what was trained, a few hundred kilobytes, beside the backbone's digest.

Names are those of the released program of DyT, so that its files load and ours load there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from engine.adapt.backbone_files import Backbone
from engine.adapt.backbone_keys import Weights
from engine.adapt.dynamic_tuning import TunedViT, Tuning
from engine.errors import bad_file, invalid_input
from engine.weight_files import explain_mismatch, read_metadata, read_safetensors

FORMAT = "triptych-tuned"
VERSION = 1


@dataclass(frozen=True)
class TunedCard:
    """What a file of a tuned model says of itself.

    Attributes
    ----------
    backbone, digest
        Name and SHA-256 of the tensors of the backbone it was trained on.
    tuning
        What was added.
    classes
        Names, in the order of the outputs.
    figures
        Whatever was measured, JSON-ready.
    """

    backbone: str
    digest: str
    tuning: Tuning
    classes: tuple[str, ...]
    figures: Mapping[str, Any]


def save_tuned(path: Path, model: TunedViT, card: TunedCard) -> None:
    """Write what was trained, float32, and the card."""
    tensors = {name: value.detach().contiguous() for name, value in model.trained_parameters()}
    about = {**asdict(card), "version": VERSION}
    save_file(tensors, path, {"format": FORMAT, "card": json.dumps(about)})


def read_card(path: Path) -> TunedCard:
    """The card alone.

    Raises
    ------
    EngineError
        ``bad_file`` when it is none of ours or of a later version; ``missing_weights``.
    """
    said = read_metadata(path)
    try:
        about = json.loads(said["card"]) if said.get("format") == FORMAT else None
        if about is None or about.pop("version") > VERSION:
            raise ValueError
        about["tuning"] = Tuning(**about["tuning"])
        about["classes"] = tuple(about["classes"])
        return TunedCard(**about)
    except (KeyError, TypeError, ValueError) as error:
        raise bad_file(
            f"{path.name} is no file of a tuned model, or of a later version of Triptych; nothing was "
            "loaded."
        ) from error


def load_tuned(path: Path, backbone: Backbone) -> TunedViT:
    """A model of :func:`save_tuned` on its backbone.

    Raises
    ------
    EngineError
        ``invalid_input`` when it was trained on another backbone, naming the right one; what
        :func:`read_card` raises.
    """
    card = read_card(path)
    if card.digest != backbone.digest:
        raise invalid_input(
            f"{path.name} was tuned on the backbone {card.backbone}, not on {backbone.name}; with "
            "another one it would say nonsense, so it was not loaded.",
            f"Choose {card.backbone} (digest {card.digest[:12]}).",
        )
    return _assembled(backbone, card.tuning, read_safetensors(path), len(card.classes), path.name)


def from_released(backbone: Backbone, head: Weights, scale: float = 0.1) -> TunedViT:
    """The model of a file of the released program, which :func:`load_backbone` took apart.

    Parameters
    ----------
    backbone
        With what tuning added in :attr:`Backbone.tuned`; sizes are read off it.
    head
        ``head.weight`` and ``head.bias``; empty for none, then features come out.
    scale
        s, which is not in the file: 0.1 for full-size sets and videos, 1 for VTAB.

    Raises
    ------
    EngineError
        ``bad_file`` when nothing was added, or not to every block.
    """
    down = backbone.tuned.get("blocks.0.adaptmlp.down_proj.weight")
    if down is None:
        raise bad_file(f"{backbone.name} holds no adapters; it is a plain vision transformer.")
    classes = len(head["head.bias"]) if head else 0
    weights = dict(backbone.tuned)
    fresh = TunedViT.of(backbone.model, Tuning(hidden=len(down), scale=scale)).state_dict()
    for name, value in fresh.items():
        # A file of AdaptFormer has no dispatchers: fresh ones are trained from here.
        if "_token_select." in name:
            weights.setdefault(name, value)
    tuning = Tuning(hidden=len(down), scale=scale)
    return _assembled(backbone, tuning, {**weights, **head}, classes, backbone.name)


def _assembled(
    backbone: Backbone, tuning: Tuning, weights: Weights, classes: int, name: str
) -> TunedViT:
    model = TunedViT.of(backbone.model, tuning)
    if classes:
        model.head = nn.Linear(backbone.model.config.width, classes)
    expected = dict(model.trained_parameters())
    problem = explain_mismatch(expected, weights)
    if problem:
        raise bad_file(f"{name} does not fit its backbone: {problem}. Nothing was loaded.")
    with torch.no_grad():
        for key, value in expected.items():
            if value.shape != weights[key].shape:
                raise bad_file(
                    f"{name} does not fit its backbone: {key} is {tuple(weights[key].shape)} instead "
                    f"of {tuple(value.shape)}. Nothing was loaded."
                )
            value.copy_(weights[key])
    model.freeze_backbone()
    return model.eval()
