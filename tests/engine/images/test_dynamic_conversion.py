"""From a static DiT to a dynamic one, and what sampling with it must keep."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.errors import EngineError, ErrorCode
from engine.images.checkpoints import dit_from_official
from engine.images.dit import DiT, DiTBlock, DiTConfig
from engine.images.dynamic_conversion import (
    channel_importance,
    dynamic_from_static,
    head_importance,
    order_by_importance,
)
from engine.images.dynamic_costs import computed_share
from engine.images.dynamic_dit import DynamicConfig, DynamicDiT, Economy

pytestmark = pytest.mark.usefixtures("single_thread")
CASES = ["latent_d4_h72", "pixel_d2_h48_nosigma"]


def worst(a: Tensor, b: Tensor) -> float:
    return (a - b).abs().max().item()


def load(folder: Path) -> tuple[DiT, tuple[Tensor, Tensor, Tensor]]:
    heads = json.loads((folder / "config.json").read_text())["num_heads"]
    model = dit_from_official(load_file(folder / "model.safetensors"), heads)
    io = load_file(folder / "io.safetensors")
    return model.requires_grad_(False), (io["x"], io["t"].float(), io["y"])


@pytest.mark.parametrize("case", CASES)
def test_ordering_keeps_what_the_original_computes(golden: Path, case: str) -> None:
    model, inputs = load(golden / "dit" / case)
    before, weights = model(*inputs), model.blocks[0].mlp.fc1.weight.clone()
    order_by_importance(model)
    assert not torch.equal(model.blocks[0].mlp.fc1.weight, weights)
    assert worst(model(*inputs), before) <= 1e-5
    for block in model.blocks:
        assert isinstance(block, DiTBlock)
        for score in (head_importance(block), channel_importance(block)):
            assert (score.diff() <= score.max() * 1e-6).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("told", [False, True])
def test_untouched_routers_leave_the_original_as_it_is(golden: Path, case: str, told: bool) -> None:
    static, inputs = load(golden / "dit" / case)
    kept = {key: value.clone() for key, value in static.state_dict().items()}
    made = dynamic_from_static(static, DynamicConfig(static.config.num_heads, told)).eval()
    made.requires_grad_(False)
    masked, gates = made.masked(*inputs)
    assert computed_share(gates, static.config).tolist() == [1.0] * len(inputs[0])
    expected = static(*inputs)
    for output in (masked, made(*inputs), made(*inputs, None, Economy(complete=True))):
        assert worst(output, expected) <= 1e-5
    assert all(torch.equal(value, kept[key]) for key, value in static.state_dict().items())


def test_groups_that_do_not_fit_are_refused() -> None:
    with pytest.raises(EngineError, match="cannot be cut into 7 equal groups") as caught:
        dynamic_from_static(DiT(DiTConfig(8, 2, 4, 48, 1, 6, 10)), DynamicConfig(7))
    assert caught.value.code is ErrorCode.INVALID_INPUT


def sampled(model: DynamicDiT, x: Tensor, y: Tensor) -> Tensor:
    """A few deterministic steps towards what the network predicts."""
    for step in (999, 800, 600, 400, 200):
        x = x - 0.2 * model(x, torch.full((len(x),), float(step)), y)
    return x


def test_a_batch_is_its_pictures() -> None:
    model = DynamicDiT(DiTConfig(16, 2, 4, 96, 3, 6, 10), DynamicConfig(12)).eval()
    model.requires_grad_(False)
    stream = torch.Generator().manual_seed(0)
    for key, value in model.state_dict().items():
        if "pos_embed" not in key:
            router = "_rate" in key or "token_selection" in key
            value.copy_(torch.randn(value.shape, generator=stream) * (1.0 if router else 0.05))
    x, y = torch.randn(8, 4, 16, 16, generator=stream), torch.arange(8)
    together = sampled(model, x, y)
    assert torch.equal(sampled(model, x, y), together)
    assert worst(together, x) > 0.1
    for row in range(8):
        alone = sampled(model, x[row : row + 1], y[row : row + 1])
        assert worst(alone[0], together[row]) <= 1e-3
