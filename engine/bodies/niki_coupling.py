"""Invertible networks of affine coupling blocks (RealNVP, Dinh et al. 2017), as NIKI uses them.

A block changes every other number by a scale and a shift that two small networks compute from the
numbers it leaves alone, so that it can be undone exactly (Li et al. 2023, "NIKI", CVPR, section 3.2)::

    inverse, joints to pose:   x' = b x + (1 - b) (x exp(s(b x)) + t(b x))
    forward, pose to joints:   x  = b x' + (1 - b) (x' - t(b x')) exp(-s(b x'))

with the mask b = 0101..., 1010..., ... from block to block. Only the numbers that b keeps enter the
networks and only the others leave them: half the arithmetic of multiplying by masks, the same result.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import invalid_input

LEAK = 0.01


class ScaleAndShift(nn.Module):
    """The networks s and t of one block, computed side by side.

    Three layers, leaky ReLU between them, tanh behind the last of s only: a block scales by at most e.
    The last layer begins at zero, so that the flow begins as the identity.

    Parameters
    ----------
    inputs, width, outputs
        Sizes; condition numbers count as inputs.
    dropout
        After both inner layers, in training.
    """

    def __init__(self, inputs: int, width: int, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        sizes = ((inputs, width), (width, width), (width, outputs))
        for before, after in sizes:
            # As nn.Linear draws them, for each of the two networks.
            bound = 1 / math.sqrt(before)
            self.weights.append(nn.Parameter(torch.empty(2, before, after).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(2, 1, after).uniform_(-bound, bound)))
        nn.init.zeros_(self.weights[-1])
        nn.init.zeros_(self.biases[-1])

    def forward(self, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of scales, and shifts, ``(B, outputs)`` each, from ``(B, inputs)``."""
        hidden = kept.expand(2, -1, -1)
        last = len(self.weights) - 1
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if index < last:
                hidden = F.leaky_relu(hidden, LEAK)
                hidden = F.dropout(hidden, self.dropout, self.training)
        return hidden[0].tanh(), hidden[1]


class CouplingFlow(nn.Module):
    """A chain of coupling blocks on ``size`` numbers, exact in both directions.

    With dropout it is invertible in evaluation mode only: each direction would drop others.

    Parameters
    ----------
    size
        How many numbers, even.
    blocks, width
        Of the chain; of the networks' inner layers.
    condition
        How many numbers every network also sees, which are the same in both directions.
    dropout
        See :class:`ScaleAndShift`.

    Raises
    ------
    EngineError
        ``invalid_input`` for an odd size or no block.
    """

    def __init__(
        self, size: int, blocks: int, width: int, condition: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if size < 2 or size % 2 or blocks < 1:
            raise invalid_input(f"A coupling flow of {blocks} blocks on {size} numbers is none.")
        self.size, self.condition = size, condition
        self.blocks = nn.ModuleList(
            ScaleAndShift(size // 2 + condition, width, size // 2, dropout) for _ in range(blocks)
        )

    def inverse(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The process the paper calls inverse: ``(B, size)`` to ``(B, size)``.

        Returns the numbers and the logarithm of the Jacobian's determinant ``(B,)``.

        Raises
        ------
        EngineError
            ``invalid_input`` for other sizes.
        """
        self._check(x, condition)
        determinant = x.new_zeros(len(x))
        for index, block in enumerate(self.blocks):
            changed, kept = _parts(x, index)
            scale, shift = block(_beside(kept, condition))
            changed = changed * scale.exp() + shift
            determinant = determinant + scale.sum(-1)
            x = _joined(changed, kept, index)
        return x, determinant

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """What undoes :meth:`inverse`, likewise."""
        self._check(x, condition)
        determinant = x.new_zeros(len(x))
        for index, block in reversed(list(enumerate(self.blocks))):
            changed, kept = _parts(x, index)
            scale, shift = block(_beside(kept, condition))
            changed = (changed - shift) * (-scale).exp()
            determinant = determinant - scale.sum(-1)
            x = _joined(changed, kept, index)
        return x, determinant

    def _check(self, x: Tensor, condition: Tensor | None) -> None:
        given = 0 if condition is None else condition.shape[-1]
        if x.ndim != 2 or x.shape[1] != self.size or given != self.condition:
            raise invalid_input(
                f"This flow takes (B, {self.size}) numbers and {self.condition} of a condition, not "
                f"{tuple(x.shape)} and {given}."
            )


def _parts(x: Tensor, index: int) -> tuple[Tensor, Tensor]:
    """Numbers that block ``index`` changes, and those that it keeps."""
    even, odd = x[:, 0::2], x[:, 1::2]
    return (even, odd) if index % 2 == 0 else (odd, even)


def _joined(changed: Tensor, kept: Tensor, index: int) -> Tensor:
    pair = (changed, kept) if index % 2 == 0 else (kept, changed)
    return torch.stack(pair, -1).flatten(1)


def _beside(kept: Tensor, condition: Tensor | None) -> Tensor:
    return kept if condition is None else torch.cat([kept, condition], 1)
