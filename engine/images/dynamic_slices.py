"""Weights of a dynamic DiT without the parts that a time step leaves out, kept for the next one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from engine.images.dynamic_dit import DynamicBlock, DynamicDiT, Economy

SHARE_OF_MODEL = 2.0
"""Bytes of slices that are kept, as a multiple of the model's own."""

KNOWN_STEPS = 4096
"""Time steps whose masks are kept; only runs with fractional steps come to more."""

KNOWN_PLANS = 512
"""Batches of time steps whose plans are kept: a sampling run asks for the same ones again."""

Mask = tuple[bool, ...]


@dataclass(frozen=True)
class AttentionSlice:
    """Attention with some of its heads; the output has the full width."""

    qkv: Tensor
    qkv_bias: Tensor
    proj: Tensor
    proj_bias: Tensor
    heads: int

    def __call__(self, x: Tensor) -> Tensor:
        batch, tokens, _ = x.shape
        qkv = F.linear(x, self.qkv, self.qkv_bias).view(batch, tokens, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(query, key, value)
        return F.linear(mixed.transpose(1, 2).reshape(batch, tokens, -1), self.proj, self.proj_bias)

    @property
    def size_bytes(self) -> int:
        """Memory of the copies."""
        return _bytes(self.qkv, self.proj)


@dataclass(frozen=True)
class MlpSlice:
    """An MLP with some of its channels."""

    fc1: Tensor
    fc1_bias: Tensor
    fc2: Tensor
    fc2_bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        hidden = F.gelu(F.linear(x, self.fc1, self.fc1_bias), approximate="tanh")
        return F.linear(hidden, self.fc2, self.fc2_bias)

    @property
    def size_bytes(self) -> int:
        """Memory of the copies."""
        return _bytes(self.fc1, self.fc2)


@dataclass(frozen=True)
class WidthPlan:
    """What one block computes: slices, each with the rows of the batch that it is for.

    Rows are ``None`` where one slice is for all. ``heads`` and ``groups`` are the masks of each row.
    """

    heads: tuple[Mask, ...]
    groups: tuple[Mask, ...]
    attentions: tuple[tuple[Tensor | None, AttentionSlice], ...]
    mlps: tuple[tuple[Tensor | None, MlpSlice], ...]

    def attend(self, x: Tensor) -> Tensor:
        """Attention ``(B, N, D)`` of ``x (B, N, D)``, each row with its own heads."""
        first, attention = self.attentions[0]
        if first is None:
            return attention(x)
        places = [rows.nonzero().squeeze(1) for rows, _ in self.attentions if rows is not None]
        parts = [
            attention(x[rows]) for rows, (_, attention) in zip(places, self.attentions, strict=True)
        ]
        order = torch.argsort(torch.cat(places))
        return torch.cat(parts)[order]


class SliceCache:
    """The slices of a network's blocks, made once for each distinct mask, least used ones dropped.

    Weights that are changed in place, replaced or moved are noticed at the next call, unless they are
    written to through ``.data``, which torch does not count: :meth:`clear` is for that.
    """

    def __init__(self, network: DynamicDiT) -> None:
        # Not a submodule: it would be a circle of parameters.
        self._blocks = network.dynamic_blocks
        self._embedders = [e for e in (network.t_embedder, network.r_embedder) if e is not None]
        self._slices: OrderedDict[tuple[Any, ...], AttentionSlice | MlpSlice] = OrderedDict()
        self._masks: dict[tuple[Any, ...], tuple[tuple[Mask, Mask], ...]] = {}
        self._plans: dict[tuple[Any, ...], list[WidthPlan]] = {}
        self._stamp: list[tuple[int, int]] = []
        self._bytes = 0
        self._limit = SHARE_OF_MODEL * sum(p.numel() * p.element_size() for p in network.parameters())

    def __getstate__(self) -> dict[str, Any]:
        """A copy of the network starts without slices."""
        empty = {"_slices": OrderedDict(), "_masks": {}, "_plans": {}, "_stamp": [], "_bytes": 0}
        return self.__dict__ | empty

    @property
    def size_bytes(self) -> int:
        """Memory of the slices."""
        return self._bytes

    def plans(self, t: Tensor, code: Tensor, economy: Economy) -> list[WidthPlan]:
        """The plan of each block for rows at time steps ``t (B,)`` with routing codes ``(B, D)``."""
        stamp = [_version(p) for block in self._blocks for p in _used(block)]
        stamp += [_version(p) for embedder in self._embedders for p in embedder.parameters()]
        if stamp != self._stamp:
            self.clear()
            self._stamp = stamp
        steps = t.tolist()
        key = (tuple(steps), economy, t.device)
        if key in self._plans:
            self._touch(self._plans[key])
            return self._plans[key]
        masks = [self._masks_at(step, code[row : row + 1], economy) for row, step in enumerate(steps)]
        plans = [
            self._plan(index, block, [row[index] for row in masks], t.device)
            for index, block in enumerate(self._blocks)
        ]
        if len(self._plans) >= KNOWN_PLANS:
            self._plans.clear()
        self._plans[key] = plans
        self._drop()
        return plans

    def clear(self) -> None:
        """Forget everything."""
        self._slices.clear()
        self._masks.clear()
        self._plans.clear()
        self._stamp = []
        self._bytes = 0

    def _touch(self, plans: list[WidthPlan]) -> None:
        """Note that the slices of these plans were used."""
        for index, plan in enumerate(plans):
            for kind, masks in (("heads", plan.heads), ("groups", plan.groups)):
                for mask in set(masks):
                    if not all(mask):
                        self._slices.move_to_end((kind, index, mask))

    def _drop(self) -> None:
        """Drop the slices that were not used for longest, and every plan: they hold them."""
        while self._bytes > self._limit and len(self._slices) > 1:
            _, dropped = self._slices.popitem(last=False)
            self._bytes -= dropped.size_bytes
            self._plans.clear()

    def _masks_at(self, step: float, code: Tensor, economy: Economy) -> tuple[tuple[Mask, Mask], ...]:
        """Open heads and groups of each block at one time step."""
        if economy.complete:
            return tuple(((True,) * b.num_heads, (True,) * b.groups) for b in self._blocks)
        key = (step, economy.ratio, economy.threshold)
        if key not in self._masks:
            if len(self._masks) >= KNOWN_STEPS:
                self._masks.clear()
            heads = torch.stack([block.attn_rate.logits(code)[0] for block in self._blocks])
            groups = torch.stack([block.mlp_rate.logits(code)[0] for block in self._blocks])
            open_heads = (heads > economy.threshold).tolist()
            open_groups = (groups > economy.threshold).tolist()
            self._masks[key] = tuple(
                ((True, *h), (True, *g)) for h, g in zip(open_heads, open_groups, strict=True)
            )
        return self._masks[key]

    def _plan(
        self, index: int, block: DynamicBlock, masks: list[tuple[Mask, Mask]], device: torch.device
    ) -> WidthPlan:
        heads, groups = tuple(m[0] for m in masks), tuple(m[1] for m in masks)

        def shared(
            rows: tuple[Mask, ...], kind: str, cut: Callable[[DynamicBlock, Mask], Any]
        ) -> tuple[tuple[Tensor | None, Any], ...]:
            distinct = sorted(set(rows))
            if len(distinct) == 1:
                return (
                    (None, self._get((kind, index, distinct[0]), partial(cut, block, distinct[0]))),
                )
            return tuple(
                (
                    torch.tensor([row == mask for row in rows], device=device),
                    self._get((kind, index, mask), partial(cut, block, mask)),
                )
                for mask in distinct
            )

        return WidthPlan(
            heads, groups, shared(heads, "heads", cut_attention), shared(groups, "groups", cut_mlp)
        )

    def _get(self, key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        if key in self._slices:
            self._slices.move_to_end(key)
            return self._slices[key]
        found = make()
        if not all(key[2]):
            self._slices[key] = found
            self._bytes += found.size_bytes
        return found


def cut_attention(block: DynamicBlock, mask: Mask) -> AttentionSlice:
    """The attention of the open heads; contiguous copies, or the weights themselves for all heads."""
    attn = block.attn
    qkv, proj = attn.qkv, attn.proj
    if all(mask):
        return AttentionSlice(qkv.weight, qkv.bias, proj.weight, proj.bias, len(mask))
    width = qkv.weight.shape[1]
    rows = _open_channels(mask, width, qkv.weight.device)
    thirds = rows_of_thirds(rows, width)
    return AttentionSlice(
        qkv.weight[thirds].contiguous(),
        qkv.bias[thirds].contiguous(),
        proj.weight[:, rows].contiguous(),
        proj.bias,
        sum(mask),
    )


def cut_mlp(block: DynamicBlock, mask: Mask) -> MlpSlice:
    """The MLP of the open groups; contiguous copies, or the weights themselves for all groups."""
    fc1, fc2 = block.mlp.fc1, block.mlp.fc2
    if all(mask):
        return MlpSlice(fc1.weight, fc1.bias, fc2.weight, fc2.bias)
    rows = _open_channels(mask, fc1.weight.shape[0], fc1.weight.device)
    return MlpSlice(
        fc1.weight[rows].contiguous(),
        fc1.bias[rows].contiguous(),
        fc2.weight[:, rows].contiguous(),
        fc2.bias,
    )


def channels_of(parts: Tensor, each: int) -> Tensor:
    """Indices of the channels of ``parts (n,)``, each of ``each`` neighbours, in their order."""
    return (parts[:, None] * each + torch.arange(each, device=parts.device)).flatten()


def rows_of_thirds(rows: Tensor, width: int) -> Tensor:
    """The same rows of the queries, the keys and the values of a ``qkv`` layer."""
    return torch.cat([rows, rows + width, rows + 2 * width])


def _open_channels(mask: Mask, width: int, device: torch.device) -> Tensor:
    """Indices of the channels of the open parts."""
    parts = torch.tensor([i for i, open_ in enumerate(mask) if open_], device=device)
    return channels_of(parts, width // len(mask))


def _used(block: DynamicBlock) -> tuple[Tensor, ...]:
    """What masks and slices are made of, beside the embedders."""
    qkv, proj, fc1, fc2 = block.attn.qkv, block.attn.proj, block.mlp.fc1, block.mlp.fc2
    layers = (qkv, proj, fc1, fc2, block.attn_rate.router, block.mlp_rate.router)
    return tuple(part for layer in layers for part in (layer.weight, layer.bias))


def _version(tensor: Tensor) -> tuple[int, int]:
    """Changes when the values may have; tensors of inference mode count no versions."""
    return tensor.data_ptr(), -1 if tensor.is_inference() else tensor._version


def _bytes(*tensors: Tensor) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)
