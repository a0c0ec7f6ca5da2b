"""A generator small enough for tests: random weights, every part of the real one."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.images.autoencoder import Autoencoder, AutoencoderConfig
from engine.images.dit import DiT, DiTConfig
from engine.images.dynamic_dit import DynamicConfig, DynamicDiT
from engine.images.dynamic_files import write_dynamic
from engine.images.vocabulary import Vocabulary
from engine.model_recognition import DYNAMIC_FILE

VOCABULARY = Vocabulary.from_captions(
    ["red heart", "blue heart", "dog face", "rocket"],
    [["love"], [], ["puppy"], []],
    [0, 0, 1, 2],
    ["hearts", "animals", "vehicles"],
)

TINY_CURVE = [(0.4, 0.4), (0.9, 0.9)]
"""What the dynamic one claims to compute when told what: not measured, its weights are random."""


def write_tiny_model(folder: Path) -> Path:
    """Write a 32 px generator into a new folder."""
    folder.mkdir(parents=True)
    stream = torch.Generator().manual_seed(5)
    autoencoder = AutoencoderConfig(32, 4, (16, 16), (16, 16, 16))
    transformer = DiTConfig(
        input_size=4, patch_size=2, in_channels=4, hidden_size=32, depth=2, num_heads=4,
        num_classes=3, num_words=len(VOCABULARY.words),
    )  # fmt: skip
    for name, module in (
        ("autoencoder", Autoencoder(autoencoder)),
        ("transformer", DiT(transformer)),
    ):
        tensors = {
            # Everything random, or the zero layers of an untrained model would hide mistakes.
            key: torch.randn(value.shape, generator=stream) * 0.1 if "pos" not in key else value.data
            for key, value in module.state_dict().items()
        }
        save_file(tensors, folder / f"{name}.safetensors")
    about = {
        "format": "triptych-generator",
        "version": 1,
        "title": "Tiny",
        "autoencoder": autoencoder.to_json(),
        "transformer": transformer.to_json(),
        "latent_shift": [0.1, 0.0, -0.1, 0.0],
        "latent_scale": [1.0, 0.9, 1.1, 1.0],
        "schedule": "cosine_v",
        "prediction": "v",
        "vocabulary": VOCABULARY.to_json(),
    }
    (folder / "generator.json").write_text(json.dumps(about))
    return folder


def write_tiny_dynamic_model(folder: Path) -> Path:
    """The same with a network beside it that is told how much to compute, in random ways."""
    write_tiny_model(folder)
    about = json.loads((folder / "generator.json").read_text())
    (folder / "generator.json").write_text(json.dumps({**about, "title": "Tiny dynamic"}))
    model = DynamicDiT(DiTConfig(**about["transformer"]), DynamicConfig(8, told_ratio=True))
    stream = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if "pos" not in key:
                # Routers in the range where some gates open and some close.
                size = 1.0 if "_rate" in key or "token_selection" in key else 0.1
                value.copy_(torch.randn(value.shape, generator=stream) * size)
    write_dynamic(model, folder / DYNAMIC_FILE, TINY_CURVE)
    return folder
