"""Small model files that tests write themselves, without torch: the window's tests have none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

WIDTH = 32


def write_dit(path: Path, *, width: int = WIDTH, depth: int = 1, channels: int = 3) -> Path:
    """A class-conditional DiT file in the original program's layout: 8 x 8, patch 2, three classes.

    ``width`` is none of the published sizes, so its number of heads must be told.
    """
    patch, side = 2, 4
    shapes: dict[str, tuple[int, ...]] = {
        "x_embedder.proj.weight": (width, channels, patch, patch),
        "x_embedder.proj.bias": (width,),
        "pos_embed": (1, side * side, width),
        "t_embedder.mlp.0.weight": (width, 256),
        "t_embedder.mlp.0.bias": (width,),
        "t_embedder.mlp.2.weight": (width, width),
        "t_embedder.mlp.2.bias": (width,),
        "y_embedder.embedding_table.weight": (4, width),
        "final_layer.adaLN_modulation.1.weight": (2 * width, width),
        "final_layer.adaLN_modulation.1.bias": (2 * width,),
        "final_layer.linear.weight": (patch * patch * 2 * channels, width),
        "final_layer.linear.bias": (patch * patch * 2 * channels,),
    }
    for block in range(depth):
        for name, rows, columns in (
            ("attn.qkv", 3 * width, width),
            ("attn.proj", width, width),
            ("mlp.fc1", 4 * width, width),
            ("mlp.fc2", width, 4 * width),
            ("adaLN_modulation.1", 6 * width, width),
        ):
            shapes[f"blocks.{block}.{name}.weight"] = (rows, columns)
            shapes[f"blocks.{block}.{name}.bias"] = (rows,)
    rng = np.random.default_rng(3)
    tensors = {name: rng.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


def write_vae(folder: Path) -> Path:
    """What is looked at of an AutoencoderKL with four latent channels, in the layout of diffusers."""
    folder.mkdir(parents=True)
    about = {
        "_class_name": "AutoencoderKL",
        "latent_channels": 4,
        "block_out_channels": [8, 8],
        "sample_size": 16,
    }
    (folder / "config.json").write_text(json.dumps(about))
    weights = {"decoder.conv_in.weight": np.zeros((8, 4, 3, 3), np.float32)}
    save_file(weights, folder / "diffusion_pytorch_model.safetensors")
    return folder


def damage(path: Path) -> None:
    """Change one byte of the numbers in a file."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 0xFF
    path.write_bytes(data)
