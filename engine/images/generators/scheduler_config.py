"""What a diffusers ``scheduler_config.json`` asks for: noise levels, prediction, visited steps.

Whatever scheduler a folder names, its file is read as diffusers' ``DDIMScheduler`` reads it, so that
our sequential DDIM makes that scheduler's pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.errors import bad_file, invalid_input
from engine.images.schedule import NoiseSchedule, Spacing, TimeGrid, make_grid, make_schedule

PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "clean"}
SPACINGS: dict[str, Spacing] = {"leading": "leading", "trailing": "trailing", "linspace": "spaced"}
TERMINAL_ALPHA_BAR = 2.0**-32
"""Stands for the zero of schedules that end in pure noise, whose inverse steps would be infinite.

States are float64, so that dividing by its root costs no digits that a float32 network has.
"""


@dataclass(frozen=True)
class Convention:
    """How a model is to be sampled.

    Attributes
    ----------
    prediction
        See :func:`engine.images.generators.prediction.as_noise`.
    spacing, offset, final_alpha_bar
        See :func:`engine.images.schedule.make_grid`.
    notes
        What of the file is not followed.
    """

    schedule: NoiseSchedule
    prediction: str = "eps"
    spacing: Spacing = "spaced"
    offset: int = 0
    final_alpha_bar: float = 1.0
    notes: tuple[str, ...] = ()

    def grid(self, steps: int, spacing: str) -> TimeGrid:
        """Time steps of a run; for ``model`` as the convention says, else plainly as named."""
        if spacing != "model":
            return make_grid(self.schedule, steps, spacing)  # type: ignore[arg-type]
        offset = self.offset
        count = len(self.schedule)
        if self.spacing == "leading" and 1 <= steps <= count:
            last = offset + (steps - 1) * (count // steps)
            if last >= count:
                raise invalid_input(
                    f"{steps} steps, of which the first is number {offset}, do not fit into the "
                    f"model's {count} noise levels; nothing was started.",
                    f"Take {count - offset} steps or fewer, or another spacing.",
                )
        return make_grid(self.schedule, steps, self.spacing, offset, self.final_alpha_bar)


def read_convention(config: Mapping[str, Any], name: str) -> Convention:
    """The convention of a ``scheduler_config.json``.

    Raises
    ------
    EngineError
        ``bad_file`` for one that this version cannot follow, with the reason.
    """
    prediction = PREDICTIONS.get(str(config.get("prediction_type", "epsilon")))
    spacing = SPACINGS.get(str(config.get("timestep_spacing", "leading")))
    if prediction is None or spacing is None:
        which = "prediction_type" if prediction is None else "timestep_spacing"
        raise bad_file(
            f"The scheduler of {name} has the {which} {config.get(which)!r}, which this version does "
            "not know. It was not loaded."
        )
    schedule = _schedule(config, name)
    to_one = bool(config.get("set_alpha_to_one", True))
    notes: tuple[str, ...] = ()
    if config.get("clip_sample"):
        notes = ("The model's scheduler asks to clip predictions to [-1, 1]; this was not done.",)
    return Convention(
        schedule=schedule,
        prediction=prediction,
        spacing=spacing,
        offset=int(config.get("steps_offset", 0)),
        final_alpha_bar=1.0 if to_one else float(schedule.alpha_bar[0]),
        notes=notes,
    )


def _schedule(config: Mapping[str, Any], name: str) -> NoiseSchedule:
    steps = int(config.get("num_train_timesteps", 1000))
    betas, kind = config.get("trained_betas"), str(config.get("beta_schedule", "linear"))
    ends = float(config.get("beta_start", 1e-4)), float(config.get("beta_end", 0.02))
    if betas is not None:
        table = 1 - np.asarray(betas, dtype=np.float64)
        schedule = NoiseSchedule("its own", np.cumprod(table, dtype=np.float64))
    elif kind == "linear":
        schedule = make_schedule("linear", steps, *ends)
    elif kind == "scaled_linear":
        schedule = make_schedule("scaled_linear", steps, *ends)
    elif kind == "squaredcos_cap_v2":
        schedule = make_schedule("cosine", steps)
    else:
        raise bad_file(
            f"The scheduler of {name} has the noise levels {kind!r}, which this version does not "
            "know. It was not loaded."
        )
    return _to_zero(schedule) if config.get("rescale_betas_zero_snr") else schedule


def _to_zero(schedule: NoiseSchedule) -> NoiseSchedule:
    """Shift and stretch the amplitudes so that the last is zero (Lin et al. 2024, algorithm 1)."""
    root = np.sqrt(schedule.alpha_bar)
    shifted = (root - root[-1]) * root[0] / (root[0] - root[-1])
    return replace(schedule, alpha_bar=np.maximum(shifted**2, TERMINAL_ALPHA_BAR))
