"""The adversarial distribution over domains: how much each domain counts while one model serves all.

Qian, Zhu, Tang, Jin, Sun, Li, "Robust Optimization over Multiple Domains", AAAI 2019. The model
minimises ``sum_k p_k f_k``, and p maximises ``<p, f> - lambda H(p)`` over the simplex, where H is the
distance of p from a prior: the Kullback-Leibler divergence (``kl``), half the squared Euclidean
distance (``l2``), or nothing (``eg``: exponentiated gradients, as in group DRO). Without H a domain
whose labels are wrong takes all the weight; :data:`DOMINANT` is where that is worth a warning.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.errors import invalid_input

Kind = Literal["kl", "l2", "eg", "uniform", "proportional"]
Vector = NDArray[np.float64]
FLOOR = 1e-8
"""Least weight under multiplicative steps, so that a domain can come back."""
DOMINANT = 0.9
DELAY = 10
"""t0 in the falling step ``1 / (lambda (t + t0))``."""


def project_simplex(values: ArrayLike) -> Vector:
    """The nearest point ``(K,)`` of the simplex: not negative, sum 1 (Duchi et al. 2008)."""
    given = np.asarray(values, np.float64)
    falling = np.sort(given)[::-1]
    excess = (np.cumsum(falling) - 1.0) / np.arange(1, len(given) + 1)
    return np.maximum(given - excess[np.flatnonzero(falling > excess)[-1]], 0.0)


def divergence(p: ArrayLike, prior: ArrayLike, kind: Kind) -> float:
    """H(p): how far ``p`` is from ``prior`` in the sense of ``kind``; 0 without a regulariser."""
    here, there = np.asarray(p, np.float64), np.asarray(prior, np.float64)
    if kind == "kl":
        positive = here > 0
        return float((here[positive] * np.log(here[positive] / there[positive])).sum())
    return float(0.5 * np.square(here - there).sum()) if kind == "l2" else 0.0


def worst_distribution(
    losses: ArrayLike, kind: Kind, strength: float, prior: ArrayLike
) -> tuple[Vector, float]:
    """The p that maximises ``<p, f> - strength H(p)``, in closed form, and that maximum.

    Parameters
    ----------
    losses
        ``(K,)`` risks f.
    kind
        ``kl`` (soft maximum), ``l2`` (projection) or ``eg`` (all on the largest, shared by equals).
    strength
        lambda.
    prior
        ``(K,)`` on the simplex.
    """
    f, q = np.asarray(losses, np.float64), np.asarray(prior, np.float64)
    if kind == "kl":
        p = _softmax(np.log(q) + f / strength)
    elif kind == "l2":
        p = project_simplex(q + f / strength)
    else:
        p = (f == f.max()) / np.count_nonzero(f == f.max())
    return p, float(p @ f) - strength * divergence(p, q, kind)


def _softmax(logits: Vector) -> Vector:
    raised = np.exp(logits - logits.max())
    return raised / raised.sum()


class DomainWeights:
    """p, and its steps.

    Parameters
    ----------
    domains
        Their number K.
    kind
        ``kl``, ``l2``, ``eg``; or fixed: ``uniform``, and ``proportional`` to ``sizes`` (what mixing
        all data does).
    strength
        lambda of ``kl`` and ``l2``; 0.5 stood a badly labelled domain in our measurements, 0.1 did not.
    rate
        Step size of p. None: ``1 / (strength (t + 10))`` for ``kl`` and ``l2``, which is the fast rate
        of the paper, and 0.1 for ``eg``.
    prior
        ``(K,)`` positive, made to sum to 1; uniform where None.
    clip
        Losses above it count as it, in the step of p only.
    reference
        ``(K,)`` best possible loss of each domain: the excess over it is compared.
    adjust
        ``adjust / sqrt(n_k)`` is added to the losses in the step of p (group DRO's adjustment for
        small domains; needs ``sizes``).
    sizes
        ``(K,)`` examples of each domain.

    Raises
    ------
    EngineError
        ``invalid_input`` for settings that make no sense together.
    """

    def __init__(
        self,
        domains: int,
        kind: Kind = "kl",
        strength: float = 0.5,
        rate: float | None = None,
        prior: ArrayLike | None = None,
        clip: float | None = None,
        reference: ArrayLike | None = None,
        adjust: float = 0.0,
        sizes: Sequence[int] | None = None,
    ) -> None:
        if kind not in get_args(Kind):
            raise invalid_input(
                f"Domains cannot be weighted by {kind!r}.", f"Known: {', '.join(get_args(Kind))}."
            )
        if kind in ("kl", "l2") and not strength > 0:
            raise invalid_input(
                f"The strength of the regulariser is {strength}; it must be above 0.",
                "Use eg for none at all.",
            )
        if sizes is None and (kind == "proportional" or adjust):
            raise invalid_input("The sizes of the domains were not given; nothing was weighted.")
        self.kind, self.strength, self.rate = kind, strength, rate
        self.clip, self.prior = clip, _distribution(prior, domains, "prior")
        counts = None if sizes is None else np.asarray(sizes, np.float64)
        self._shift = np.zeros(domains) if reference is None else -np.asarray(reference, np.float64)
        if adjust and counts is not None:
            self._shift = self._shift + adjust / np.sqrt(counts)
        self.p = _distribution(counts, domains, "sizes") if kind == "proportional" else self.prior
        self.steps = 0
        self._history = [self.p]

    @property
    def history(self) -> Vector:
        """Weights before the first step and after each, ``(steps + 1, K)``."""
        return np.stack(self._history)

    @property
    def dominant(self) -> int | None:
        """The domain with more than nine tenths of the weight, where there is one of several."""
        top = int(self.p.argmax())
        return top if len(self.p) > 1 and self.p[top] > DOMINANT else None

    def step(self, losses: ArrayLike) -> Vector:
        """Ascend by the losses ``(K,)`` of the current model; returns the new p ``(K,)``.

        A tensor is taken without its gradient.
        """
        detach = getattr(losses, "detach", None)
        f = np.asarray(losses if detach is None else detach().cpu(), np.float64)
        f = f if self.clip is None else np.minimum(f, self.clip)
        f = f + self._shift
        if self.kind == "l2":
            rate = self._rate()
            p = project_simplex(self.p + rate * (f - self.strength * (self.p - self.prior)))
        elif self.kind in ("kl", "eg"):
            rate = self._rate()
            # The exact proximal step: argmax <p, f> - lambda KL(p, prior) - KL(p, p_t) / rate.
            damping = rate * self.strength if self.kind == "kl" else 0.0
            logits = np.log(self.p) + damping * np.log(self.prior) + rate * f
            p = np.maximum(_softmax(logits / (1.0 + damping)), FLOOR)
            p = p / p.sum()
        else:
            p = self.p
        self.p, self.steps = p, self.steps + 1
        self._history.append(p)
        return p

    def _rate(self) -> float:
        if self.rate is not None:
            return self.rate
        return 0.1 if self.kind == "eg" else 1.0 / (self.strength * (self.steps + DELAY))

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs, as numbers and lists."""
        return {"p": self.p.tolist(), "steps": self.steps, "history": self.history.tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self.p, self.steps = np.asarray(state["p"], np.float64), int(state["steps"])
        self._history = [np.asarray(row, np.float64) for row in state["history"]]


def _distribution(values: ArrayLike | None, count: int, what: str) -> Vector:
    given = np.ones(count) if values is None else np.asarray(values, np.float64)
    if given.shape != (count,) or not (given > 0).all():
        raise invalid_input(
            f"The {what} of {count} domain(s) must be as many positive numbers; nothing was weighted."
        )
    return given / given.sum()
