"""A plain vision transformer (Dosovitskiy et al. 2021), with the parameter names of timm.

Names of weights are those of timm.
Class token, register tokens, q/k normalisation, LayerScale and mean pooling are there for the models
that have them; gated MLPs are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import invalid_input


@dataclass(frozen=True)
class ViTConfig:
    """Sizes and numerics of a :class:`ViT`.

    Attributes
    ----------
    image_size, patch_size
        Pixels of a side; square.
    width, depth, heads
        C, L and H.
    classes
        Outputs of the head; 0 for none: then the pooled features come out.
    mlp_width
        Hidden channels of the MLP.
    class_token, registers
        Tokens before those of the patches.
    position_of_prefix
        Whether the position table has rows for these.
    qkv_bias, qk_norm, layer_scale, norm_before
        What only some models have.
    mean_pool
        Mean of the patch tokens (then ``fc_norm``) instead of the class token.
    activation
        Of the MLP: the exact GELU, or its tanh approximation.
    norm_eps
        1e-6 in timm's models, 1e-12 in most of Hugging Face's.
    """

    image_size: int = 224
    patch_size: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    classes: int = 0
    mlp_width: int = 3072
    class_token: bool = True
    registers: int = 0
    position_of_prefix: bool = True
    qkv_bias: bool = True
    qk_norm: bool = False
    layer_scale: bool = False
    norm_before: bool = False
    mean_pool: bool = False
    activation: Literal["gelu", "gelu_tanh"] = "gelu"
    norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.width % self.heads or self.image_size % self.patch_size:
            raise invalid_input(
                f"A vision transformer of width {self.width} with {self.heads} heads, on "
                f"{self.image_size} pixels in patches of {self.patch_size}, does not divide evenly; "
                "nothing was made."
            )

    @property
    def patches(self) -> int:
        """Number of patch tokens, N."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def prefix(self) -> int:
        """Number of tokens before the patches: class token and registers."""
        return int(self.class_token) + self.registers


class Attention(nn.Module):
    """Multi-head self-attention; rows of ``qkv`` are all q, all k, all v."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=config.qkv_bias)
        self.proj = nn.Linear(config.width, config.width)
        head_width = config.width // config.heads
        if config.qk_norm:
            self.q_norm: nn.Module = nn.LayerNorm(head_width, config.norm_eps)
            self.k_norm: nn.Module = nn.LayerNorm(head_width, config.norm_eps)
        else:
            self.q_norm, self.k_norm = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor, open_keys: Tensor | None = None) -> Tensor:
        """Tokens ``(B, T, C)`` to as many; ``open_keys`` ``(B, T)`` says which can be attended to."""
        q, k, v = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mask = None if open_keys is None else open_keys[:, None, None, :]
        mixed = F.scaled_dot_product_attention(self.q_norm(q), self.k_norm(k), v, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    """Two linear layers with a GELU between."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.width, config.mlp_width)
        self.fc2 = nn.Linear(config.mlp_width, config.width)
        self.approximate = "tanh" if config.activation == "gelu_tanh" else "none"

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate=self.approximate))


class LayerScale(nn.Module):
    """A factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Attention and MLP, each after a layer norm and added to what came in."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width, config.norm_eps)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(config.width, config.norm_eps)
        self.mlp = Mlp(config)
        scaled = config.layer_scale
        self.ls1: nn.Module = LayerScale(config.width) if scaled else nn.Identity()
        self.ls2: nn.Module = LayerScale(config.width) if scaled else nn.Identity()

    def attended(self, x: Tensor, open_keys: Tensor | None = None) -> Tensor:
        """What attention adds to ``x``."""
        return self.ls1(self.attn(self.norm1(x), open_keys))

    def transformed(self, x: Tensor) -> Tensor:
        """What the MLP adds to tokens ``(..., C)``."""
        return self.ls2(self.mlp(self.norm2(x)))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attended(x)
        return x + self.transformed(x)


class PatchEmbed(nn.Module):
    """A linear map of each patch."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        size = config.patch_size
        self.proj = nn.Conv2d(3, config.width, size, stride=size)

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x).flatten(2).transpose(1, 2)


class ViT(nn.Module):
    """Pictures ``(B, 3, S, S)``, normalised as the model wants them, to logits ``(B, K)``."""

    def __init__(self, config: ViTConfig, block: Callable[[ViTConfig], Block] = Block) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patch_embed = PatchEmbed(config)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if config.class_token else None
        self.reg_token = (
            nn.Parameter(torch.zeros(1, config.registers, width)) if config.registers else None
        )
        rows = config.patches + (config.prefix if config.position_of_prefix else 0)
        self.pos_embed = nn.Parameter(0.02 * torch.randn(1, rows, width))
        self.norm_pre: nn.Module = (
            nn.LayerNorm(width, config.norm_eps) if config.norm_before else nn.Identity()
        )
        self.blocks = nn.ModuleList(block(config) for _ in range(config.depth))
        norm = nn.LayerNorm(width, config.norm_eps)
        self.norm: nn.Module = nn.Identity() if config.mean_pool else norm
        self.fc_norm: nn.Module = norm if config.mean_pool else nn.Identity()
        self.head: nn.Module = nn.Linear(width, config.classes) if config.classes else nn.Identity()

    def embed(self, x: Tensor) -> Tensor:
        """Pictures to the tokens ``(B, T, C)`` that the first block takes."""
        side = self.config.image_size
        if x.shape[1:] != (3, side, side):
            raise invalid_input(
                f"Pictures came as {tuple(x.shape)}; this model takes (B, 3, {side}, {side})."
            )
        tokens, config = self.patch_embed(x), self.config
        before = [
            token.expand(x.shape[0], -1, -1)
            for token in (self.cls_token, self.reg_token)
            if token is not None
        ]
        if config.position_of_prefix:
            tokens = torch.cat([*before, tokens], 1) + self.pos_embed
        else:
            tokens = torch.cat([*before, tokens + self.pos_embed], 1)
        return self.norm_pre(tokens)

    def pool(self, tokens: Tensor) -> Tensor:
        """Tokens after the last block to features ``(B, C)``."""
        if self.config.mean_pool:
            return self.fc_norm(tokens[:, self.config.prefix :].mean(1))
        return self.norm(tokens)[:, 0]

    def features(self, x: Tensor) -> Tensor:
        """Pictures to features ``(B, C)``, what the head takes."""
        tokens = self.embed(x)
        for block in self.blocks:
            tokens = block(tokens)
        return self.pool(tokens)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.features(x))
