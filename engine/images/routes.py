"""What a dynamic network computed for a picture: widths by time step, tokens by place.

A route file is a safetensors file that is read without torch; E time steps (descending), L blocks:

    timesteps   (E,) float32           training time steps
    heads       (E, L) uint16          open attention heads
    groups      (E, L) uint16          open channel groups of the MLP
    tokens      (E, L, n) uint8        open tokens, packed bits, row-major over the token grid
    shares      (E,) float32           computed share of the blocks' arithmetic

Its metadata have ``num_heads``, ``groups`` and ``side`` (tokens along one side of the picture). With
guidance there are two evaluations of a step; the file tells of the one with the condition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save
from torch import Tensor

from engine.images.dit import DiTConfig
from engine.images.dynamic_costs import BlockMacs, fixed_macs, router_macs, static_macs
from engine.images.dynamic_slices import WidthPlan

MEDIA_TYPE = "application/x-triptych-routes"


@dataclass(frozen=True)
class StepRoute:
    """What was computed at one time step for one picture.

    ``heads`` and ``groups`` are ``(L,)``, ``tokens`` ``(L, N)`` bool.
    """

    heads: NDArray[np.uint16]
    groups: NDArray[np.uint16]
    tokens: NDArray[np.bool_]
    share: float


@dataclass
class Arithmetic:
    """Counted multiply-accumulates of a network's evaluations.

    Attributes
    ----------
    macs
        Of what was computed.
    static_macs
        Of the same evaluations with everything open.
    block_macs, static_block_macs
        The same of attention and MLPs alone, which are all that gates can leave out.
    """

    macs: float = 0.0
    static_macs: float = 0.0
    block_macs: float = 0.0
    static_block_macs: float = 0.0

    def __add__(self, other: Arithmetic) -> Arithmetic:
        return Arithmetic(
            self.macs + other.macs,
            self.static_macs + other.static_macs,
            self.block_macs + other.block_macs,
            self.static_block_macs + other.static_block_macs,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON values; ``ratio`` is of the whole network, ``block_ratio`` of its blocks."""
        return {
            "macs": round(self.macs),
            "static_macs": round(self.static_macs),
            "ratio": round(self.macs / self.static_macs, 4) if self.static_macs else None,
            "block_ratio": (
                round(self.block_macs / self.static_block_macs, 4) if self.static_block_macs else None
            ),
        }


class RouteLog:
    """Listens to the evaluations of a DiT for some pictures.

    Parameters
    ----------
    config
        Sizes of the network.
    groups
        Its channel groups; 0 for a static one, of which nothing but the arithmetic is told.
    branches
        Rows a state has: 2 with guidance. The first rows are those with the condition.
    """

    def __init__(self, config: DiTConfig, groups: int, branches: int) -> None:
        self.config, self.groups, self.branches = config, groups, branches
        self._macs = BlockMacs.of(config)
        self._fixed, self._static = fixed_macs(config), float(static_macs(config))
        self._static_blocks = self._static - self._fixed
        self._routers = router_macs(config, groups) if groups else 0
        self._pictures = 1
        self._routes: list[dict[float, StepRoute]] = [{}]
        self._counted: list[Arithmetic] = [Arithmetic()]
        self.total = Arithmetic()

    def begin(self, pictures: int) -> None:
        """Rows are of these pictures from now on; what was kept of others is forgotten."""
        self._pictures = pictures
        self._routes = [{} for _ in range(pictures)]
        self._counted = [Arithmetic() for _ in range(pictures)]

    def observe(self, t: Tensor, plans: list[WidthPlan], opened: list[Tensor]) -> None:
        """Note one evaluation of a dynamic network: what :meth:`DynamicDiT.forward` tells."""
        heads = np.array([[sum(mask) for mask in plan.heads] for plan in plans], np.uint16).T
        groups = np.array([[sum(mask) for mask in plan.groups] for plan in plans], np.uint16).T
        tokens = torch.stack(opened, 1).cpu().numpy()
        widths = heads / self.config.num_heads, groups / self.groups * tokens.mean(2)
        blocks = (widths[0] * self._macs.attention + widths[1] * self._macs.mlp).sum(1)
        self._count(blocks, self._routers)
        rows = len(t) // self.branches
        for row, step in enumerate(t[:rows].tolist()):
            if (picture := self._picture(row, rows)) is not None:
                share = float(blocks[row] / self._static_blocks)
                self._routes[picture][step] = StepRoute(heads[row], groups[row], tokens[row], share)

    def observe_static(self, rows: int) -> None:
        """Note one evaluation of a static network with so many rows."""
        self._count(np.full(rows, self._static_blocks), 0)

    def arithmetic(self, picture: int) -> Arithmetic | None:
        """Of one picture; ``None`` where rows could not be told apart."""
        counted = self._counted[picture]
        return counted if counted.static_macs else None

    def file(self, picture: int) -> bytes | None:
        """The route file of a picture, or ``None`` when nothing is known of it."""
        found = sorted(self._routes[picture].items(), reverse=True)
        if not found:
            return None
        steps = [step for _, step in found]
        tensors: dict[str, NDArray[Any]] = {
            "timesteps": np.array([t for t, _ in found], np.float32),
            "heads": np.stack([step.heads for step in steps]),
            "groups": np.stack([step.groups for step in steps]),
            "tokens": np.packbits(np.stack([step.tokens for step in steps]), axis=2),
            "shares": np.array([step.share for step in steps], np.float32),
        }
        side = self.config.input_size // self.config.patch_size
        about = {"num_heads": self.config.num_heads, "groups": self.groups, "side": side}
        return save(tensors, {key: str(value) for key, value in about.items()})

    def _picture(self, row: int, rows: int) -> int | None:
        """Which picture a row is of: in order, one each, or all of a single one."""
        if self._pictures == 1:
            return 0
        return row if rows == self._pictures else None

    def _count(self, blocks: NDArray[np.float64], routers: int) -> None:
        rows = len(blocks) // self.branches
        for row, macs in enumerate(blocks):
            found = Arithmetic(macs + self._fixed + routers, self._static, macs, self._static_blocks)
            self.total += found
            if (picture := self._picture(row % rows, rows)) is not None:
                self._counted[picture] += found
