"""The dynamic diffusion transformer (DyDiT; Zhao et al. 2025, arXiv 2410.03456).

A DiT that leaves out arithmetic where it matters least. Three small routers in every block decide
what is computed: which attention heads and which groups of MLP channels, from the time step
(timestep-wise dynamic width), and which tokens pass the MLP, from the tokens (spatial-wise dynamic
token). Head 0 and group 0 are always computed.

The same gates have two forms. :meth:`DynamicDiT.masked` multiplies by them and costs what the
static model costs: the form for training. :meth:`DynamicDiT.forward` slices weights and gathers
tokens, and costs less: the form for everything else. Both give the same values to rounding. Every
decision belongs to one row of the batch at one time step, never to the batch.

Parameter names are those of the released program, so its files load unchanged. Ours in addition: a
network may be told the wanted share of the arithmetic (``r_embedder``), so that one file serves
every share; and the channel groups may be finer than the heads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.errors import invalid_input
from engine.images.dit import Attention, DiT, DiTBlock, DiTConfig, Mlp, modulate
from engine.images.dynamic_routers import (
    BlockGates,
    Decide,
    GumbelGates,
    TokenRouter,
    WidthRouter,
    hard_gates,
)
from engine.images.dynamic_slices import SliceCache, WidthPlan

__all__ = [
    "AS_TRAINED",
    "BlockGates",
    "DynamicBlock",
    "DynamicConfig",
    "DynamicDiT",
    "Economy",
    "GumbelGates",
    "hard_gates",
]

WIDTH_BIAS = 15.0
TOKEN_BIAS = 35.0
"""First biases of the released program: every gate starts open."""

DENSE_SHARE = 0.9
"""Share of open tokens above which all pass the MLP: gathering would cost more than it saves."""

_CENTRE, _REACH = 0.7, 0.3
"""The wanted share is told to the network as a number within [-1, 1] for 40 % to 100 %."""


@dataclass(frozen=True)
class DynamicConfig:
    """What a :class:`DynamicDiT` has beside a :class:`DiTConfig`.

    Attributes
    ----------
    groups
        Groups that the MLP's channels are cut into; the released program has one a head.
    told_ratio
        Whether the routers are told the wanted share of the arithmetic.
    """

    groups: int
    told_ratio: bool = False


@dataclass(frozen=True)
class Economy:
    """How a dynamic network is asked to economise.

    Attributes
    ----------
    ratio
        Wanted share of the blocks' arithmetic, for a network that is told; others ignore it.
    threshold
        Gates open where their logit is above it. 0 is what was trained; more is cheaper, untrained.
    complete
        Everything is computed and the routers are not asked: the static function.
    """

    ratio: float = 1.0
    threshold: float = 0.0
    complete: bool = False


AS_TRAINED = Economy()


class DynamicBlock(DiTBlock):
    """A DiT block with its three routers."""

    attn: Attention
    mlp: Mlp

    def __init__(self, config: DiTConfig, dynamic: DynamicConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        self.num_heads, self.groups = config.num_heads, dynamic.groups
        self.attn_rate = WidthRouter(width, config.num_heads)
        self.mlp_rate = WidthRouter(width, dynamic.groups)
        self.token_selection = TokenRouter(width, dynamic.told_ratio)

    def masked(
        self,
        x: Tensor,
        condition: Tensor,
        code: Tensor,
        decide: Decide,
        computed: Tensor | None,
        decide_tokens: Decide | None = None,
    ) -> tuple[Tensor, BlockGates]:
        """The block with all its arithmetic and closed parts multiplied away.

        ``decide`` makes gates of logits, ``decide_tokens`` those of tokens where they differ;
        ``computed (B,)`` marks rows that are computed completely, whatever the routers say.
        """
        batch, tokens, width = x.shape
        heads = self.attn_rate.gates(code, decide)
        groups = self.mlp_rate.gates(code, decide)
        if computed is not None:
            heads = torch.where(computed[:, None], 1.0, heads)
            groups = torch.where(computed[:, None], 1.0, groups)
        parts = self.adaLN_modulation(condition).chunk(6, dim=1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = parts
        query, key, value = (
            self.attn.qkv(modulate(self.norm1(x), shift_a, scale_a))
            .view(batch, tokens, 3, self.num_heads, -1)
            .permute(2, 0, 3, 1, 4)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        mixed = mixed * heads[:, :, None, None].to(mixed.dtype)
        x = x + gate_a[:, None] * self.attn.proj(mixed.transpose(1, 2).reshape(batch, tokens, width))
        opened = (decide_tokens or decide)(self.token_selection.logits(x, code))
        if computed is not None:
            opened = torch.where(computed[:, None], 1.0, opened)
        hidden = self.mlp.fc1(modulate(self.norm2(x), shift_m, scale_m))
        each = groups.repeat_interleave(hidden.shape[-1] // self.groups, dim=1)
        hidden = F.gelu(hidden * each[:, None].to(hidden.dtype), approximate="tanh")
        y = gate_m[:, None] * self.mlp.fc2(hidden)
        return x + opened[..., None].to(y.dtype) * y, BlockGates(heads, groups, opened)

    def gathered(
        self, x: Tensor, condition: Tensor, code: Tensor, plan: WidthPlan, threshold: float | None
    ) -> tuple[Tensor, Tensor]:
        """The block with its closed parts left out; gives ``x`` and the open tokens ``(B, N)``.

        ``threshold`` is that of the token router; ``None`` opens all tokens unasked.
        """
        # Not padded as in ConditionLinear, which takes thrice as long for one picture: how many tokens
        # are gathered makes the batch count for the last digits anyway.
        layer = self.adaLN_modulation[1]
        assert isinstance(layer, nn.Linear)
        parts = F.linear(F.silu(condition), layer.weight, layer.bias).chunk(6, dim=1)
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = parts
        normed = torch.addcmul(shift_a[:, None], self.norm1(x), 1 + scale_a[:, None])
        mixed = plan.attend(normed)
        x = torch.addcmul(x, gate_a[:, None], mixed)
        batch, tokens, width = x.shape
        if threshold is None:
            opened = torch.ones(batch, tokens, dtype=torch.bool, device=x.device)
        else:
            with torch.no_grad():
                opened = self.token_selection.logits(x, code) > threshold
        flat = x.view(batch * tokens, width)
        for rows, mlp in plan.mlps:
            chosen = opened if rows is None else opened & rows[:, None]
            places = chosen.flatten().nonzero().squeeze(1)
            if rows is None and len(places) > DENSE_SHARE * len(flat):
                y = gate_m[:, None] * mlp(modulate(self.norm2(x), shift_m, scale_m))
                return x + y if len(places) == len(flat) else x + opened[..., None] * y, opened
            # Each token with its own picture's modulation; a single picture's needs no copies.
            scale, shift, gate = 1 + scale_m, shift_m, gate_m
            if batch > 1:
                image = places // tokens
                scale, shift, gate = (part.index_select(0, image) for part in (scale, shift, gate))
            inner = torch.addcmul(shift, self.norm2(flat.index_select(0, places)), scale)
            update = (gate * mlp(inner)).to(flat.dtype)
            # x is this block's own sum, so that nobody misses it; gradients need it as it was.
            if torch.is_grad_enabled():
                flat = flat.index_add(0, places, update)
            else:
                flat = flat.index_add_(0, places, update)
        return flat.view(batch, tokens, width), opened


class DynamicDiT(DiT):
    """A :class:`DiT` whose width depends on the time step and whose MLPs skip tokens.

    Raises
    ------
    EngineError
        ``invalid_input`` when the MLP's channels cannot be cut into equal groups.
    """

    def __init__(self, config: DiTConfig, dynamic: DynamicConfig) -> None:
        if dynamic.groups < 2 or config.num_heads < 2:
            raise invalid_input(
                f"A dynamic model needs at least 2 heads and 2 channel groups, not {config.num_heads} "
                f"and {dynamic.groups}."
            )
        if config.mlp_width % dynamic.groups:
            raise invalid_input(
                f"The {config.mlp_width} channels of the MLPs cannot be cut into {dynamic.groups} "
                "equal groups."
            )
        super().__init__(config, lambda sizes: DynamicBlock(sizes, dynamic))
        self.dynamic = dynamic
        width = config.hidden_size
        self.r_embedder = (
            nn.Sequential(nn.Linear(1, width), nn.SiLU(), nn.Linear(width, width))
            if dynamic.told_ratio
            else None
        )
        self.open_routers()
        self._slices = SliceCache(self)
        self.register_load_state_dict_post_hook(_forget_slices)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or convert the weights; slices of them are not taken along."""
        self._slices.clear()
        return super()._apply(fn, recurse)

    @property
    def dynamic_blocks(self) -> list[DynamicBlock]:
        """The blocks, by their type."""
        return [block for block in self.blocks if isinstance(block, DynamicBlock)]

    @torch.no_grad()
    def open_routers(self, width_bias: float = WIDTH_BIAS, token_bias: float = TOKEN_BIAS) -> None:
        """Set the routers' last biases, so that every gate starts open."""
        for block in self.dynamic_blocks:
            block.attn_rate.router.bias.fill_(width_bias)
            block.mlp_rate.router.bias.fill_(width_bias)
            block.token_selection.last.bias.fill_(token_bias)
            if block.token_selection.shift is not None:
                _set_to_zero(block.token_selection.shift)
        if self.r_embedder is not None:
            _set_to_zero(self.r_embedder[2])

    def routing_code(self, time: Tensor, ratio: Tensor) -> Tensor:
        """What the routers read ``(B, D)``: the time embedding, and the wanted share ``(B,)``."""
        if self.r_embedder is None:
            return time
        told = ((ratio.to(time) - _CENTRE) / _REACH)[:, None]
        return time + self.r_embedder(told)

    def masked(
        self,
        x: Tensor,
        t: Tensor,
        y: Tensor,
        words: Tensor | None = None,
        *,
        ratio: Tensor | None = None,
        decide: Decide = hard_gates,
        decide_tokens: Decide | None = None,
        complete: Tensor | None = None,
    ) -> tuple[Tensor, list[BlockGates]]:
        """The training form: output ``(B, C_out, S, S)`` and every block's gates.

        Parameters
        ----------
        x, t, y, words
            See :class:`DiT`.
        ratio
            Wanted share ``(B,)`` for a network that is told; all of it by default.
        decide, decide_tokens
            From logits to gates, of all parts or of tokens where theirs differ.
        complete
            Rows ``(B,)`` bool that are computed completely whatever the routers say.
        """
        tokens, condition, time = self.embed(x, t, y, words)
        code = self.routing_code(time, torch.ones_like(t) if ratio is None else ratio)
        gates = []
        for block in self.dynamic_blocks:
            tokens, found = block.masked(tokens, condition, code, decide, complete, decide_tokens)
            gates.append(found)
        return self.unpatchify(self.final_layer(tokens, condition)), gates

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        y: Tensor,
        words: Tensor | None = None,
        economy: Economy = AS_TRAINED,
        observe: Callable[[list[WidthPlan], list[Tensor]], None] | None = None,
    ) -> Tensor:
        """The form for use: closed heads, groups and tokens are not computed.

        ``observe`` is told the widths and the open tokens ``(B, N)`` of each block. Gradients flow
        to ``x`` along the route that was taken; the routers have none.
        """
        tokens, condition, time = self.embed(x, t, y, words)
        with torch.no_grad():
            code = self.routing_code(time, torch.full_like(t, economy.ratio))
            plans = self._slices.plans(t, code, economy)
        threshold = None if economy.complete else economy.threshold
        opened = []
        for block, plan in zip(self.dynamic_blocks, plans, strict=True):
            tokens, chosen = block.gathered(tokens, condition, code, plan, threshold)
            opened.append(chosen)
        if observe is not None:
            observe(plans, opened)
        return self.unpatchify(self.final_layer(tokens, condition))


def _forget_slices(module: nn.Module, _keys: object) -> None:
    assert isinstance(module, DynamicDiT)
    module._slices.clear()


def _set_to_zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.zero_()
