"""One model for several domains that holds up on the worst of them, for any torch model.

Qian, Zhu, Tang, Jin, Sun, Li, "Robust Optimization over Multiple Domains", AAAI 2019: each step draws
as many examples from every domain, moves the model down the weighted losses and the weights up
(:mod:`engine.adapt.domain_weights`). A convex problem ends with the mean of the second half of the
iterates, any other with the iterate whose worst validation risk was least.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.adapt.domain_weights import DOMINANT, DomainWeights, Kind, divergence, worst_distribution
from engine.errors import invalid_input

Domain = tuple[Tensor, Tensor]
"""Inputs ``(n, ...)`` and targets ``(n, ...)`` of one domain."""
Loss = Callable[[Tensor, Tensor], Tensor]
"""``loss(outputs, targets)`` of each example, ``(n,)``."""
ROWS = 1024
GAP_ITERATIONS = 300


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each example, ``(n,)``."""
    return F.cross_entropy(outputs, targets, reduction="none")


def step_rates(
    steps: int, domains: int, kind: Kind, convex: bool, strength: float, bound: float = 1.0
) -> tuple[float, float | None]:
    """Rates of model and weights with which the paper's bounds hold, up to the model's own constant.

    Without a regulariser ``T^(-1/2)`` and ``sqrt(8 log K / T) / bound`` for convex problems,
    ``T^(-1/3)`` and ``T^(-2/3)`` for others: there p must move much more slowly than the model. With
    one the rate of p falls as ``1 / (lambda t)`` (None: :class:`DomainWeights` does so by itself), and
    that of the model is ``T^(-1/2)`` or ``sqrt(log T / (lambda T))``.

    Parameters
    ----------
    steps, domains
        T and K.
    kind, strength
        As of :class:`DomainWeights`.
    convex
        Whether every risk is convex in the model's parameters.
    bound
        Of the losses.
    """
    if kind in ("kl", "l2"):
        return (steps**-0.5 if convex else float(np.sqrt(np.log(steps) / (strength * steps)))), None
    if convex:
        return steps**-0.5, float(np.sqrt(8 * np.log(max(domains, 2)) / steps)) / bound
    return float(steps ** (-1 / 3)), float(steps ** (-2 / 3))


@dataclass
class RobustRun:
    """What a training did.

    Attributes
    ----------
    losses
        ``(steps, K)`` mean losses of the batches; NaN where a domain was not drawn.
    weights
        ``(steps + 1, K)`` of the domains.
    validation
        ``(step, (K,) risks)`` each time they were measured.
    best_step
        After which the returned model was; the last one for convex problems and without validation.
    notes
        What the user should know.
    """

    losses: np.ndarray
    weights: np.ndarray
    validation: list[tuple[int, np.ndarray]] = field(default_factory=list)
    best_step: int = 0
    notes: list[str] = field(default_factory=list)


def train_robust(
    model: nn.Module,
    domains: Sequence[Domain],
    weights: DomainWeights,
    optimiser: torch.optim.Optimizer,
    *,
    steps: int,
    batch: int = 32,
    convex: bool = False,
    loss: Loss = cross_entropy,
    schedule: Callable[[float], float] = lambda part: 1.0 - part,
    validation: Sequence[Domain] | None = None,
    every: int = 50,
    domains_per_step: int | None = None,
    names: Sequence[str] | None = None,
    seed: int = 0,
    on_step: Callable[[int, np.ndarray, np.ndarray], None] = lambda step, losses, p: None,
) -> RobustRun:
    """Train ``model`` in place.

    Parameters
    ----------
    model
        Maps a batch of inputs to outputs; in training mode on return.
    domains
        Training data; domains may be of very different size.
    weights
        Their weights; they go on from where they are.
    optimiser
        Over the parameters of ``model``.
    steps, batch
        Number of steps; examples of *every* domain in each.
    convex
        End with the mean of the second half of the iterates.
    loss
        Of each example.
    schedule
        Factor on the learning rates by the part of the steps that is done.
    validation
        Data of each domain; the best iterate by worst risk is kept (not where ``convex``).
    every
        Steps from one measurement to the next.
    domains_per_step
        Draw so many domains uniformly in each step: for more than some 16.
    names
        Of the domains, for notes.
    seed
        Of the batches.
    on_step
        Told the step, the losses and the weights; may raise to stop.

    Raises
    ------
    EngineError
        ``invalid_input`` for an empty domain, or as many weights as there are no domains.
    """
    count = len(domains)
    labels = list(names) if names is not None else [f"domain {k}" for k in range(count)]
    _check(domains, weights, labels)
    drawn_count = min(domains_per_step or count, count)
    generator = torch.Generator().manual_seed(seed)
    rates = [group["lr"] for group in optimiser.param_groups]
    run = RobustRun(np.full((steps, count), np.nan), weights.history)
    mean = [torch.zeros_like(p) for p in model.parameters()]
    best: dict[str, Tensor] | None = None
    least = float("inf")
    model.train()
    for step in range(steps):
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate * schedule(step / steps)
        drawn = list(range(count))
        if drawn_count < count:
            drawn = torch.randperm(count, generator=generator)[:drawn_count].tolist()
        risks = _batch_risks(model, [domains[k] for k in drawn], batch, loss, generator)
        # Unbiased when domains were left out: each is drawn with probability B / K.
        share = count / drawn_count
        p = torch.as_tensor(weights.p[drawn] * share, dtype=risks.dtype, device=risks.device)
        optimiser.zero_grad()
        (p * risks).sum().backward()
        optimiser.step()
        seen = np.zeros(count)
        seen[drawn] = risks.detach().double().cpu().numpy()
        run.losses[step, drawn] = seen[drawn]
        weights.step(seen * share)
        if convex and 2 * step >= steps:
            for total, parameter in zip(mean, model.parameters(), strict=True):
                total += parameter.detach()
        if validation is not None and ((step + 1) % every == 0 or step == steps - 1):
            held = domain_risks(model, validation, loss)
            run.validation.append((step + 1, held))
            if held.max() < least and not convex:
                least, run.best_step = float(held.max()), step + 1
                best = copy.deepcopy(model.state_dict())
        on_step(step + 1, run.losses[step], weights.p)
    run.weights = weights.history
    run.best_step = run.best_step or steps
    _finish(model, mean if convex else None, best, steps)
    run.notes = _notes(weights, labels)
    return run


