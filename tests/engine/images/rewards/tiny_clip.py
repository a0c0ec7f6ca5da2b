"""A CLIP folder small enough for tests: random weights, a real tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from engine.images.generators.libraries import library

WIDTH = 16


def write_tiny_clip(folder: Path) -> Path:
    """Write model, tokenizer and preparation into a folder."""
    transformers = library("transformers", "The test")
    torch.manual_seed(3)
    text: dict[str, Any] = {
        "vocab_size": 600, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 77, "bos_token_id": 512,
        "eos_token_id": 513, "projection_dim": WIDTH,
    }  # fmt: skip
    vision = {
        "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "image_size": 32, "patch_size": 8, "projection_dim": WIDTH,
    }  # fmt: skip
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH)
    transformers.CLIPModel(config).save_pretrained(folder)
    write_tokenizer(folder)
    about = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.2, 0.25, 0.3], "size": 32}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))
    return folder


def write_tokenizer(folder: Path) -> None:
    """Every byte bare and as the end of a word, and the two marks: 514 tokens."""
    from tokenizers import pre_tokenizers

    symbols = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = [*symbols, *(f"{s}</w>" for s in symbols), "<|startoftext|>", "<|endoftext|>"]
    transformers = library("transformers", "The test")
    tokenizer = transformers.CLIPTokenizer(vocab={n: i for i, n in enumerate(names)}, merges=[])
    assert len(tokenizer) == 514
    tokenizer.save_pretrained(folder)
