"""Folders in the layout of diffusers as their descriptions look, with a few numbers for weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

CONFIGS: dict[str, dict[str, Any]] = {
    "unet": {
        "_class_name": "UNet2DConditionModel",
        "in_channels": 4,
        "sample_size": 64,
        "block_out_channels": [320, 640, 1280, 1280],
        "cross_attention_dim": 768,
    },
    "transformer": {
        "_class_name": "DiTTransformer2DModel",
        "in_channels": 4,
        "sample_size": 32,
        "patch_size": 2,
        "num_attention_heads": 16,
        "attention_head_dim": 72,
        "num_layers": 28,
        "num_embeds_ada_norm": 3,
    },
    "vae": {
        "_class_name": "AutoencoderKL",
        "latent_channels": 4,
        "sample_size": 512,
        "block_out_channels": [128, 256, 512, 512],
    },
    "text_encoder": {"architectures": ["CLIPTextModel"], "hidden_size": 768},
    "text_encoder_2": {"architectures": ["CLIPTextModelWithProjection"], "hidden_size": 1280},
    "tokenizer": {"model_max_length": 77},
    "tokenizer_2": {"model_max_length": 77},
    "scheduler": {"_class_name": "PNDMScheduler", "steps_offset": 1},
}
NAMES = {"scheduler": "scheduler_config.json", "tokenizer": "tokenizer_config.json"}


def write_pipeline(folder: Path, class_name: str, **changes: dict[str, Any]) -> Path:
    """A folder of a pipeline; ``changes`` are entries of its parts' configs."""
    parts = {
        "DiTPipeline": ["transformer", "vae", "scheduler"],
        "StableDiffusionXLPipeline": [name for name in CONFIGS if name != "transformer"],
    }.get(class_name, ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
    folder.mkdir(parents=True)
    labels = {"id2label": {"0": "tench", "1": "crane", "2": "crane"}}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": class_name, **labels}))
    if class_name == "StableDiffusionXLPipeline":
        added = {"addition_embed_type": "text_time", "cross_attention_dim": 2048, "sample_size": 128}
        changes = {**changes, "unet": {**added, **changes.get("unet", {})}}
    for name in parts:
        write_part(folder / name, **changes.get(name, {}))
    return folder


def write_part(folder: Path, **changes: Any) -> Path:
    """One part: its config, and weights of ten numbers where it has some."""
    folder.mkdir(parents=True)
    kind = folder.name.removesuffix("_2")
    config = {**CONFIGS.get(folder.name, CONFIGS["vae"]), **changes}
    (folder / NAMES.get(kind, "config.json")).write_text(json.dumps(config))
    if kind not in NAMES:
        save_file(ten(), folder / weights_name(kind))
    return folder


def weights_name(kind: str, ending: str = "safetensors") -> str:
    """What the libraries call the weights of a part."""
    return f"model.{ending}" if kind == "text_encoder" else f"diffusion_pytorch_model.{ending}"


def ten() -> dict[str, np.ndarray]:
    """A tensor of ten numbers."""
    return {"weight": np.arange(10, dtype=np.float32)}
