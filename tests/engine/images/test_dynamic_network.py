"""The dynamic DiT: as the released program, masked as gathered, and static with all gates open."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.errors import EngineError
from engine.images.checkpoints import load_strictly
from engine.images.dit import DiT, DiTBlock, DiTConfig
from engine.images.dynamic_bench import compare, counted_macs
from engine.images.dynamic_conversion import (
    channel_importance,
    dynamic_from_static,
    head_importance,
    order_by_importance,
)
from engine.images.dynamic_costs import (
    BlockMacs,
    arithmetic_loss,
    computed_share,
    router_macs,
    static_macs,
)
from engine.images.dynamic_dit import (
    BlockGates,
    DynamicConfig,
    DynamicDiT,
    Economy,
    GumbelGates,
    hard_gates,
)
from engine.images.dynamic_slices import SHARE_OF_MODEL
from engine.images.routes import RouteLog

pytestmark = pytest.mark.usefixtures("single_thread")
GOLDEN = Path(__file__).resolve().parents[4] / "shared" / "golden" / "dydit" / "latent_d3_h48"
needs_golden = pytest.mark.skipif(not GOLDEN.exists(), reason="no golden data")
CONFIG = DiTConfig(8, 2, 4, 48, 3, 6, 10, learn_sigma=True)
CLOSE = {"rtol": 0.0, "atol": 2e-5}


def randomised(model: DiT, seed: int = 0, size: float = 0.08, routers: float = 1.0) -> Any:
    """Everything random, or the zero layers of an untrained model would hide mistakes."""
    stream = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if "pos_embed" not in key:
                router = "_rate" in key or "token_selection" in key
                value.copy_(torch.randn(value.shape, generator=stream) * (routers if router else size))
    return model.eval().requires_grad_(False)


def own_model(told: bool = False, groups: int = 12) -> DynamicDiT:
    model: DynamicDiT = randomised(DynamicDiT(CONFIG, DynamicConfig(groups, told)))
    return model


def inputs(batch: int = 6, seed: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    stream = torch.Generator().manual_seed(seed)
    x = torch.randn(batch, 4, 8, 8, generator=stream)
    # Mixed, repeated and fractional time steps.
    t = torch.tensor([10.0, 10.0, 333.25, 700.0, 999.0, 333.25]).repeat(batch // 6 + 1)[:batch]
    return x, t, torch.arange(batch) % 10


def observed(model: DynamicDiT, *args: Any, economy: Economy) -> tuple[Tensor, RouteLog]:
    log = RouteLog(model.config, model.dynamic.groups, 1)
    t = args[1]
    return model(*args, None, economy, lambda plans, opened: log.observe(t, plans, opened)), log


# --- as the released program ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def golden() -> tuple[DynamicDiT, dict[str, Tensor], dict[str, Any]]:
    config = json.loads((GOLDEN / "config.json").read_text())
    model = DynamicDiT(DiTConfig(8, 2, 4, 48, 3, 8, 10, learn_sigma=True), DynamicConfig(8))
    load_strictly(model, load_file(GOLDEN / "model.safetensors"), "The golden model")
    return model.eval().requires_grad_(False), load_file(GOLDEN / "io.safetensors"), config


Golden = tuple[DynamicDiT, dict[str, Tensor], dict[str, Any]]


@needs_golden
def test_masked_is_the_released_program(golden: Golden) -> None:
    model, io, _ = golden
    output, gates = model.masked(io["x"], io["t"].float(), io["y"])
    torch.testing.assert_close(output, io["out"], **CLOSE)
    for index, gate in enumerate(gates):
        assert torch.equal(gate.heads.bool(), io["attn_mask"][:, index].bool())
        assert torch.equal(gate.groups.bool(), io["mlp_mask"][:, index].bool())
        assert torch.equal(gate.tokens.bool(), io["token_mask"][:, index].bool())
    tokens, condition, code = model.embed(io["x"], io["t"].float(), io["y"], None)
    for index, block in enumerate(model.dynamic_blocks):
        close = {"rtol": 0.0, "atol": 1e-4}
        torch.testing.assert_close(block.attn_rate.logits(code), io[f"attn_logit.{index}"], **close)
        torch.testing.assert_close(block.mlp_rate.logits(code), io[f"mlp_logit.{index}"], **close)
        tokens, _ = block.masked(tokens, condition, code, hard_gates, None)


@needs_golden
def test_widths_of_all_time_steps_are_those_of_the_released_program(golden: Golden) -> None:
    model, io, _ = golden
    code = model.t_embedder(torch.arange(1000.0))
    for index, block in enumerate(model.dynamic_blocks):
        for router, name in ((block.attn_rate, "attn"), (block.mlp_rate, "mlp")):
            logits = router.logits(code)
            certain = torch.nn.functional.pad(logits.abs() > 1e-4, (1, 0), value=True)
            gates = router.gates(code, hard_gates).bool()
            table = io[f"width_table_{name}"][:, index].bool()
            assert torch.equal(gates[certain], table[certain])


@needs_golden
@pytest.mark.parametrize("rows", [1, 3, 8])
def test_gathered_is_the_released_program(golden: Golden, rows: int) -> None:
    model, io, _ = golden
    batches = zip(io["x"].split(rows), io["t"].float().split(rows), io["y"].split(rows), strict=True)
    output = torch.cat([model(*batch) for batch in batches])
    torch.testing.assert_close(output, io["out"], **CLOSE)
    whole = model(io["x"], io["t"].float(), io["y"], None, Economy(complete=True))
    torch.testing.assert_close(whole, io["out_complete"], **CLOSE)


@needs_golden
def test_arithmetic_is_that_of_the_released_program(golden: Golden) -> None:
    model, io, config = golden
    macs = BlockMacs.of(model.config)
    assert macs.attention == round(config["attn_gmac_per_block"] * 1e9)
    assert macs.mlp == round(config["mlp_gmac_per_block"] * 1e9)
    masks = zip(
        *(io[f"{name}_mask"].float().unbind(1) for name in ("attn", "mlp", "token")), strict=True
    )
    share = computed_share([BlockGates(*parts) for parts in masks], model.config)
    assert float(share.mean()) == pytest.approx(float(io["flops_rate"]), abs=1e-6)
    loss = arithmetic_loss(share, config["target_ratio"], config["flops_loss_weight"])
    assert float(loss) == pytest.approx(float(io["flops_loss"]), abs=1e-6)


# --- two forms of one network ---------------------------------------------------------------------


@pytest.mark.parametrize("told", [False, True])
def test_gathered_is_masked(told: bool) -> None:
    model = own_model(told)
    x, t, y = inputs()
    ratio = 0.6
    masked, gates = model.masked(x, t, y, ratio=torch.full((6,), ratio))
    gathered, log = observed(model, x, t, y, economy=Economy(ratio=ratio))
    torch.testing.assert_close(gathered, masked, **CLOSE)
    share = computed_share(gates, CONFIG)
    assert float(share.min()) < float(share.max())  # rows differ, or nothing was tested
    assert log.total.block_macs / log.total.static_block_macs == pytest.approx(float(share.mean()))
    one = torch.cat(
        [model(x[i : i + 1], t[i : i + 1], y[i : i + 1], None, Economy(ratio)) for i in range(6)]
    )
    torch.testing.assert_close(one, masked, **CLOSE)


def test_a_told_network_hears_the_share() -> None:
    model = own_model(told=True)
    x, t, y = inputs()
    outputs = [model(x, t, y, None, Economy(ratio=ratio)) for ratio in (0.4, 0.9)]
    assert not torch.allclose(*outputs)


@pytest.mark.parametrize("which", ["no tokens", "least width", "mixed"])
def test_extreme_gates(which: str) -> None:
    model = own_model()
    x, t, y = inputs()
    for block in model.dynamic_blocks:
        if which == "least width":
            for router in (block.attn_rate.router, block.mlp_rate.router):
                router.weight.zero_()
                router.bias.fill_(-1)
        elif which == "no tokens":
            block.token_selection.last.bias.fill_(-1e4)
        else:
            # Only what follows the first token's sign decides: some pictures all, some none.
            block.token_selection.last.bias.fill_(-1e4)
            block.token_selection.mlp_head[0].weight.zero_()
    if which == "mixed":
        model.dynamic_blocks[1].token_selection.last.bias.fill_(1e4)
    masked, gates = model.masked(x, t, y)
    gathered, _ = observed(model, x, t, y, economy=Economy())
    torch.testing.assert_close(gathered, masked, **CLOSE)
    assert gates[0].tokens.any() == (which == "least width")
    if which == "least width":
        assert (gates[0].heads.sum(1) == 1).all()
        assert (gates[0].groups.sum(1) == 1).all()


def test_the_gradient_follows_the_route_of_the_masked_form() -> None:
    model = own_model()
    x, t, y = inputs()
    found = []
    for form in (lambda x: model(x, t, y), lambda x: model.masked(x, t, y)[0]):
        leaf = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(form(leaf).square().sum(), leaf)
        found.append(gradient)
    # The routers are not differentiated: the masked form's hard gates have no gradient either.
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)


def test_an_odd_number_of_tokens() -> None:
    config = DiTConfig(10, 2, 4, 48, 2, 6, 10)
    model = randomised(DynamicDiT(config, DynamicConfig(6)))
    x, t, y = torch.randn(2, 4, 10, 10), torch.tensor([5.0, 500.0]), torch.tensor([1, 2])
    torch.testing.assert_close(model(x, t, y), model.masked(x, t, y)[0], **CLOSE)


# --- slices ---------------------------------------------------------------------------------------


def test_slices_are_never_stale() -> None:
    model, other = own_model(), randomised(DynamicDiT(CONFIG, DynamicConfig(12)), seed=9)
    x, t, y = inputs()
    before = model(x, t, y)
    twin = copy.deepcopy(model)
    model.load_state_dict(other.state_dict())
    torch.testing.assert_close(model(x, t, y), other.masked(x, t, y)[0], **CLOSE)
    torch.testing.assert_close(twin(x, t, y), before, **CLOSE)
    half = twin.to(torch.float64)
    assert half(x.double(), t.double(), y).dtype == torch.float64


def test_slices_stay_within_their_memory() -> None:
    model = own_model()
    x, _, y = inputs()
    limit = SHARE_OF_MODEL * sum(p.numel() * p.element_size() for p in model.parameters())
    for step in range(0, 1000, 7):
        model(x, torch.full((6,), float(step)), y)
    held = sum(item.size_bytes for item in model._slices._slices.values())
    assert 0 < held <= limit
    assert held == model._slices._bytes


# --- conversion -----------------------------------------------------------------------------------


def static_model() -> DiT:
    model: DiT = randomised(DiT(CONFIG))
    return model


def test_importance_ordering_keeps_the_function() -> None:
    model, (x, t, y) = static_model(), inputs()
    before = model(x, t, y)
    order_by_importance(model)
    torch.testing.assert_close(model(x, t, y), before, rtol=0.0, atol=1e-5)
    for block in model.blocks:
        assert isinstance(block, DiTBlock)
        heads, channels = head_importance(block), channel_importance(block)
        assert int(heads.argmax()) == 0
        assert (channels.diff() <= 0).all()


def test_untouched_routers_change_nothing() -> None:
    static, (x, t, y) = static_model(), inputs()
    made = dynamic_from_static(static, DynamicConfig(12)).eval().requires_grad_(False)
    for block in made.dynamic_blocks:  # only the last biases: Xavier weights as after a conversion
        assert (block.attn_rate.router.bias == 15).all()
    masked, gates = made.masked(x, t, y)
    torch.testing.assert_close(masked, static(x, t, y), rtol=0.0, atol=1e-5)
    assert (computed_share(gates, CONFIG) == 1).all()
    torch.testing.assert_close(made(x, t, y), static(x, t, y), rtol=0.0, atol=1e-5)
    economical = own_model()
    economical.load_state_dict(made.state_dict() | {k: v for k, v in economical.state_dict().items()
                                                    if k not in static.state_dict()})  # fmt: skip
    complete = economical(x, t, y, None, Economy(complete=True))
    torch.testing.assert_close(complete, static(x, t, y), rtol=0.0, atol=1e-5)
    assert not torch.allclose(economical(x, t, y), complete)


def test_gates_of_training_are_hard_with_a_soft_gradient() -> None:
    logits = torch.tensor([-40.0, 0.0, 40.0]).repeat(4000, 1).requires_grad_()
    gates = GumbelGates(torch.Generator().manual_seed(0))(logits)
    values = gates.detach()
    assert ((values - values.round()).abs() < 1e-6).all()
    # The chance that a gate is closed is 1 / (1 + e^z).
    assert values.mean(0).tolist() == pytest.approx([0, 0.5, 1], abs=0.03)
    (gradient,) = torch.autograd.grad(gates.sum(), logits)
    assert (gradient > 0).all()
    assert gradient.max() <= 0.25 / 5 + 1e-6


@pytest.mark.parametrize(
    ("config", "groups", "said"),
    [
        (CONFIG, 7, "cannot be cut into 7 equal groups"),
        (CONFIG, 1, "at least 2"),
        (DiTConfig(8, 2, 4, 48, 1, 1, 10), 4, "at least 2 heads"),
    ],
)
def test_groups_that_do_not_fit(config: DiTConfig, groups: int, said: str) -> None:
    with pytest.raises(EngineError, match=said):
        DynamicDiT(config, DynamicConfig(groups))


# --- arithmetic -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "heads", "depth", "total"), [(384, 6, 12, 6.07), (1152, 16, 28, 118.69)]
)
def test_the_formula_gives_the_published_arithmetic(
    width: int, heads: int, depth: int, total: float
) -> None:
    config = DiTConfig(32, 2, 4, width, depth, heads, 1000, learn_sigma=True)
    assert static_macs(config) / 1e9 == pytest.approx(total, rel=0.01)
    assert router_macs(config, heads) < 0.02 * static_macs(config)


def test_the_counter_agrees_with_the_formula() -> None:
    rows = list(compare(["S"], [8], [1], 0.5, 1, depth=1, side=8))
    assert rows[0].counted == pytest.approx(rows[0].formula, rel=0.03)
    assert 0.3 < rows[0].mac_ratio < 0.7
    model = static_model()
    x, t, y = inputs()
    # One row is padded to several where the condition is mapped; that is not the method's arithmetic.
    assert counted_macs(lambda: model(x, t, y)) == pytest.approx(6 * static_macs(CONFIG), rel=0.1)
