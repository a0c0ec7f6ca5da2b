"""Training: resumable to the bit, and it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from engine.errors import EngineError
from engine.images.dit import DiT, DiTConfig
from engine.images.evaluation import kernel_distance, nearest_distance
from engine.images.generators import LatentGenerator
from engine.images.latents import CaptionSampler, diffusion_loss
from engine.images.pictograms import load_pictograms, move_and_scale
from engine.images.sheets import sample
from engine.images.training import (
    load_autoencoder,
    peak_signal_to_noise,
    train_autoencoder,
    train_transformer,
)
from engine.training_run import Run, learning_rate_factor
from engine.weights import inspect_model


def test_pictograms_are_read_as_described(data_folder: Path) -> None:
    data = load_pictograms(data_folder)
    assert data.images.shape == (6, 128, 128, 3)
    assert (data.images[0] == 255).all(), "transparent pixels are white"
    assert data.mirrorable.tolist() == [True, True, False, False, True, False]
    assert data.weights.tolist() == [0.4, 0.03, 0.5, 0.5, 1.0, 1.0]
    assert data.rows(held_out=True).tolist() == [5]
    assert data.rows(held_out=False, toned=False).tolist() == [0, 2, 3, 4]
    assert "facing" not in data.vocabulary().words, "held-out captions are unknown words"
    pixels = data.pixels(np.array([0, 1]))
    assert pixels.shape == (2, 3, 128, 128)
    assert pixels[0].min() == 1


def test_missing_data_is_said(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="cannot be read"):
        load_pictograms(tmp_path)


def test_moving_keeps_the_ground_white() -> None:
    images = torch.ones(3, 3, 32, 32)
    images[:, :, 12:20, 12:20] = -1
    moved = move_and_scale(images, 4.0, (0.9, 1.1), torch.Generator().manual_seed(0))
    assert moved.shape == images.shape
    assert moved[:, :, 0].min() == 1
    assert moved.min() == -1
    assert (moved != images).any()


def test_learning_rate_warms_up_holds_and_decays() -> None:
    assert learning_rate_factor(0, 0.0, 0.6, 0.02) == pytest.approx(0.01)
    assert learning_rate_factor(500, 0.5, 0.6, 0.02) == 1
    assert learning_rate_factor(500, 0.8, 0.6, 0.02) == pytest.approx(0.51)
    assert learning_rate_factor(500, 1.0, 0.6, 0.02) == pytest.approx(0.02)


def small_run(folder: Path, minutes: float = 1.0) -> Run:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    matrices = [p for p in module.parameters() if p.ndim == 2]
    rest = [p for p in module.parameters() if p.ndim == 1]
    optimisers = [torch.optim.Muon(matrices, lr=0.02), torch.optim.AdamW(rest, lr=1e-2)]
    return Run(folder, minutes, torch.device("cpu"), module, optimisers, 0.99, 0.6, 0.02)


def advance(run: Run, until: int) -> None:
    for step in run.steps(8):
        if step == until:
            return
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        run.apply(run.module(inputs).square().mean(), list(run.module.parameters()))


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = small_run(tmp_path / "whole")
    advance(whole, 6)
    first = small_run(tmp_path / "parts")
    advance(first, 3)
    first.save()
    second = small_run(tmp_path / "parts")
    assert (second.clock.step, second.clock.pictures) == (3, 24)
    advance(second, 6)
    for a, b in zip(whole.module.parameters(), second.module.parameters(), strict=True):
        assert torch.equal(a, b)
    averages = whole.average.module.parameters(), second.average.module.parameters()
    for a, b in zip(*averages, strict=True):
        assert torch.equal(a, b)


def test_time_budget_ends_a_run_and_saves_it(tmp_path: Path) -> None:
    run = small_run(tmp_path, minutes=0.002)
    advance(run, 10_000)
    assert run.clock.seconds >= 0.12
    assert small_run(tmp_path, minutes=0.002).clock.step == run.clock.step


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_both_stages_end_in_a_model_that_generates(data_folder: Path, tmp_path: Path) -> None:
    data, device = load_pictograms(data_folder), torch.device("cpu")
    train_autoencoder(data, tmp_path / "autoencoder", 0.005, device, batch=2)
    autoencoder = load_autoencoder(tmp_path / "autoencoder")
    run = train_transformer(
        data, autoencoder, tmp_path / "transformer", 0.005, device, batch=2, views=2
    )
    assert run.clock.step > 0
    info = inspect_model(run.folder / "snapshot")
    assert info.kind == "triptych-generator"
    picture = sample(LatentGenerator(info, "cpu"), [("man", None)], [0], steps=2, guidance=2.0)
    assert picture.shape == (1, 3, 128, 128)
    assert picture.isfinite().all()
    (sheet,) = run.folder.glob("sheet-*.png")
    with Image.open(sheet) as image:
        assert image.size == (8 * 128, 2 * 128)


def test_loss_is_zero_for_the_true_velocity() -> None:
    clean, noise = torch.randn(2, 5, 4, 3, 3)
    at = torch.linspace(0.02, 0.98, 5)

    def oracle(x: Tensor, t: Tensor, y: Tensor, words: Tensor) -> Tensor:
        angle = torch.pi / 2 * (0.998 * (t + 0.5) / 1000 + 0.001)
        alpha, sigma = (part[:, None, None, None] for part in (angle.cos(), angle.sin()))
        eps = (x - alpha * clean) / sigma
        return alpha * eps - sigma * clean

    labels = torch.zeros(5, dtype=torch.long)
    loss = diffusion_loss(oracle, clean, at, noise, labels, labels[:, None])
    assert loss.max() < 1e-6


def test_dropouts_have_their_rates(data_folder: Path) -> None:
    data = load_pictograms(data_folder)
    captions = CaptionSampler(data, data.vocabulary())
    rows = torch.full((20_000,), 1)  # "man dark skin", three words
    words, labels = captions.draw(rows, torch.Generator().manual_seed(0))
    assert (labels == captions.null_label).float().mean().item() == pytest.approx(0.1, abs=0.01)
    empty = (words < 0).all(dim=1).float().mean().item()
    assert empty == pytest.approx(0.1, abs=0.01)
    kept = (words[(words >= 0).any(dim=1)] >= 0).float().mean().item() * words.shape[1] / 3
    assert kept == pytest.approx(0.95, abs=0.01)


def test_a_transformer_learns_two_pictures() -> None:
    torch.manual_seed(0)
    model = DiT(DiTConfig(4, 2, 2, 32, 2, 4, num_classes=2, num_words=2))
    pictures = torch.randn(2, 2, 4, 4)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 3e-3)
    losses = []
    for _ in range(300):
        labels = torch.randint(0, 2, (64,))
        at, noise = torch.rand(64), torch.randn(64, 2, 4, 4)
        loss = diffusion_loss(model, pictures[labels], at, noise, labels, labels[:, None]).mean()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
        losses.append(loss.item())
    assert np.mean(losses[-20:]) < 0.25 * np.mean(losses[:20])


def test_figures_of_the_card() -> None:
    stream = torch.Generator().manual_seed(0)
    a, b, far = torch.randn(3, 300, 8, generator=stream)
    assert abs(kernel_distance(a, b)) < 30
    assert kernel_distance(a, far + 1) > 300
    images = torch.rand(5, 3, 8, 8, generator=stream)
    assert nearest_distance(images.flip(3), images).max() < 1e-6, "mirrored copies are recall too"
    assert nearest_distance(images, images, skip_self=True).min() > 0.01
    flat = torch.zeros(1, 3, 8, 8)
    assert peak_signal_to_noise(flat, flat + 0.2).item() == pytest.approx(20, abs=1e-3)
