"""The diffusion transformer (DiT; Peebles & Xie 2023), in the numerics of two programs.

Parameter names are those of the original program, so its files load unchanged. Two settings make
the same module give diffusers' pictures: ``freq_denominator`` (128 in the original, 127 there)
and ``norm2_eps`` (1e-6 in the original, 1e-5 there).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import invalid_input

FREQUENCIES = 128
"""Number of time-step frequencies; the time code has twice as many entries."""


@dataclass(frozen=True)
class DiTConfig:
    """Sizes and numerics of a :class:`DiT`.

    Attributes
    ----------
    input_size
        Side of the (square) latent or image grid.
    null_class
        Whether the label table has one row more than ``num_classes`` for "no label", which
        classifier-free guidance needs.
    num_words
        Rows of the caption-word table; 0 for purely class-conditional models.
    learn_sigma
        The network also predicts the variance: twice as many output channels.
    """

    input_size: int
    patch_size: int
    in_channels: int
    hidden_size: int
    depth: int
    num_heads: int
    num_classes: int
    null_class: bool = True
    num_words: int = 0
    learn_sigma: bool = False
    mlp_ratio: float = 4.0
    freq_denominator: int = 128
    norm2_eps: float = 1e-6

    def __post_init__(self) -> None:
        if self.hidden_size % 4 or self.hidden_size % self.num_heads:
            raise invalid_input(
                f"A width of {self.hidden_size} is not divisible by 4 and by {self.num_heads} heads."
            )
        if self.input_size % self.patch_size:
            raise invalid_input(
                f"A grid of {self.input_size} cannot be cut into patches of {self.patch_size}."
            )

    @property
    def out_channels(self) -> int:
        """Channels of the output, including the variance's."""
        return self.in_channels * (2 if self.learn_sigma else 1)

    @property
    def tokens(self) -> int:
        """Number of patches."""
        return (self.input_size // self.patch_size) ** 2

    @property
    def mlp_width(self) -> int:
        """Hidden channels of each block's MLP."""
        return int(self.hidden_size * self.mlp_ratio)

    def to_json(self) -> dict[str, Any]:
        """JSON-ready dictionary; ``DiTConfig(**data)`` is the inverse."""
        return asdict(self)


def position_table(hidden_size: int, side: int) -> Tensor:
    """Fixed 2-D sine-cosine position code ``(1, side**2, hidden_size)``, float32.

    The first half of the channels codes the column, the second half the row; within each half all
    sines come before all cosines.
    """
    quarter = hidden_size // 4
    omega = 10000.0 ** (-torch.arange(quarter, dtype=torch.float64) / quarter)
    angle = torch.arange(side, dtype=torch.float64)[:, None] * omega
    axis = torch.cat([angle.sin(), angle.cos()], dim=1)
    columns = axis[None, :, :].expand(side, side, -1)
    rows = axis[:, None, :].expand(side, side, -1)
    return torch.cat([columns, rows], dim=2).reshape(1, side * side, hidden_size).float()


def time_code(timesteps: Tensor, denominator: int) -> Tensor:
    """Cosine-sine code ``(B, 256)`` float32 of (fractional) training time steps ``(B,)``."""
    index = torch.arange(FREQUENCIES, dtype=torch.float32, device=timesteps.device)
    frequency = torch.exp(-math.log(10000.0) * index / denominator)
    angle = timesteps.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], dim=1)


