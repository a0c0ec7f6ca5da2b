"""Slices of a dynamic DiT's weights: never of weights that have changed, and within their memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.images.dit import DiTConfig
from engine.images.dynamic_dit import AS_TRAINED, DynamicConfig, DynamicDiT, Economy
from engine.images.dynamic_slices import SliceCache, WidthPlan

pytestmark = pytest.mark.usefixtures("single_thread")
CONFIG = DiTConfig(8, 2, 4, 48, 2, 6, 10)


def own_model(seed: int = 0) -> DynamicDiT:
    model = DynamicDiT(CONFIG, DynamicConfig(12, told_ratio=True)).eval().requires_grad_(False)
    stream = torch.Generator().manual_seed(seed)
    for key, value in model.state_dict().items():
        if "pos_embed" not in key:
            router = "_rate" in key or "token_selection" in key
            value.copy_(torch.randn(value.shape, generator=stream) * (1.0 if router else 0.1))
    return model


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    return x, torch.tensor([10.0, 10.0, 333.25, 900.0]), torch.arange(4)


def replaced(model: DynamicDiT) -> None:
    model.load_state_dict(own_model(seed=5).state_dict(), assign=True)


def shifted(name: str) -> Callable[[DynamicDiT], Any]:
    return lambda model: model.get_parameter(name).add_(0.3)


CHANGES: dict[str, Callable[[DynamicDiT], Any]] = {
    "loaded": lambda model: model.load_state_dict(own_model(seed=5).state_dict()),
    "replaced": replaced,
    "rounded": lambda model: model.half().float(),
    "attention": shifted("blocks.0.attn.proj.weight"),
    "attention's bias": shifted("blocks.0.attn.qkv.bias"),
    "mlp": shifted("blocks.1.mlp.fc2.weight"),
    "head router": lambda model: model.blocks[0].attn_rate.router.bias.neg_(),
    "group router": lambda model: model.blocks[1].mlp_rate.router.weight.neg_(),
    "time": lambda model: model.t_embedder.mlp[2].weight.neg_(),
    "told share": lambda model: model.r_embedder[2].bias.neg_(),
}


@pytest.mark.parametrize("change", CHANGES)
def test_slices_of_changed_weights_are_not_used(change: str) -> None:
    model = own_model()
    x, t, y = inputs()
    before = model(x, t, y)
    CHANGES[change](model)
    after = model(x, t, y)
    assert not torch.equal(after, before)
    torch.testing.assert_close(after, model.masked(x, t, y)[0], rtol=0.0, atol=5e-5)


def test_a_copy_has_slices_of_its_own() -> None:
    model = own_model()
    x, t, y = inputs()
    before = model(x, t, y)
    twin = copy.deepcopy(model)
    assert twin._slices.size_bytes == 0 < model._slices.size_bytes
    twin.load_state_dict(own_model(seed=5).state_dict())
    assert not torch.equal(twin(x, t, y), before)
    assert torch.equal(model(x, t, y), before)


def test_another_precision_is_computed_in() -> None:
    model = own_model()
    x, t, y = inputs()
    single = model(x, t, y)
    double = model.double()(x.double(), t, y)
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=0.0, atol=5e-5)


def plans(model: DynamicDiT, t: Tensor, economy: Economy = AS_TRAINED) -> list[WidthPlan]:
    found: list[WidthPlan] = []
    x, _, y = inputs()
    model(x[: len(t)], t, y[: len(t)], None, economy, lambda plans, _: found.extend(plans))
    return found


def test_plans_are_made_once_and_belong_to_what_was_asked() -> None:
    model = own_model()
    t = torch.tensor([10.0, 700.5])
    first = plans(model, t)
    assert all(a is b for a, b in zip(first, plans(model, t), strict=True))
    widths = [
        [(plan.heads, plan.groups) for plan in plans(model, t, economy)]
        for economy in (Economy(), Economy(threshold=2.0), Economy(ratio=0.4), Economy(complete=True))
    ]
    assert all(a != b for i, a in enumerate(widths) for b in widths[:i])
    swapped = plans(model, t.flip(0))
    assert [plan.heads for plan in swapped] == [plan.heads[::-1] for plan in first]


def test_what_was_used_last_is_kept_within_the_memory() -> None:
    model = own_model()
    cache: SliceCache = model._slices
    often = torch.tensor([10.0])
    kept = plans(model, often)
    assert not all(kept[0].groups[0])  # a whole MLP would need no slice
    cache._limit = 3 * cache.size_bytes
    seen = set()
    for step in range(0, 1000, 40):
        seen |= {plan.groups for plan in plans(model, torch.tensor([float(step)]))}
        again = plans(model, often)
        assert cache.size_bytes <= cache._limit
        assert again[0].mlps[0][1] is kept[0].mlps[0][1]
    assert len(seen) > 6  # more than fits
    held = sum(item.size_bytes for item in cache._slices.values())
    assert held == cache.size_bytes
    # Plans hold no slice that was dropped.
    slices = {id(item) for item in cache._slices.values()}
    for made in cache._plans.values():
        for plan in made:
            assert all(all(plan.groups[0]) or id(mlp) in slices for _, mlp in plan.mlps)
