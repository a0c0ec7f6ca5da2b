"""Tiny folders in the layout of diffusers, written with the real libraries: random weights."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import torch

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import diffusers
    import transformers

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

WORDS = ("a", "b", "cat", "dog", "red", "blue", "of", "the", "photo", "house")
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def randomise(model: torch.nn.Module, seed: int, spread: float = 0.15) -> Any:
    """Random weights everywhere, also where a fresh model has zeros that would hide mistakes."""
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            drawn = torch.randn(parameter.shape, generator=stream) * spread
            parameter.copy_(drawn + 1 if name.endswith("norm.weight") else drawn)
    return model.eval()


def tiny_vae(seed: int = 1, channels: int = 4, **config: Any) -> Any:
    """A VAE with a factor of 8, as the real ones have."""
    given = {
        "block_out_channels": (8, 8, 16, 16),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "latent_channels": channels,
        "sample_size": 64,
    }
    return randomise(diffusers.AutoencoderKL(**{**given, **config}), seed)


def make_tokenizer(folder: Path, pad: str = "<|endoftext|>") -> Any:
    """A tokenizer with a byte-pair vocabulary of single letters and a few whole words."""
    folder.mkdir(parents=True)
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters)]
    merges = []
    for word in WORDS:
        parts = [*word[:-1], f"{word[-1]}</w>"]
        while len(parts) > 1:
            merges.append(f"{parts[0]} {parts[1]}")
            parts = [parts[0] + parts[1], *parts[2:]]
            if parts[0] not in vocabulary:
                vocabulary.append(parts[0])
    vocabulary += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *dict.fromkeys(merges)]) + "\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": pad,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformers.CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


def tiny_text_encoder(tokenizer: Any, width: int, seed: int, projection: int | None = None) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=projection or width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    kind = transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel
    return randomise(kind(config), seed, 0.1)


def tiny_unet(cross: int, seed: int, **config: Any) -> Any:
    given = {
        "block_out_channels": (16, 32),
        "layers_per_block": 1,
        "sample_size": 8,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": cross,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
    return randomise(diffusers.UNet2DConditionModel(**{**given, **config}), seed, 0.1)


def write_stable_diffusion(folder: Path, **scheduler: Any) -> Any:
    """Write a StableDiffusionPipeline; returns it, with a DDIM scheduler."""
    tokenizer = make_tokenizer(folder.with_name(f"{folder.name}-words"))
    pipeline = diffusers.StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(tokenizer, 16, 2),
        tokenizer=tokenizer,
        unet=tiny_unet(16, 3),
        scheduler=diffusers.DDIMScheduler(**{**SCHEDULER, **scheduler}),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return saved(pipeline, folder)


def write_stable_diffusion_xl(folder: Path) -> Any:
    """Write a StableDiffusionXLPipeline; returns it, with a DDIM scheduler."""
    first = make_tokenizer(folder.with_name(f"{folder.name}-words"))
    second = make_tokenizer(folder.with_name(f"{folder.name}-words-2"), pad="!")
    unet = tiny_unet(
        16 + 24,
        3,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 20,
        use_linear_projection=True,
    )
    pipeline = diffusers.StableDiffusionXLPipeline(
        vae=tiny_vae(scaling_factor=0.13025, force_upcast=True),
        text_encoder=tiny_text_encoder(first, 16, 2),
        text_encoder_2=tiny_text_encoder(second, 24, 4, projection=20),
        tokenizer=first,
        tokenizer_2=second,
        unet=unet,
        scheduler=diffusers.DDIMScheduler(**SCHEDULER),
        add_watermarker=False,
    )
    return saved(pipeline, folder)


def write_dit(folder: Path, classes: int = 1000) -> Any:
    """Write a DiTPipeline; the real one has the "no label" row at 1000, whatever its classes."""
    transformer = diffusers.DiTTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=classes,
    )
    first, *others = randomise(transformer, 5).transformer_blocks
    for block in others:  # trained models have equal copies
        block.norm1.emb.load_state_dict(first.norm1.emb.state_dict())
    pipeline = diffusers.DiTPipeline(
        transformer=transformer,
        vae=tiny_vae(),
        scheduler=diffusers.DDIMScheduler(clip_sample=False),
    )
    saved(pipeline, folder)
    # The published folders name their classes here; saving does not.
    index = json.loads((folder / "model_index.json").read_text())
    labels = {"0": "crane", "1": "tench, Tinca tinca", "2": "crane"}
    (folder / "model_index.json").write_text(json.dumps({**index, "id2label": labels}))
    return pipeline


def saved(pipeline: Any, folder: Path) -> Any:
    pipeline.set_progress_bar_config(disable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.save_pretrained(str(folder), safe_serialization=True)
    return pipeline
