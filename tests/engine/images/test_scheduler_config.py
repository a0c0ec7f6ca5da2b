"""Scheduler descriptions against diffusers' own DDIM scheduler: same noise levels, same steps."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from engine.errors import EngineError
from engine.images.generators.prediction import as_noise
from engine.images.generators.scheduler_config import TERMINAL_ALPHA_BAR, read_convention
from engine.images.schedule import make_schedule

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    diffusers = pytest.importorskip("diffusers")

SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
CONFIGS: list[dict[str, Any]] = [
    {},
    SCALED,
    {**SCALED, "steps_offset": 1, "set_alpha_to_one": False},
    {"beta_schedule": "squaredcos_cap_v2"},
    {**SCALED, "timestep_spacing": "trailing", "rescale_betas_zero_snr": True},
    {"timestep_spacing": "linspace"},
    {"num_train_timesteps": 100, "trained_betas": np.linspace(1e-3, 0.1, 100).tolist()},
]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("steps", [1, 10, 50])
def test_noise_levels_and_steps_are_the_librarys(config: dict[str, Any], steps: int) -> None:
    theirs = diffusers.DDIMScheduler(**{"clip_sample": False, **config})
    theirs.set_timesteps(steps)
    ours = read_convention({"clip_sample": False, **config}, "model")
    levels = theirs.alphas_cumprod.numpy()
    np.testing.assert_allclose(ours.schedule.alpha_bar, levels, rtol=2e-5, atol=1e-6)
    grid = ours.grid(steps, "model")
    if steps == 1 and config.get("timestep_spacing") == "linspace":
        assert grid.timesteps.tolist() == [999]  # the library starts where there is no noise
    else:
        assert grid.timesteps[::-1].tolist() == theirs.timesteps.tolist()
    final = float(theirs.final_alpha_cumprod)
    assert grid.alpha_bar_prev[0] == pytest.approx(final, abs=1e-6)
    assert ours.notes == ()


def test_a_schedule_that_ends_in_pure_noise_stays_finite() -> None:
    convention = read_convention({**SCALED, "rescale_betas_zero_snr": True}, "model")
    table = convention.schedule.alpha_bar
    assert table[-1] == TERMINAL_ALPHA_BAR
    assert (np.diff(table) < 0).all()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"prediction_type": "flow_prediction"}, "prediction_type 'flow_prediction'"),
        ({"timestep_spacing": "random"}, "timestep_spacing 'random'"),
        ({"beta_schedule": "sigmoid"}, "'sigmoid'"),
    ],
)
def test_what_cannot_be_followed_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(EngineError, match=said):
        read_convention(config, "model")


def test_clipping_is_not_done_and_said() -> None:
    (note,) = read_convention({"clip_sample": True}, "model").notes
    assert "clip" in note


def test_every_prediction_becomes_noise() -> None:
    schedule = make_schedule("linear")
    generator = torch.Generator().manual_seed(1)
    clean, eps = (torch.randn(3, 4, 2, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    t = torch.tensor([1.0, 400.0, 999.0], dtype=torch.float64)
    level = torch.from_numpy(schedule.alpha_bar[t.long().numpy()]).view(-1, 1, 1, 1)
    x = level.sqrt() * clean + (1 - level).sqrt() * eps
    velocity = level.sqrt() * eps - (1 - level).sqrt() * clean
    for prediction, output in (("eps", eps), ("v", velocity), ("clean", clean)):
        torch.testing.assert_close(as_noise(output, x, t, schedule, prediction), eps)
