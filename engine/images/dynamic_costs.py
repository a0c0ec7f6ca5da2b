"""The arithmetic of a dynamic DiT: multiply-accumulates (MAC) by formula, and the loss on them.

One multiply-accumulate counts as one. Only what the gates can leave out is counted (section 2.4 of
the method page): attention and MLP of the blocks, not routers, modulation, embedders and head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from engine.images.dit import FREQUENCIES, DiTConfig

if TYPE_CHECKING:
    from engine.images.dynamic_dit import BlockGates


@dataclass(frozen=True)
class BlockMacs:
    """MACs of one block for one picture, all parts open."""

    attention: int
    mlp: int

    @classmethod
    def of(cls, config: DiTConfig) -> BlockMacs:
        """Queries, keys, values and projection; scores and their use; both layers of the MLP."""
        tokens, width = config.tokens, config.hidden_size
        attention = 4 * tokens * width**2 + 2 * tokens**2 * width
        return cls(attention, 2 * tokens * width * config.mlp_width)

    @property
    def total(self) -> int:
        """Attention and MLP."""
        return self.attention + self.mlp


def fixed_macs(config: DiTConfig) -> int:
    """MACs of one evaluation outside of what gates can leave out, without the routers' own.

    Modulation, embedders and head; tables that are only looked up cost nothing.
    """
    width, patch = config.hidden_size, config.patch_size**2
    modulation = (6 * config.depth + 2) * width**2
    time = 2 * FREQUENCIES * width + width**2
    ends = config.tokens * width * patch * (config.in_channels + config.out_channels)
    return modulation + time + ends


def router_macs(config: DiTConfig, groups: int) -> int:
    """MACs of the routers of one evaluation: of width (kept for a time step) and of tokens."""
    width, hidden = config.hidden_size, max(1, config.hidden_size // 16)
    gates = width * (config.num_heads - 1 + groups - 1)
    return config.depth * (gates + config.tokens * hidden * (width + 1))


def static_macs(config: DiTConfig) -> int:
    """MACs of one evaluation of the static network for one picture."""
    return config.depth * BlockMacs.of(config).total + fixed_macs(config)


def computed_share(gates: Sequence[BlockGates], config: DiTConfig) -> Tensor:
    """Share ``(B,)`` of the blocks' arithmetic that these gates leave, differentiable."""
    macs = BlockMacs.of(config)
    parts = [
        gate.heads.mean(1) * macs.attention + gate.groups.mean(1) * gate.tokens.mean(1) * macs.mlp
        for gate in gates
    ]
    return torch.stack(parts).sum(0) / (len(gates) * macs.total)


def arithmetic_loss(share: Tensor, target: float, weight: float = 2.0) -> Tensor:
    """``weight * (mean share - target)^2``: the mean first, so that rows and steps may differ."""
    return weight * (share.mean() - target).square()
