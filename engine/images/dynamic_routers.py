"""The routers of a dynamic DiT: small layers whose logits open and close its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.images.dit import ConditionLinear


@dataclass(frozen=True)
class BlockGates:
    """Gates of one block: ``heads (B, H)``, ``groups (B, G)``, ``tokens (B, N)``; 1 is open."""

    heads: Tensor
    groups: Tensor
    tokens: Tensor


Decide = Callable[[Tensor], Tensor]
"""From logits to gates; see :func:`hard_gates` and :class:`GumbelGates`."""


def hard_gates(logits: Tensor) -> Tensor:
    """The gates of evaluation: open strictly above 0."""
    return (logits > 0).to(logits.dtype)


class GumbelGates:
    """The gates of training: hard forwards, the noisy sigmoid's gradient backwards (section 2.1).

    The difference of two Gumbel draws is one logistic draw; ``temperature`` shapes the gradient only,
    and ``noise`` scales the draw: at 0 the gates are those of evaluation.
    """

    def __init__(
        self, generator: torch.Generator | None = None, temperature: float = 5.0, noise: float = 1.0
    ) -> None:
        self.generator, self.temperature, self.noise = generator, temperature, noise

    def __call__(self, logits: Tensor) -> Tensor:
        uniform = torch.rand(logits.shape, generator=self.generator).clamp(1e-6, 1 - 1e-6)
        noisy = logits + self.noise * torch.logit(uniform).to(logits.device)
        soft = torch.sigmoid(noisy / self.temperature)
        return (soft > 0.5).to(soft.dtype) - soft.detach() + soft


def in_float32(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer in float32: a gate that rounding flips would change the picture."""
    if not torch.is_autocast_enabled(x.device.type):
        return F.linear(x.float(), layer.weight.float(), layer.bias.float())
    with torch.autocast(x.device.type, enabled=False):
        return F.linear(x.float(), layer.weight.float(), layer.bias.float())


class WidthRouter(nn.Module):
    """Logits ``(B, parts)`` of heads or channel groups from time codes ``(B, D)``.

    Part 0 has no logit of its own and is always open.
    """

    def __init__(self, width: int, parts: int) -> None:
        super().__init__()
        self.router = ConditionLinear(width, parts - 1)

    def logits(self, code: Tensor) -> Tensor:
        """``(B, parts - 1)`` float32."""
        rows = len(code)
        padded = F.pad(code, (0, 0, 0, max(0, ConditionLinear.MIN_ROWS - rows)))
        return in_float32(self.router, padded)[:rows]

    def gates(self, code: Tensor, decide: Decide) -> Tensor:
        """``(B, parts)`` float32."""
        return F.pad(decide(self.logits(code)), (1, 0), value=1.0)


class TokenRouter(nn.Module):
    """Logits ``(B, N)`` of tokens ``(B, N, D)``, which it reads raw, after attention was added.

    A network that is told the wanted share shifts them all by what its time code says.
    """

    def __init__(self, width: int, told_ratio: bool) -> None:
        super().__init__()
        hidden = max(1, width // 16)
        self.mlp_head = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.shift = nn.Linear(width, 1) if told_ratio else None

    @property
    def last(self) -> nn.Linear:
        """The layer that ends in logits."""
        layer = self.mlp_head[2]
        assert isinstance(layer, nn.Linear)
        return layer

    def logits(self, x: Tensor, code: Tensor) -> Tensor:
        """``(B, N)`` float32."""
        first = self.mlp_head[0]
        assert isinstance(first, nn.Linear)
        logits = in_float32(self.last, F.relu(in_float32(first, x))).squeeze(-1)
        if self.shift is not None:
            logits = logits + in_float32(self.shift, code)
        return logits