def _check(domains: Sequence[Domain], weights: DomainWeights, names: list[str]) -> None:
    if len(domains) != len(weights.p):
        raise invalid_input(
            f"There are {len(domains)} domains and {len(weights.p)} weights; nothing was trained."
        )
    for name, (inputs, _) in zip(names, domains, strict=True):
        if len(inputs) == 0:
            raise invalid_input(
                f"There is no example of {name}; nothing was trained.", "Leave this domain out."
            )


def _batch_risks(
    model: nn.Module, domains: Sequence[Domain], batch: int, loss: Loss, generator: torch.Generator
) -> Tensor:
    """Mean loss ``(K,)`` on as many random examples of each domain, in one pass of the network."""
    picked = [torch.randint(len(inputs), (batch,), generator=generator) for inputs, _ in domains]
    inputs = torch.cat([inputs[rows] for (inputs, _), rows in zip(domains, picked, strict=True)])
    targets = torch.cat([targets[rows] for (_, targets), rows in zip(domains, picked, strict=True)])
    return loss(model(inputs), targets).unflatten(0, (len(domains), batch)).mean(1)


def _finish(
    model: nn.Module, total: list[Tensor] | None, best: dict[str, Tensor] | None, steps: int
) -> None:
    if total is not None:
        averaged = steps - (steps + 1) // 2
        with torch.no_grad():
            for value, parameter in zip(total, model.parameters(), strict=True):
                parameter.copy_(value / averaged)
    elif best is not None:
        model.load_state_dict(best)


def _notes(weights: DomainWeights, names: list[str]) -> list[str]:
    if weights.dominant is None or weights.kind == "proportional":
        return []
    return [
        f"{names[weights.dominant]} holds more than {DOMINANT:.0%} of the weight: the model learns it "
        "nearly alone. Often its labels are wrong; look at them, or use KL with a larger strength."
    ]


@torch.no_grad()
def domain_risks(model: nn.Module, domains: Sequence[Domain], loss: Loss = cross_entropy) -> np.ndarray:
    """Mean loss ``(K,)`` on all data of each domain, in evaluation mode."""
    training = model.training
    model.eval()
    risks = []
    for inputs, targets in domains:
        parts = zip(inputs.split(ROWS), targets.split(ROWS), strict=True)
        total = sum(float(loss(model(x), y).double().sum()) for x, y in parts)
        risks.append(total / len(inputs))
    model.train(training)
    return np.array(risks)


def domain_accuracies(model: nn.Module, domains: Sequence[Domain]) -> np.ndarray:
    """Share ``(K,)`` of each domain's examples whose largest output is the target's."""
    return 1.0 - domain_risks(model, domains, lambda out, y: (out.argmax(1) != y).float())


def duality_gap(
    model: nn.Module, domains: Sequence[Domain], weights: DomainWeights, loss: Loss = cross_entropy
) -> float:
    """How far averaged model and averaged weights are from the saddle point; convex problems only.

    ``max_p L(p, W) - min_W L(p_mean, W)`` with ``L(p, W) = <p, f(W)> - lambda H(p)`` over all data; the
    weights' mean is that of the second half of their history. The maximum has a closed form, the
    minimum is found by L-BFGS from ``model``, which stays as it is. Not negative but for what L-BFGS
    leaves.
    """
    history = weights.history
    middle = history[len(history) // 2 :].mean(0)
    highest = worst_distribution(
        domain_risks(model, domains, loss), weights.kind, weights.strength, weights.prior
    )[1]
    other = copy.deepcopy(model).double().train(False)
    wide = [(x.double() if x.is_floating_point() else x, y) for x, y in domains]
    solver = torch.optim.LBFGS(
        other.parameters(),
        max_iter=GAP_ITERATIONS,
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def value() -> Tensor:
        solver.zero_grad()
        risks = torch.stack([loss(other(x), y).mean() for x, y in wide])
        total = (torch.as_tensor(middle) * risks).sum()
        total.backward()
        return total

    solver.step(value)
    with torch.no_grad():
        risks = [float(loss(other(x), y).mean()) for x, y in wide]
    lowest = float(middle @ np.array(risks))
    return highest - lowest + weights.strength * divergence(middle, weights.prior, weights.kind)
