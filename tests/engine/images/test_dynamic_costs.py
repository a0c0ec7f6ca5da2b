"""The arithmetic formulas of a dynamic DiT against torch's own counter."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from engine.images.dit import DiT, DiTConfig
from engine.images.dynamic_costs import arithmetic_loss, static_macs
from engine.images.dynamic_dit import DynamicConfig, DynamicDiT, Economy
from engine.images.routes import RouteLog

CONFIG = DiTConfig(16, 2, 4, 96, 3, 6, 10, learn_sigma=True)
ROWS = 8
"""As many as a condition's rows are padded to, or the counter would see more than one picture's."""


def counted(compute: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        compute()
    return counter.get_total_flops() / 2


def test_a_static_network() -> None:
    model = DiT(CONFIG)
    x, t, y = torch.randn(ROWS, 4, 16, 16), torch.full((ROWS,), 500.0), torch.arange(ROWS)
    assert counted(lambda: model(x, t, y)) == pytest.approx(ROWS * static_macs(CONFIG), rel=0.01)


@pytest.mark.parametrize("mixed", [False, True])
def test_what_is_gathered(mixed: bool) -> None:
    model = DynamicDiT(CONFIG, DynamicConfig(12)).eval()
    stream = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for key, value in model.state_dict().items():
            if "pos_embed" not in key:
                router = "_rate" in key or "token_selection" in key
                value.copy_(torch.randn(value.shape, generator=stream) * (1.0 if router else 0.1))
    x, y = torch.randn(ROWS, 4, 16, 16, generator=stream), torch.arange(ROWS)
    t = torch.linspace(5, 995, ROWS) if mixed else torch.full((ROWS,), 500.0)
    with torch.no_grad():
        model(x, t, y)  # the width routers are asked once for a time step
    log = RouteLog(CONFIG, 12, 1)
    found = counted(lambda: model(x, t, y, None, Economy(), lambda p, o: log.observe(t, p, o)))
    assert log.total.block_macs / log.total.static_block_macs < 0.7
    assert found == pytest.approx(log.total.macs, rel=0.03)


def test_the_loss_is_on_the_mean_share() -> None:
    share = torch.tensor([0.2, 0.8], requires_grad=True)
    assert float(arithmetic_loss(share, 0.5).detach()) == 0
    loss = arithmetic_loss(share, 0.4, 2.0)
    assert float(loss.detach()) == pytest.approx(0.02)
    (gradient,) = torch.autograd.grad(loss, share)
    assert gradient.tolist() == pytest.approx([0.2, 0.2])
