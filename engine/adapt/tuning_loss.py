"""What dynamic tuning minimises, and what a tuned model costs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from engine.adapt.dynamic_tuning import Tuned, Tuning
from engine.adapt.vit import ViTConfig

RATE_WEIGHT = 2.0


@dataclass(frozen=True)
class TuningLoss:
    """The four terms, and their sum.

    Attributes
    ----------
    task, task_complete
        Cross-entropy of the dynamic and of the complete run.
    distillation
        ``KL(complete || dynamic)``, the complete run being the teacher.
    rate
        ``weight (mean of all gates - target)^2``.
    """

    task: Tensor
    task_complete: Tensor
    distillation: Tensor
    rate: Tensor

    @property
    def total(self) -> Tensor:
        """The sum."""
        return self.task + self.task_complete + self.distillation + self.rate


def tuning_loss(
    dynamic: Tuned, complete: Tensor, labels: Tensor, target: float, weight: float = RATE_WEIGHT
) -> TuningLoss:
    """The loss on one batch.

    Parameters
    ----------
    dynamic
        Of the masked run.
    complete
        Logits ``(B, K)`` of the complete run.
    labels
        ``(B,)``.
    target
        Share of open gates that is aimed at, over everything together: blocks share one budget.
    weight
        Of the term that aims there.
    """
    student, teacher = dynamic.output.log_softmax(1), complete.detach().log_softmax(1)
    return TuningLoss(
        F.cross_entropy(dynamic.output, labels),
        F.cross_entropy(complete, labels),
        F.kl_div(student, teacher, reduction="batchmean", log_target=True),
        weight * (dynamic.rate - target).square(),
    )


def model_macs(config: ViTConfig, tuning: Tuning | None, gates: Tensor | None = None) -> Tensor:
    """Multiplications with addition for each picture ``(B,)``, by formula.

    Parameters
    ----------
    config
        Of the backbone.
    tuning
        What was added; None for the plain backbone.
    gates
        ``(B, G, P)`` of a run; None for all tokens, then ``(1,)``.
    """
    width, patches = config.width, config.patches
    tokens = patches + config.prefix
    depth = config.depth
    ends = patches * width * 3 * config.patch_size**2 + width * config.classes

    def attention(count: Tensor) -> Tensor:
        return 4 * count * width**2 + 2 * count**2 * width

    def mlp(count: Tensor) -> Tensor:
        return 2 * count * width * config.mlp_width

    if gates is None:
        dispatchers = depth * (2 if tuning and tuning.variant == "attention_mlp" else 1)
        counts = torch.full((1, dispatchers), float(tokens), dtype=torch.float64)
    else:
        counts = gates.detach().double().sum(2) + config.prefix
    full = torch.full_like(counts[:, :1], tokens)
    if tuning is None:
        return ends + depth * (attention(full) + mlp(full))[:, 0]
    if tuning.variant == "mlp":
        blocks = depth * attention(full)[:, 0] + mlp(counts).sum(1)
    elif tuning.variant == "attention":
        blocks = attention(counts).sum(1) + depth * mlp(full)[:, 0]
    elif tuning.variant == "layer":
        blocks = (attention(counts) + mlp(counts)).sum(1)
    else:
        # Dispatchers of attention and MLP alternate.
        blocks = attention(counts[:, ::2]).sum(1) + mlp(counts[:, 1::2]).sum(1)
    added = patches * width + 2 * tokens * width * tuning.hidden
    if tuning.experts > 1:
        # Mixing the weights, once a picture.
        added += width * tuning.experts * (1 + 2 * tuning.hidden)
    return ends + blocks + counts.shape[1] * added
