"""Weights of vision transformers from other programs, under the names of :mod:`engine.adapt.vit`.

Known are timm's names (also DeiT, DINO, AugReg, and files of DyT and AdaptFormer, which add theirs),
and those of Hugging Face's ``ViTModel`` and ``ViTForImageClassification``. Sizes are read off the
tensors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.adapt.vit import ViTConfig
from engine.errors import EngineError, bad_file, invalid_input

Weights = dict[str, Tensor]

HEAD_WIDTH = 64
"""Of every standard size; the number of heads is in no file of weights."""
_STANDARD_HEADS = {192: 3, 384: 6, 768: 12, 1024: 16, 1280: 16}
_PREFIXES = ("module.", "_orig_mod.", "backbone.", "visual.trunk.", "model.", "vit.")
_DROPPED = re.compile(
    r"^(pre_logits\.|head\.|head_dist\.|classifier\.|pooler\.|mask_token$|embeddings\.mask_token$)"
)
_GATED = re.compile(r"\.mlp\.(fc1_g|fc1_x|w12|w3|gate_proj)\.")
_TUNED = re.compile(r"\.(adapt(mlp|attn|layer)|(mlp|attn|layer)_token_select)\.")
_HF_BLOCK = {
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    "attention.output.dense": "attn.proj",
    "intermediate.dense": "mlp.fc1",
    "output.dense": "mlp.fc2",
}
_HF_ENDS = {
    "embeddings.cls_token": "cls_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection.weight": "patch_embed.proj.weight",
    "embeddings.patch_embeddings.projection.bias": "patch_embed.proj.bias",
    "layernorm.weight": "norm.weight",
    "layernorm.bias": "norm.bias",
}


def our_names(weights: Mapping[str, Tensor]) -> tuple[Weights, Weights]:
    """Weights under our names without heads, and apart from them what tuning added.

    Parameters
    ----------
    weights
        Of one model, as the file has them.

    Raises
    ------
    EngineError
        ``bad_file`` when they are of no vision transformer that is known, or of one that is built
        otherwise; says which.
    """
    found = {_without_prefixes(key): value for key, value in weights.items()}
    if any(_GATED.search(key) for key in found):
        raise _refused("its MLPs are gated (SwiGLU)")
    if "dist_token" in found or "embeddings.distillation_token" in found:
        raise _refused("it has a distillation token")
    if any(key.startswith("encoder.layer.") for key in found):
        found = _from_hugging_face(found)
    plain: Weights = {}
    added: Weights = {}
    for key, value in found.items():
        if _TUNED.search(key):
            added[key] = value
        elif not _DROPPED.match(key):
            plain[re.sub(r"\.gamma_([12])$", r".ls\1.gamma", key)] = value
    for key in ("patch_embed.proj.weight", "pos_embed", "blocks.0.attn.qkv.weight"):
        if key not in plain:
            raise _refused(f"it has no {key}")
    kernel = plain["patch_embed.proj.weight"]
    if kernel.ndim == 2:
        side = round((kernel.shape[1] / 3) ** 0.5)
        plain["patch_embed.proj.weight"] = kernel.reshape(len(kernel), 3, side, side)
    return plain, added


def _without_prefixes(key: str) -> str:
    while prefix := next((p for p in _PREFIXES if key.startswith(p)), None):
        key = key.removeprefix(prefix)
    return key


def _from_hugging_face(found: Mapping[str, Tensor]) -> Weights:
    result: Weights = {}
    apart: dict[str, dict[str, Tensor]] = {}
    for key, value in found.items():
        block = re.fullmatch(r"encoder\.layer\.(\d+)\.(.+)\.(weight|bias)", key)
        if block is None:
            result[_HF_ENDS.get(key, key)] = value
            continue
        number, part, kind = block.groups()
        single = re.fullmatch(r"attention\.attention\.(query|key|value)", part)
        if single:
            apart.setdefault(f"blocks.{number}.attn.qkv.{kind}", {})[single[1]] = value
        else:
            result[f"blocks.{number}.{_HF_BLOCK.get(part, part)}.{kind}"] = value
    for key, parts in apart.items():
        if len(parts) != 3:
            raise _refused(f"of {key} it has only {', '.join(sorted(parts))}")
        result[key] = torch.cat([parts["query"], parts["key"], parts["value"]])
    return result


def config_of(
    weights: Mapping[str, Tensor], heads: int | None = None, settings: Mapping[str, Any] | None = None
) -> ViTConfig:
    """Sizes of a model, from its weights.

    Parameters
    ----------
    weights
        From :func:`our_names`.
    heads
        Where neither ``settings`` nor a standard width says how many.
    settings
        ``config.json`` of Hugging Face, if there is one.

    Raises
    ------
    EngineError
        ``invalid_input`` when the number of heads is not known; ``bad_file`` when the position table
        fits no square of patches.
    """
    said = settings or {}
    kernel = weights["patch_embed.proj.weight"]
    width, patch = kernel.shape[0], kernel.shape[2]
    heads = heads or said.get("num_attention_heads") or _STANDARD_HEADS.get(width)
    if heads is None:
        raise invalid_input(
            f"A vision transformer of width {width} is of no standard size, and how many attention "
            "heads it has is not in its file; nothing was loaded.",
            f"Say how many: often {max(1, width // HEAD_WIDTH)}.",
        )
    class_token = "cls_token" in weights
    registers = weights["reg_token"].shape[1] if "reg_token" in weights else 0
    rows = weights["pos_embed"].shape[1]
    prefix = int(class_token) + registers
    side, of_prefix = _grid_of(rows, prefix)
    depth = 1 + max(int(key.split(".")[1]) for key in weights if key.startswith("blocks."))
    activation = said.get("hidden_act", "gelu")
    if activation not in ("gelu", "gelu_pytorch_tanh", "gelu_new", "gelu_fast"):
        raise _refused(f"its activation is {activation}")
    return ViTConfig(
        image_size=side * patch,
        patch_size=patch,
        width=width,
        depth=depth,
        heads=int(heads),
        mlp_width=weights["blocks.0.mlp.fc1.weight"].shape[0],
        class_token=class_token,
        registers=registers,
        position_of_prefix=of_prefix and prefix > 0,
        qkv_bias="blocks.0.attn.qkv.bias" in weights,
        qk_norm="blocks.0.attn.q_norm.weight" in weights,
        layer_scale="blocks.0.ls1.gamma" in weights,
        norm_before="norm_pre.weight" in weights,
        mean_pool="fc_norm.weight" in weights or not class_token,
        activation="gelu" if activation == "gelu" else "gelu_tanh",
        norm_eps=float(said.get("layer_norm_eps", 1e-6)),
    )


def _grid_of(rows: int, prefix: int) -> tuple[int, bool]:
    """Patches of a side, and whether the table has rows for the tokens before them."""
    for of_prefix in (True, False):
        patches = rows - (prefix if of_prefix else 0)
        side = round(max(patches, 0) ** 0.5)
        if side and side * side == patches:
            return side, of_prefix
    raise _refused(f"the {rows} rows of its position table are of no square of patches")


def resized(weights: Weights, config: ViTConfig, image_size: int) -> tuple[Weights, ViTConfig]:
    """The same model for pictures of another size: its position table resampled (bicubic).

    Raises
    ------
    EngineError
        ``invalid_input`` when the size is no multiple of the patches'.
    """
    if image_size == config.image_size:
        return weights, config
    new = replace(config, image_size=image_size)
    table = weights["pos_embed"]
    first = config.prefix if config.position_of_prefix else 0
    old, side = round(config.patches**0.5), image_size // config.patch_size
    grid = table[:, first:].float().reshape(1, old, old, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, (side, side), mode="bicubic", antialias=True, align_corners=False)
    rows = grid.permute(0, 2, 3, 1).reshape(1, side * side, -1).to(table.dtype)
    return {**weights, "pos_embed": torch.cat([table[:, :first], rows], 1)}, new


def merged_lora(
    weights: Mapping[str, Tensor], adapter: Mapping[str, Tensor], rank: int, alpha: float
) -> Weights:
    """Weights with low-rank changes (LoRA, in PEFT's layout) added: ``W + alpha / r B A``.

    Parameters
    ----------
    weights
        With the names of the file that the adapter was trained on.
    adapter
        ``base_model.model.PATH.lora_A.weight (r, in)`` and ``lora_B.weight (out, r)``.
    rank, alpha
        ``r`` and ``lora_alpha`` of its ``adapter_config.json``.

    Raises
    ------
    EngineError
        ``bad_file`` when it changes what the model does not have, or halves are missing.
    """
    result = dict(weights)
    names = {_without_prefixes(key): key for key in weights}
    for key, down in adapter.items():
        if not key.endswith(".lora_A.weight"):
            continue
        path = key.removeprefix("base_model.model.").removesuffix(".lora_A.weight")
        up = adapter.get(key.replace(".lora_A.", ".lora_B."))
        target = names.get(_without_prefixes(f"{path}.weight"))
        if up is None or target is None:
            raise _refused(f"its adapter changes {path}, which is not whole or not there")
        change = alpha / rank * (up.float() @ down.float())
        if change.shape != result[target].shape:
            raise _refused(f"its adapter's change of {path} is of another shape")
        result[target] = (result[target].float() + change).to(result[target].dtype)
    return result


def _refused(reason: str) -> EngineError:
    return bad_file(
        f"This is no vision transformer that can be tuned here: {reason}. Nothing was loaded.",
        "Plain ViT models with the names of timm or of Hugging Face's ViTModel can be.",
    )
