"""Our DiT against outputs of the original program and of diffusers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.errors import EngineError
from engine.images.checkpoints import dit_from_diffusers, dit_from_official
from engine.images.diffusion import LearnedVariance, add_noise, guide, uniform_stride
from engine.images.dit import DiT
from engine.images.params import DdimParams
from engine.images.samplers import ddim
from engine.images.schedule import grid_at, make_grid, make_schedule

CASES = ["latent_d4_h72", "pixel_d2_h48_nosigma"]


def load(folder: Path) -> tuple[DiT, dict[str, torch.Tensor], dict[str, float]]:
    config = json.loads((folder / "config.json").read_text())
    model = dit_from_official(load_file(folder / "model.safetensors"), config["num_heads"])
    return model, load_file(folder / "io.safetensors"), config


def worst(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_forward_matches_the_original(golden: Path, case: str) -> None:
    model, io, _ = load(golden / "dit" / case)
    assert worst(model(io["x"], io["t"], io["y"]), io["out"]) <= 2e-5
    assert worst(model(io["frac_x"], io["frac_t"], io["frac_y"]), io["frac_out"]) <= 2e-5


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_activations_match_the_original(golden: Path, case: str) -> None:
    model, io, _ = load(golden / "dit" / case)
    assert worst(model.x_embedder(io["x"]), io["act.patch"]) <= 2e-5
    assert worst(model.t_embedder(io["t"]), io["act.temb"]) <= 2e-5
    tokens = model.x_embedder(io["x"]) + model.pos_embed
    condition = model.t_embedder(io["t"]) + model.y_embedder(io["y"])
    for index, block in enumerate(model.blocks):
        tokens = block(tokens, condition)
        assert worst(tokens, io[f"act.block{index}"]) <= 2e-5


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_guidance_on_three_channels_matches_the_original(golden: Path, case: str) -> None:
    model, io, config = load(golden / "dit" / case)
    half = len(io["cfg_x"]) // 2
    x = torch.cat([io["cfg_x"][:half]] * 2)
    out = model(x, io["cfg_t"], io["cfg_y"])
    conditional, unconditional = out.split(half)
    guided = guide(conditional[:, :3], unconditional[:, :3], config["cfg_scale"])
    expected_eps, expected_rest = io["cfg_out"][:, :3], io["cfg_out"][:, 3:]
    assert worst(torch.cat([guided, guided]), expected_eps) <= 5e-5
    if out.shape[1] > 3:
        assert worst(out[:, 3:], expected_rest) <= 5e-5


@torch.no_grad()
def test_diffusers_folder_in_both_numerics(golden: Path) -> None:
    folder = golden / "dit" / "diffusers_d2_h48"
    tensors = load_file(folder / "transformer" / "diffusion_pytorch_model.safetensors")
    io = load_file(folder / "io.safetensors")
    inputs = io["x"], io["t"], io["y"]
    theirs = dit_from_diffusers(folder / "transformer", tensors)
    assert worst(theirs(*inputs), io["out"]) <= 2e-5
    original = dit_from_diffusers(folder / "transformer", tensors, original_numerics=True)
    assert worst(original(*inputs), io["out_official"]) <= 2e-5


@torch.no_grad()
def test_diffusion_quantities_match_the_original(golden: Path) -> None:
    model, io, _ = load(golden / "dit" / "latent_d4_h72")
    schedule = make_schedule("linear")
    process = LearnedVariance(schedule)
    assert np.abs(process.betas - io["betas"].numpy()).max() <= 1e-12
    t = io["diff_t"]
    x = add_noise(schedule, io["diff_x0"], io["diff_noise"], t)
    assert worst(x, io["diff_xt"]) <= 5e-5
    output = model(x, t, io["y"])
    error, bound = process.losses(output, io["diff_x0"], io["diff_noise"], t)
    torch.testing.assert_close(error, io["diff_mse"], rtol=5e-5, atol=5e-5)
    torch.testing.assert_close(bound, io["diff_vb"], rtol=5e-5, atol=5e-5)
    torch.testing.assert_close(error + bound, io["diff_loss"], rtol=5e-5, atol=5e-5)
    posterior = process.posterior(output, x, t)
    for name, value in (
        ("diff_mean", posterior.mean),
        ("diff_var", posterior.variance),
        ("diff_logvar", posterior.log_variance),
        ("diff_pred_x0", posterior.clean),
    ):
        torch.testing.assert_close(value, io[name], rtol=5e-5, atol=5e-5)


@torch.no_grad()
def test_ten_deterministic_steps_match_the_original(golden: Path) -> None:
    model, io, config = load(golden / "dit" / "latent_d4_h72")
    schedule = make_schedule("linear")
    chosen = uniform_stride(1000, 10)
    assert chosen.tolist() == io["ddim10_map"].tolist()
    assert make_grid(schedule, 25).timesteps.tolist() == io["respace25_map"].tolist()
    grid = grid_at(schedule, chosen)
    noise, labels = io["ddim10_noise"], io["ddim10_y"]

    def plain(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return model(x, t, labels)[:, :4]

    x = ddim(plain, noise, grid, (), DdimParams(), lambda done, total, clean: None)
    # The random network's samples reach 160, where 1e-4 is a few float32 roundings.
    torch.testing.assert_close(x, io["ddim10_out"], rtol=2e-6, atol=1e-4)

    conditional, null = io["cfg_y"][:2], torch.full((2,), model.null_label)

    def guided(x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        # The original evaluates both halves at the first half's states; each half keeps its own
        # fourth channel, so the halves part ways all the same.
        half = len(x) // 2
        eps = model(torch.cat([x[:half]] * 2), t, torch.cat([conditional, null]))[:, :4]
        cond, uncond = eps.split(half)
        joint = guide(cond[:, :3], uncond[:, :3], config["cfg_scale"])
        return torch.cat([torch.cat([joint, cond[:, 3:]], 1), torch.cat([joint, uncond[:, 3:]], 1)])

    x = ddim(guided, torch.cat([noise, noise]), grid, (), DdimParams(), lambda *_: None)
    # Guidance of 4 makes more of the roundings, in which processors differ (Intel: 4.6e-4).
    largest = float(io["ddim10_cfg_out"].abs().max())
    torch.testing.assert_close(x, io["ddim10_cfg_out"], rtol=2e-6, atol=5e-6 * largest)


def test_untrained_model_outputs_zero() -> None:
    from engine.images.dit import DiTConfig

    model = DiT(DiTConfig(8, 2, 4, 32, 2, 4, num_classes=3))
    out = model(torch.randn(2, 4, 8, 8), torch.tensor([0.0, 999.5]), torch.tensor([0, 3]))
    assert out.shape == (2, 4, 8, 8)
    assert not out.any()


def test_wrong_keys_are_named(golden: Path) -> None:
    folder = golden / "dit" / "pixel_d2_h48_nosigma"
    tensors = load_file(folder / "model.safetensors")
    tensors["blocks.1.attn.extra"] = tensors.pop("blocks.1.attn.proj.weight")
    with pytest.raises(EngineError) as caught:
        dit_from_official(tensors, 4)
    assert "blocks.1.attn.proj.weight" in caught.value.message
    assert "blocks.1.attn.extra" in caught.value.message


def test_unknown_width_asks_for_heads(golden: Path) -> None:
    tensors = load_file(golden / "dit" / "pixel_d2_h48_nosigma" / "model.safetensors")
    with pytest.raises(EngineError, match="width 48"):
        dit_from_official(tensors)
    with pytest.raises(EngineError, match="not a DiT"):
        dit_from_official({"conv.weight": torch.zeros(1)})
