"""Fine-tuning a generator to compute less: it starts where the static one is, goes on, and exports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from engine.images.dynamic_calibration import sampled
from engine.images.dynamic_costs import computed_share
from engine.images.dynamic_dit import DynamicDiT, Economy, GumbelGates, hard_gates
from engine.images.dynamic_files import read_told_dynamic, write_dynamic
from engine.images.dynamic_training import (
    Recipe,
    annealed,
    checked_loss,
    spread_times,
    token_noise,
    train_control,
    train_dynamic,
    training_set,
)
from engine.images.generators import LatentGenerator
from engine.images.generators.networks import Network
from engine.images.pictograms import load_pictograms
from engine.training_run import averaged_weights
from engine.weights import find_model

pytestmark = pytest.mark.usefixtures("single_thread")
RECIPE = Recipe(steps=3, batch=8, anneal=1.0, router_rate=300.0)


@pytest.fixture
def model() -> LatentGenerator:
    return LatentGenerator(find_model("builtin"), "cpu")


def test_the_target_falls_from_everything_to_what_was_drawn() -> None:
    recipe = Recipe(steps=1000, anneal=0.2)
    assert [annealed(step, 0.5, recipe) for step in (0, 49, 100, 200, 999)] == [1, 1, 0.75, 0.5, 0.5]


def test_gates_of_tokens_lose_their_noise_where_tokens_have_a_target() -> None:
    recipe = Recipe(steps=1000, places=0.5, quiet=0.4)
    assert [token_noise(step, recipe) for step in (0, 200, 400, 999)] == [1, 0.5, 0, 0]
    assert token_noise(999, replace(recipe, places=0.0)) == 1
    logits = torch.tensor([-0.1, 0.0, 0.1])
    assert GumbelGates(noise=0.0)(logits).tolist() == hard_gates(logits).tolist() == [0, 0, 1]


def test_tokens_with_a_target_are_left_out(
    model: LatentGenerator, data_folder: Path, tmp_path: Path
) -> None:
    things = training_set(model, load_pictograms(data_folder), tmp_path)
    recipe = replace(RECIPE, places=1.0, quiet=0.01, bias=0.5)
    run = train_dynamic(model, things, tmp_path / "dynamic", recipe)
    network = run.module
    assert isinstance(network, DynamicDiT)
    clean, labels, words = things.draw(8, torch.Generator().manual_seed(0))
    with torch.no_grad():
        told = torch.full((8,), 0.4)
        _, gates = network.masked(clean, torch.linspace(5, 995, 8), labels, words, ratio=told)
    assert float(torch.stack([gate.tokens.mean() for gate in gates]).mean()) < 1


def test_times_are_stratified_in_each_part() -> None:
    at = spread_times(16, 4, torch.Generator().manual_seed(0)).view(4, 4)
    assert torch.equal((at * 4).floor().long(), torch.arange(4).expand(4, 4))


def test_training_closes_gates_and_goes_on(
    model: LatentGenerator, data_folder: Path, tmp_path: Path
) -> None:
    things = training_set(model, load_pictograms(data_folder), tmp_path)
    run = train_dynamic(model, things, tmp_path / "dynamic", RECIPE)
    network = run.module
    assert isinstance(network, DynamicDiT)
    assert run.clock.step == 3
    clean, labels, words = things.draw(8, torch.Generator().manual_seed(0))
    at = torch.linspace(5, 995, 8)
    with torch.no_grad():
        _, gates = network.masked(clean, at, labels, words, ratio=torch.full((8,), 0.4))
        share = computed_share(gates, network.config)
    # Three large steps of the routers towards fewer: they were all open.
    assert float(share.mean()) < 1
    further = train_dynamic(model, things, tmp_path / "dynamic", replace(RECIPE, steps=5))
    assert further.clock.step == 5
    assert further.clock.pictures == 40

    path = tmp_path / "dynamic.safetensors"
    averaged = averaged_weights(tmp_path / "dynamic")
    network.load_state_dict(averaged)
    write_dynamic(network, path, [(0.4, 0.41), (0.9, 0.88)])
    restored, curve = read_told_dynamic(path, network.config)
    assert curve == ((0.4, 0.41), (0.9, 0.88))
    torch.testing.assert_close(restored.state_dict(), averaged, rtol=1e-3, atol=1e-4)
    economical = Network(restored.requires_grad_(False), Economy(ratio=0.4))
    x_0, routes = sampled(model, economical, "red heart", 0, steps=2)
    assert x_0.isfinite().all()
    assert 0 < routes.total.block_macs < routes.total.static_block_macs


def test_the_control_sees_the_same_pictures(
    model: LatentGenerator, data_folder: Path, tmp_path: Path
) -> None:
    things = training_set(model, load_pictograms(data_folder), tmp_path)
    before, whole = checked_loss(model.model, things, 1.0)
    run = train_control(model, things, tmp_path / "control", replace(RECIPE, steps=2))
    after, _ = checked_loss(run.average.module, things, 1.0)
    assert whole == 1
    assert after != before
    assert after == pytest.approx(before, rel=0.2)
