"""What an alignment will take: evaluations, time and memory, as far as anybody knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from desktop.images.catalogue import ModelEntry
from desktop.images.specs import PARALLEL, duration

PASSES = 3
"""Passes through the network a sampling step: forward, forward again for the gradient, back."""

Estimate = Callable[[Mapping[str, Any]], float | None]
"""Seconds by a picture's parameters; ``None`` while unknown."""


@dataclass(frozen=True)
class Cost:
    """What decides how long an alignment takes.

    Attributes
    ----------
    sampling_steps
        T of the picture.
    branches
        Evaluations a sampling step: 2 with guidance.
    seconds
        A step took so long before, or would by what generating took; ``None`` while unknown.
    pictures
        How many are aligned.
    memory_bytes
        What making one picture takes, weights included; ``None`` while unknown.
    """

    sampling_steps: int
    branches: int = 1
    seconds: float | None = None
    pictures: int = 1
    memory_bytes: int | None = None


def forecast(cost: Cost, values: Mapping[str, Any], *, compares: bool) -> str:
    """What a run will take, in evaluations, time and memory; nothing that nobody knows.

    ``compares``: a reward without gradient takes part, so that trial pictures are made.
    """
    steps, sampling = int(values["steps"]), cost.sampling_steps
    each = sampling * PASSES * cost.branches
    guided = f" × {cost.branches} for guidance" if cost.branches > 1 else ""
    text = f"{steps:,} steps × {sampling} sampling steps × {PASSES}{guided}"
    if compares:
        trials = int(values["neighbours"])
        each += trials * sampling * cost.branches
        text += f", and {trials} trial pictures a step"
    pictures = f" for each of {cost.pictures} pictures" if cost.pictures > 1 else ""
    text += f" = {steps * each:,} evaluations{pictures}."
    minutes = values.get("minutes")
    if cost.seconds is not None:
        seconds = cost.seconds * steps * (each / (sampling * PASSES * cost.branches))
        if minutes is not None:
            seconds = min(seconds, 60 * float(minutes))
        text += f" About {duration(seconds * cost.pictures)} here."
    elif minutes is not None:
        text += f" At most {duration(60 * float(minutes) * cost.pictures)}."
    else:
        text += " How long that takes here is known after the first steps."
    if cost.memory_bytes is not None:
        usual = f"{max(1, round(cost.memory_bytes / 2**20)):,} MiB"
        text += f" Memory: more than the {usual} of making the picture, for the way back through one "
        text += "evaluation; the number of steps does not matter."
    return text


def cost_of(
    params: Mapping[str, Any],
    pictures: int,
    aligning: Estimate,
    making: Estimate,
    entry: ModelEntry | None,
) -> Cost:
    """The cost of aligning pictures.

    Parameters
    ----------
    params
        Of the first of them.
    pictures
        How many.
    aligning
        Seconds an optimisation step took before.
    making
        Seconds a picture takes.
    entry
        Their model, if it is installed.
    """
    guided = float(params.get("guidance", 1.0)) not in (0.0, 1.0)
    seconds = aligning(params)
    if seconds is None and (params.get("sampler") or {}).get("name") != PARALLEL:
        made = making({**params, "count": 1})
        seconds = None if made is None else PASSES * made
    memory = entry.memory_bytes if entry is not None else None
    return Cost(int(params["steps"]), 2 if guided else 1, seconds, pictures, memory)
