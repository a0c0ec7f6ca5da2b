"""Rewards by formula, differentiable: brightness, colours, contrast, sharpness, symmetry, background.

All are means over pixels ``(B, 3, H, W)`` in [0, 1]. Where a standard deviation or a root is taken,
1e-8 stands under the root, so that constant pictures have finite gradients.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.images.rewards.catalogue import REWARDS, Sort
from engine.images.rewards.options import ColourOptions, HueOptions, PaletteOptions, RewardOptions
from engine.images.rewards.protocol import Reward, RewardContext

EPSILON = 1e-8
BORDER = 3
PALETTE_SOFTNESS = 0.01
"""Squared distance over which the nearest of two colours is decided softly."""

Mean = Callable[[Tensor], Tensor]
"""Mean ``(B,)`` over the pixels of a map ``(B, H, W)``."""


@dataclass(frozen=True)
class Formula:
    """A reward that is one function of the pictures."""

    name: str
    function: Callable[[Tensor], Tensor]
    kind: Sort = field(default="gradient", init=False)

    @property
    def title(self) -> str:
        """The user's words."""
        return REWARDS.get(self.name).title

    def batch(self, x: Tensor, context: RewardContext) -> Tensor:
        return self.function(x)


def luma(x: Tensor) -> Tensor:
    """``(B, H, W)``: 0.299 R + 0.587 G + 0.114 B."""
    return 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]


def mean_over(x: Tensor, subject_only: bool) -> Mean:
    """The mean over all pixels, or weighted by how far from white they are (weights detached)."""
    if not subject_only:
        return lambda values: values.mean(dim=(1, 2))
    weights = (1 - x.detach().amin(dim=1)).clamp(min=0)
    total = weights.sum(dim=(1, 2)) + 1e-3
    return lambda values: (weights * values).sum(dim=(1, 2)) / total


def root(x: Tensor) -> Tensor:
    """Square root with a finite slope at 0."""
    return (x + EPSILON).sqrt()


def brightness(options: ColourOptions, context: RewardContext) -> Reward:
    """Mean luma."""
    return Formula("brightness", lambda x: mean_over(x, options.subject_only)(luma(x)))


def colourfulness(options: ColourOptions, context: RewardContext) -> Reward:
    """Spread plus 0.3 times strength of red-green and yellow-blue (Hasler & Süsstrunk 2003)."""

    def value(x: Tensor) -> Tensor:
        mean = mean_over(x, options.subject_only)
        red_green = x[:, 0] - x[:, 1]
        yellow_blue = (x[:, 0] + x[:, 1]) / 2 - x[:, 2]
        centre = mean(red_green), mean(yellow_blue)
        spread = mean((red_green - centre[0][:, None, None]).square()) + mean(
            (yellow_blue - centre[1][:, None, None]).square()
        )
        return root(spread) + 0.3 * root(centre[0].square() + centre[1].square())

    return Formula("colourfulness", value)


def warmth(options: ColourOptions, context: RewardContext) -> Reward:
    """Mean of red minus blue."""
    return Formula("warmth", lambda x: mean_over(x, options.subject_only)(x[:, 0] - x[:, 2]))


def hue(options: HueOptions, context: RewardContext) -> Reward:
    """Mean chroma towards an angle of the hexagon of hues."""
    cosine, sine = (f(math.radians(options.angle)) for f in (math.cos, math.sin))

    def value(x: Tensor) -> Tensor:
        along_red = x[:, 0] - (x[:, 1] + x[:, 2]) / 2
        across = math.sqrt(3) / 2 * (x[:, 1] - x[:, 2])
        return mean_over(x, options.subject_only)(along_red * cosine + across * sine)

    return Formula("hue", value)


def palette(options: PaletteOptions, context: RewardContext) -> Reward:
    """Minus the soft minimum of squared distances to the palette's colours, mean over pixels."""
    colours = torch.tensor([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in options.colours])

    def value(x: Tensor) -> Tensor:
        targets = colours.to(x)[:, None, :, None, None]
        distances = (x - targets).square().sum(dim=2)  # (K, B, H, W)
        nearest = -PALETTE_SOFTNESS * torch.logsumexp(-distances / PALETTE_SOFTNESS, dim=0)
        return -mean_over(x, options.subject_only)(nearest)

    return Formula("palette", value)


def contrast(options: ColourOptions, context: RewardContext) -> Reward:
    """Standard deviation of luma."""

    def value(x: Tensor) -> Tensor:
        mean, y = mean_over(x, options.subject_only), luma(x)
        return root(mean((y - mean(y)[:, None, None]).square()))

    return Formula("contrast", value)


def sharpness(options: RewardOptions, context: RewardContext) -> Reward:
    """Root mean square of the 4-neighbour Laplacian of luma, inside the picture."""

    def value(x: Tensor) -> Tensor:
        y = luma(x)
        neighbours = y[:, :-2, 1:-1] + y[:, 2:, 1:-1] + y[:, 1:-1, :-2] + y[:, 1:-1, 2:]
        return root((neighbours - 4 * y[:, 1:-1, 1:-1]).square().mean(dim=(1, 2)))

    return Formula("sharpness", value)


def smoothness(options: RewardOptions, context: RewardContext) -> Reward:
    """Minus the mean absolute differences of vertical and of horizontal neighbours."""

    def value(x: Tensor) -> Tensor:
        vertical = (x[:, :, 1:] - x[:, :, :-1]).abs().mean(dim=(1, 2, 3))
        horizontal = (x[:, :, :, 1:] - x[:, :, :, :-1]).abs().mean(dim=(1, 2, 3))
        return -(vertical + horizontal)

    return Formula("smoothness", value)


def symmetry(options: RewardOptions, context: RewardContext) -> Reward:
    """Minus the mean absolute difference from the mirror image."""
    return Formula("symmetry", lambda x: -(x - x.flip(3)).abs().mean(dim=(1, 2, 3)))


def border(x: Tensor) -> Tensor:
    """The pixels ``(B, 3, N)`` of the ring of 3 pixels at the edge."""
    size = x.shape[-2:]
    inner = torch.ones(max(size[0] - 2 * BORDER, 0), max(size[1] - 2 * BORDER, 0), device=x.device)
    ring = F.pad(inner, (BORDER,) * 4)[: size[0], : size[1]] == 0
    return x[:, :, ring]


def plain_background(options: RewardOptions, context: RewardContext) -> Reward:
    """Minus the mean absolute difference of the border from its own mean colour."""

    def value(x: Tensor) -> Tensor:
        pixels = border(x)
        return -(pixels - pixels.mean(dim=2, keepdim=True)).abs().mean(dim=(1, 2))

    return Formula("plain_background", value)


def white_border(options: RewardOptions, context: RewardContext) -> Reward:
    """Minus the mean absolute difference of the border from white."""
    return Formula("white_border", lambda x: -(1 - border(x)).abs().mean(dim=(1, 2)))
