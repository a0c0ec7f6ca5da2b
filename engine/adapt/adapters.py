"""Adapters and token dispatchers: the small trained parts of dynamic tuning.

"Dynamic Tuning Towards Parameter and Inference Efficiency for ViT Adaptation" (NeurIPS 2024), with
the parameter names of the released program.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

DROPOUT = 0.1
TEMPERATURE = 5.0


class Adapter(nn.Module):
    """``s (W_up ReLU(W_down x + b_down) + b_up)``; adds nothing until it is trained."""

    def __init__(self, width: int, hidden: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.down_proj = nn.Linear(width, hidden)
        self.up_proj = nn.Linear(hidden, width)
        self.dropout = nn.Dropout(DROPOUT)
        nn.init.kaiming_uniform_(self.down_proj.weight, a=math.sqrt(5))
        for start_at_zero in (self.down_proj.bias, self.up_proj.weight, self.up_proj.bias):
            nn.init.zeros_(start_at_zero)

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * self.up_proj(self.dropout(self.down_proj(x).relu()))


class Experts(nn.Module):
    """Weights of N adapters."""

    def __init__(self, width: int, hidden: int, count: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(count, hidden, width))
        self.up = nn.Parameter(torch.zeros(count, width, hidden))
        self.down_bias = nn.Parameter(torch.zeros(count, hidden))
        self.up_bias = nn.Parameter(torch.zeros(count, width))
        for expert in self.down:
            nn.init.kaiming_uniform_(expert, a=math.sqrt(5))


class MixtureAdapter(nn.Module):
    """N adapters whose *weights* are mixed for each picture, so that they cost as much as one.

    The mean of a picture's tokens decides the shares; a soft-max makes them sum to 1, which the
    paper leaves open.
    """

    def __init__(self, width: int, hidden: int, scale: float, count: int) -> None:
        super().__init__()
        self.scale = scale
        self.experts = Experts(width, hidden, count)
        self.router = nn.Linear(width, count, bias=False)
        self.dropout = nn.Dropout(DROPOUT)
        nn.init.zeros_(self.router.weight)

    def shares(self, x: Tensor) -> Tensor:
        """How much each expert counts ``(B, N)`` for pictures of tokens ``(B, T, C)``."""
        return self.router(x.mean(1)).softmax(1)

    def forward(self, x: Tensor, shares: Tensor | None = None) -> Tensor:
        alpha = self.shares(x) if shares is None else shares
        experts = self.experts
        down = torch.einsum("bn,ndc->bdc", alpha, experts.down)
        up = torch.einsum("bn,ncd->bcd", alpha, experts.up)
        hidden = torch.baddbmm((alpha @ experts.down_bias)[:, None], x, down.mT).relu()
        return self.scale * torch.baddbmm(
            (alpha @ experts.up_bias)[:, None], self.dropout(hidden), up.mT
        )


class Dispatcher(nn.Module):
    """One logit a token: what is above 0 takes the expensive way."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp_head = nn.Linear(width, 1)
        nn.init.trunc_normal_(self.mlp_head.weight, std=0.02)
        nn.init.zeros_(self.mlp_head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Tokens ``(B, P, C)`` to logits ``(B, P)``, in 32 bits whatever the tokens come in."""
        with torch.autocast(x.device.type, enabled=False):
            return self.mlp_head(x.float()).squeeze(2)


def hard_gates(logits: Tensor) -> Tensor:
    """Gates as they are used: 1 where the logit is above 0."""
    return (logits > 0).to(logits.dtype)


def sampled_gates(logits: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Gates for training: 0 or 1 with Gumbel noise, gradients of the soft ones (straight-through)."""
    uniform = torch.rand(
        (2, *logits.shape), generator=generator, dtype=logits.dtype, device=logits.device
    )
    noise = -torch.log(-torch.log(uniform.clamp(1e-10, 1 - 1e-7)))
    soft = torch.sigmoid((logits + noise[0] - noise[1]) / TEMPERATURE)
    hard = (soft > 0.5).to(soft.dtype)
    return hard + soft - soft.detach()
