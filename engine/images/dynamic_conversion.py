"""From a static DiT to a dynamic one that computes the same, with its parts in order of importance.

Head 0 and channel group 0 are always open, so the parts that matter most must come first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.images.dit import DiT, DiTBlock
from engine.images.dynamic_dit import DynamicConfig, DynamicDiT
from engine.images.dynamic_slices import channels_of, rows_of_thirds


def head_importance(block: DiTBlock) -> Tensor:
    """``(H,)``: ``|Wq| |Wk| + |Wv| |Wproj|``, Frobenius norms of a head's rows and columns."""
    heads = block.attn.num_heads
    width = block.attn.qkv.weight.shape[1]
    query, key, value = block.attn.qkv.weight.view(3, heads, -1, width).flatten(2).norm(dim=2)
    out = block.attn.proj.weight.view(width, heads, -1).transpose(0, 1).flatten(1).norm(dim=1)
    return query * key + value * out


def channel_importance(block: DiTBlock) -> Tensor:
    """``(W,)``: norm of a channel's row in the first layer times its column's in the second."""
    return block.mlp.fc1.weight.norm(dim=1) * block.mlp.fc2.weight.norm(dim=0)


@torch.no_grad()
def order_by_importance(model: DiT) -> None:
    """Permute heads and MLP channels of every block, most important first; the function stays."""
    for block in model.blocks:
        assert isinstance(block, DiTBlock)
        attn, mlp = block.attn, block.mlp
        width = attn.qkv.weight.shape[1]
        heads = head_importance(block).argsort(descending=True, stable=True)
        rows = channels_of(heads, width // attn.num_heads)
        thirds = rows_of_thirds(rows, width)
        attn.qkv.weight.copy_(attn.qkv.weight[thirds].clone())
        attn.qkv.bias.copy_(attn.qkv.bias[thirds].clone())
        attn.proj.weight.copy_(attn.proj.weight[:, rows].clone())
        channels = channel_importance(block).argsort(descending=True, stable=True)
        mlp.fc1.weight.copy_(mlp.fc1.weight[channels].clone())
        mlp.fc1.bias.copy_(mlp.fc1.bias[channels].clone())
        mlp.fc2.weight.copy_(mlp.fc2.weight[:, channels].clone())


def dynamic_from_static(
    model: DiT, dynamic: DynamicConfig, width_bias: float = 15.0, token_bias: float = 35.0
) -> DynamicDiT:
    """A dynamic copy of a static model, parts in order of importance, every gate open.

    Raises
    ------
    EngineError
        ``invalid_input`` when the MLP's channels cannot be cut into the groups asked for.
    """
    made = DynamicDiT(model.config, dynamic).to(model.pos_embed.device)
    routers = made.state_dict().keys() - model.state_dict().keys()
    missing, unexpected = made.load_state_dict(model.state_dict(), strict=False)
    assert set(missing) == routers, "only the routers are new"
    assert not unexpected, "a dynamic model has all that a static one has"
    order_by_importance(made)
    made.open_routers(width_bias, token_bias)
    return made
