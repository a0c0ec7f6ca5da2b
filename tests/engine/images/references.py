"""The reference runs of golden/parataa: their arrays, grids and analytic noise predictors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engine.images.samplers import Denoiser
from engine.images.schedule import TimeGrid

FILES = [
    "gmm_ddim25", "gmm_ddim50", "gmm_ddim100", "gmm_ddpm100", "mlp_ddim25", "mlp_ddim50",
    "mlp_ddim100", "mlp_ddpm100", "cfg_ddim50", "warm_ddim50",
]  # fmt: skip
Arrays = dict[str, np.ndarray]


def mixture(data: Arrays, weights: np.ndarray, level_at: Callable[[Tensor], Tensor]) -> Denoiser:
    """Exact noise prediction for a mixture of isotropic Gaussians."""
    mean = torch.from_numpy(data["gmm_mean"]).double().flatten(1)
    deviation = torch.from_numpy(data["gmm_std"]).double()
    log_weight = torch.from_numpy(weights).double().log()

    def predict(x: Tensor, t: Tensor) -> Tensor:
        flat, level = x.flatten(1), level_at(t)[:, None]
        variance = level * deviation**2 + 1 - level
        apart = flat[:, None] - level[..., None].sqrt() * mean
        score = (
            log_weight - 0.5 * apart.square().sum(-1) / variance - flat.shape[1] / 2 * variance.log()
        )
        share = score.softmax(1)
        eps = (1 - level).sqrt() * ((share / variance)[..., None] * apart).sum(1)
        return eps.view_as(x)

    return predict


def network(data: Arrays, level_at: Callable[[Tensor], Tensor]) -> Denoiser:
    """The seeded random two-layer predictor of the golden files."""
    w1, b1, u, w2, gain = (
        torch.from_numpy(np.asarray(data[f"mlp_{name}"])).double()
        for name in ("W1", "b1", "U", "W2", "gain")
    )

    def predict(x: Tensor, t: Tensor) -> Tensor:
        level = level_at(t)[:, None]
        logit = (level / (1 - level)).log()
        code = torch.cat(
            [(logit / 2).sin(), (logit / 2).cos(), (logit / 4).sin(), (logit / 4).cos()], 1
        )
        flat = x.flatten(1)
        hidden = torch.tanh(flat @ w1.T + b1 + code @ u.T)
        return ((1 - level).sqrt() * flat + gain * hidden @ w2.T).view_as(x)

    return predict


def read(golden: Path, name: str) -> tuple[Arrays, TimeGrid, Denoiser]:
    """A file's arrays, its grid, and its noise predictor."""
    with np.load(golden / "parataa" / f"{name}.npz", allow_pickle=False) as file:
        data = {key: file[key] for key in file.files}
    steps = data["train_timestep"].astype(float)
    levels = dict(zip(steps.tolist(), data["alpha_bar"].tolist(), strict=True))

    def level_at(t: Tensor) -> Tensor:
        return torch.tensor([levels[round(float(value))] for value in t], dtype=torch.float64)

    if "mlp_W1" in data:
        denoiser = network(data, level_at)
    else:
        denoiser = mixture(data, data["gmm_weight"], level_at)
        if "cfg_scale" in data:
            free, steered = denoiser, mixture(data, data["cfg_weight_cond"], level_at)
            scale = float(data["cfg_scale"])

            def denoiser(x: Tensor, t: Tensor) -> Tensor:
                return free(x, t) + scale * (steered(x, t) - free(x, t))

    grid = TimeGrid(steps, data["alpha_bar"], data["alpha_bar_prev"])
    return data, grid, denoiser
