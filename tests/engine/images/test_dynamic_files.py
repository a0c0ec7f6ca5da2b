"""Files of dynamic DiTs: our own written and read back, the released program's, and damaged ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import EngineError, ErrorCode
from engine.images.dit import DiTConfig
from engine.images.dynamic_dit import DynamicConfig, DynamicDiT
from engine.images.dynamic_files import (
    dynamic_from_official,
    read_told_dynamic,
    told_for,
    write_dynamic,
)
from engine.model_recognition import read_dynamic

CONFIG = DiTConfig(8, 2, 4, 48, 3, 6, 10, learn_sigma=True)
CURVE = [(0.4, 0.35), (0.6, 0.5), (1.0, 0.9)]


def written(path: Path, told: bool = True) -> DynamicDiT:
    model = DynamicDiT(CONFIG, DynamicConfig(12, told)).eval().requires_grad_(False)
    stream = torch.Generator().manual_seed(0)
    for key, value in model.state_dict().items():
        if "pos_embed" not in key:
            value.copy_(torch.randn(value.shape, generator=stream) * 0.3)
    write_dynamic(model, path, CURVE)
    return model


@pytest.mark.parametrize(
    ("share", "told"),
    [(0.35, 0.4), (0.425, 0.5), (0.5, 0.6), (0.7, 0.8), (0.9, 1.0), (0.347, 0.4), (0.904, 1.0)],
)
def test_what_is_told_lies_on_the_curve(share: float, told: float) -> None:
    assert told_for(share, CURVE, "It") == pytest.approx(told)


@pytest.mark.parametrize("share", [0.0, 0.34, 0.91, 0.99])
def test_a_share_outside_of_the_curve_is_refused(share: float) -> None:
    with pytest.raises(EngineError, match="35% to 90%") as caught:
        told_for(share, CURVE, "It")
    assert caught.value.code is ErrorCode.INVALID_INPUT
    assert f"{share:.0%} is outside" in caught.value.message


def test_written_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.safetensors"
    model = written(path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    found, curve = read_told_dynamic(path, CONFIG)
    assert list(curve) == CURVE
    assert (found.dynamic, found.training) == (DynamicConfig(12, told_ratio=True), False)
    state = found.state_dict()
    assert state.keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        assert state[key].dtype == torch.float32
        assert torch.equal(state[key], value.half().float()), key
    header = read_dynamic(path)
    assert (header.heads, header.groups, list(header.curve)) == (6, 12, CURVE)


def test_a_network_beside_another_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "dynamic.safetensors"
    written(path)
    other = DiTConfig(8, 2, 4, 48, 2, 6, 10, learn_sigma=True)
    with pytest.raises(EngineError) as caught:
        read_told_dynamic(path, other)
    assert caught.value.code is ErrorCode.BAD_FILE
    save_file(load_file(path), path)  # without metadata
    with pytest.raises(EngineError, match="does not say how much it computes") as caught:
        read_told_dynamic(path, CONFIG)
    assert caught.value.code is ErrorCode.BAD_FILE
    with pytest.raises(EngineError) as caught:
        read_told_dynamic(tmp_path / "none.safetensors", CONFIG)
    assert caught.value.code is ErrorCode.MISSING_WEIGHTS


def dropped(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if part not in key}


def test_routers_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "good.safetensors", told=False)
    state = load_file(tmp_path / "good.safetensors")
    uneven = state | {"blocks.2.mlp_rate.router.bias": torch.zeros(5)}
    seven = state | {f"blocks.{i}.mlp_rate.router.bias": torch.zeros(6) for i in range(3)}
    heads = state | {f"blocks.{i}.attn_rate.router.bias": torch.zeros(4) for i in range(3)}
    for bad, said in (
        (uneven, "in some blocks only, or of different sizes"),
        (dropped(state, "mlp_rate"), "in some blocks only"),
        (seven, "7 channel groups, into which its width of 192"),
        (heads, "5 heads, into which its width of 48"),
    ):
        path = tmp_path / "bad.safetensors"
        save_file(bad, path)
        with pytest.raises(EngineError) as caught:
            read_dynamic(path)
        assert caught.value.code is ErrorCode.BAD_FILE
        assert said in caught.value.message


@pytest.mark.parametrize("curve", ["[[0.4]]", "half", '[["a", "b"]]'])
def test_a_damaged_curve_is_refused(tmp_path: Path, curve: str) -> None:
    path = tmp_path / "dynamic.safetensors"
    written(path)
    save_file(load_file(path), path, {"curve": curve})
    with pytest.raises(EngineError) as caught:
        read_dynamic(path)
    assert caught.value.code is ErrorCode.BAD_FILE


def test_routers_in_some_blocks_only_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.safetensors"
    written(path, told=False)
    state = dropped(load_file(path), "blocks.1.attn_rate")
    save_file(state, path)
    with pytest.raises(EngineError) as caught:
        dynamic_from_official(state, read_dynamic(path))
    assert caught.value.code is ErrorCode.BAD_FILE
    assert "blocks.1.attn_rate" in f"{caught.value.message} {caught.value.detail}"


@torch.no_grad()
def test_the_released_program_s_file(golden: Path) -> None:
    folder = golden / "dydit" / "latent_d3_h48"
    found = read_dynamic(folder / "model.safetensors")
    assert (found.heads, found.groups, found.curve) == (8, 8, ())
    model = dynamic_from_official(load_file(folder / "model.safetensors"), found)
    assert (model.training, model.dynamic) == (False, DynamicConfig(8))
    io = load_file(folder / "io.safetensors")
    output = model(io["x"], io["t"].float(), io["y"])
    torch.testing.assert_close(output, io["out"], rtol=0.0, atol=2e-5)
