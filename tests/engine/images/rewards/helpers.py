"""Rewards and pictures for the tests of mixes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.images.rewards import RAW, REWARDS, RewardTerm
from engine.images.rewards.catalogue import Sort
from engine.images.rewards.mix import RewardMix
from engine.images.rewards.protocol import Reward, RewardContext


@dataclass
class Given:
    """A reward that is whatever a test wants."""

    function: Callable[[Tensor], Any]
    kind: Sort = "gradient"
    name: str = "given"
    title: str = "Given"

    def batch(self, x: Tensor, context: RewardContext) -> Any:
        return self.function(x)


def pictures(count: int = 3, size: int = 12, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random pictures strictly inside [0, 1]."""
    stream = torch.Generator().manual_seed(7)
    return torch.rand(count, 3, size, size, generator=stream, dtype=dtype) * 0.9 + 0.05


def reward(name: str, context: RewardContext | None = None, **options: Any) -> Reward:
    """A reward of the registry."""
    kind = REWARDS.get(name)
    return kind.build(kind.options.model_validate(options), context or RewardContext())


def raw_mix(*terms: str | RewardTerm, context: RewardContext | None = None) -> RewardMix:
    """A mix whose rewards count as they are."""
    chosen = [RewardTerm(name=t) if isinstance(t, str) else t for t in terms]
    return RewardMix(chosen, context or RewardContext(), RAW)


def check_gradient(value: Callable[[Tensor], Tensor], x: Tensor, points: int = 5) -> None:
    """Compare the gradient with central differences at random pixels, in float64."""
    x = x.clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(x).sum(), x)
    stream = torch.Generator().manual_seed(1)
    step = 1e-6
    for place in torch.randint(x.numel(), (points,), generator=stream).tolist():
        moved = torch.zeros_like(x).flatten()
        moved[place] = step
        with torch.no_grad():
            there = value(x + moved.view_as(x)).sum() - value(x - moved.view_as(x)).sum()
        torch.testing.assert_close(gradient.flatten()[place], there / (2 * step), rtol=1e-5, atol=1e-8)


PROMPT = RewardContext(prompt="red heart")


def values_of(name: str, x: Tensor, context: RewardContext = PROMPT, **options: Any) -> Tensor:
    """What a reward of the registry gives to pictures."""
    return reward(name, context, **options).batch(x, context)
