"""A generator small enough for tests: random weights, every part of the real one."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from engine.images.autoencoder import Autoencoder, AutoencoderConfig
from engine.images.dit import DiT, DiTConfig
from engine.images.vocabulary import Vocabulary

VOCABULARY = Vocabulary.from_captions(
    ["red heart", "blue heart", "dog face", "rocket"],
    [["love"], [], ["puppy"], []],
    [0, 0, 1, 2],
    ["hearts", "animals", "vehicles"],
)


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
