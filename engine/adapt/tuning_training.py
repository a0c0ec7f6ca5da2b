"""Training of dynamic tuning (DyT): adapters, dispatchers and a head on a frozen backbone.

Settings follow the paper's for small sets of pictures (VTAB-1K): AdamW, linear warm-up, cosine decay,
no augmentation but an optional mirror. Each step runs the network twice, see
:mod:`engine.adapt.tuning_loss`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.adapt.dynamic_tuning import Path, TunedViT, Tuning
from engine.adapt.tuning_loss import tuning_loss
from engine.adapt.vit import ViT
from engine.errors import invalid_input

Prepare = Callable[[Tensor], Tensor]

_SMALL_HEAD = 0.01
_FEATURE_BATCH = 64


@dataclass(frozen=True)
class TuningSettings:
    """How a model is tuned.

    Attributes
    ----------
    tuning
        What is added.
    rate
        Share of patch tokens that should take the expensive way, r.
    dispatch
        False: adapters alone, every token everywhere; one pass a step.
    epochs, batch
        Over the pictures; the last one of an epoch may be smaller, never of 1.
    learning_rate, weight_decay
        Of AdamW.
    warm_up
        Share of all steps in which the learning rate rises from 0.
    mirror
        Whether half of the pictures are mirrored.
    seed
        Decides order, noise and starting values.
    """

    tuning: Tuning = field(default_factory=lambda: Tuning(hidden=16, scale=1.0))
    rate: float = 0.5
    dispatch: bool = True
    epochs: int = 30
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warm_up: float = 0.1
    mirror: bool = False
    seed: int = 0


@dataclass(frozen=True)
class EpochFigures:
    """Means of one epoch, which is the ``epoch``-th of ``epochs`` and counts from 1."""

    epoch: int
    epochs: int
    loss: float
    task: float
    rate: float


def tune(
    backbone: ViT,
    pictures: Tensor,
    labels: Tensor,
    classes: int,
    prepare: Prepare,
    settings: TuningSettings | None = None,
    on_epoch: Callable[[EpochFigures, TunedViT], None] | None = None,
    check: Callable[[], None] | None = None,
) -> TunedViT:
    """Tune a backbone to labelled pictures.

    Parameters
    ----------
    backbone
        Stays as it is.
    pictures
        ``(N, S, S, 3)`` uint8 RGB of the backbone's size.
    labels
        ``(N,)`` int64 below ``classes``.
    classes
        How many there are.
    prepare
        Pictures ``(B, S, S, 3)`` to what the backbone takes, ``(B, 3, S, S)``.
    settings
        See :class:`TuningSettings`.
    on_epoch, check
        Called after each epoch, and before each step; what they raise ends it.

    Returns
    -------
    TunedViT
        In evaluation mode.

    Raises
    ------
    EngineError
        ``invalid_input`` for fewer than two pictures or classes.
    """
    settings = settings or TuningSettings()
    if len(pictures) < 2 or classes < 2:
        raise invalid_input(
            f"{len(pictures)} pictures of {classes} classes are too few to learn from; nothing was "
            "trained."
        )
    stream = torch.Generator().manual_seed(settings.seed)
    model = _fresh(backbone, settings, classes)
    trained = [parameter for _, parameter in model.trained_parameters()]
    optimiser = torch.optim.AdamW(trained, settings.learning_rate, weight_decay=settings.weight_decay)
    per_epoch = math.ceil(len(pictures) / settings.batch)
    steps = settings.epochs * per_epoch
    step = 0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # the adapters' dropout
        for epoch in range(settings.epochs):
            model.train()
            sums = torch.zeros(3)
            for rows in _batches(len(pictures), settings.batch, stream):
                if check is not None:
                    check()
                for group in optimiser.param_groups:
                    group["lr"] = settings.learning_rate * _factor(step / steps, settings.warm_up)
                seen = prepare(pictures[rows])
                if settings.mirror:
                    flipped = torch.rand(len(rows), generator=stream) < 0.5
                    seen = torch.where(flipped[:, None, None, None], seen.flip(3), seen)
                figures = _step(model, optimiser, seen, labels[rows], settings, stream)
                sums += len(rows) * torch.tensor(figures)
                step += 1
            model.eval()
            if on_epoch is not None:
                loss, task, rate = (sums / len(pictures)).tolist()
                on_epoch(EpochFigures(epoch + 1, settings.epochs, loss, task, rate), model)
    return model


def _fresh(backbone: ViT, settings: TuningSettings, classes: int) -> TunedViT:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = TunedViT.of(backbone, settings.tuning)
        head = nn.Linear(backbone.config.width, classes)
        nn.init.trunc_normal_(head.weight, std=_SMALL_HEAD)
        nn.init.zeros_(head.bias)
        model.head = head
    model.freeze_backbone()
    return model


def _batches(count: int, batch: int, stream: torch.Generator) -> Iterator[Tensor]:
    parts = list(torch.randperm(count, generator=stream).split(batch))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return iter(parts)


def _factor(share: float, warm_up: float) -> float:
    """Of the learning rate: linear from 0, then a cosine to 0."""
    if share < warm_up:
        return share / warm_up
    return 0.5 + 0.5 * math.cos(math.pi * (share - warm_up) / (1 - warm_up))


def _step(
    model: TunedViT,
    optimiser: torch.optim.Optimizer,
    pictures: Tensor,
    labels: Tensor,
    settings: TuningSettings,
    stream: torch.Generator,
) -> tuple[float, float, float]:
    """One step of the optimiser: loss, cross-entropy, share of open gates."""
    complete = model.run(pictures, "complete").output
    if settings.dispatch:
        dynamic = model.run(pictures, "masked", stream)
        terms = tuning_loss(dynamic, complete, labels, settings.rate)
        loss, task, rate = terms.total, terms.task, float(dynamic.rate.detach())
    else:
        loss = task = F.cross_entropy(complete, labels)
        rate = 1.0
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    return float(loss.detach()), float(task.detach()), rate


@dataclass(frozen=True, eq=False)
class Run:
    """What a model says of pictures.

    Attributes
    ----------
    logits
        ``(N, K)``.
    gates
        ``(N, G, P)``, see :class:`engine.adapt.dynamic_tuning.Tuned`.
    """

    logits: Tensor
    gates: Tensor

    def accuracy(self, labels: Tensor) -> float:
        """Share of pictures whose largest logit is that of their label."""
        return float((self.logits.argmax(1) == labels).float().mean())


@torch.no_grad()
def run_all(model: TunedViT, pictures: Tensor, prepare: Prepare, path: Path = "gathered") -> Run:
    """Run over pictures ``(N, S, S, 3)``, some at a time."""
    parts = [model.run(prepare(part), path) for part in pictures.split(_FEATURE_BATCH)]
    return Run(torch.cat([p.output for p in parts]), torch.cat([p.gates for p in parts]))


@torch.no_grad()
def features_of(model: ViT, pictures: Tensor, prepare: Prepare) -> Tensor:
    """Features ``(N, C)`` of pictures ``(N, S, S, 3)``, some at a time."""
    return torch.cat([model.features(prepare(part)) for part in pictures.split(_FEATURE_BATCH)])