def modulate(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    """``x * (1 + scale) + shift`` for tokens ``(B, N, D)`` and per-image vectors ``(B, D)``."""
    return x * (1 + scale[:, None]) + shift[:, None]


class ConditionLinear(nn.Linear):
    """Linear layer for per-image vectors ``(B, D)`` whose rounding does not depend on ``B``.

    CPU libraries multiply fewer than a handful of rows by another route, which rounds differently;
    padded with zeros, a picture is bit-equal alone and among others.
    """

    MIN_ROWS = 8

    def forward(self, x: Tensor) -> Tensor:
        rows = len(x)
        if rows < self.MIN_ROWS:
            return super().forward(F.pad(x, (0, 0, 0, self.MIN_ROWS - rows)))[:rows]
        return super().forward(x)


class PatchEmbed(nn.Module):
    """Cuts ``(B, C, S, S)`` into patches and maps each to ``D`` channels: ``(B, N, D)``, row-major.

    The weights are a convolution's, as in the original; it is computed as a matrix product, which
    rounds the same for every batch size.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        size = config.patch_size
        self.proj = nn.Conv2d(config.in_channels, config.hidden_size, size, stride=size)

    def forward(self, x: Tensor) -> Tensor:
        size = self.proj.stride[0]
        patches = F.unfold(x, size, stride=size).transpose(1, 2)
        return F.linear(patches, self.proj.weight.flatten(1), self.proj.bias)


class TimestepEmbedder(nn.Module):
    """Two-layer perceptron over the time code."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.denominator = config.freq_denominator
        self.mlp = nn.Sequential(
            ConditionLinear(2 * FREQUENCIES, width), nn.SiLU(), ConditionLinear(width, width)
        )

    def forward(self, timesteps: Tensor) -> Tensor:
        code = time_code(timesteps, self.denominator)
        return self.mlp(code.to(next(self.mlp.parameters()).dtype))


class LabelEmbedder(nn.Module):
    """Table of class vectors; the last row is "no label" where the model has one."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        rows = config.num_classes + int(config.null_class)
        self.embedding_table = nn.Embedding(rows, config.hidden_size)

    def forward(self, labels: Tensor) -> Tensor:
        return self.embedding_table(labels)


class WordEmbedder(nn.Module):
    """Bag of caption words: sum of their vectors over the square root of their number.

    Not part of the original DiT; ours, for the built-in generator. Takes ``(B, M)`` word indices
    with -1 for "no word" and gives ``(B, D)``; a caption without words gives zeros.
    """

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.embedding_table = nn.Embedding(config.num_words, config.hidden_size)

    def forward(self, words: Tensor) -> Tensor:
        present = (words >= 0).unsqueeze(-1)
        vectors = self.embedding_table(words.clamp(min=0)) * present
        count = present.sum(dim=1).clamp(min=1)
        return vectors.sum(dim=1) / count.to(vectors.dtype).sqrt()


class Attention(nn.Module):
    """Multi-head self-attention; ``qkv`` rows are all queries, all keys, all values, head-major."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.num_heads = config.num_heads
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(x).view(batch, tokens, 3, self.num_heads, width // self.num_heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))


class Mlp(nn.Module):
    """Linear, GELU (tanh approximation), linear."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.mlp_width)
        self.fc2 = nn.Linear(config.mlp_width, config.hidden_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


class DiTBlock(nn.Module):
    """Transformer block whose norms are modulated and whose branches are gated by the condition."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.attn = Attention(config)
        self.norm2 = nn.LayerNorm(width, eps=config.norm2_eps, elementwise_affine=False)
        self.mlp = Mlp(config)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), ConditionLinear(width, 6 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        parts = self.adaLN_modulation(condition).chunk(6, dim=1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = parts
        x = x + gate_a[:, None] * self.attn(modulate(self.norm1(x), shift_a, scale_a))
        return x + gate_m[:, None] * self.mlp(modulate(self.norm2(x), shift_m, scale_m))


class FinalLayer(nn.Module):
    """Modulated norm and the linear map from tokens to patches of pixels."""

    def __init__(self, config: DiTConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.norm_final = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.linear = nn.Linear(width, config.patch_size**2 * config.out_channels)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), ConditionLinear(width, 2 * width))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shift, scale = self.adaLN_modulation(condition).chunk(2, dim=1)
        return self.linear(modulate(self.norm_final(x), shift, scale))


class DiT(nn.Module):
    """Diffusion transformer.

    ``forward(x, t, y, words)`` takes ``x (B, C, S, S)``, training time steps ``t (B,)`` (may be
    fractional, may differ within the batch), labels ``y (B,)`` and, for models with a word table,
    ``words (B, M)`` padded with -1; it returns ``(B, C_out, S, S)``. Each row of the batch depends
    on its own inputs only.
    """

    def __init__(self, config: DiTConfig, block: Callable[[DiTConfig], DiTBlock] = DiTBlock) -> None:
        super().__init__()
        self.config = config
        self.x_embedder = PatchEmbed(config)
        self.t_embedder = TimestepEmbedder(config)
        self.y_embedder = LabelEmbedder(config)
        self.w_embedder = WordEmbedder(config) if config.num_words else None
        side = config.input_size // config.patch_size
        self.pos_embed = nn.Parameter(position_table(config.hidden_size, side), requires_grad=False)
        self.blocks = nn.ModuleList(block(config) for _ in range(config.depth))
        self.final_layer = FinalLayer(config)
        self._initialise()

    def _initialise(self) -> None:
        """Xavier linears, small embeddings, and zeros where an untouched model must output zero."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        nn.init.xavier_uniform_(self.x_embedder.proj.weight.view(self.config.hidden_size, -1))
        assert self.x_embedder.proj.bias is not None
        nn.init.zeros_(self.x_embedder.proj.bias)
        nn.init.normal_(self.y_embedder.embedding_table.weight, std=0.02)
        if self.w_embedder is not None:
            nn.init.normal_(self.w_embedder.embedding_table.weight, std=0.02)
        for parameter in self.t_embedder.mlp.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)
        for block in [*self.blocks, self.final_layer]:
            nn.init.zeros_(block.adaLN_modulation[1].weight)
            nn.init.zeros_(block.adaLN_modulation[1].bias)
        nn.init.zeros_(self.final_layer.linear.weight)
        nn.init.zeros_(self.final_layer.linear.bias)

    @property
    def null_label(self) -> int:
        """Index of the "no label" row of the label table."""
        if not self.config.null_class:
            raise invalid_input(
                "This model was trained without label dropout and has no 'no label' entry.",
                "Set guidance to 1 (off) for it.",
            )
        return self.config.num_classes

    def forward(self, x: Tensor, t: Tensor, y: Tensor, words: Tensor | None = None) -> Tensor:
        tokens, condition, _ = self.embed(x, t, y, words)
        for block in self.blocks:
            tokens = block(tokens, condition)
        return self.unpatchify(self.final_layer(tokens, condition))

    def embed(
        self, x: Tensor, t: Tensor, y: Tensor, words: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens ``(B, N, D)``, condition ``(B, D)``, and its part that is the time's ``(B, D)``."""
        time = self.t_embedder(t)
        condition = time + self.y_embedder(y)
        if self.w_embedder is not None and words is not None:
            condition = condition + self.w_embedder(words)
        return self.x_embedder(x) + self.pos_embed, condition, time

    def unpatchify(self, tokens: Tensor) -> Tensor:
        """Put token outputs ``(B, N, p*p*C_out)``, channel fastest, back on the grid."""
        size, channels = self.config.patch_size, self.config.out_channels
        side = self.config.input_size // size
        grid = tokens.view(-1, side, side, size, size, channels)
        return grid.permute(0, 5, 1, 3, 2, 4).reshape(-1, channels, side * size, side * size)
