"""Dynamic tuning (DyT): a frozen vision transformer that learns from small parts and skips tokens.

"Dynamic Tuning Towards Parameter and Inference Efficiency for ViT Adaptation" (NeurIPS 2024). Every
block gets an adapter that sees all tokens, and a dispatcher that lets the less informative ones skip
a part of the block; which part is the variant. Masked, everything is computed and closed parts
are multiplied by 0; gathered, they are not computed at all. Both are one function, to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from engine.adapt.adapters import Adapter, Dispatcher, MixtureAdapter, hard_gates, sampled_gates
from engine.adapt.vit import Block, ViT, ViTConfig

Variant = Literal["attention", "mlp", "attention_mlp", "layer"]
Path = Literal["masked", "gathered", "complete"]


@dataclass(frozen=True)
class Tuning:
    """What is added to a vision transformer.

    Attributes
    ----------
    variant
        What a closed token skips: attention (as query and as key), the MLP, each of both by a
        dispatcher of its own, or the whole block.
    hidden, scale
        Width d of the adapters, and the factor s on what they say.
    experts
        Adapters whose weights are mixed for each picture; 1 for plain ones.
    """

    variant: Variant = "mlp"
    hidden: int = 64
    scale: float = 0.1
    experts: int = 1


@dataclass(frozen=True)
class Tuned:
    """What a tuned model computed.

    Attributes
    ----------
    output
        Logits ``(B, K)``.
    logits, gates
        ``(B, G, P)`` of patch tokens, G the dispatchers of all blocks; gates of complete runs are 1.
    """

    output: Tensor
    logits: Tensor
    gates: Tensor

    @property
    def rate(self) -> Tensor:
        """Share of the gates that are open, over pictures, blocks and patch tokens."""
        return self.gates.mean()


@dataclass
class _Run:
    """How blocks should compute, and what their dispatchers said."""

    path: Path
    prefix: int
    sampled: bool
    generator: torch.Generator | None
    logits: list[Tensor]
    gates: list[Tensor]

    def gate(self, dispatcher: Dispatcher, x: Tensor) -> Tensor:
        """Gates ``(B, T)`` of all tokens; those before the patches are always open."""
        logits = dispatcher(x[:, self.prefix :])
        if self.path == "complete":
            gates = torch.ones_like(logits)
        elif self.sampled:
            gates = sampled_gates(logits, self.generator)
        else:
            gates = hard_gates(logits)
        self.logits.append(logits)
        self.gates.append(gates)
        return torch.cat([gates.new_ones(len(x), self.prefix), gates], 1).to(x.dtype)


class TunedBlock(Block):
    """A block with adapters and dispatchers."""

    def __init__(self, config: ViTConfig, tuning: Tuning) -> None:
        super().__init__(config)
        self.variant = tuning.variant
        width = config.width

        def adapter() -> nn.Module:
            if tuning.experts > 1:
                return MixtureAdapter(width, tuning.hidden, tuning.scale, tuning.experts)
            return Adapter(width, tuning.hidden, tuning.scale)

        if self.variant in ("attention", "attention_mlp"):
            self.adaptattn, self.attn_token_select = adapter(), Dispatcher(width)
        if self.variant in ("mlp", "attention_mlp"):
            self.adaptmlp, self.mlp_token_select = adapter(), Dispatcher(width)
        if self.variant == "layer":
            self.adaptlayer, self.layer_token_select = adapter(), Dispatcher(width)

    def run(self, x: Tensor, run: _Run) -> Tensor:
        """Tokens ``(B, T, C)`` through the block."""
        if self.variant == "layer":
            gates = run.gate(self.layer_token_select, x)
            return self._gated(x, gates, run.path, "layer") + self.adaptlayer(x)
        if self.variant == "mlp":
            x = x + self.attended(x)
        else:
            gates = run.gate(self.attn_token_select, x)
            x = self._gated(x, gates, run.path, "attention") + self.adaptattn(x)
        if self.variant == "attention":
            return x + self.transformed(x)
        gates = run.gate(self.mlp_token_select, x)
        return self._gated(x, gates, run.path, "mlp") + self.adaptmlp(x)

    def _gated(self, x: Tensor, gates: Tensor, path: Path, part: str) -> Tensor:
        """``x`` plus what ``part`` adds to its open tokens."""
        if path == "complete":
            return x + self._added(x, None, part)
        if path == "masked":
            # Closed tokens are no keys either; gradients pass through the gates of the output alone.
            return x + gates[..., None] * self._added(x, gates.detach() > 0, part)
        if part == "mlp":
            return _add_to_open(x, gates > 0, self.transformed)
        rows, valid = _open_first(gates > 0)
        index = rows[..., None].expand(-1, -1, x.shape[2])
        added = self._added(x.gather(1, index), valid, part) * valid[..., None]
        return x.scatter_add(1, index, added)

    def _added(self, x: Tensor, open_keys: Tensor | None, part: str) -> Tensor:
        if part == "mlp":
            return self.transformed(x)
        attended = self.attended(x, open_keys)
        return attended if part == "attention" else attended + self.transformed(x + attended)


def _add_to_open(x: Tensor, is_open: Tensor, function: nn.Module | object) -> Tensor:
    """Rows of the whole batch at once: each token is transformed alone."""
    flat = x.flatten(0, 1)
    rows = is_open.flatten().nonzero().squeeze(1)
    added = function(flat.index_select(0, rows))  # type: ignore[operator]
    return flat.index_add(0, rows, added).view_as(x)


def _open_first(is_open: Tensor) -> tuple[Tensor, Tensor]:
    """Open tokens of each picture first, as many as the fullest has: rows and which are real."""
    most = int(is_open.sum(1).max())
    rows = is_open.to(torch.int8).argsort(stable=True, dim=1, descending=True)[:, :most]
    return rows, is_open.gather(1, rows)


class TunedViT(ViT):
    """A :class:`~engine.adapt.vit.ViT` with adapters and dispatchers; loads released files.

    Only adapters, dispatchers and the head are trained (:meth:`freeze_backbone`).
    """

    def __init__(self, config: ViTConfig, tuning: Tuning) -> None:
        super().__init__(config, lambda sizes: TunedBlock(sizes, tuning))
        self.tuning = tuning

    @classmethod
    def of(cls, backbone: ViT, tuning: Tuning) -> TunedViT:
        """The same weights with fresh parts added; the complete run equals the backbone."""
        model = cls(backbone.config, tuning)
        model.load_state_dict(backbone.state_dict(), strict=False)
        return model

    def run(
        self, x: Tensor, path: Path = "gathered", generator: torch.Generator | None = None
    ) -> Tuned:
        """Compute logits and say which tokens took the expensive way.

        Parameters
        ----------
        x
            Pictures ``(B, 3, S, S)``.
        path
            ``masked`` and ``gathered`` give the same; ``gathered`` is faster and ``masked`` can be
            trained. ``complete``: every gate open, adapters on.
        generator
            Of the noise on gates, in training mode with ``masked``.
        """
        run = _Run(path, self.config.prefix, self.training and path == "masked", generator, [], [])
        tokens = self.embed(x)
        for block in self.blocks:
            assert isinstance(block, TunedBlock)
            tokens = block.run(tokens, run)
        output = self.head(self.pool(tokens))
        return Tuned(output, torch.stack(run.logits, 1), torch.stack(run.gates, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x).output

    def features(self, x: Tensor) -> Tensor:
        """Features ``(B, C)`` of the gathered run, what the head takes."""
        run = _Run("gathered", self.config.prefix, False, None, [], [])
        tokens = self.embed(x)
        for block in self.blocks:
            assert isinstance(block, TunedBlock)
            tokens = block.run(tokens, run)
        return self.pool(tokens)

    def trained_parameters(self, with_head: bool = True) -> Iterator[tuple[str, nn.Parameter]]:
        """What is trained, by name."""
        for name, parameter in self.named_parameters():
            if is_trained(name) and (with_head or not name.startswith("head.")):
                yield name, parameter

    def freeze_backbone(self) -> None:
        """Take gradients from everything that is not trained."""
        for name, parameter in self.named_parameters():
            parameter.requires_grad_(is_trained(name))


def is_trained(name: str) -> bool:
    """Whether a parameter belongs to the parts that are trained: adapters, dispatchers, the head."""
    return name.startswith("head.") or ".adapt" in name or "_token_select." in name
