"""Conditions that are rows of tables: a class, and caption words where the model knows some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from engine.errors import invalid_input
from engine.images.diffusion import guide
from engine.images.generators.networks import Network
from engine.images.generators.prediction import as_noise
from engine.images.generators.protocol import Condition, CountingDenoiser
from engine.images.schedule import NoiseSchedule

UNUSED_NEGATIVE = "This model knows no negative prompts; it was not used."


@dataclass(frozen=True, kw_only=True)
class LabelCondition(Condition):
    """A class and words.

    Attributes
    ----------
    label
        Row of the label table; the "no label" row when no class applies.
    words
        Rows of the word table.
    """

    label: int
    words: tuple[int, ...] = ()


class LabelDenoiser:
    """Noise prediction of a DiT in the states' dtype; the network runs in its own.

    ``prediction`` is what the network's output means: see :func:`as_noise`. ``routes`` hears of every
    evaluation what was computed.
    """

    def __init__(
        self,
        network: Network,
        schedule: NoiseSchedule,
        prediction: str,
        guidance: float,
        condition: LabelCondition,
        guided_channels: int | None = None,
    ) -> None:
        self.network, self.schedule, self.prediction = network, schedule, prediction
        self.guidance, self.condition = guidance, condition
        self.guided_channels = guided_channels
        self.routes = network.log(self.evaluations_per_state)

    @property
    def evaluations_per_state(self) -> int:
        """Guidance of exactly 1 or 0 needs one branch only."""
        return 1 if self.guidance in (0, 1) else 2

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        if self.guidance == 1:
            return self._noise(x, t, [True])
        if self.guidance == 0:
            return self._noise(x, t, [False])
        both = self._noise(torch.cat([x, x]), torch.cat([t, t]), [True, False])
        with_condition, without = both.chunk(2)
        return guide(with_condition, without, self.guidance, self.guided_channels)

    def _noise(self, x: Tensor, t: Tensor, conditional: list[bool]) -> Tensor:
        """Noise prediction, the rows in equal parts with and without the condition."""
        model, batch = self.network.model, len(x) // len(conditional)
        rows = torch.tensor(conditional, device=x.device).repeat_interleave(batch)
        null = model.null_label if not all(conditional) else self.condition.label
        labels = torch.where(rows, self.condition.label, null)
        words = None
        if self.condition.words:
            spelled = torch.tensor(self.condition.words, device=x.device)
            words = torch.where(rows[:, None], spelled, -1)
        dtype = model.x_embedder.proj.weight.dtype
        output = self.network(x.to(dtype), t, labels, words, self.routes)
        output = output[:, : x.shape[1]].to(x.dtype)
        return as_noise(output, x, t, self.schedule, self.prediction)


def label_denoiser(
    network: Network, schedule: NoiseSchedule, prediction: str, guidance: float, condition: Condition
) -> CountingDenoiser:
    """The counting denoiser of a DiT for a condition that the same model made."""
    assert isinstance(condition, LabelCondition), "a model takes its own conditions"
    predict = LabelDenoiser(network, schedule, prediction, guidance, condition)
    return CountingDenoiser(predict, predict.evaluations_per_state, predict.routes)


def require_class(name: str, known: Sequence[str]) -> None:
    """Raise ``invalid_input`` unless the class is one of the model's."""
    if name not in known:
        listed = ", ".join(known[:20]) + (", ..." if len(known) > 20 else "")
        raise invalid_input(
            f"This model has no class {name!r}; nothing was started.", f"Known: {listed}."
        )
