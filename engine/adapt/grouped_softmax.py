"""A classifier for classes of very different size: rare ones never compete with frequent ones.

Balanced group softmax (BAGS, Li et al. 2020, arXiv 2006.10408), as AOA uses it (arXiv 2101.08040):
classes are grouped by how many examples they have, and each group has a softmax of its own with
one more output, "others", for what belongs to another group. A detector has one more group that tells
objects from background.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from engine.errors import invalid_input

EDGES = (10, 100, 1000)
"""Numbers of examples at which the next group begins."""
IMBALANCED = 20.0
"""Ratio of the largest to the smallest class above which the grouped classifier pays."""


def is_imbalanced(counts: Sequence[int], most: float = IMBALANCED) -> bool:
    """Whether the largest class has more than ``most`` times the examples of the smallest one."""
    return len(counts) > 0 and max(counts) > most * max(min(counts), 1)


class GroupedSoftmax(nn.Module):
    """The last layer of a classifier, its loss and its probabilities.

    Parameters
    ----------
    features
        Width of what comes in.
    counts
        ``(C,)`` training examples of each class.
    edges
        Ascending; a class with ``edges[0]`` examples or more is in the second group, and so on.
        Groups without classes are left out.
    background
        Whether there is something that is no object: it has the label ``C``.
    others_per_real
        In a batch at most this many examples of other groups count for each one of a group's own, so
        that "others" does not win everywhere.

    Raises
    ------
    EngineError
        ``invalid_input`` without classes, for negative counts or edges that do not ascend.
    """

    def __init__(
        self,
        features: int,
        counts: Sequence[int],
        *,
        edges: Sequence[int] = EDGES,
        background: bool = False,
        others_per_real: float = 8.0,
    ) -> None:
        super().__init__()
        if not len(counts) or min(counts) < 0 or list(edges) != sorted(set(edges)):
            raise invalid_input(
                "Classes cannot be grouped: each needs a number of examples from 0, and the limits of "
                "the groups must ascend."
            )
        self.background = background
        self.others_per_real = others_per_real
        group_of = np.searchsorted(np.asarray(edges), np.asarray(counts), side="right")
        groups = [np.flatnonzero(group_of == group) for group in np.unique(group_of)]
        self.groups: tuple[tuple[int, ...], ...] = tuple(tuple(group.tolist()) for group in groups)
        """Classes of each group; output 0 of a group is "others", then come these."""
        self.classes = len(counts)
        # Where a class, or the background, is among the outputs of each group; 0 is "others".
        places = torch.zeros(len(self.groups), self.classes + 1, dtype=torch.long)
        for row, group in enumerate(self.groups):
            places[row, list(group)] = torch.arange(1, len(group) + 1)
        self.register_buffer("places", places, persistent=False)
        self.sizes = [len(group) + 1 for group in self.groups] + ([2] if background else [])
        self.linear = nn.Linear(features, sum(self.sizes))

    def forward(self, features: Tensor) -> Tensor:
        """Logits ``(B, K)`` of all groups one after the other, from features ``(B, F)``.

        The background's group is the last, (background, object).
        """
        return self.linear(features)

    def loss(self, logits: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """The sum of the groups' cross-entropies, each the mean over the examples that count in it.

        Parameters
        ----------
        logits
            ``(B, K)`` from :meth:`forward`.
        labels
            int64 ``(B,)`` classes; ``C`` for background.
        generator
            Chooses which examples of other groups count; on the CPU.

        Returns
        -------
        ``()``. A group without an example of its own in the batch adds nothing.

        Raises
        ------
        EngineError
            ``invalid_input`` for labels that are no class.
        """
        most = self.classes if self.background else self.classes - 1
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) <= most:
            raise invalid_input(
                f"Labels go from 0 to {most}; the batch has others. Nothing was learnt."
            )
        parts = torch.split(logits, self.sizes, dim=1)
        places: Tensor = self.places  # type: ignore[assignment]
        total = logits.sum() * 0.0  # so that a batch of nothing has a gradient, of zeros
        for part, place in zip(parts, places, strict=False):
            target = place[labels]
            weight = self._weights(target, generator)
            if weight.any():
                each = nn.functional.cross_entropy(part, target, reduction="none")
                total = total + (each * weight).sum() / weight.sum()
        if self.background and len(labels):
            is_object = (labels < self.classes).long()
            total = total + nn.functional.cross_entropy(parts[-1], is_object)
        return total

    def _weights(self, target: Tensor, generator: torch.Generator) -> Tensor:
        """``(B,)`` 1 for a group's own examples and for a random choice of the others, else 0."""
        real = target > 0
        count = int(self.others_per_real * int(real.sum()))
        others = torch.nonzero(~real).flatten()
        order = torch.randperm(len(others), generator=generator)[:count].to(target.device)
        weight = real.float()
        weight[others[order]] = 1.0
        return weight

    def probabilities(self, logits: Tensor) -> Tensor:
        """``(B, C)``, or ``(B, C + 1)`` with the background last, from logits ``(B, K)``.

        With background: the probability in the class's group times that of being an object at all, as
        published; these do not sum to 1. Without: scaled so that they do.
        """
        parts = [part.softmax(dim=1) for part in torch.split(logits, self.sizes, dim=1)]
        found = logits.new_zeros(len(logits), self.classes)
        for part, group in zip(parts, self.groups, strict=False):
            found[:, list(group)] = part[:, 1:]
        if not self.background:
            return found / found.sum(dim=1, keepdim=True).clamp_min(torch.finfo(found.dtype).tiny)
        return torch.cat([found * parts[-1][:, 1:], parts[-1][:, :1]], dim=1)
