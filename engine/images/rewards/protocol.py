"""What a reward is: pictures in, one number each out, and bigger is better."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from engine.images.rewards.catalogue import Sort

OUTSIDE_SLOPE = 0.01
USER_CODE_VARIABLE = "TRIPTYCH_ALLOW_USER_CODE"
"""Environment variable: 1 lets rewards written by the user run. It is of this computer, not of a job,
so that no picture or project of others can switch it on."""


@runtime_checkable
class Taste(Protocol):
    """A user's taste, learnt elsewhere."""

    @property
    def title(self) -> str:
        """What it was learnt from, in words."""
        ...

    def score(self, x: Tensor) -> Tensor:
        """Liking ``(B,)`` in 0..1 of pictures ``(B, 3, H, W)`` in [0, 1]; differentiable."""
        ...


@dataclass(frozen=True)
class RewardContext:
    """What a reward may need to know beside the picture.

    Attributes
    ----------
    references
        Pictures by name, ``(3, H, W)`` or, with alpha, ``(4, H, W)`` float32 in [0, 1].
    device
        Where pictures that carry gradients are.
    taste
        The user's taste, if one has been learnt.
    allow_user_code
        Whether rewards written by the user may run; off unless the user said so, here or by
        :data:`USER_CODE_VARIABLE`.
    """

    prompt: str = ""
    class_name: str | None = None
    generator_title: str = ""
    references: Mapping[str, Tensor] = field(default_factory=dict)
    device: str = "cpu"
    taste: Taste | None = None
    allow_user_code: bool = field(default_factory=lambda: os.environ.get(USER_CODE_VARIABLE) == "1")


class Reward(Protocol):
    """One reward, ready to be computed.

    ``batch`` is pure: the same pictures have the same values. A reward of sort ``gradient`` is made
    of torch operations, with finite values and finite gradients also on constant pictures; one of
    sort ``value`` gets 8-bit pictures on the CPU and may leave torch. What holds a process or a file
    has a ``close()`` too; what the user should know is in ``notes``, a tuple of sentences.
    """

    @property
    def name(self) -> str:
        """Its name in the registry."""
        ...

    @property
    def title(self) -> str:
        """What it wants, in the user's words."""
        ...

    @property
    def kind(self) -> Sort:
        """Whether it has a gradient."""
        ...

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        """Values ``(B,)`` of pictures ``(B, 3, H, W)``, RGB in [0, 1], float32."""
        ...


def soft_clip(x: Tensor) -> Tensor:
    """Identity in [0, 1], slope 0.01 outside.

    Gradients do not vanish where a pixel is beyond white or black, and hardly anything can be won
    there.
    """
    inside = x.clamp(0, 1)
    return inside + OUTSIDE_SLOPE * (x - inside)


def eight_bit(x: Tensor) -> Tensor:
    """Pictures as they are saved: clipped, 256 levels, float32 in [0, 1], without gradient."""
    return x.detach().float().clamp(0, 1).mul(255).round().div(255)


def from_decoded(decoded: Tensor) -> Tensor:
    """Pixels in [0, 1] of what a generator decodes, nominally in [-1, 1]; nothing is clipped."""
    return (decoded + 1) / 2


def without_autocast(x: Tensor) -> torch.autocast:
    """A context in which nothing is computed in half precision behind a reward's back."""
    return torch.autocast(x.device.type, enabled=False)
