"""What every model that makes pictures offers, whatever is inside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from engine.errors import EngineError, invalid_input
from engine.images.params import GenerateParams, Spacing
from engine.images.routes import RouteLog
from engine.images.schedule import NoiseSchedule, TimeGrid
from engine.weights import ModelInfo

Predict = Callable[[Tensor, Tensor], Tensor]
"""Noise prediction ``(x (B, C, h, w), t (B,)) -> (B, C, h, w)`` with guidance applied."""


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What one picture should show; each kind of model adds its own terms.

    Attributes
    ----------
    class_name
        The class in words, or ``None``.
    notes
        What the user should know about how the prompt was understood, or how it will be shown.
    """

    class_name: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Computing:
    """How much a network is asked to compute.

    Attributes
    ----------
    share
        Of its arithmetic; ``None``: as it was made.
    threshold
        Gates open where their logit is above it; more than 0 is cheaper than what was trained.
    """

    share: float | None = None
    threshold: float = 0.0

    @classmethod
    def of(cls, params: GenerateParams) -> Computing:
        """What a job asks for."""
        return cls(params.compute, params.economy)


AS_MADE = Computing()


class Generator(Protocol):
    """A loaded model that makes pictures.

    Attributes
    ----------
    schedule
        The noise levels it was trained on.
    size_bytes
        Memory of its weights.
    bytes_per_evaluation
        Rough peak of the activations of one guided evaluation (with and without the condition) of
        one state of the model's own size; see :func:`engine.images.generators.evaluation_bytes`.
    bytes_per_decode
        The same for decoding one picture.
    """

    info: ModelInfo
    schedule: NoiseSchedule
    size_bytes: int
    bytes_per_evaluation: int
    bytes_per_decode: int

    def latent_shape(self, width: int | None, height: int | None) -> tuple[int, int, int]:
        """``(C, h, w)`` of one state for a picture of ``width`` x ``height`` pixels.

        ``None`` is the model's own size. Raises ``invalid_input``, naming the allowed sizes, for
        one that the model cannot make.
        """
        ...

    def grid(self, steps: int, spacing: Spacing) -> TimeGrid:
        """The time steps of a run; ``model`` is the convention the model itself asks for.

        Raises ``invalid_input`` for a number of steps that the schedule does not have.
        """
        ...

    def condition(self, prompt: str, class_name: str | None, negative_prompt: str = "") -> Condition:
        """Understand a prompt; raises ``invalid_input`` for an unknown class."""
        ...

    def denoiser(
        self, condition: Condition, guidance: float, computing: Computing = AS_MADE
    ) -> CountingDenoiser:
        """Guided noise prediction for this condition.

        Raises ``invalid_input`` when the network cannot compute less, or not the share asked for.

        It takes states ``(B, C, h, w)`` of any floating dtype and training time steps ``(B,)``,
        which may be fractional and differ between rows; rows do not influence one another. The
        result has the states' dtype.
        """
        ...

    def decode(self, states: Tensor) -> Tensor:
        """Pixels ``(B, 3, H, W)`` float32, nominally in [-1, 1], of clean states ``(B, C, h, w)``."""
        ...

    def decode_with_gradient(self, states: Tensor) -> Tensor:
        """The same pixels, through which gradients flow back to the states."""
        ...

    def encode(self, pictures: Tensor) -> Tensor:
        """Clean states ``(B, C, h, w)`` float32 of pixels ``(B, 3, H, W)`` in [-1, 1].

        Raises ``invalid_input`` for a model that has no encoder here.
        """
        ...


class CountingDenoiser:
    """A :data:`~engine.images.samplers.Denoiser` that counts network evaluations.

    ``evaluations`` grows by one for each state and each condition, so a guided step costs two. Called
    as it is, it keeps nothing for gradients; the models' weights never have any. ``routes`` tells what
    was computed, where the network's arithmetic is known.
    """

    def __init__(
        self, predict: Predict, evaluations_per_state: int, routes: RouteLog | None = None
    ) -> None:
        self._predict = predict
        self.routes = routes
        self._per_state = evaluations_per_state
        self.evaluations = 0

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return self.with_gradient(x, t)

    def with_gradient(self, x: Tensor, t: Tensor) -> Tensor:
        """The same prediction, through which gradients flow back to ``x``."""
        self.evaluations += len(x) * self._per_state
        return self._predict(x, t)


def no_encoder(name: str) -> EngineError:
    """The error of a model that decodes only."""
    return invalid_input(
        f"{name} has no encoder here, so no noise can be found for a picture of another origin; "
        "nothing was started.",
        "Start from a picture that Triptych made, or use the built-in model or one of pixels.",
    )


def require_complete(name: str, computing: Computing) -> None:
    """Raise ``invalid_input`` when less is asked of a network that always computes everything."""
    if computing.share not in (None, 1.0) or computing.threshold:
        raise invalid_input(
            f"{name} is not a dynamic model: it always computes everything; nothing was started.",
            "Leave compute at 100 % and extra economy at 0, or choose a model that can compute less.",
        )


def own_size_only(
    name: str, channels: int, side: int, pixels: int, width: int | None, height: int | None
) -> tuple[int, int, int]:
    """State shape of a model whose pictures have one size, ``pixels`` x ``pixels``.

    Raises
    ------
    EngineError
        ``invalid_input`` when another size is asked for.
    """
    if (width or pixels, height or pixels) != (pixels, pixels):
        raise invalid_input(
            f"{name} makes pictures of {pixels} x {pixels} pixels only, not of "
            f"{width or pixels} x {height or pixels}; nothing was started.",
            "Leave width and height empty.",
        )
    return channels, side, side
