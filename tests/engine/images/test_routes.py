"""What a dynamic network computed for a picture, counted and kept as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load

from engine.images.dit import DiTConfig
from engine.images.dynamic_costs import BlockMacs, fixed_macs, router_macs, static_macs
from engine.images.dynamic_slices import WidthPlan
from engine.images.routes import Arithmetic, RouteLog

CONFIG = DiTConfig(6, 2, 4, 48, 2, 4, 10)
GROUPS = 8
MACS = BlockMacs.of(CONFIG)


def plan(*rows: tuple[int, int]) -> WidthPlan:
    """With so many open heads and groups in each row."""
    return WidthPlan(
        tuple(tuple(i < heads for i in range(4)) for heads, _ in rows),
        tuple(tuple(i < groups for i in range(GROUPS)) for _, groups in rows),
        (),
        (),
    )


def opened(*rows: int) -> torch.Tensor:
    """The first tokens of each row."""
    return torch.stack([torch.arange(9) < count for count in rows])


def share(*blocks: tuple[int, int, int]) -> float:
    macs = [h / 4 * MACS.attention + g / 8 * n / 9 * MACS.mlp for h, g, n in blocks]
    return sum(macs) / (2 * MACS.total)


def observe(log: RouteLog, step: float) -> None:
    """Two rows: one with (2, 4, 3) and (4, 8, 9) of heads, groups, tokens, one with least."""
    t = torch.full((2,), step)
    log.observe(t, [plan((2, 4), (1, 1)), plan((4, 8), (1, 1))], [opened(3, 0), opened(9, 1)])


FIRST, SECOND = share((2, 4, 3), (4, 8, 9)), share((1, 1, 0), (1, 1, 1))


def read(log: RouteLog, picture: int) -> dict[str, np.ndarray]:
    data = log.file(picture)
    assert data is not None
    return load(data)


def test_each_picture_has_its_own_counts_and_route() -> None:
    log = RouteLog(CONFIG, GROUPS, branches=1)
    log.begin(2)
    for step in (10.0, 999.0):
        observe(log, step)
    for picture, expected in enumerate((FIRST, SECOND)):
        counted = log.arithmetic(picture)
        assert counted is not None
        blocks = 2 * expected * 2 * MACS.total
        assert counted.block_macs == pytest.approx(blocks)
        rest = 2 * (fixed_macs(CONFIG) + router_macs(CONFIG, GROUPS))
        assert counted.macs == pytest.approx(blocks + rest)
        assert counted.static_macs == 2 * static_macs(CONFIG)
        assert counted.to_json()["block_ratio"] == pytest.approx(expected, abs=1e-4)
        route = read(log, picture)
        assert route["timesteps"].tolist() == [999, 10]
        assert route["shares"] == pytest.approx([expected] * 2)
    assert log.total.block_macs == pytest.approx(2 * (FIRST + SECOND) * 2 * MACS.total)
    assert read(log, 0)["heads"].tolist() == [[2, 4]] * 2
    assert read(log, 1)["groups"].tolist() == [[1, 1]] * 2


def test_the_file_tells_of_tokens_and_sizes() -> None:
    log = RouteLog(CONFIG, GROUPS, branches=1)
    log.begin(2)
    observe(log, 5.5)
    route = read(log, 0)
    tokens = np.unpackbits(route["tokens"], axis=2, count=9).astype(bool)
    assert tokens.tolist() == [[[True] * 3 + [False] * 6, [True] * 9]]
    assert {key: value.dtype.name for key, value in route.items()} == {
        "timesteps": "float32",
        "heads": "uint16",
        "groups": "uint16",
        "tokens": "uint8",
        "shares": "float32",
    }


def test_the_file_s_metadata(tmp_path: Path) -> None:
    log = RouteLog(CONFIG, GROUPS, branches=1)
    log.begin(2)
    observe(log, 5.5)
    path = tmp_path / "picture.routes"
    path.write_bytes(log.file(1) or b"")
    with safe_open(path, "numpy") as file:
        assert file.metadata() == {"num_heads": "4", "groups": "8", "side": "3"}


def test_guidance_counts_both_branches_and_tells_of_the_one_with_the_condition() -> None:
    log = RouteLog(CONFIG, GROUPS, branches=2)
    log.begin(1)
    observe(log, 5.0)
    counted = log.arithmetic(0)
    assert counted is not None
    assert counted.block_macs == pytest.approx((FIRST + SECOND) * 2 * MACS.total)
    assert read(log, 0)["shares"] == pytest.approx([FIRST])


def test_rows_of_unknown_pictures_count_in_the_total_only() -> None:
    log = RouteLog(CONFIG, GROUPS, branches=1)
    log.begin(3)
    observe(log, 5.0)
    assert log.total.static_macs == 2 * static_macs(CONFIG)
    assert [log.arithmetic(i) for i in range(3)] == [None] * 3
    assert [log.file(i) for i in range(3)] == [None] * 3


def test_beginning_anew_forgets_pictures_but_not_the_total() -> None:
    log = RouteLog(CONFIG, GROUPS, branches=1)
    log.begin(2)
    observe(log, 5.0)
    log.begin(1)
    assert (log.arithmetic(0), log.file(0)) == (None, None)
    assert log.total.macs > 0


def test_a_static_network_computes_everything() -> None:
    log = RouteLog(CONFIG, 0, branches=2)
    log.begin(1)
    log.observe_static(2)
    counted = log.arithmetic(0)
    assert counted is not None
    assert counted.macs == counted.static_macs == 2 * static_macs(CONFIG)
    assert (counted.to_json()["ratio"], counted.to_json()["block_ratio"]) == (1, 1)
    assert log.file(0) is None


def test_nothing_counted_has_no_ratio() -> None:
    assert Arithmetic().to_json()["ratio"] is None
